//! The service.

use std::{
    convert::Infallible,
    fs,
    net::Ipv4Addr,
    task::{Context, Poll},
    time::Duration,
};

use anyhow::Result;
use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;
use tonic::{
    Code, Request, Response, Status, Streaming,
    body::Body,
    codegen::{
        BoxFuture, Service,
        tokio_stream::{self, wrappers::ReceiverStream},
    },
    server::{Grpc, NamedService},
    transport::{Identity, Server, ServerTlsConfig},
};

use crate::raw::Raw;

/// `pair`: the files of a certificate and of its key.
pub(crate) async fn serve(port: u16, pair: Option<(&str, &str)>) -> Result<()> {
    let mut server = Server::builder();
    if let Some((certificate, key)) = pair {
        let identity = Identity::from_pem(fs::read(certificate)?, fs::read(key)?);
        server = server.tls_config(ServerTlsConfig::new().identity(identity))?;
    }
    server.add_service(Methods).serve((Ipv4Addr::LOCALHOST, port).into()).await?;
    Ok(())
}

#[derive(Clone)]
struct Methods;

impl NamedService for Methods {
    const NAME: &'static str = "tests.Bytes";
}

impl Service<http::Request<Body>> for Methods {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let mut grpc = Grpc::new(Raw);
        Box::pin(async move {
            Ok(match request.uri().path() {
                "/tests.Bytes/Unary" => grpc.unary(Handler(unary), request).await,
                "/tests.Bytes/Late" => grpc.unary(Handler(late), request).await,
                "/tests.Bytes/Collect" => grpc.client_streaming(Handler(collect), request).await,
                "/tests.Bytes/Repeat" => grpc.server_streaming(Handler(repeat), request).await,
                "/tests.Bytes/Echo" => grpc.streaming(Handler(echo), request).await,
                "/tests.Bytes/Endless" => grpc.server_streaming(Handler(endless), request).await,
                _ => Status::unimplemented("no such method").into_http(),
            })
        })
    }
}

/// A function as the service of one method.
struct Handler<F>(F);

impl<F, R, T, Answer> Service<Request<R>> for Handler<F>
where
    F: FnMut(Request<R>) -> Answer,
    Answer: Future<Output = Result<Response<T>, Status>>,
{
    type Response = Response<T>;
    type Error = Status;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<R>) -> Answer {
        (self.0)(request)
    }
}

async fn unary(request: Request<Bytes>) -> Result<Response<Bytes>, Status> {
    let said = request.into_inner();
    match &said[..] {
        b"missing" => Err(Status::not_found("not here")),
        b"broken" => Err(Status::new(Code::Unknown, "broken")),
        _ => Ok(Response::new(said)),
    }
}

async fn late(request: Request<Bytes>) -> Result<Response<Bytes>, Status> {
    tokio::time::sleep(Duration::from_secs(5)).await;
    Ok(Response::new(request.into_inner()))
}

async fn collect(request: Request<Streaming<Bytes>>) -> Result<Response<Bytes>, Status> {
    let (mut pieces, mut all) = (request.into_inner(), BytesMut::new());
    while let Some(piece) = pieces.message().await? {
        all.extend_from_slice(&piece);
    }
    Ok(Response::new(all.freeze()))
}

async fn repeat(
    request: Request<Bytes>,
) -> Result<Response<impl tokio_stream::Stream<Item = Result<Bytes, Status>>>, Status> {
    let said = request.into_inner();
    Ok(Response::new(tokio_stream::iter((0..3).map(move |_| Ok(said.clone())))))
}

async fn echo(request: Request<Streaming<Bytes>>) -> Result<Response<Streaming<Bytes>>, Status> {
    Ok(Response::new(request.into_inner()))
}

async fn endless(request: Request<Bytes>) -> Result<Response<ReceiverStream<Result<Bytes, Status>>>, Status> {
    let (sender, receiver) = mpsc::channel(1);
    let said = request.into_inner();
    tokio::spawn(async move {
        while sender.send(Ok(said.clone())).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    Ok(Response::new(ReceiverStream::new(receiver)))
}
