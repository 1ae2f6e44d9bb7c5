//! Where finished signals go, as plain data. `config` fills it from flags, the standard
//! `OTEL_*` environment and the file.

use std::{path::PathBuf, time::Duration};

/// Every destination. With none set, everything is discarded without being queued.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExportSettings {
    pub otlp: Vec<OtlpSettings>,
    pub file: Option<FileSettings>,
    pub terminal: TerminalSettings,
}

/// One OTLP peer, or several where signals have endpoints of their own.
#[derive(Clone, Debug, PartialEq)]
pub struct OtlpSettings {
    /// Names the destination in counters and messages.
    pub name: String,
    /// `None` sends no traces there.
    pub traces: Option<SignalSettings>,
    /// `None` sends no metrics there.
    pub metrics: Option<SignalSettings>,
    /// `None` sends no profiles there.
    pub profiles: Option<SignalSettings>,
    pub queue: QueueSettings,
    pub retry: RetrySettings,
}

/// How one signal reaches its peer.
#[derive(Clone, Debug, PartialEq)]
pub struct SignalSettings {
    /// For gRPC `http://host:port`, `https://host:port` or `host:port`; for HTTP the full URL, `/v1/…` included.
    pub endpoint: String,
    pub protocol: Protocol,
    pub headers: Vec<(String, String)>,
    pub compression: Compression,
    /// Of one attempt, from connecting to the last byte of the answer.
    pub timeout: Duration,
    pub tls: TlsSettings,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    Grpc,
    /// The default of the OTLP exporter specification.
    #[default]
    HttpProtobuf,
    HttpJson,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    #[default]
    None,
    Gzip,
    Zstd,
}

/// Files are PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// Trusted instead of the system's certificate authorities.
    pub ca: Option<PathBuf>,
    /// Shown to a peer that asks for a client certificate; needs `key`.
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    /// Only for a gRPC endpoint without a scheme: `host:port` is spoken to without TLS.
    pub insecure: bool,
}

/// Limits count spans for traces, data points for metrics and samples for profiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueSettings {
    /// Accepted and not yet delivered or given up; what comes beyond it is dropped and counted.
    pub max_queue: usize,
    pub max_batch: usize,
    /// An incomplete batch waits this long.
    pub delay: Duration,
    /// Requests of one signal under way at once.
    pub in_flight: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetrySettings {
    pub initial: Duration,
    pub max: Duration,
    /// From a batch's first attempt on; after it the batch is dropped and counted.
    pub max_elapsed: Duration,
}

/// `traces.jsonl`, `metrics.jsonl` and, where there are any, `profiles.jsonl` in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSettings {
    /// Created where missing. Existing files are appended to.
    pub directory: PathBuf,
    pub queue: QueueSettings,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TerminalSettings {
    pub print: Print,
    pub colour: Colour,
}

/// What goes to standard output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Print {
    #[default]
    None,
    /// A tree of aligned lines per trace.
    Spans,
    /// The lines of the file exporter, spans and metrics alike.
    Json,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Colour {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    Always,
    Never,
}

impl OtlpSettings {
    /// Every signal to one peer. For HTTP the signal's path, such as `/v1/traces`, is appended to `endpoint`.
    #[must_use]
    pub fn to_endpoint(endpoint: &str, protocol: Protocol) -> Self {
        let signal = |path| SignalSettings {
            endpoint: signal_endpoint(endpoint, protocol, path),
            protocol,
            ..SignalSettings::default()
        };
        Self {
            name: "otlp".to_owned(),
            traces: Some(signal("v1/traces")),
            metrics: Some(signal("v1/metrics")),
            profiles: Some(signal(PROFILES_PATH)),
            queue: QueueSettings::default(),
            retry: RetrySettings::default(),
        }
    }
}

/// The profiles signal is in development, and its path says so (OTLP specification).
pub const PROFILES_PATH: &str = "v1development/profiles";

/// The URL one signal is posted to when `base` serves them all. gRPC takes `base` as it is.
#[must_use]
pub fn signal_endpoint(base: &str, protocol: Protocol, path: &str) -> String {
    match protocol {
        Protocol::Grpc => base.to_owned(),
        Protocol::HttpProtobuf | Protocol::HttpJson => format!("{}/{path}", base.trim_end_matches('/')),
    }
}

impl Protocol {
    /// Where a peer listens by default.
    #[must_use]
    pub fn default_endpoint(self) -> &'static str {
        match self {
            Self::Grpc => "http://localhost:4317",
            Self::HttpProtobuf | Self::HttpJson => "http://localhost:4318",
        }
    }
}

impl std::str::FromStr for Protocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "grpc" => Ok(Self::Grpc),
            "http/protobuf" => Ok(Self::HttpProtobuf),
            "http/json" => Ok(Self::HttpJson),
            _ => Err(format!("unknown OTLP protocol {text:?}; known are grpc, http/protobuf and http/json")),
        }
    }
}

impl std::str::FromStr for Compression {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "none" => Ok(Self::None),
            "gzip" => Ok(Self::Gzip),
            "zstd" => Ok(Self::Zstd),
            _ => Err(format!("unknown compression {text:?}; known are none, gzip and zstd")),
        }
    }
}

impl Default for SignalSettings {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            protocol: Protocol::default(),
            headers: Vec::new(),
            compression: Compression::None,
            timeout: Duration::from_secs(10),
            tls: TlsSettings::default(),
        }
    }
}

impl Default for QueueSettings {
    /// Sized for a host, not for one process as the SDKs' 2,048: at 40,000 spans/s that queue lasts 50 ms.
    fn default() -> Self {
        Self { max_queue: 32_768, max_batch: 2_048, delay: Duration::from_secs(1), in_flight: 4 }
    }
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self {
            initial: Duration::from_secs(1),
            max: Duration::from_secs(30),
            max_elapsed: Duration::from_secs(300),
        }
    }
}

impl FileSettings {
    /// Small delay: a kill loses at most the last fifth of a second and what the kernel had not written.
    #[must_use]
    pub fn to_directory(directory: impl Into<PathBuf>) -> Self {
        let queue = QueueSettings {
            max_batch: 512,
            delay: Duration::from_millis(200),
            in_flight: 1,
            ..QueueSettings::default()
        };
        Self { directory: directory.into(), queue }
    }
}
