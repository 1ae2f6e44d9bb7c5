//! OTLP/HTTP: one POST per request, protobuf or JSON (OTLP specification, "OTLP/HTTP").

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Collected, Full, Limited};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};
use prost::Message as _;

use super::{
    Encoding, MAX_ANSWER, Outcome, chain, compress, excerpt, headers,
    tls::{self, Connector, Version},
};
use crate::export::{
    counters::Signal,
    otlp::{Answer, Refusal},
    settings::{Compression, SignalSettings},
};

pub(crate) struct HttpClient {
    client: Client<Connector, Full<Bytes>>,
    uri: Uri,
    headers: HeaderMap,
    signal: Signal,
    encoding: Encoding,
    compression: Compression,
    timeout: Duration,
}

impl HttpClient {
    pub(super) fn new(settings: &SignalSettings, signal: Signal, encoding: Encoding) -> anyhow::Result<Self> {
        let uri: Uri = settings.endpoint.parse().context("not a URL")?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none_or(str::is_empty) {
            bail!("an OTLP/HTTP endpoint is a URL such as http://localhost:4318/v1/traces");
        }
        let connector = tls::connector(settings, &uri, Version::Http1)?;
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(60))
            .build(connector);
        let mut headers = headers(settings)?;
        let content_type = match encoding {
            Encoding::Protobuf => "application/x-protobuf",
            Encoding::Json => "application/json",
        };
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        let coding = match settings.compression {
            Compression::None => None,
            Compression::Gzip => Some("gzip"),
            Compression::Zstd => Some("zstd"),
        };
        if let Some(coding) = coding {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
        }
        Ok(Self {
            client,
            uri,
            headers,
            signal,
            encoding,
            compression: settings.compression,
            timeout: settings.timeout,
        })
    }

    pub(super) fn encoding(&self) -> Encoding {
        self.encoding
    }

    pub(super) fn body(&self, message: Vec<u8>) -> std::io::Result<Bytes> {
        compress::compress(message, self.compression).map(Bytes::from)
    }

    pub(super) async fn send(&self, body: Bytes) -> Outcome {
        match tokio::time::timeout(self.timeout, self.attempt(body)).await {
            Ok(outcome) => outcome,
            Err(_) => {
                Outcome::Retryable { after: None, reason: format!("no answer within {:?}", self.timeout) }
            }
        }
    }

    async fn attempt(&self, body: Bytes) -> Outcome {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        let response = match self.client.request(request).await {
            Ok(response) => response,
            Err(error) => return Outcome::Retryable { after: None, reason: chain(&error) },
        };
        let (head, body) = response.into_parts();
        let after = retry_after(&head.headers, SystemTime::now());
        // Without its body the status still says what became of the request.
        let body =
            Limited::new(body, MAX_ANSWER).collect().await.map(Collected::to_bytes).unwrap_or_default();
        self.outcome(&Response::from_parts(head, body), after)
    }

    fn outcome(&self, response: &Response<Bytes>, after: Option<Duration>) -> Outcome {
        let status = response.status();
        if status.is_success() {
            return Outcome::Accepted(self.answer(response));
        }
        let reason = reason(response);
        match status {
            // The four the specification calls retryable.
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Outcome::Retryable { after, reason },
            _ => Outcome::Permanent(reason),
        }
    }

    fn answer(&self, response: &Response<Bytes>) -> Answer {
        let body = response.body();
        if body.is_empty() {
            return Answer::default();
        }
        let answer = if is_json(response.headers()) {
            Answer::from_json(self.signal, body)
        } else {
            Answer::from_protobuf(self.signal, body)
        };
        // A 2xx status is success by the specification, whatever the body; the user should know.
        answer.unwrap_or_else(|| Answer {
            rejected: 0,
            message: format!(
                "answered {} with a body that is not OTLP; is it an OTLP receiver?",
                response.status()
            ),
        })
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content_type.is_some_and(|value| value.trim_start().starts_with("application/json"))
}

/// The status, and the message of the `google.rpc.Status` or of the text in the body.
fn reason(response: &Response<Bytes>) -> String {
    let body = response.body();
    let message = if is_json(response.headers()) {
        let json: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
        json["message"].as_str().map(str::to_owned)
    } else {
        Refusal::decode(body.clone()).ok().map(|refusal| refusal.message)
    };
    let message = message.unwrap_or_else(|| String::from_utf8_lossy(body).trim().to_owned());
    if message.is_empty() {
        format!("answered {}", response.status())
    } else {
        format!("answered {}: {}", response.status(), excerpt(&message))
    }
}

/// RFC 9110, 10.2.3: seconds, or a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        for (value, expect) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sun, 06 Nov 1994 08:40:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
            ("", None),
        ] {
            let headers = HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_static(value))]);
            assert_eq!(retry_after(&headers, now), expect.map(Duration::from_secs), "{value:?}");
        }
    }
}
