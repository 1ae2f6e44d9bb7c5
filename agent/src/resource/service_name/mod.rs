//! A service's name from how its program was started, for programs that were not told one.
//!
//! The name is what a person would call the program: the script, module or application behind an interpreter, never `python3`.
//! A name that says nothing (`main`, `server.js`, `app:app`) gives way to the directory it stands in. Package files are not opened.

mod java;
mod naming;
mod node;
mod options;
mod python;
mod script;

use std::path::Path;

use super::Runtime;

/// How a program was started.
#[derive(Clone, Copy, Debug)]
pub(super) struct Launch<'a> {
    pub(super) executable: Option<&'a Path>,
    /// The kernel's name for the process; stands in when the executable cannot be read.
    pub(super) comm: &'a str,
    pub(super) argv: &'a [String],
    pub(super) directory: Option<&'a Path>,
    pub(super) environ: &'a [(String, String)],
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) text: String,
    /// Only the interpreter or a word that says nothing was found: the name of a parent that runs the same executable is better.
    pub(super) weak: bool,
}

/// Variables of a traced program that take part in naming it; nothing else of its environment is kept.
pub(super) const VARIABLES: [&str; 5] = [
    "OTEL_SERVICE_NAME",
    "OTEL_RESOURCE_ATTRIBUTES",
    "FLASK_APP",
    "DJANGO_SETTINGS_MODULE",
    "SPRING_APPLICATION_NAME",
];

const LENGTH_LIMIT: usize = 128;

pub(super) fn derive(launch: &Launch<'_>) -> Name {
    let program = launch.program();
    let runtime = Runtime::of_executable(&program);
    let found = match runtime {
        None => native(launch, &program),
        Some(Runtime::PhpFpm) => Some(Name::good("php-fpm")),
        Some(runtime) => match launch.title() {
            Some(title) => titled(title, launch),
            None => interpreted(runtime, launch),
        },
    };
    let mut name = found.unwrap_or_else(|| Name::weak(unknown(&program)));
    name.text = cleaned(&name.text);
    name
}

/// Resource SDK specification: `unknown_service`, followed by a colon and the executable's name where that is known.
pub(super) fn unknown(program: &str) -> String {
    match naming::without_version(program) {
        "" => "unknown_service".to_owned(),
        name => format!("unknown_service:{name}"),
    }
}

impl Name {
    fn good(text: impl Into<String>) -> Self {
        Self { text: text.into(), weak: false }
    }

    fn weak(text: impl Into<String>) -> Self {
        Self { text: text.into(), weak: true }
    }
}

impl<'a> Launch<'a> {
    /// The executable's file name, else the first word of the command line, else the kernel's name.
    fn program(&self) -> String {
        if let Some(name) = self.executable.and_then(Path::file_name) {
            return name.to_string_lossy().into_owned();
        }
        let first = self.argv.first().map_or("", String::as_str);
        let word = first.split([':', ' ']).next().unwrap_or_default();
        let name = naming::file_name(word);
        if name.is_empty() { self.comm.to_owned() } else { name.trim_start_matches('-').to_owned() }
    }

    /// The one string a program has written over its command line: `puma 6.4 (tcp://…) [shop]`.
    fn title(&self) -> Option<&'a str> {
        match self.argv {
            [title] if title.contains(' ') => Some(title),
            _ => None,
        }
    }

    fn arguments(&self) -> &'a [String] {
        self.argv.get(1..).unwrap_or_default()
    }

    pub(super) fn variable(&self, name: &str) -> Option<&'a str> {
        self.environ
            .iter()
            .find(|(key, value)| key == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    /// For launchers that are told nothing but where they stand (`npm start`, `rails server`).
    fn directory_or(&self, launcher: &str) -> Name {
        match self.directory.and_then(naming::of_directory) {
            Some(name) => Name::good(name),
            None => Name::weak(launcher),
        }
    }
}

fn native(launch: &Launch<'_>, program: &str) -> Option<Name> {
    match program {
        "" => None,
        // One executable, many commands: the first argument says which.
        "busybox" | "toybox" => {
            let applet = launch.argv.iter().map(|arg| naming::file_name(arg)).find(|name| *name != program);
            applet.map(|applet| Name::good(applet.trim_start_matches('-')))
        }
        "uwsgi" | "uwsgi-core" => Some(python::application_server("uwsgi", launch.arguments(), launch)),
        _ => {
            let path = launch.executable.map_or(program.into(), |path| path.to_string_lossy());
            Some(naming::of_program(&path))
        }
    }
}

fn interpreted(runtime: Runtime, launch: &Launch<'_>) -> Option<Name> {
    let arguments = launch.arguments();
    match runtime {
        Runtime::Python | Runtime::PyPy => python::name(arguments, launch),
        Runtime::Node | Runtime::Bun | Runtime::Deno => node::name(arguments, launch),
        Runtime::Java => java::name(arguments, launch),
        Runtime::Ruby => script::ruby(arguments, launch),
        Runtime::Perl => script::perl(arguments, launch),
        Runtime::Php => script::php(arguments, launch),
        Runtime::Dotnet => script::dotnet(arguments, launch),
        Runtime::Shell => script::shell(arguments, launch),
        Runtime::Erlang => script::erlang(arguments),
        Runtime::PhpFpm => None,
    }
}

