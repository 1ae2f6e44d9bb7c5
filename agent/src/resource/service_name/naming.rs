//! Names from paths and modules, and the words that say nothing.

use std::path::{Component, Path, PathBuf};

use super::Name;

/// A script: its name without directory and extension, or the directory's where the name says nothing.
/// A relative path is relative to `directory`.
pub(super) fn of_script(path: &str, directory: Option<&Path>) -> Name {
    let path = resolved(path, directory);
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = match file.rsplit_once('.') {
        Some((stem, _)) if !stem.is_empty() => stem,
        _ => &file,
    };
    or_directory(stem, path.parent())
}

/// A compiled program: as a script, but without an extension to cut; a version is cut.
pub(super) fn of_program(path: &str) -> Name {
    or_directory(without_version(file_name(path)), Path::new(path).parent())
}

/// A dotted module: trailing parts that say nothing are cut; where nothing is left, the directory.
pub(super) fn of_module(module: &str, directory: Option<&Path>) -> Name {
    let mut kept = module;
    while let Some((before, last)) = kept.rsplit_once('.') {
        if !says_nothing(last) {
            return Name::good(kept);
        }
        kept = before;
    }
    or_directory(kept, directory)
}

/// The nearest directory, going up, whose name says something.
pub(super) fn of_directory(directory: &Path) -> Option<String> {
    let mut current = Some(directory);
    while let Some(path) = current {
        let name = path.file_name()?.to_string_lossy();
        let parent = path.parent();
        let is_a_users_home = parent.is_some_and(|parent| parent == Path::new("/home"));
        if !is_a_users_home && !is_generic_directory(&name) {
            return Some(without_version(&name).to_owned());
        }
        current = parent;
    }
    None
}

/// `shop-1.4.2` → `shop`, `php-fpm8.2` → `php-fpm`, `python3` → `python` for interpreters only; `k3s`, `apache2` and `x264` stay.
pub(super) fn without_version(name: &str) -> &str {
    if super::Runtime::of_executable(name).is_some() {
        let stem = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
        return stem.trim_end_matches('-');
    }
    for (at, _) in name.match_indices(|c: char| c.is_ascii_digit()) {
        let rest = &name[at..];
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let after = &rest[digits..];
        let is_version = after.starts_with('.') && after[1..].starts_with(|c: char| c.is_ascii_digit());
        let before = name[..at].trim_end_matches('v').trim_end_matches(['-', '_']);
        if is_version && !before.is_empty() {
            return before;
        }
    }
    name
}

pub(super) fn file_name(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or_default()
}

/// `.` and `..` are taken out by spelling alone: nothing is looked up.
pub(super) fn resolved(path: &str, directory: Option<&Path>) -> PathBuf {
    let joined = directory.map_or_else(|| PathBuf::from(path), |directory| directory.join(path));
    let mut plain = PathBuf::new();
    for component in joined.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => plain.push(component),
        }
    }
    plain
}

fn or_directory(name: &str, directory: Option<&Path>) -> Name {
    if !says_nothing(name) {
        return Name::good(name);
    }
    match directory.and_then(of_directory) {
        Some(directory) => Name::good(directory),
        None => Name::weak(name),
    }
}

/// What thousands of programs call their entry point.
fn says_nothing(name: &str) -> bool {
    matches!(
        name.to_ascii_lowercase().as_str(),
        "" | "__main__"
            | "a.out"
            | "app"
            | "application"
            | "asgi"
            | "boot"
            | "bootstrap"
            | "cli"
            | "entrypoint"
            | "index"
            | "init"
            | "launcher"
            | "main"
            | "manage"
            | "program"
            | "run"
            | "server"
            | "service"
            | "settings"
            | "start"
            | "wsgi"
    )
}

/// Where programs are put, whoever they are; also what was made by a machine (releases by date, temporary names).
fn is_generic_directory(name: &str) -> bool {
    let by_machine = name.starts_with('.')
        || name.starts_with("tmp")
        || name.starts_with("go-build")
        || !name.contains(|c: char| c.is_ascii_alphabetic())
        || (name.len() >= 7 && name.bytes().all(|byte| byte.is_ascii_hexdigit()));
    by_machine
        || says_nothing(name)
        || matches!(
            name.to_ascii_lowercase().as_str(),
            "apps"
                | "b001"
                | "bin"
                | "build"
                | "cmd"
                | "code"
                | "current"
                | "debug"
                | "deploy"
                | "dist"
                | "dist-packages"
                | "exe"
                | "home"
                | "html"
                | "lib"
                | "lib64"
                | "libexec"
                | "local"
                | "node_modules"
                | "opt"
                | "out"
                | "project"
                | "public"
                | "release"
                | "releases"
                | "root"
                | "sbin"
                | "scripts"
                | "site"
                | "site-packages"
                | "srv"
                | "src"
                | "target"
                | "temp"
                | "usr"
                | "var"
                | "venv"
                | "workspace"
                | "www"
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_script(path: &str, expect: &str) {
        assert_eq!(of_script(path, Some(Path::new("/srv/orders"))).text, expect, "{path}");
    }

    #[test]
    fn a_script_that_says_something_is_the_name() {
        check_script("/srv/shop/checkout.py", "checkout");
        check_script("checkout.min.js", "checkout.min");
        check_script("bin/checkout", "checkout");
        check_script(".hidden", ".hidden");
    }

    #[test]
    fn else_the_nearest_directory_that_does() {
        check_script("/srv/shop/server.js", "shop");
        check_script("/srv/shop/dist/src/index.js", "shop");
        check_script("server.js", "orders");
        check_script("./src/../main.py", "orders");
        check_script("/srv/shop/releases/20240101120000/app.py", "shop");
        check_script("/srv/shop/releases/3f9c2ab1/app.py", "shop");
        check_script("/tmp/tmpab12cd/shop/app.py", "shop");
        check_script("/opt/shop-2.1/main.rb", "shop");
    }

    #[test]
    fn else_the_script_after_all_and_weakly() {
        for path in
            ["/usr/src/app/server.js", "/app/server.js", "/home/alice/server.js", "/tmp/tmpab12/server.js"]
        {
            assert_eq!(of_script(path, None), Name { text: "server".into(), weak: true }, "{path}");
        }
        assert_eq!(of_script("", None).text, "");
    }

    #[test]
    fn modules() {
        let name = |module| of_module(module, Some(Path::new("/srv/orders"))).text;
        assert_eq!(name("shop.wsgi"), "shop");
        assert_eq!(name("services.billing.main"), "services.billing");
        assert_eq!(name("billing"), "billing");
        assert_eq!(name("app.main"), "orders");
        assert_eq!(of_module("app.main", None), Name { text: "app".into(), weak: true });
    }

    #[test]
    fn versions() {
        for (name, expect) in [
            ("shop-1.4.2", "shop"),
            ("shop-1.4.2-linux-amd64", "shop"),
            ("shop_v2.0", "shop"),
            ("python3.11", "python"),
            ("php8.2", "php"),
            ("apache2", "apache2"),
            ("k3s", "k3s"),
            ("x264", "x264"),
            ("1.2", "1.2"),
            ("beam.smp", "beam.smp"),
        ] {
            assert_eq!(without_version(name), expect);
        }
    }
}
