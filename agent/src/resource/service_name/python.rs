//! `python`: scripts, `-m` modules, and the servers that load an application by its module.

use std::path::{Path, PathBuf};

use super::{
    Launch, Name, naming,
    options::{first_operand, value},
};

const WITH_VALUE: [&str; 3] = ["-W", "-X", "--check-hash-based-pycs"];

/// `None` for interactive use, `-c` and the workers of `multiprocessing` (which are `-c` too).
pub(super) fn name(arguments: &[String], launch: &Launch<'_>) -> Option<Name> {
    let mut at = 0;
    loop {
        let argument = arguments.get(at)?.as_str();
        let rest = arguments.get(at + 1..).unwrap_or_default();
        if WITH_VALUE.contains(&argument) {
            at += 2;
        } else if argument.starts_with("--") {
            at += 1;
        } else if let Some(flags) = argument.strip_prefix('-') {
            // Short flags come in clusters (`-um http.server`), and `-c` and `-m` end one.
            match flags.find(['c', 'm', 'W', 'X']) {
                Some(end) if flags[end..].starts_with('m') => {
                    return match &flags[end + 1..] {
                        "" => module(rest.first()?, &rest[1..], launch),
                        attached => module(attached, rest, launch),
                    };
                }
                Some(end) if flags[end..].starts_with('c') => return None,
                _ if flags.is_empty() => return None,
                _ => at += 1,
            }
        } else {
            let file = naming::file_name(argument);
            return Some(
                launcher(file.trim_end_matches(".py"), rest, launch)
                    .unwrap_or_else(|| naming::of_script(argument, launch.directory)),
            );
        }
    }
}

fn module(module: &str, rest: &[String], launch: &Launch<'_>) -> Option<Name> {
    if let Some(name) = launcher(module, rest, launch) {
        return Some(name);
    }
    // What runs another program inside itself.
    if matches!(
        module,
        "cProfile" | "profile" | "pdb" | "trace" | "debugpy" | "coverage" | "memray" | "pyinstrument"
    ) {
        let inner = first_operand(rest, &["-o", "-s", "--listen", "--connect", "--rcfile"])?;
        let inner = if rest[inner] == "run" { inner + 1 } else { inner };
        return name(rest.get(inner..)?, launch);
    }
    let module = module.strip_suffix(".__main__").unwrap_or(module);
    Some(match module {
        "main" | "app" | "server" | "__main__" => naming::of_module(module, launch.directory),
        _ => Name::good(module),
    })
}

fn launcher(program: &str, rest: &[String], launch: &Launch<'_>) -> Option<Name> {
    Some(match program {
        "gunicorn" | "uvicorn" | "hypercorn" | "daphne" | "granian" | "waitress-serve" | "waitress" => {
            application_server(program, rest, launch)
        }
        "flask" | "quart" => match value(rest, &["--app", "-A"]).or_else(|| launch.variable("FLASK_APP")) {
            Some(app) => target(app, launch.directory),
            None => launch.directory_or(program),
        },
        "celery" => match value(rest, &["-A", "--app"]) {
            Some(app) => target(app, launch.directory),
            None => launch.directory_or(program),
        },
        "django-admin" => {
            match value(rest, &["--settings"]).or_else(|| launch.variable("DJANGO_SETTINGS_MODULE")) {
                Some(settings) => naming::of_module(settings, launch.directory),
                None => launch.directory_or(program),
            }
        }
        "streamlit" | "fastapi" => match rest.iter().find(|argument| argument.ends_with(".py")) {
            Some(script) => naming::of_script(script, launch.directory),
            None => launch.directory_or(program),
        },
        _ => return None,
    })
}

/// `gunicorn -w 4 shop.wsgi:application`. Options with values are many and differ, so the target is known by its form.
pub(super) fn application_server(server: &str, arguments: &[String], launch: &Launch<'_>) -> Name {
    if server == "gunicorn"
        && let Some(name) = value(arguments, &["--name", "-n"])
    {
        return Name::good(name);
    }
    let moved = value(arguments, &["--chdir", "--app-dir", "--working-dir"])
        .map(|path| naming::resolved(path, launch.directory));
    let directory: Option<PathBuf> = moved.or_else(|| launch.directory.map(Path::to_owned));
    let directory = directory.as_deref();

    let named = value(arguments, &["--module", "-w", "--wsgi-file", "--wsgi"]).filter(|_| server == "uwsgi");
    let of_form = || arguments.iter().map(String::as_str).find(|argument| is_target(argument));
    // `gunicorn shop`: a bare module comes last, and after something that is not an option waiting for its value.
    let bare = || match arguments {
        [.., before, last]
            if !last.starts_with('-') && (!before.starts_with('-') || before.contains('=')) =>
        {
            Some(last.as_str())
        }
        [only] if !only.starts_with('-') => Some(only.as_str()),
        _ => None,
    };
    match named.or_else(of_form).or_else(bare) {
        Some(found) => target(found, directory),
        None => match directory.and_then(naming::of_directory) {
            Some(name) => Name::good(name),
            None => Name::weak(server),
        },
    }
}

