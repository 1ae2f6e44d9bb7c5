use std::{path::PathBuf, time::Duration};

use super::*;
use crate::{
    discover::Selection,
    export::settings::{
        Compression, ExportSettings, FileSettings, OtlpSettings, Print, Protocol, QueueSettings,
        RetrySettings, SignalSettings, TerminalSettings, TlsSettings,
    },
    load::{Hook, HookChoice},
    metrics::model::Temporality,
    span::sampler::{Rule, Sampler, Threshold},
};

fn ratio(parent_based: bool, ratio: f64) -> Sampler {
    Sampler { parent_based, rule: Rule::Ratio(Threshold::of_ratio(ratio).unwrap()) }
}

fn settings(yaml: &str) -> Settings {
    with_env(yaml, &[]).settings
}

fn with_env(yaml: &str, env: &[(&str, &str)]) -> Loaded {
    let variable =
        |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    let env = env::read(&variable);
    let layer = env.layer.over(read_text(yaml).unwrap());
    Loaded { settings: layer.into_settings(env.service_name), notes: env.notes, disabled: env.disabled }
}

#[track_caller]
fn check_problems(yaml: &str, expect: &[&str]) {
    let problems = read_text(yaml).unwrap_err();
    assert_eq!(ConfigError::new("f", problems).to_string(), expect.join("\n"));
}

