//! One attempt to deliver an encoded request to an OTLP peer, over either transport.

mod compress;
mod grpc;
mod http;
mod tls;

use std::{error::Error, time::Duration};

use anyhow::Context as _;
use bytes::Bytes;

use super::{
    otlp::{Answer, Otlp, VERSION, grpc_path},
    settings::{Protocol, SignalSettings},
};

pub(super) enum Client {
    Http(http::HttpClient),
    Grpc(grpc::GrpcClient),
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Accepted(Answer),
    /// Worth another attempt, not before `after` where the peer said so.
    Retryable {
        after: Option<Duration>,
        reason: String,
    },
    /// Another attempt would end the same.
    Permanent(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Protobuf,
    Json,
}

impl Client {
    /// Checks and loads everything the settings name; does not connect.
    pub(super) fn new<T: Otlp>(settings: &SignalSettings) -> anyhow::Result<Self> {
        let client = match settings.protocol {
            Protocol::Grpc => grpc::GrpcClient::new(settings, T::SIGNAL, grpc_path::<T>()).map(Self::Grpc),
            Protocol::HttpProtobuf => {
                http::HttpClient::new(settings, T::SIGNAL, Encoding::Protobuf).map(Self::Http)
            }
            Protocol::HttpJson => http::HttpClient::new(settings, T::SIGNAL, Encoding::Json).map(Self::Http),
        };
        client.with_context(|| format!("OTLP endpoint {:?}", settings.endpoint))
    }

    pub(super) fn encoding(&self) -> Encoding {
        match self {
            Self::Http(client) => client.encoding(),
            Self::Grpc(_) => Encoding::Protobuf,
        }
    }

    /// What is sent at every attempt: compressed here where the transport does not do it itself.
    pub(super) fn body(&self, message: Vec<u8>) -> std::io::Result<Bytes> {
        match self {
            Self::Http(client) => client.body(message),
            Self::Grpc(_) => Ok(Bytes::from(message)),
        }
    }

    pub(super) async fn send(&self, body: Bytes) -> Outcome {
        match self {
            Self::Http(client) => client.send(body).await,
            Self::Grpc(client) => client.send(body).await,
        }
    }
}

/// Answers are small; more than this is not one.
const MAX_ANSWER: usize = 64 * 1024;

fn user_agent() -> ::http::HeaderValue {
    ::http::HeaderValue::from_str(&format!("honeyguide/{VERSION}"))
        .unwrap_or(::http::HeaderValue::from_static("honeyguide"))
}

/// The settings' headers. A `user-agent` among them wins over honeyguide's own.
fn headers(settings: &SignalSettings) -> anyhow::Result<::http::HeaderMap> {
    let mut headers = ::http::HeaderMap::new();
    headers.insert(::http::header::USER_AGENT, user_agent());
    for (name, value) in &settings.headers {
        let name = ::http::HeaderName::try_from(name.as_str())
            .with_context(|| format!("{name:?} is not a header name"))?;
        // The value may be a secret: it is not shown.
        let mut value = ::http::HeaderValue::try_from(value.as_str())
            .with_context(|| format!("the value of header {name} has a character headers cannot hold"))?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

/// An error with its causes, on one line.
fn chain(error: &dyn Error) -> String {
    causes(error.to_string(), error.source())
}

/// `text`, and the causes behind it.
fn causes(mut text: String, mut source: Option<&(dyn Error + 'static)>) -> String {
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    excerpt(&text)
}

/// A peer's words, fit for one line of a log: bounded, and without control characters.
pub(super) fn excerpt(text: &str) -> String {
    const MAX: usize = 200;
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let mut short: String = text.chars().take(MAX).map(clean).collect();
    if text.chars().nth(MAX).is_some() {
        short.push('…');
    }
    short
}
