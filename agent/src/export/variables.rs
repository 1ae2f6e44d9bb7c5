//! The standard environment variables, as the OTLP exporter and the batch span processor
//! specifications define them. An empty variable is an unset one; one that cannot be read is
//! reported and ignored.

use std::{fmt::Display, path::PathBuf, str::FromStr, time::Duration};

use super::settings::{
    Compression, OtlpSettings, Protocol, QueueSettings, RetrySettings, SignalSettings, TlsSettings,
    signal_endpoint,
};

/// One OTLP destination from `OTEL_EXPORTER_OTLP_*` and `OTEL_BSP_*`, with a message for every value
/// that was ignored. `lookup` gives a variable's value. Variables of one signal win over general ones.
#[must_use]
pub fn otlp_settings(lookup: impl Fn(&str) -> Option<String>) -> (OtlpSettings, Vec<String>) {
    let mut variables = Variables { lookup: &lookup, ignored: Vec::new() };
    let settings = OtlpSettings {
        name: "otlp".to_owned(),
        traces: Some(variables.signal("TRACES", "v1/traces")),
        metrics: Some(variables.signal("METRICS", "v1/metrics")),
        queue: variables.queue(),
        retry: RetrySettings::default(),
    };
    (settings, variables.ignored)
}

struct Variables<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    ignored: Vec<String>,
}

impl Variables<'_> {
    fn signal(&mut self, signal: &str, path: &str) -> SignalSettings {
        let protocol = self.pick(signal, "PROTOCOL", parse::<Protocol>).unwrap_or_default();
        let own_endpoint = self.text(&format!("OTEL_EXPORTER_OTLP_{signal}_ENDPOINT"));
        let endpoint = own_endpoint.unwrap_or_else(|| {
            let base = self.text("OTEL_EXPORTER_OTLP_ENDPOINT");
            signal_endpoint(base.as_deref().unwrap_or(protocol.default_endpoint()), protocol, path)
        });
        let path = |text: &str| Ok(PathBuf::from(text));
        SignalSettings {
            endpoint,
            protocol,
            headers: self.pick(signal, "HEADERS", headers).unwrap_or_default(),
            compression: self.pick(signal, "COMPRESSION", parse::<Compression>).unwrap_or_default(),
            timeout: self
                .pick(signal, "TIMEOUT", timeout)
                .unwrap_or_else(|| SignalSettings::default().timeout),
            tls: TlsSettings {
                ca: self.pick(signal, "CERTIFICATE", path),
                certificate: self.pick(signal, "CLIENT_CERTIFICATE", path),
                key: self.pick(signal, "CLIENT_KEY", path),
                insecure: self.pick(signal, "INSECURE", boolean).unwrap_or(false),
            },
        }
    }

    fn queue(&mut self) -> QueueSettings {
        let default = QueueSettings::default();
        let max_queue = self.read("OTEL_BSP_MAX_QUEUE_SIZE", positive).unwrap_or(default.max_queue);
        let max_batch = self.read("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", positive).unwrap_or(default.max_batch);
        let delay = self.read("OTEL_BSP_SCHEDULE_DELAY", milliseconds).unwrap_or(default.delay);
        QueueSettings { max_queue, max_batch: max_batch.min(max_queue), delay, ..default }
    }

    /// The signal's own variable, or else the general one.
    fn pick<T>(&mut self, signal: &str, option: &str, read: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        self.read(&format!("OTEL_EXPORTER_OTLP_{signal}_{option}"), &read)
            .or_else(|| self.read(&format!("OTEL_EXPORTER_OTLP_{option}"), &read))
    }

    fn read<T>(&mut self, name: &str, read: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        match read(&self.text(name)?) {
            Ok(value) => Some(value),
            Err(reason) => {
                let message = format!("{name} is ignored: {reason}");
                // A general variable is read once for each signal.
                if !self.ignored.contains(&message) {
                    self.ignored.push(message);
                }
                None
            }
        }
    }

    fn text(&self, name: &str) -> Option<String> {
        let value = (self.lookup)(name)?;
        let value = value.trim();
        (!value.is_empty()).then(|| value.to_owned())
    }
}

fn parse<T: FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

/// Only `true`, in any case, is true.
fn boolean(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!("{text:?} is neither true nor false")),
    }
}

fn milliseconds(text: &str) -> Result<Duration, String> {
    let number = text.parse().map_err(|_| format!("{text:?} is not a number of milliseconds"))?;
    Ok(Duration::from_millis(number))
}

/// Zero means no limit, which a day is for one request.
fn timeout(text: &str) -> Result<Duration, String> {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let timeout = milliseconds(text)?;
    Ok(if timeout.is_zero() { DAY } else { timeout.min(DAY) })
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(format!("{text:?} is not a positive number")),
    }
}

/// `key=value,key=value` in the form of W3C Baggage: values are percent-encoded. Values may be
/// secrets, so that messages name keys only.
fn headers(text: &str) -> Result<Vec<(String, String)>, String> {
    let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    let pair = |(index, pair): (usize, &str)| {
        let (key, value) = pair
            .split_once('=')
            .ok_or_else(|| format!("entry {} is not of the form key=value", index + 1))?;
        let key = key.trim();
        if key.is_empty() {
            return Err(format!("entry {} has no key", index + 1));
        }
        let value = percent_decode(value.trim())
            .ok_or_else(|| format!("the value of {key} is not percent-encoded UTF-8"))?;
        Ok((key.to_owned(), value))
    };
    pairs.enumerate().map(pair).collect()
}

