use std::{
    collections::VecDeque,
    net::TcpListener,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use honeyguide::export::{
    counters::SignalSnapshot,
    settings::{Compression, Protocol},
};
use opentelemetry_proto::tonic::collector::{
    metrics::v1::{
        ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
        metrics_service_server::{MetricsService, MetricsServiceServer},
    },
    trace::v1::{
        ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
};
use tonic::{
    Code, Request, Response, Status,
    codec::CompressionEncoding,
    transport::{Server, ServerTlsConfig, server::TcpIncoming},
};

use crate::{
    peer::{Peer, Reply},
    sample::{five_spans, metrics, otlp, spans, start, traces, with},
};

const DELIVERED: SignalSnapshot = SignalSnapshot {
    offered: 5,
    pending: 0,
    exported: 5,
    queue_full: 0,
    rejected: 0,
    permanent: 0,
    retries_exhausted: 0,
    shutdown: 0,
    requests: 1,
    retries: 0,
};

const LOST: SignalSnapshot = SignalSnapshot { exported: 0, ..DELIVERED };

/// A collector that answers as it is told and accepts everything afterwards.
#[derive(Clone, Default)]
pub(crate) struct Collector {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    pub(crate) seen: Arc<Mutex<Vec<Seen>>>,
}

pub(crate) enum Answer {
    Status(Status),
    Rejected(i64),
    Hang,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) items: usize,
    encoding: Option<String>,
    user_agent: String,
    token: Option<String>,
}

impl Collector {
    fn answering(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self { answers: Arc::new(Mutex::new(answers.into_iter().collect())), ..Self::default() }
    }

    /// Serves until the test ends; returns the port.
    pub(crate) fn serve(&self, tls: Option<ServerTlsConfig>) -> u16 {
        let this = self.clone();
        let (port_in, port) = std::sync::mpsc::channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
                port_in.send(incoming.local_addr().unwrap().port()).unwrap();
                let (gzip, zstd) = (CompressionEncoding::Gzip, CompressionEncoding::Zstd);
                let traces = TraceServiceServer::new(this.clone()).accept_compressed(gzip);
                let metrics = MetricsServiceServer::new(this).accept_compressed(gzip).send_compressed(gzip);
                let mut server = Server::builder();
                if let Some(tls) = tls {
                    server = server.tls_config(tls).unwrap();
                }
                server
                    .add_service(traces.accept_compressed(zstd))
                    .add_service(metrics)
                    .serve_with_incoming(incoming)
                    .await
                    .unwrap();
            });
        });
        port.recv().unwrap()
    }

    async fn handle<T>(&self, request: &Request<T>, items: usize) -> Result<i64, Status> {
        let text = |name| request.metadata().get(name).map(|value| value.to_str().unwrap().to_owned());
        let answer = self.answers.lock().unwrap().pop_front();
        self.seen.lock().unwrap().push(Seen {
            items,
            encoding: text("grpc-encoding"),
            user_agent: text("user-agent").unwrap(),
            token: text("x-token"),
        });
        match answer {
            None => Ok(0),
            Some(Answer::Rejected(count)) => Ok(count),
            Some(Answer::Status(status)) => Err(status),
            Some(Answer::Hang) => std::future::pending().await,
        }
    }
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let scopes = request.get_ref().resource_spans.iter().flat_map(|resource| &resource.scope_spans);
        let items = scopes.map(|scope| scope.spans.len()).sum();
        let rejected_spans = self.handle(&request, items).await?;
        let partial = ExportTracePartialSuccess { rejected_spans, error_message: String::new() };
        Ok(Response::new(ExportTraceServiceResponse {
            partial_success: (rejected_spans > 0).then_some(partial),
        }))
    }
}

#[tonic::async_trait]
impl MetricsService for Collector {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let rejected_data_points = self.handle(&request, request.get_ref().resource_metrics.len()).await?;
        let partial = ExportMetricsPartialSuccess { rejected_data_points, error_message: "no".repeat(200) };
        Ok(Response::new(ExportMetricsServiceResponse { partial_success: Some(partial) }))
    }
}

fn counted(answers: impl IntoIterator<Item = Answer>) -> SignalSnapshot {
    let port = Collector::answering(answers).serve(None);
    five_spans(otlp(&format!("http://127.0.0.1:{port}"), Protocol::Grpc))
}

fn failed(code: Code) -> Answer {
    Answer::Status(Status::new(code, "not now"))
}

/// `google.rpc.Status` with a `RetryInfo` of `nanos`, encoded by hand.
fn retry_info(nanos: u8) -> Vec<u8> {
    let field = |tag: u8, bytes: &[u8]| [&[tag << 3 | 2, bytes.len() as u8], bytes].concat();
    let info = field(1, &[2 << 3, nanos]);
    let any = [field(1, b"type.googleapis.com/google.rpc.RetryInfo"), field(2, &info)].concat();
    field(3, &any)
}

