//! Whether a program was started under OpenTelemetry's automatic instrumentation, as its command line or its environment
//! says. Instrumentation that a program sets up in its own code does not show here.

use super::{Runtime, service_name::Launch};

/// Variables that bring the instrumentation into a runtime, or keep it from reporting.
pub(super) const VARIABLES: [&str; 10] = [
    "CORECLR_ENABLE_PROFILING",
    "CORECLR_PROFILER",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "NODE_OPTIONS",
    "OTEL_JAVAAGENT_ENABLED",
    "OTEL_NODE_ENABLED_INSTRUMENTATIONS",
    "OTEL_SDK_DISABLED",
    "OTEL_TRACES_EXPORTER",
    "PYTHONPATH",
];

/// OpenTelemetry .NET's class id as a profiler of the CLR.
const CLR_PROFILER: &str = "{918728DD-259F-4A6A-AC2B-B85E1B658318}";

/// Whether the requests of this program have spans that somebody exports.
pub(super) fn is(launch: &Launch<'_>, runtime: Option<Runtime>) -> bool {
    let says = |name: &str, value: &str| {
        launch.variable(name).is_some_and(|found| found.trim().eq_ignore_ascii_case(value))
    };
    if says("OTEL_SDK_DISABLED", "true") || says("OTEL_TRACES_EXPORTER", "none") {
        return false;
    }
    let variable = |name: &str| launch.variable(name).unwrap_or_default();
    match runtime {
        // What `opentelemetry-instrument` and the operator for Kubernetes put there.
        Some(Runtime::Python | Runtime::PyPy) => {
            variable("PYTHONPATH").contains("opentelemetry/instrumentation/auto_instrumentation")
        }
        Some(Runtime::Node) => {
            let limited = launch.variable("OTEL_NODE_ENABLED_INSTRUMENTATIONS");
            let loaded = launch.words("NODE_OPTIONS").any(is_for_node);
            loaded && limited.is_none_or(|list| list.split(',').any(|name| name.trim() == "http"))
        }
        Some(Runtime::Java) => {
            let mut words = launch.words("JAVA_TOOL_OPTIONS").chain(variable("JDK_JAVA_OPTIONS").split(' '));
            words.any(is_for_java) && !says("OTEL_JAVAAGENT_ENABLED", "false")
        }
        Some(Runtime::Dotnet) => {
            says("CORECLR_ENABLE_PROFILING", "1") && says("CORECLR_PROFILER", CLR_PROFILER)
        }
        _ => false,
    }
}

fn is_for_node(word: &str) -> bool {
    word.contains("@opentelemetry/auto-instrumentations-node") || word.contains("otel-auto-instrumentation")
}

/// `-javaagent:` with the agent's file as its makers, or the operator for Kubernetes, call it.
fn is_for_java(word: &str) -> bool {
    let Some(agent) = word.trim_matches('"').strip_prefix("-javaagent:") else { return false };
    agent.contains("opentelemetry-javaagent") || agent.contains("otel-auto-instrumentation")
}

impl<'a> Launch<'a> {
    /// The words of the command line, and of a variable that holds more of them.
    fn words(&self, variable: &str) -> impl Iterator<Item = &'a str> {
        let further = self.variable(variable).unwrap_or_default();
        self.argv.iter().map(String::as_str).chain(further.split(' '))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[track_caller]
    fn check(executable: &str, argv: &[&str], environ: &[(&str, &str)], expect: bool) {
        let argv: Vec<String> = argv.iter().map(|&word| word.to_owned()).collect();
        let environ: Vec<(String, String)> =
            environ.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let launch = Launch {
            executable: Some(Path::new(executable)),
            comm: "",
            argv: &argv,
            directory: None,
            environ: &environ,
        };
        assert_eq!(is(&launch, Runtime::of_executable(executable)), expect, "{argv:?} {environ:?}");
    }

    const PYTHON: (&str, &str) =
        ("PYTHONPATH", "/v/site-packages/opentelemetry/instrumentation/auto_instrumentation:/app");

    #[test]
    fn python() {
        check("python3.11", &["python3", "app.py"], &[PYTHON], true);
        check("python3.11", &["python3", "app.py"], &[("PYTHONPATH", "/v/site-packages")], false);
        check("nginx", &["nginx"], &[PYTHON], false);
        check("python3.11", &[], &[PYTHON, ("OTEL_SDK_DISABLED", "true")], false);
        check("python3.11", &[], &[PYTHON, ("OTEL_TRACES_EXPORTER", "none")], false);
        check("python3.11", &[], &[PYTHON, ("OTEL_TRACES_EXPORTER", "otlp")], true);
    }

    #[test]
    fn node() {
        let required = ["node", "--require", "@opentelemetry/auto-instrumentations-node/register", "app.js"];
        check("node", &required, &[], true);
        check("node", &required, &[("OTEL_NODE_ENABLED_INSTRUMENTATIONS", "pg, redis")], false);
        check("node", &required, &[("OTEL_NODE_ENABLED_INSTRUMENTATIONS", "pg, http")], true);
        let operator = "--require /otel-auto-instrumentation-nodejs/autoinstrumentation.js";
        check("node", &["node", "app.js"], &[("NODE_OPTIONS", operator)], true);
        check("node", &["node", "app.js"], &[("NODE_OPTIONS", "--max-old-space-size=200")], false);
    }

    #[test]
    fn java() {
        let agent = "-javaagent:/opt/opentelemetry-javaagent.jar=x=y";
        check("java", &["java", agent, "-jar", "a.jar"], &[], true);
        check("java", &["java", agent], &[("OTEL_JAVAAGENT_ENABLED", "false")], false);
        let operator = " -javaagent:/otel-auto-instrumentation-java/javaagent.jar";
        check("java", &["java", "-jar", "a.jar"], &[("JAVA_TOOL_OPTIONS", operator)], true);
        check("java", &["java", "-jar", "opentelemetry-javaagent.jar"], &[], false);
        check("java", &["java", "-javaagent:/opt/jacoco.jar"], &[], false);
    }

    #[test]
    fn dotnet() {
        let profiler = ("CORECLR_PROFILER", "{918728dd-259f-4a6a-ac2b-b85e1b658318}");
        check("dotnet", &["dotnet", "a.dll"], &[("CORECLR_ENABLE_PROFILING", "1"), profiler], true);
        check("dotnet", &["dotnet", "a.dll"], &[profiler], false);
    }
}