/// `None` on a `%` without two hex digits behind it, and where the result is not UTF-8.
fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let high = char::from(rest.next()?).to_digit(16)?;
        let low = char::from(rest.next()?).to_digit(16)?;
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(variables: &[(&str, &str)]) -> (OtlpSettings, Vec<String>) {
        otlp_settings(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    fn endpoints(variables: &[(&str, &str)]) -> [String; 2] {
        let (settings, ignored) = from(variables);
        assert_eq!(ignored, [""; 0]);
        [settings.traces.unwrap().endpoint, settings.metrics.unwrap().endpoint]
    }

    #[test]
    fn without_variables_the_specifications_defaults_hold() {
        let (settings, ignored) = from(&[]);
        assert_eq!(ignored, [""; 0]);
        assert_eq!(settings, OtlpSettings::to_endpoint("http://localhost:4318", Protocol::HttpProtobuf));
        assert_eq!(settings.traces.unwrap().timeout, Duration::from_secs(10));
    }

    #[test]
    fn the_path_is_appended_to_the_general_http_endpoint_only() {
        const GENERAL: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
        const PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";
        for (variables, expect) in [
            (&[(GENERAL, "https://c:1")][..], ["https://c:1/v1/traces", "https://c:1/v1/metrics"]),
            (
                &[(GENERAL, "https://c:1/otlp/")],
                ["https://c:1/otlp/v1/traces", "https://c:1/otlp/v1/metrics"],
            ),
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
            assert_eq!(endpoints(variables), expect, "{variables:?}");
        }
    }

    #[test]
    fn a_signals_own_variable_wins() {
        let (settings, ignored) = from(&[
            ("OTEL_EXPORTER_OTLP_HEADERS", "a=1"),
            ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "b=2"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500"),
            ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "0"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "GZIP"),
            ("OTEL_EXPORTER_OTLP_METRICS_COMPRESSION", "none"),
            ("OTEL_EXPORTER_OTLP_INSECURE", "True"),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca.pem"),
            ("OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE", "/c.pem"),
            ("OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", "/k.pem"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", ""),
        ]);
        assert_eq!(ignored, [""; 0]);
        let base = OtlpSettings::to_endpoint("http://localhost:4318", Protocol::HttpProtobuf);
        assert_eq!(
            settings.traces.unwrap(),
            SignalSettings {
                headers: vec![("b".to_owned(), "2".to_owned())],
                timeout: Duration::from_millis(2500),
                compression: Compression::Gzip,
                tls: TlsSettings {
                    ca: Some("/ca.pem".into()),
                    certificate: Some("/c.pem".into()),
                    key: Some("/k.pem".into()),
                    insecure: true
                },
                ..base.traces.unwrap()
            }
        );
        assert_eq!(
            settings.metrics.unwrap(),
            SignalSettings {
                headers: vec![("a".to_owned(), "1".to_owned())],
                timeout: Duration::from_secs(24 * 60 * 60),
                compression: Compression::None,
                tls: TlsSettings { ca: Some("/ca.pem".into()), insecure: true, ..TlsSettings::default() },
                ..base.metrics.unwrap()
            }
        );
    }

    #[test]
    fn headers_are_percent_decoded_pairs() {
        let pairs = |text| {
            headers(text).map(|pairs| pairs.into_iter().map(|(k, v)| format!("{k}:{v}")).collect::<Vec<_>>())
        };
        assert_eq!(
            pairs(" Authorization = Basic%20dTpw%3D ,, k=a=b%2Cc,").unwrap(),
            ["Authorization:Basic dTpw=", "k:a=b,c"]
        );
        assert_eq!(pairs("a=1,b").unwrap_err(), "entry 2 is not of the form key=value");
        assert_eq!(pairs("=1").unwrap_err(), "entry 1 has no key");
        for value in ["a=%", "a=%4", "a=%zz", "a=%ff"] {
            assert_eq!(pairs(value).unwrap_err(), "the value of a is not percent-encoded UTF-8");
        }
    }

    #[test]
    fn what_cannot_be_read_is_reported_once_and_ignored() {
        let (settings, ignored) = from(&[
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "carrier-pigeon"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "-1"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
        ]);
        assert_eq!(settings, OtlpSettings::to_endpoint("http://localhost:4318", Protocol::HttpProtobuf));
        assert_eq!(
            ignored,
            [
                "OTEL_EXPORTER_OTLP_PROTOCOL is ignored: unknown OTLP protocol \"carrier-pigeon\"; \
                 known are grpc, http/protobuf and http/json",
                "OTEL_EXPORTER_OTLP_TIMEOUT is ignored: \"-1\" is not a number of milliseconds",
                "OTEL_BSP_MAX_QUEUE_SIZE is ignored: \"0\" is not a positive number",
            ]
        );
    }

    #[test]
    fn the_batch_processors_variables_set_the_queue() {
        let (settings, _) = from(&[
            ("OTEL_BSP_MAX_QUEUE_SIZE", "100"),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "200"),
            ("OTEL_BSP_SCHEDULE_DELAY", "5000"),
        ]);
        let default = QueueSettings::default();
        let expect =
            QueueSettings { max_queue: 100, max_batch: 100, delay: Duration::from_secs(5), ..default };
        assert_eq!(settings.queue, expect);
    }
}