/// `shop.wsgi:application`, `shop:create_app()`, `path/to/app.py`, `app.py:app`.
pub(super) fn target(target: &str, directory: Option<&Path>) -> Name {
    let module = target.split(':').next().unwrap_or_default();
    if module.contains('/') || module.ends_with(".py") {
        naming::of_script(module, directory)
    } else {
        naming::of_module(module, directory)
    }
}

/// `module.path:attribute`, and not `host:port`.
fn is_target(argument: &str) -> bool {
    let identifier = |part: &str| {
        part.starts_with(|c: char| c.is_alphabetic() || c == '_')
            && part.chars().all(|c| c.is_alphanumeric() || c == '_')
    };
    argument.split_once(':').is_some_and(|(module, attribute)| {
        let attribute = attribute.split('(').next().unwrap_or_default();
        module.split('.').all(identifier) && attribute.split('.').all(identifier)
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::check as check_any;
    use super::*;

    #[track_caller]
    fn check(command_line: &str, expect: &str) {
        check_any("/srv/orders", "/usr/bin/python3.11", command_line, expect);
    }

    #[test]
    fn scripts() {
        check("python3 /srv/shop/checkout.py --port 80", "checkout");
        check("python3 -u -X dev -W ignore checkout.py", "checkout");
        check("python3 -Es /usr/bin/fail2ban-server -xf start", "fail2ban-server");
        check("python3 manage.py runserver 0.0.0.0:8000", "orders");
        check("/srv/orders/venv/bin/python /srv/shop/manage.py runserver", "shop");
        check("python3 main.py", "orders");
    }

    #[test]
    fn modules() {
        check("python3 -m http.server 8000", "http.server");
        check("python3 -um http.server", "http.server");
        check("python3 -mhttp.server", "http.server");
        check("python3 -m billing.__main__", "billing");
        check("python3 -m app", "orders");
        check("python3 -m cProfile -o x checkout.py", "checkout");
        check("python3 -m debugpy --listen 5678 -m billing", "billing");
        check("python3 -m coverage run checkout.py", "checkout");
    }

    #[test]
    fn nothing_to_name() {
        check("python3", "unknown_service:python");
        check("python3 -c print(1)", "unknown_service:python");
        check(
            "python3 -c from_multiprocessing.spawn_import --multiprocessing-fork",
            "unknown_service:python",
        );
        check("python3 -", "unknown_service:python");
        check("python3 -m", "unknown_service:python");
    }

    #[test]
    fn application_servers() {
        check("python3 /usr/bin/gunicorn -w 4 -b 0.0.0.0:8000 shop.wsgi:application", "shop");
        check("python3 /usr/bin/gunicorn app:main", "orders");
        check("python3 /usr/bin/gunicorn billing:app -k uvicorn.workers.UvicornWorker", "billing");
        check("python3 /usr/bin/gunicorn -b localhost:8000 billing", "billing");
        check("python3 /usr/bin/gunicorn --name checkout app:app", "checkout");
        check("python3 /usr/bin/gunicorn --chdir /srv/shop app:app", "shop");
        check("python3 /usr/bin/gunicorn -c conf.py shop:create_app()", "shop");
        check("python3 -m gunicorn billing.api:app", "billing.api");
        check("python3 -m uvicorn main:app --host 0.0.0.0 --port 80", "orders");
        check("python3 /usr/bin/uvicorn --port 80 billing:app", "billing");
        check("python3 /usr/bin/uvicorn --app-dir ../shop main:app", "shop");
        check("python3 /usr/bin/hypercorn billing:app", "billing");
        check("python3 /usr/bin/gunicorn -b 0.0.0.0:80", "orders");
    }

    #[test]
    fn application_servers_where_the_directory_says_nothing() {
        check_any("/app", "/usr/bin/python3.11", "python3 /usr/bin/gunicorn app:main", "app");
        check_any("/", "/usr/bin/python3.11", "python3 /usr/bin/uvicorn main:app", "main");
    }

    #[test]
    fn frameworks() {
        check("python3 /usr/bin/flask run", "orders");
        check("python3 /usr/bin/flask --app billing run", "billing");
        check("python3 -m flask --app=billing.app:create run", "billing");
        check("python3 /usr/bin/celery -A billing worker", "billing");
        check("python3 /usr/bin/celery worker", "orders");
        check("python3 /usr/bin/django-admin runserver --settings=shop.settings", "shop");
        check("python3 /usr/bin/fastapi run billing.py", "billing");
        check("python3 /usr/bin/streamlit run --x dashboards/sales.py", "sales");
    }

    #[test]
    fn variables_of_frameworks() {
        let environ = [("FLASK_APP".to_owned(), "billing".to_owned())];
        let argv: Vec<String> = ["python3", "-m", "flask", "run"].map(str::to_owned).to_vec();
        let launch = Launch {
            executable: Some(Path::new("/usr/bin/python3")),
            comm: "",
            argv: &argv,
            directory: None,
            environ: &environ,
        };
        assert_eq!(super::super::derive(&launch).text, "billing");
    }

    #[test]
    fn targets_by_their_form() {
        for (text, expect) in [
            ("a.b:c", true),
            ("a:c()", true),
            ("a:b.c", true),
            ("localhost:8000", false),
            ("a", false),
            ("unix:/run/x", false),
            ("a-b:c", false),
        ] {
            assert_eq!(is_target(text), expect, "{text}");
        }
    }
}