#[test]
fn spans_and_metrics_arrive_under_every_compression() {
    for (compression, encoding) in
        [(Compression::None, None), (Compression::Gzip, Some("gzip")), (Compression::Zstd, Some("zstd"))]
    {
        let collector = Collector::default();
        let port = collector.serve(None);
        // Without a scheme, and insecure as the settings say.
        let settings = with(otlp(&format!("127.0.0.1:{port}"), Protocol::Grpc), |signal| {
            signal.compression = compression;
            signal.tls.insecure = true;
            signal.headers = vec![("X-Token".to_owned(), "s3cret".to_owned())];
        });
        assert_eq!(five_spans(settings), DELIVERED, "{compression:?}");
        let user_agent = concat!("honeyguide/", env!("CARGO_PKG_VERSION")).to_owned();
        let encoding = encoding.map(str::to_owned);
        let expect = Seen { items: 5, encoding, user_agent, token: Some("s3cret".to_owned()) };
        assert_eq!(*collector.seen.lock().unwrap(), [expect]);
    }
}

#[test]
fn metrics_are_rejected_by_the_data_point() {
    let port = Collector::answering([Answer::Rejected(2)]).serve(None);
    let exporters = start(otlp(&format!("http://127.0.0.1:{port}"), Protocol::Grpc));
    exporters.metrics(metrics(7));
    let summary = exporters.shutdown(Duration::from_secs(10));
    let expect = SignalSnapshot { offered: 7, exported: 5, rejected: 2, ..DELIVERED };
    assert_eq!(summary.destinations[0].metrics, expect);
    assert_eq!(traces(&summary), SignalSnapshot::default());
}

#[test]
fn spans_are_rejected_and_not_sent_again() {
    assert_eq!(counted([Answer::Rejected(4)]), SignalSnapshot { exported: 1, rejected: 4, ..DELIVERED });
}

#[test]
fn every_retryable_code_is_retried_and_no_other() {
    for code in [
        Code::Cancelled,
        Code::DeadlineExceeded,
        Code::Aborted,
        Code::OutOfRange,
        Code::Unavailable,
        Code::DataLoss,
    ] {
        let expect = SignalSnapshot { requests: 2, retries: 1, ..DELIVERED };
        assert_eq!(counted([failed(code)]), expect, "{code:?}");
    }
    for code in [
        Code::Unknown,
        Code::InvalidArgument,
        Code::NotFound,
        Code::AlreadyExists,
        Code::PermissionDenied,
        Code::ResourceExhausted,
        Code::FailedPrecondition,
        Code::Unimplemented,
        Code::Internal,
        Code::Unauthenticated,
    ] {
        assert_eq!(counted([failed(code)]), SignalSnapshot { permanent: 5, ..LOST }, "{code:?}");
    }
}

#[test]
fn an_exhausted_peer_is_tried_again_only_if_it_says_when() {
    let details = retry_info(100).into();
    let status = Status::with_details(Code::ResourceExhausted, "full", details);
    let expect = SignalSnapshot { requests: 2, retries: 1, ..DELIVERED };
    assert_eq!(counted([Answer::Status(status)]), expect);
}

#[test]
fn a_hanging_call_is_left_after_the_timeout() {
    let port = Collector::answering([Answer::Hang]).serve(None);
    let settings = otlp(&format!("http://127.0.0.1:{port}"), Protocol::Grpc);
    let settings = with(settings, |signal| signal.timeout = Duration::from_millis(100));
    assert_eq!(five_spans(settings), SignalSnapshot { requests: 2, retries: 1, ..DELIVERED });
}

#[test]
fn a_peer_that_does_not_speak_http2_is_tried_until_the_time_is_over() {
    let replies = std::iter::repeat_n(Reply::Bytes(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()), 1_000);
    let peer = Peer::start(replies);
    let mut settings = otlp(&peer.url(), Protocol::Grpc);
    settings.retry.max_elapsed = Duration::from_millis(100);
    let settings = with(settings, |signal| signal.timeout = Duration::from_millis(50));
    let counted = five_spans(settings);
    let (requests, retries) = (counted.requests, counted.retries);
    assert!(requests > 1 && retries == requests - 1, "{counted:?}");
    assert_eq!(counted, SignalSnapshot { retries_exhausted: 5, requests, retries, ..LOST });
}

#[test]
fn what_a_dead_collector_did_not_take_is_counted_at_the_shutdown() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let exporters = start(otlp(&format!("http://127.0.0.1:{port}"), Protocol::Grpc));
    for _ in 0..3 {
        exporters.spans(spans(2));
    }
    let counted = traces(&exporters.shutdown(Duration::from_millis(300)));
    let (requests, retries) = (counted.requests, counted.retries);
    assert_eq!(counted, SignalSnapshot { offered: 6, shutdown: 6, requests, retries, ..LOST });
}
