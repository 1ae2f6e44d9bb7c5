//! OTLP/gRPC: one unary call per request (OTLP specification, "OTLP/gRPC"). The message comes
//! encoded, so that a retry costs no second encoding.

use std::{error::Error as _, time::Duration};

use anyhow::{Context as _, bail};
use bytes::{Buf as _, BufMut as _, Bytes};
use http::{HeaderMap, Uri, uri::PathAndQuery};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};
use prost::Message as _;
use tonic::{
    Code, Status,
    client::Grpc,
    codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder},
    metadata::MetadataMap,
};

use super::{
    MAX_ANSWER, Outcome, causes, excerpt, headers,
    tls::{self, Connector, Version},
};
use crate::export::{
    counters::Signal,
    otlp::{Answer, Refusal},
    settings::{Compression, SignalSettings},
};

pub(crate) struct GrpcClient {
    client: Client<Connector, tonic::body::Body>,
    origin: Uri,
    path: PathAndQuery,
    headers: HeaderMap,
    signal: Signal,
    compression: Option<CompressionEncoding>,
    timeout: Duration,
}

impl GrpcClient {
    pub(super) fn new(settings: &SignalSettings, signal: Signal, path: PathAndQuery) -> anyhow::Result<Self> {
        let origin = origin(settings)?;
        let connector = tls::connector(settings, &origin, Version::Http2)?;
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .http2_only(true)
            // A peer that vanished without a word is noticed, and the next attempt connects anew.
            .http2_keep_alive_interval(Duration::from_secs(20))
            .http2_keep_alive_timeout(settings.timeout)
            .build(connector);
        let compression = match settings.compression {
            Compression::None => None,
            Compression::Gzip => Some(CompressionEncoding::Gzip),
            Compression::Zstd => Some(CompressionEncoding::Zstd),
        };
        let timeout = settings.timeout;
        Ok(Self { client, origin, path, headers: headers(settings)?, signal, compression, timeout })
    }

    pub(super) async fn send(&self, body: Bytes) -> Outcome {
        match tokio::time::timeout(self.timeout, self.attempt(body)).await {
            Ok(Ok(answer)) => Outcome::Accepted(answer),
            Ok(Err(status)) => outcome(&status),
            Err(_) => {
                Outcome::Retryable { after: None, reason: format!("no answer within {:?}", self.timeout) }
            }
        }
    }

    async fn attempt(&self, body: Bytes) -> Result<Answer, Status> {
        let mut grpc = Grpc::with_origin(self.client.clone(), self.origin.clone())
            .max_decoding_message_size(MAX_ANSWER)
            .accept_compressed(CompressionEncoding::Gzip)
            .accept_compressed(CompressionEncoding::Zstd);
        if let Some(compression) = self.compression {
            grpc = grpc.send_compressed(compression);
        }
        let mut request = tonic::Request::new(body);
        *request.metadata_mut() = MetadataMap::from_headers(self.headers.clone());
        request.set_timeout(self.timeout);
        let answer = grpc.unary(request, self.path.clone(), Raw).await?.into_inner();
        Ok(Answer::from_protobuf(self.signal, &answer).unwrap_or_else(|| Answer {
            rejected: 0,
            message: "answered OK with a message that is not OTLP".to_owned(),
        }))
    }
}

/// `host:port` without a scheme is TLS unless the settings say `insecure`.
fn origin(settings: &SignalSettings) -> anyhow::Result<Uri> {
    let endpoint = settings.endpoint.trim_end_matches('/');
    let text = match endpoint.split_once("://") {
        Some(_) => endpoint.to_owned(),
        None if settings.tls.insecure => format!("http://{endpoint}"),
        None => format!("https://{endpoint}"),
    };
    let origin: Uri = text.parse().context("not a URL")?;
    if !matches!(origin.scheme_str(), Some("http" | "https")) || origin.host().is_none_or(str::is_empty) {
        bail!("an OTLP/gRPC endpoint is a URL such as http://localhost:4317");
    }
    Ok(origin)
}

/// The specification's table of retryable codes.
fn outcome(status: &Status) -> Outcome {
    // A status with a cause was made here: the connection failed, not the request.
    if let Some(cause) = status.source() {
        // Its own text shows the causes as a programmer sees them; theirs says the same in words.
        return Outcome::Retryable { after: None, reason: causes(cause.to_string(), cause.source()) };
    }
    let reason = format!("answered {:?}: {}", status.code(), excerpt(status.message()));
    let after = Refusal::decode(status.details()).ok().and_then(|details| details.retry_delay());
    match status.code() {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => Outcome::Retryable { after, reason },
        // Only when the peer says that it can recover.
        Code::ResourceExhausted if after.is_some() => Outcome::Retryable { after, reason },
        Code::Ok
        | Code::Unknown
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Unimplemented
        | Code::Internal
        | Code::Unauthenticated => Outcome::Permanent(reason),
    }
}

/// Messages that are bytes already.
#[derive(Debug)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(message.copy_to_bytes(message.remaining())))
    }
}