const EVERYTHING: &str = r#"
select: { pids: [12, 34], ports: [8080, 3000-3999], exe: [nginx, /opt/**/bin/*], all: false }
capture: { hook: fexit, tls: false, bytes_per_message: 4KiB, ring_bytes: 16MiB, poll_interval: 2ms, thread_times: true }
http:
  routes: ["/users/{id}", /static/*]
  route_template: false
  redact_query: [ssn]
  forwarded: true
  known_methods: [GET, PURGE]
link: { tasks: false, wakes: true, inference: false, hold: 2s }
profile: { enabled: true, hz: 49, interval: 30s, off_cpu: true, min_off_cpu: 5ms }
context: { propagators: [tracecontext, baggage], baggage: [tenant], defer_to_sdk: false, propagate: [http-headers, tcp-option] }
sampling: { sampler: parentbased_traceidratio, arg: 0.25 }
metrics: { interval: 10s, temporality: delta, cardinality_limit: 500 }
otlp:
  - name: gateway
    endpoint: https://gateway:4317
    protocol: grpc
    headers: { authorization: "Bearer x" }
    compression: zstd
    timeout: 3s
    tls: { ca: /ca.pem, cert: /c.pem, key: /k.pem, insecure: false }
    metrics: { endpoint: "http://metrics:4318/v1/metrics", protocol: http/protobuf }
    queue: { size: 1000, batch: 100, delay: 0s, in_flight: 2 }
    retry: { initial: 100ms, max: 1s, max_elapsed: 10s }
  - endpoint: http://other:4318
    traces: false
out: /var/lib/honeyguide
print: json
duration: 10m
limits: { connections: 1_000, buffered_bytes: 16MiB, held_exchanges: 10, processes: 5 }
resource: { service_name: shop, attributes: { deployment.environment.name: production } }
proc: /host/proc
log: debug
"#;

#[test]
fn every_key() {
    let settings = settings(EVERYTHING);
    let gateway = |endpoint: &str, protocol| SignalSettings {
        endpoint: endpoint.into(),
        protocol,
        headers: vec![("authorization".into(), "Bearer x".into())],
        compression: Compression::Zstd,
        timeout: Duration::from_secs(3),
        tls: TlsSettings {
            ca: Some("/ca.pem".into()),
            certificate: Some("/c.pem".into()),
            key: Some("/k.pem".into()),
            insecure: false,
        },
    };
    let other = SignalSettings {
        endpoint: "http://other:4318/v1/metrics".into(),
        protocol: Protocol::HttpProtobuf,
        headers: Vec::new(),
        compression: Compression::None,
        timeout: Duration::from_secs(10),
        tls: TlsSettings::default(),
    };
    let expect = Settings {
        select: Selection {
            pids: [12, 34].into(),
            ports: vec!["8080".parse().unwrap(), "3000-3999".parse().unwrap()],
            exe: vec!["nginx".parse().unwrap(), "/opt/**/bin/*".parse().unwrap()],
            all: false,
        },
        proc: "/host/proc".into(),
        capture: Capture {
            hook: HookChoice::Only(Hook::FunctionExit),
            tls: false,
            bytes_per_message: 4096,
            ring_bytes: 16 << 20,
            poll_interval: Duration::from_millis(2),
            thread_times: true,
        },
        http: Http {
            routes: vec!["/users/{id}".into(), "/static/*".into()],
            route_template: false,
            redact_query: vec!["ssn".into()],
            forwarded: true,
            known_methods: Some(vec!["GET".into(), "PURGE".into()]),
        },
        link: Link { tasks: false, wakes: true, inference: false, hold: Duration::from_secs(2) },
        profile: Profile {
            hz: Some(49),
            off_cpu: Some(Duration::from_millis(5)),
            interval: Duration::from_secs(30),
        },
        context: Context {
            tracecontext: true,
            defer_to_sdk: false,
            http_headers: true,
            tcp_option: true,
            baggage: vec!["tenant".into()],
        },
        sampler: ratio(true, 0.25),
        metrics: Metrics {
            interval: Duration::from_secs(10),
            temporality: Temporality::Delta,
            cardinality_limit: 500,
        },
        export: ExportSettings {
            otlp: vec![
                OtlpSettings {
                    name: "gateway".into(),
                    traces: Some(gateway("https://gateway:4317", Protocol::Grpc)),
                    metrics: Some(gateway("http://metrics:4318/v1/metrics", Protocol::HttpProtobuf)),
                    profiles: Some(gateway("https://gateway:4317", Protocol::Grpc)),
                    queue: QueueSettings {
                        max_queue: 1000,
                        max_batch: 100,
                        delay: Duration::ZERO,
                        in_flight: 2,
                    },
                    retry: RetrySettings {
                        initial: Duration::from_millis(100),
                        max: Duration::from_secs(1),
                        max_elapsed: Duration::from_secs(10),
                    },
                },
                OtlpSettings {
                    name: "otlp-2".into(),
                    traces: None,
                    profiles: Some(SignalSettings {
                        endpoint: other.endpoint.replace("v1/metrics", "v1development/profiles"),
                        ..other.clone()
                    }),
                    metrics: Some(other),
                    queue: QueueSettings::default(),
                    retry: RetrySettings::default(),
                },
            ],
            file: Some(FileSettings::to_directory("/var/lib/honeyguide")),
            terminal: TerminalSettings { print: Print::Json, ..TerminalSettings::default() },
        },
        limits: Limits { connections: 1000, buffered_bytes: 16 << 20, held_exchanges: 10, processes: 5 },
        resource: ResourceSettings {
            traced: crate::resource::ResourceOptions {
                service_name: Some("shop".into()),
                attributes: vec![("deployment.environment.name".into(), "production".into())],
            },
            agent_service_name: "honeyguide".into(),
        },
        duration: Some(Duration::from_secs(600)),
        log: log::LevelFilter::Debug,
    };
    assert_eq!(settings, expect);
}

#[test]
fn nothing_said_prints_the_spans_of_everything() {
    let settings = settings("");
    assert!(settings.select.is_everything());
    assert_eq!(
        (settings.export.terminal.print, settings.export.otlp.len(), &settings.export.file),
        (Print::Spans, 0, &None)
    );
    assert_eq!(settings.capture.bytes_per_message, 8192);
    assert!(settings.capture.tls);
    assert_eq!(settings.capture.ring_bytes, 8 << 20);
    assert_eq!(settings.sampler, Sampler { parent_based: true, rule: Rule::AlwaysOn });
    assert_eq!(
        settings.limits,
        Limits { connections: 100_000, buffered_bytes: 256 << 20, held_exchanges: 65_536, processes: 32_768 }
    );
    assert_eq!(settings.proc, PathBuf::from("/proc"));
}

#[test]
fn somewhere_to_go_is_enough_and_the_terminal_stays_quiet() {
    assert_eq!(settings("out: x").export.terminal.print, Print::None);
    assert_eq!(settings("otlp: { endpoint: http://c:4318 }").export.terminal.print, Print::None);
    assert_eq!(settings("out: x\nprint: spans").export.terminal.print, Print::Spans);
}

#[test]
fn nothing_is_handed_on_unless_it_is_asked_for() {
    let ways = |text: &str| {
        let context = settings(text).context;
        (context.http_headers, context.tcp_option)
    };
    assert_eq!(ways("out: x"), (false, false));
    assert_eq!(ways("out: x\ncontext: { propagate: [] }"), (false, false));
    assert_eq!(ways("out: x\ncontext: { propagate: [http-headers] }"), (true, false));
    assert_eq!(ways("out: x\ncontext: { propagate: [tcp-option] }"), (false, true));
    assert_eq!(ways("out: x\ncontext: { propagate: [tcp-option, http-headers] }"), (true, true));
    check_problems(
        "context: { propagate: [tcp-options] }\n",
        &[
            "f:1: `context.propagate` is `tcp-options`: http-headers, tcp-option is allowed; did you mean `tcp-option`?",
        ],
    );
}

#[test]
fn unknown_keys_name_the_line_and_the_nearest_known_key() {
    check_problems(
        "capture:\n  ring_byte: 8MiB\nslect: {}\nfoo: 1\notlp: { endpoint: http://c, tls: { certificate: x } }\n",
        &[
            "f:2: unknown key `capture.ring_byte`; did you mean `ring_bytes`?",
            "f:3: unknown key `slect`; did you mean `select`?",
            "f:4: unknown key `foo`; known here are select, capture, profile, http, link, context, sampling, metrics, otlp, out, print, duration, limits, resource, proc, log",
            "f:5: unknown key `otlp.tls.certificate`; known here are ca, cert, key, insecure",
        ],
    );
}

#[test]
fn wrong_values_name_the_key_the_line_and_what_is_allowed() {
    check_problems(
        "capture:\n  hook: kprobe\n  bytes_per_message: 32\n  ring_bytes: 3MiB\n  poll_interval: fast\n",
        &[
            "f:2: `capture.hook` is `kprobe`: auto, tp_btf, fexit is allowed",
            "f:3: `capture.bytes_per_message` is `32`: a size from 64 to 16384 bytes is allowed",
            "f:4: `capture.ring_bytes` is `3MiB`: a power of two from 4KiB to 1GiB is allowed",
            "f:5: `capture.poll_interval` is `fast`: a duration such as 5ms, 10s or 1m is allowed",
        ],
    );
    check_problems(
        "select:\n  pids: [1, x]\n  ports: [80, 0]\n  exe: ['a[']\n  all: yes\n",
        &[
            "f:2: `select.pids` is `x`: a whole number from 1 to 4294967295 is allowed",
            "f:3: `select.ports` is `0`: a port from 1 to 65535 or a range such as 3000-3999 is allowed",
            "f:4: `select.exe` is `a[`: a glob such as nginx or /opt/**/bin/* is allowed",
            "f:5: `select.all` is `yes`: true or false is allowed",
        ],
    );
    check_problems(
        "print: span",
        &["f:1: `print` is `span`: spans, json, none is allowed; did you mean `spans`?"],
    );
    check_problems(
        "limits: 5",
        &[
            "f:1: `limits` is `5`: a mapping with the keys connections, buffered_bytes, held_exchanges, processes is allowed",
        ],
    );
    check_problems("out:\n  - x", &["f:2: `out` is a list: a single value is allowed"]);
    check_problems("duration:", &["f:1: `duration` is empty: leave the key out or give it a value"]);
    check_problems(
        "- a",
        &[
            "f:1: `the file` is a list: a mapping with the keys select, capture, profile, http, link, context, sampling, metrics, otlp, out, print, duration, limits, resource, proc, log is allowed",
        ],
    );
}

#[test]
fn values_that_do_not_go_together() {
    check_problems(
        "sampling: { sampler: always_on, arg: 0.5 }",
        &["f:1: `sampling.arg` is only for the samplers traceidratio and parentbased_traceidratio"],
    );
    check_problems(
        "otlp:\n  - endpoint: http://c\n    tls: { cert: x }\n  - timeout: 3s\n",
        &[
            "f:3: `otlp[0].tls` needs both cert and key, or neither",
            "f:4: `otlp[1]` has no endpoint: give one to it, or to its traces, metrics or profiles",
        ],
    );
    check_problems(
        "resource: { attributes: { service.name: x } }",
        &["f:1: a process is named by resource.service_name; this mapping cannot hold service.name"],
    );
    check_problems(
        "otlp: { endpoint: collector }",
        &[
            "f:1: `otlp.endpoint` is `collector`: a URL such as http://collector:4318 or, for grpc, collector:4317 is allowed",
        ],
    );
}

#[test]
fn the_environment_goes_before_the_file() {
    let file = "otlp: { endpoint: http://file:4318, compression: gzip }\nmetrics: { interval: 5s }\nsampling: { sampler: always_off }";
    let loaded = with_env(
        file,
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://env:4318"),
            ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "500"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a=b%20c"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "1000"),
            ("OTEL_TRACES_SAMPLER", "traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.5"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "10"),
            ("OTEL_PROPAGATORS", "baggage"),
        ],
    );
    assert_eq!(loaded.notes, [""; 0]);
    let settings = loaded.settings;
    let [destination] = settings.export.otlp.as_slice() else { panic!("one destination") };
    let traces = destination.traces.as_ref().unwrap();
    assert_eq!(traces.endpoint, "http://env:4318/v1/traces");
    assert_eq!((traces.compression, traces.timeout), (Compression::Gzip, Duration::from_millis(500)));
    assert_eq!(traces.headers, [("a".to_owned(), "b c".to_owned())]);
    assert_eq!(destination.metrics.as_ref().unwrap().timeout, Duration::from_secs(10));
    assert_eq!((destination.queue.max_queue, destination.queue.max_batch), (10, 10));
    assert_eq!(settings.metrics.interval, Duration::from_secs(1));
    assert_eq!(settings.sampler, ratio(false, 0.5));
    assert!(!settings.context.tracecontext);
}

#[test]
fn the_path_is_appended_to_the_general_http_endpoint_only() {
    const GENERAL: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
    const PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";
    for (variables, expect) in [
        (&[][..], ["http://localhost:4318/v1/traces", "http://localhost:4318/v1/metrics"]),
        (&[(GENERAL, "https://c:1")], ["https://c:1/v1/traces", "https://c:1/v1/metrics"]),
        (&[(GENERAL, "https://c:1/otlp/")], ["https://c:1/otlp/v1/traces", "https://c:1/otlp/v1/metrics"]),
        (
            &[(GENERAL, "http://c:1"), ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://t:2/in")],
            ["http://t:2/in", "http://c:1/v1/metrics"],
        ),
        (
            &[("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://m:3")],
            ["http://localhost:4318/v1/traces", "http://m:3"],
        ),
        (&[(PROTOCOL, "grpc")], ["http://localhost:4317", "http://localhost:4317"]),
        (&[(PROTOCOL, "grpc"), (GENERAL, "http://c:1")], ["http://c:1", "http://c:1"]),
        (
            &[(PROTOCOL, "grpc"), ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "HTTP/JSON")],
            ["http://localhost:4317", "http://localhost:4318/v1/metrics"],
        ),
    ] {
        let env: Vec<_> = variables.iter().copied().chain([("OTEL_TRACES_EXPORTER", "otlp")]).collect();
        let loaded = with_env("", &env);
        assert_eq!(loaded.notes, [""; 0]);
        let [destination] = loaded.settings.export.otlp.as_slice() else { panic!("one destination") };
        let endpoints = [&destination.traces, &destination.metrics].map(|s| &s.as_ref().unwrap().endpoint);
        assert_eq!(endpoints, expect, "{variables:?}");
    }
}

#[test]
fn a_signals_own_variable_goes_before_the_general_one() {
    let loaded = with_env(
        "",
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a=1"),
            ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", " Authorization = Basic%20dTpw%3D ,, k=a=b%2Cc,"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500"),
            ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "0"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "GZIP"),
            ("OTEL_EXPORTER_OTLP_METRICS_COMPRESSION", "none"),
            ("OTEL_EXPORTER_OTLP_INSECURE", "True"),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca.pem"),
            ("OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE", "/c.pem"),
            ("OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", "/k.pem"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", ""),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "100"),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "200"),
            ("OTEL_BSP_SCHEDULE_DELAY", "5000"),
        ],
    );
    assert_eq!(loaded.notes, [""; 0]);
    let base = OtlpSettings::to_endpoint("http://localhost:4318", Protocol::HttpProtobuf);
    let headers = [("Authorization", "Basic dTpw="), ("k", "a=b,c")];
    let traces = SignalSettings {
        headers: headers.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec(),
        timeout: Duration::from_millis(2500),
        compression: Compression::Gzip,
        tls: TlsSettings {
            ca: Some("/ca.pem".into()),
            certificate: Some("/c.pem".into()),
            key: Some("/k.pem".into()),
            insecure: true,
        },
        ..base.traces.clone().unwrap()
    };
    let metrics = SignalSettings {
        headers: vec![("a".to_owned(), "1".to_owned())],
        timeout: Duration::from_secs(24 * 60 * 60),
        compression: Compression::None,
        tls: TlsSettings { ca: Some("/ca.pem".into()), insecure: true, ..TlsSettings::default() },
        ..base.metrics.clone().unwrap()
    };
    let queue = QueueSettings {
        max_queue: 100,
        max_batch: 100,
        delay: Duration::from_secs(5),
        ..QueueSettings::default()
    };
    // What is said of every signal, and nothing of its own.
    let profiles = SignalSettings {
        headers: metrics.headers.clone(),
        timeout: traces.timeout,
        compression: traces.compression,
        tls: metrics.tls.clone(),
        ..base.profiles.clone().unwrap()
    };
    let expect = OtlpSettings {
        traces: Some(traces),
        metrics: Some(metrics),
        profiles: Some(profiles),
        queue,
        ..base
    };
    assert_eq!(loaded.settings.export.otlp, [expect]);
}

#[test]
fn values_that_no_number_or_protocol_is_leave_the_defaults() {
    let loaded = with_env(
        "",
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "carrier-pigeon"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "-1"),
            ("OTEL_EXPORTER_OTLP_INSECURE", "yes"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
        ],
    );
    let expect = OtlpSettings::to_endpoint("http://localhost:4318", Protocol::HttpProtobuf);
    assert_eq!(loaded.settings.export.otlp, [expect]);
    assert_eq!(
        loaded.notes,
        [
            "OTEL_EXPORTER_OTLP_PROTOCOL is ignored: grpc, http/protobuf, http/json is allowed",
            "OTEL_EXPORTER_OTLP_TIMEOUT is ignored: a whole number of milliseconds is allowed",
            "OTEL_EXPORTER_OTLP_INSECURE is ignored: true, false is allowed",
            "OTEL_BSP_MAX_QUEUE_SIZE is ignored: a whole number above 0 is allowed",
        ]
    );
}

#[test]
fn flags_go_before_the_environment() {
    let general = SignalLayer { endpoint: Some("http://flag:4318".into()), ..SignalLayer::default() };
    let flags = Layer {
        otlp: vec![DestinationLayer { general, ..DestinationLayer::default() }],
        print: Some(Print::Json),
        ..Layer::default()
    };
    let variable =
        |name: &str| (name == "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").then(|| "http://env/x".to_owned());
    let settings = load(None, variable, flags).unwrap().settings;
    assert_eq!(settings.export.otlp[0].traces.as_ref().unwrap().endpoint, "http://flag:4318/v1/traces");
    assert_eq!(settings.export.terminal.print, Print::Json);
}

#[test]
fn variables_that_cannot_be_understood_are_ignored_and_told_without_their_values() {
    let loaded = with_env(
        "",
        &[
            ("OTEL_EXPORTER_OTLP_HEADERS", "secret"),
            ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
            ("OTEL_PROPAGATORS", "tracecontext,b3"),
            ("OTEL_TRACES_EXPORTER", "zipkin"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", ""),
        ],
    );
    assert_eq!(
        loaded.notes,
        [
            "OTEL_TRACES_SAMPLER is ignored: parentbased_always_on, parentbased_always_off, parentbased_traceidratio, always_on, always_off, traceidratio is allowed",
            "OTEL_PROPAGATORS is ignored: `b3` is not supported; tracecontext and baggage are",
            "OTEL_EXPORTER_OTLP_HEADERS is ignored: key=value pairs in percent-encoding, separated by commas, are allowed",
            "OTEL_TRACES_EXPORTER is ignored: `zipkin` is not supported; otlp, console and none are",
        ]
    );
    assert!(loaded.settings.export.otlp.is_empty());
}

#[test]
fn exporters_by_name() {
    let loaded = with_env("", &[("OTEL_TRACES_EXPORTER", "otlp"), ("OTEL_METRICS_EXPORTER", "none")]);
    let [destination] = loaded.settings.export.otlp.as_slice() else { panic!("one destination") };
    assert_eq!(destination.traces.as_ref().unwrap().endpoint, "http://localhost:4318/v1/traces");
    assert_eq!(destination.metrics, None);
    let loaded = with_env("", &[("OTEL_TRACES_EXPORTER", "otlp")]);
    assert_eq!(loaded.settings.export.otlp.len(), 1);
    assert!(with_env("", &[("OTEL_EXPORTER_OTLP_TIMEOUT", "5")]).settings.export.otlp.is_empty());
}

#[test]
fn the_agents_service_name_is_for_a_single_thing_and_else_for_itself() {
    let env = [("OTEL_SERVICE_NAME", "shop")];
    let one = with_env("select: { pids: [7] }", &env).settings.resource;
    assert_eq!(one.traced.service_name.as_deref(), Some("shop"));
    let all = with_env("", &env).settings.resource;
    assert_eq!((all.traced.service_name, all.agent_service_name.as_str()), (None, "shop"));
    let file = with_env("select: { pids: [7] }\nresource: { service_name: till }", &env).settings.resource;
    assert_eq!(file.traced.service_name.as_deref(), Some("till"));
    let attributes = [("OTEL_RESOURCE_ATTRIBUTES", "service.name=x,a=env")];
    let merged = with_env("resource: { attributes: { a: file, b: file } }", &attributes).settings.resource;
    let expect = [("b", "file"), ("a", "env")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    assert_eq!((merged.traced.attributes.as_slice(), merged.agent_service_name.as_str()), (&expect[..], "x"));
}

#[test]
fn the_sdk_can_be_disabled() {
    assert!(with_env("", &[("OTEL_SDK_DISABLED", "TRUE")]).disabled);
    assert!(!with_env("", &[("OTEL_SDK_DISABLED", "1")]).disabled);
}

#[test]
fn a_file_that_is_not_there() {
    let error = read_file(Path::new("/nowhere/x.yaml")).unwrap_err().to_string();
    assert_eq!(error, "/nowhere/x.yaml: cannot be read: No such file or directory (os error 2)");
}
