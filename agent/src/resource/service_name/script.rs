//! Ruby, Perl, PHP, .NET, Erlang and the shell.

use super::{
    Launch, Name, naming,
    options::{first_operand, value},
};

pub(super) fn ruby(arguments: &[String], launch: &Launch<'_>) -> Option<Name> {
    let script = arguments.get(first_operand(arguments, &["-r", "-I", "-C", "-E"])?)?;
    Some(match naming::file_name(script) {
        launcher @ ("rails" | "puma" | "unicorn" | "rackup" | "bundle" | "bundler" | "sidekiq" | "rake"
        | "thin" | "foreman" | "resque" | "passenger" | "irb") => launch.directory_or(launcher),
        _ => naming::of_script(script, launch.directory),
    })
}

pub(super) fn perl(arguments: &[String], launch: &Launch<'_>) -> Option<Name> {
    if arguments.iter().any(|argument| matches!(argument.as_str(), "-e" | "-E" | "-ne" | "-pe")) {
        return None;
    }
    let at = first_operand(arguments, &["-I"])?;
    let script = arguments.get(at)?;
    Some(match naming::file_name(script) {
        launcher @ ("plackup" | "starman" | "twiggy" | "hypnotoad" | "morbo") => {
            let rest = arguments.get(at + 1..).unwrap_or_default();
            match rest.iter().find(|argument| argument.ends_with(".psgi") || argument.ends_with(".pl")) {
                Some(app) => naming::of_script(app, launch.directory),
                None => launch.directory_or(launcher),
            }
        }
        _ => naming::of_script(script, launch.directory),
    })
}

/// `php -S` serves a directory; `artisan` and `console` are every project's.
pub(super) fn php(arguments: &[String], launch: &Launch<'_>) -> Option<Name> {
    if let Some(root) = value(arguments, &["-t"]) {
        let root = naming::resolved(root, launch.directory);
        return naming::of_directory(&root).map(Name::good);
    }
    if arguments.iter().any(|argument| argument == "-S") {
        return launch.directory.and_then(naming::of_directory).map(Name::good);
    }
    if arguments.iter().any(|argument| argument == "-r") {
        return None;
    }
    let script = arguments.get(first_operand(arguments, &["-d", "-c", "-z", "-f"])?)?;
    Some(match naming::file_name(script) {
        "artisan" | "console" => {
            let path = naming::resolved(script, launch.directory);
            match path.parent().and_then(naming::of_directory) {
                Some(name) => Name::good(name),
                None => Name::weak(naming::file_name(script)),
            }
        }
        _ => naming::of_script(script, launch.directory),
    })
}

/// `dotnet Shop.Api.dll`; `dotnet run` and its like work on the project they stand in.
pub(super) fn dotnet(arguments: &[String], launch: &Launch<'_>) -> Option<Name> {
    match arguments.iter().find(|argument| argument.ends_with(".dll") && !argument.starts_with('-')) {
        Some(library) => Some(naming::of_script(library, launch.directory)),
        None => match value(arguments, &["--project"]) {
            Some(project) => Some(naming::of_script(project, launch.directory)),
            None => launch.directory.and_then(naming::of_directory).map(Name::good),
        },
    }
}

pub(super) fn shell(arguments: &[String], launch: &Launch<'_>) -> Option<Name> {
    let is_command = |argument: &String| {
        argument.starts_with('-') && !argument.starts_with("--") && argument.contains('c')
    };
    if arguments.iter().take_while(|argument| argument.starts_with('-')).any(is_command) {
        return None;
    }
    let script = arguments.get(first_operand(arguments, &["-o", "-O", "--rcfile", "--init-file"])?)?;
    Some(naming::of_script(script, launch.directory))
}

/// A release gives its node a name: `-name shop@10.0.0.7`, `-sname shop`.
pub(super) fn erlang(arguments: &[String]) -> Option<Name> {
    let node = value(arguments, &["-name", "--name", "-sname", "--sname"])?;
    node.split('@').next().filter(|name| !name.is_empty()).map(Name::good)
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;

    #[test]
    fn ruby() {
        check("/srv/shop", "/usr/bin/ruby3.1", "ruby bin/rails server -p 3000", "shop");
        check("/srv/shop", "/usr/bin/ruby3.1", "ruby /usr/bin/puma -C config/puma.rb", "shop");
        check("/", "/usr/bin/ruby3.1", "ruby /usr/bin/puma", "puma");
        check("/srv/shop", "/usr/bin/ruby3.1", "ruby -W0 -r bundler/setup checkout.rb", "checkout");
        check("/srv/shop", "/usr/bin/ruby3.1", "ruby app.rb", "shop");
        check("/srv/shop", "/usr/bin/ruby3.1", "ruby", "unknown_service:ruby");
    }

    #[test]
    fn perl() {
        check("/srv/shop", "/usr/bin/perl", "perl -w /usr/bin/checkout.pl", "checkout");
        check("/srv/shop", "/usr/bin/perl", "perl /usr/bin/plackup -p 80 billing.psgi", "billing");
        check("/srv/shop", "/usr/bin/perl", "perl /usr/bin/starman app.psgi", "shop");
        check("/srv/shop", "/usr/bin/perl", "perl -e 1", "unknown_service:perl");
    }

    #[test]
    fn php() {
        check("/srv/shop", "/usr/bin/php8.2", "php artisan serve", "shop");
        check("/", "/usr/bin/php8.2", "php /srv/shop/bin/console messenger:consume", "shop");
        check("/srv/shop", "/usr/bin/php8.2", "php -S 0.0.0.0:80 -t public", "shop");
        check("/srv/shop", "/usr/bin/php8.2", "php -S 0.0.0.0:80", "shop");
        check("/srv/shop", "/usr/bin/php8.2", "php -d memory_limit=1G worker.php", "worker");
        check("/srv/shop", "/usr/bin/php8.2", "php -r 1", "unknown_service:php");
    }

    #[test]
    fn dotnet() {
        check("/app", "/usr/share/dotnet/dotnet", "dotnet Shop.Api.dll", "Shop.Api");
        check("/srv/shop", "/usr/bin/dotnet", "dotnet run", "shop");
        check("/srv", "/usr/bin/dotnet", "dotnet run --project billing/Billing.csproj", "Billing");
        check("/", "/usr/bin/dotnet", "dotnet", "unknown_service:dotnet");
    }

    #[test]
    fn shell() {
        check("/srv/shop", "/bin/dash", "sh /opt/checkout.sh", "checkout");
        check("/srv/shop", "/bin/bash", "bash -e run.sh", "shop");
        check("/srv/shop", "/bin/bash", "bash -c sleep", "unknown_service:bash");
        check("/srv/shop", "/bin/bash", "bash -lc sleep", "unknown_service:bash");
        check("/srv/shop", "/bin/bash", "-bash", "unknown_service:bash");
    }

    #[test]
    fn erlang() {
        check("/", "/usr/lib/erlang/bin/beam.smp", "beam.smp -- -root /usr -sname shop -noshell", "shop");
        check("/", "/usr/lib/erlang/bin/beam.smp", "beam.smp -name shop@10.0.0.7", "shop");
        check("/", "/usr/lib/erlang/bin/beam.smp", "beam.smp", "unknown_service:beam.smp");
    }
}
