//! One call of each kind, and many of the plain one.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http::uri::PathAndQuery;
use tokio::task::JoinSet;
use tonic::{
    Code, Request, Status,
    client::Grpc,
    codegen::tokio_stream,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};

use crate::raw::Raw;

const LANES: usize = 100;
/// Of the call that is late.
const DEADLINE: Duration = Duration::from_millis(200);

pub(crate) async fn call(base: &str, unary: usize, cancel: bool, certificate: Option<&str>) -> Result<()> {
    // Larger programs have not begun by then.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut endpoint = Endpoint::from_shared(base.to_owned())?;
    if let Some(certificate) = certificate {
        let certificate = Certificate::from_pem(fs::read(certificate)?);
        endpoint = endpoint.tls_config(ClientTlsConfig::new().ca_certificate(certificate))?;
    }
    let client = Client(Grpc::new(endpoint.connect().await?));
    client.many(unary).await?;
    client.clone().fails(Code::NotFound, "Unary", "missing").await?;
    client.clone().fails(Code::Unknown, "Unary", "broken").await?;
    client.clone().fails(Code::Unimplemented, "Absent", "").await?;
    client.clone().streams().await?;
    if cancel {
        client.clone().takes_back().await?;
    }
    client.clone().waits_too_long().await?;
    // It takes its stream back a moment after it has given up.
    tokio::time::sleep(Duration::from_millis(200)).await;
    Ok(())
}

#[derive(Clone)]
struct Client(Grpc<Channel>);

impl Client {
    async fn unary(&mut self, name: &str, request: Request<Bytes>) -> Result<Bytes, Status> {
        self.ready().await?;
        Ok(self.0.unary(request, method(name), Raw).await?.into_inner())
    }

    async fn ready(&mut self) -> Result<(), Status> {
        self.0.ready().await.map_err(|error| Status::unavailable(error.to_string()))
    }

    /// Each answer is its request.
    async fn many(&self, calls: usize) -> Result<()> {
        let next = Arc::new(AtomicUsize::new(0));
        let mut lanes = JoinSet::new();
        for _ in 0..LANES {
            let (mut client, next) = (self.clone(), Arc::clone(&next));
            lanes.spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= calls {
                        return Ok(());
                    }
                    let said = Bytes::from(number.to_string());
                    let answer = client.unary("Unary", Request::new(said.clone())).await?;
                    ensure!(answer == said, "another answer");
                }
            });
        }
        while let Some(lane) = lanes.join_next().await {
            lane.context("a lane has panicked")??;
        }
        Ok(())
    }

    async fn fails(mut self, code: Code, name: &str, said: &'static str) -> Result<()> {
        match self.unary(name, Request::new(Bytes::from(said))).await {
            Err(status) if status.code() == code => Ok(()),
            other => bail!("not {code:?}: {other:?}"),
        }
    }

    async fn streams(mut self) -> Result<()> {
        let pieces = ["a".repeat(100), "b".repeat(5_000), "c".to_owned()].map(Bytes::from);
        let stream = || Request::new(tokio_stream::iter(pieces.clone()));
        self.ready().await?;
        let collected = self.0.client_streaming(stream(), method("Collect"), Raw).await?.into_inner();
        ensure!(collected == pieces.concat(), "Collect has lost something");
        self.ready().await?;
        let request = Request::new(Bytes::from("x"));
        let mut repeated = self.0.server_streaming(request, method("Repeat"), Raw).await?.into_inner();
        for _ in 0..3 {
            ensure!(repeated.message().await?.as_deref() == Some(b"x"), "Repeat does not");
        }
        ensure!(repeated.message().await?.is_none(), "Repeat says more");
        self.ready().await?;
        let mut echo = self.0.streaming(stream(), method("Echo"), Raw).await?.into_inner();
        for piece in &pieces {
            ensure!(echo.message().await?.as_ref() == Some(piece), "Echo does not");
        }
        ensure!(echo.message().await?.is_none(), "Echo says more");
        Ok(())
    }

    async fn takes_back(mut self) -> Result<()> {
        self.ready().await?;
        let request = Request::new(Bytes::from("x"));
        let mut endless = self.0.server_streaming(request, method("Endless"), Raw).await?.into_inner();
        ensure!(endless.message().await?.is_some(), "Endless ends");
        Ok(())
    }

    async fn waits_too_long(mut self) -> Result<()> {
        let mut request = Request::new(Bytes::new());
        request.set_timeout(DEADLINE);
        match self.unary("Late", request).await {
            // tonic calls its own timeout the first.
            Err(status) if matches!(status.code(), Code::Cancelled | Code::DeadlineExceeded) => Ok(()),
            other => bail!("it is in time: {other:?}"),
        }
    }
}

fn method(name: &str) -> PathAndQuery {
    let path = format!("/tests.Bytes/{name}");
    PathAndQuery::from_maybe_shared(path).unwrap_or_else(|_| PathAndQuery::from_static("/"))
}
