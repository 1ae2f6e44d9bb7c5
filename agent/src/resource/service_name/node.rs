//! `node`, `bun`, `deno`: the script, or the project that a tool from `node_modules` runs in.

use std::path::Path;

use super::{Launch, Name, naming, options::first_operand};

const WITH_VALUE: [&str; 12] = [
    "-r",
    "--require",
    "--import",
    "--loader",
    "--experimental-loader",
    "-C",
    "--conditions",
    "--env-file",
    "--title",
    "--preload",
    "-c",
    "--config",
];

/// `None` for interactive use and for code given on the command line.
pub(super) fn name(arguments: &[String], launch: &Launch<'_>) -> Option<Name> {
    let inline = |argument: &&String| matches!(argument.as_str(), "-e" | "--eval" | "-p" | "--print" | "-pe");
    let mut at = first_operand(arguments, &WITH_VALUE)?;
    if arguments[..at].iter().any(|argument| inline(&argument)) {
        return None;
    }
    if matches!(arguments[at].as_str(), "run" | "serve" | "start" | "x") && arguments.len() > at + 1 {
        at += 1 + first_operand(&arguments[at + 1..], &WITH_VALUE)?;
    }
    let script = arguments[at].as_str();
    if script == "-" {
        return None;
    }
    // A tool that runs a script given to it.
    if matches!(naming::file_name(script), "ts-node" | "tsx" | "nodemon" | "ts-node-dev" | "babel-node") {
        return name(&arguments[at + 1..], launch);
    }
    let path = naming::resolved(script, launch.directory);
    Some(match project_of_tool(&path) {
        Some(project) => {
            match naming::of_directory(project).or_else(|| naming::of_directory(launch.directory?)) {
                Some(name) => Name::good(name),
                None => naming::of_script(naming::file_name(script), None),
            }
        }
        None => naming::of_script(script, launch.directory),
    })
}

/// The directory that holds the `node_modules` the script comes from.
fn project_of_tool(script: &Path) -> Option<&Path> {
    let modules = script
        .ancestors()
        .filter(|path| path.file_name().is_some_and(|name| name == "node_modules"))
        .last()?;
    modules.parent()
}

#[cfg(test)]
mod tests {
    use super::super::tests::check as check_any;

    #[track_caller]
    fn check(command_line: &str, expect: &str) {
        check_any("/srv/orders", "/usr/bin/node", command_line, expect);
    }

    #[test]
    fn scripts() {
        check("node /srv/shop/server.js", "shop");
        check("node checkout.js", "checkout");
        check("node --max-old-space-size=512 -r dotenv/config dist/index.js", "orders");
        check("node --import ./otel.mjs --inspect=0.0.0.0:9229 ./src/payments.mjs 80", "payments");
        check("node .", "orders");
        check("node dist/main", "orders");
    }

    #[test]
    fn tools_of_a_project() {
        check("node /srv/shop/node_modules/.bin/next start", "shop");
        check("node node_modules/.bin/vite", "orders");
        check("node /usr/lib/node_modules/npm/bin/npm-cli.js start", "orders");
        check("node /srv/orders/node_modules/.bin/tsx watch.ts", "watch");
        check("node /srv/orders/node_modules/.bin/ts-node src/server.ts", "orders");
        check_any(
            "/",
            "/usr/bin/node",
            "node /usr/lib/node_modules/http-server/bin/http-server",
            "http-server",
        );
    }

    #[test]
    fn nothing_to_name() {
        check("node", "unknown_service:node");
        check("node -e 1", "unknown_service:node");
        check("node -", "unknown_service:node");
    }

    #[test]
    fn bun_and_deno() {
        check_any("/srv/shop", "/root/.bun/bin/bun", "bun run index.ts", "shop");
        check_any("/srv/shop", "/root/.deno/bin/deno", "deno run --allow-net checkout.ts", "checkout");
        check_any("/srv/shop", "/root/.deno/bin/deno", "deno serve -A api.ts", "api");
    }
}
