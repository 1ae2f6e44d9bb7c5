//! Where signals go, as plain data: the shape `export` takes.

use std::{path::PathBuf, time::Duration};

/// One OTLP peer, or two where traces and metrics have endpoints of their own.
#[derive(Clone, Debug, PartialEq)]
pub struct OtlpSettings {
    /// Names the destination in counters and messages.
    pub name: String,
    /// `None` sends no traces there.
    pub traces: Option<SignalSettings>,
    /// `None` sends no metrics there.
    pub metrics: Option<SignalSettings>,
    pub queue: QueueSettings,
    pub retry: RetrySettings,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SignalSettings {
    /// For gRPC a `host:port` with or without a scheme; for HTTP the full URL, `/v1/…` included.
    pub endpoint: String,
    pub protocol: Protocol,
    pub headers: Vec<(String, String)>,
    pub compression: Compression,
    pub timeout: Duration,
    pub tls: TlsSettings,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    Grpc,
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
    pub ca: Option<PathBuf>,
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub insecure: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueSettings {
    pub max_queue: usize,
    pub max_batch: usize,
    pub delay: Duration,
    pub in_flight: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetrySettings {
    pub initial: Duration,
    pub max: Duration,
    pub max_elapsed: Duration,
}

/// What goes to standard output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Print {
    #[default]
    None,
    Spans,
    Json,
}

/// The URL one signal is posted to when `base` serves them all. gRPC takes `base` as it is.
#[must_use]
pub(super) fn signal_endpoint(base: &str, protocol: Protocol, path: &str) -> String {
    match protocol {
        Protocol::Grpc => base.to_owned(),
        Protocol::HttpProtobuf | Protocol::HttpJson => format!("{}/{path}", base.trim_end_matches('/')),
    }
}

impl Protocol {
    /// Where a peer listens by default.
    #[must_use]
    pub(super) fn default_endpoint(self) -> &'static str {
        match self {
            Self::Grpc => "http://localhost:4317",
            Self::HttpProtobuf | Self::HttpJson => "http://localhost:4318",
        }
    }
}

impl Default for QueueSettings {
    fn default() -> Self {
        Self { max_queue: 32_768, max_batch: 2_048, delay: Duration::from_secs(1), in_flight: 4 }
    }
}

impl Default for RetrySettings {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { initial: seconds(1), max: seconds(30), max_elapsed: seconds(300) }
    }
}