/// `gunicorn: worker [shop.wsgi:application]`, `puma: cluster worker 0: 17 [shop]`, `sidekiq 7.1.0 shop [0 of 5 busy]`, `npm start`.
fn titled(title: &str, launch: &Launch<'_>) -> Option<Name> {
    let program = naming::file_name(title.split([' ', ':']).next()?);
    let bracketed = || Some(title.rsplit_once('[')?.1.split_once(']')?.0).filter(|text| !text.is_empty());
    let name = match program {
        "gunicorn" => bracketed().map(|target| python::target(target, launch.directory)),
        "puma" | "unicorn" | "pitchfork" => bracketed().map(Name::good),
        "sidekiq" => title.split(' ').nth(2).filter(|word| !word.starts_with('[')).map(Name::good),
        _ => None,
    };
    let program = program.trim_matches(['[', ']', '(', ')']);
    name.or_else(|| (!program.is_empty()).then(|| launch.directory_or(program)))
}

/// A name goes into every span and label: no control characters, and not without an end.
fn cleaned(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(LENGTH_LIMIT).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `exe` runs `argv` (split at spaces) in `directory`.
    #[track_caller]
    pub(super) fn check(directory: &str, exe: &str, argv: &str, expect: &str) {
        let argv: Vec<String> = argv.split(' ').map(str::to_owned).collect();
        check_argv(directory, exe, &argv, expect);
    }

    #[track_caller]
    pub(super) fn check_argv(directory: &str, exe: &str, argv: &[String], expect: &str) {
        let launch = Launch {
            executable: Some(Path::new(exe)),
            comm: "comm",
            argv,
            directory: Some(Path::new(directory)),
            environ: &[],
        };
        assert_eq!(derive(&launch).text, expect, "{argv:?} in {directory}");
    }

    #[track_caller]
    fn check_title(exe: &str, title: &str, expect: &str) {
        check_argv("/srv/orders", exe, &[title.to_owned()], expect);
    }

    #[test]
    fn servers_that_write_their_own_titles() {
        check_title("/usr/sbin/nginx", "nginx: worker process", "nginx");
        check_title("/usr/sbin/nginx", "nginx: master process /usr/sbin/nginx -g daemon on;", "nginx");
        check_title(
            "/usr/lib/postgresql/15/bin/postgres",
            "postgres: app shop 10.0.0.7(5312) idle",
            "postgres",
        );
        check_title("/usr/sbin/php-fpm8.2", "php-fpm: pool www", "php-fpm");
        check_title("/usr/bin/redis-server", "redis-server *:6379", "redis-server");
        check_title("/usr/bin/python3.11", "gunicorn: master [shop.wsgi:application]", "shop");
        check_title("/usr/bin/python3.11", "gunicorn: worker [app:app]", "orders");
        check_title("/usr/bin/ruby3.1", "puma 6.4.2 (tcp://0.0.0.0:9292) [shop]", "shop");
        check_title("/usr/bin/ruby3.1", "puma: cluster worker 0: 17 [shop]", "shop");
        check_title("/usr/bin/ruby3.1", "sidekiq 7.1.0 shop [0 of 5 busy]", "shop");
        check_title("/usr/bin/node", "npm start", "orders");
        check_title("/usr/bin/node", "next-server (v14.2.3)", "orders");
    }

    #[test]
    fn native_programs() {
        check("/", "/usr/local/bin/shop", "shop --port 80", "shop");
        check("/", "/usr/sbin/mariadbd", "/usr/sbin/mariadbd", "mariadbd");
        check("/", "/opt/shop/bin/server", "./server", "shop");
        check("/", "/app/server", "./server", "server");
        check("/", "/opt/shop-1.4.2/bin/main", "main", "shop");
        check("/", "/usr/local/bin/shop-1.4.2", "shop", "shop");
        check("/", "/usr/bin/k3s", "k3s server", "k3s");
        check("/", "/bin/busybox", "httpd -f -p 80", "httpd");
        check("/", "/bin/busybox", "busybox httpd -f", "httpd");
        check("/", "/usr/sbin/apache2", "/usr/sbin/apache2 -k start", "apache2");
        check("/", "/tmp/go-build1234/b001/exe/main", "/tmp/go-build1234/b001/exe/main", "main");
        check(
            "/srv/shop",
            "/usr/bin/uwsgi-core",
            "uwsgi --http :8000 --module shop.wsgi:application",
            "shop",
        );
        check("/srv/shop", "/usr/bin/uwsgi", "uwsgi --http :8000 --wsgi-file app.py", "shop");
    }

    #[test]
    fn an_unreadable_executable_leaves_the_command_line_and_then_the_kernels_name() {
        let name = |argv: &[String]| {
            derive(&Launch { executable: None, comm: "kworker", argv, directory: None, environ: &[] }).text
        };
        assert_eq!(name(&["nginx: worker process".into()]), "nginx");
        assert_eq!(name(&["/usr/bin/python3".into(), "/srv/shop.py".into()]), "shop");
        assert_eq!(name(&["-bash".into()]), "unknown_service:bash");
        assert_eq!(name(&[]), "kworker");
        assert_eq!(unknown(""), "unknown_service");
        assert_eq!(unknown("python3.11"), "unknown_service:python");
    }

    #[test]
    fn a_name_is_bounded_and_printable() {
        assert_eq!(cleaned(" a\u{1b}[31m\nb "), "a[31mb");
        assert_eq!(cleaned(&"x".repeat(999)).len(), LENGTH_LIMIT);
    }

    proptest! {
        #[test]
        fn any_command_line_has_a_name(
            exe in prop::sample::select(vec!["python3", "node", "java", "ruby", "perl", "php", "dotnet", "sh", "beam.smp", "x", "uwsgi", "busybox"]),
            argv in prop::collection::vec("-{0,2}[a-z:/. \\[\\]=é]{0,12}", 0..6),
        ) {
            let path = format!("/usr/bin/{exe}");
            let launch = Launch { executable: Some(Path::new(&path)), comm: "c", argv: &argv, directory: None, environ: &[] };
            prop_assert!(derive(&launch).text.len() <= 4 * LENGTH_LIMIT);
        }
    }
}
