//! HTTPS by hyper and rustls, on either side.
//!
//! ```text
//! rustls_peer serve CERT KEY PORT            answers everything with "inside"
//! rustls_peer get URL COUNT LANES CERT [h2]  gets URL/item-N, LANES at once
//! ```
#![allow(clippy::print_stdout)]

use std::{convert::Infallible, env, net::Ipv4Addr, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use http_body_util::{BodyExt, Full};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_rustls::TlsAcceptor;

type Body = Full<bytes::Bytes>;

fn main() -> Result<()> {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    match words[..] {
        ["serve", certificate, key, port] => runtime.block_on(serve(certificate, key, port.parse()?)),
        ["get", url, count, lanes, certificate] => {
            runtime.block_on(get(url, count.parse()?, lanes.parse()?, certificate, false))
        }
        ["get", url, count, lanes, certificate, "h2"] => {
            runtime.block_on(get(url, count.parse()?, lanes.parse()?, certificate, true))
        }
        _ => bail!("rustls_peer serve CERT KEY PORT, or get URL COUNT LANES CERT [h2]"),
    }
}

async fn serve(certificate: &str, key: &str, port: u16) -> Result<()> {
    let chain = vec![CertificateDer::from_pem_file(certificate)?];
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(key)?)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    loop {
        let (socket, _) = listener.accept().await?;
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            // Who looks whether the port is open says nothing and goes.
            let Ok(stream) = acceptor.accept(socket).await else { return };
            let service = hyper::service::service_fn(|_| async {
                Ok::<_, Infallible>(http::Response::new(Body::from("inside")))
            });
            let _ = auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn get(url: &str, count: usize, lanes: usize, certificate: &str, h2: bool) -> Result<()> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate)?)?;
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let connector = HttpsConnectorBuilder::new().with_tls_config(config).https_only();
    let connector = if h2 { connector.enable_http2().build() } else { connector.enable_http1().build() };
    let client = Client::builder(TokioExecutor::new()).http2_only(h2).build::<_, Body>(connector);
    // Larger programs have not begun by then.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut all = JoinSet::new();
    for lane in 0..lanes {
        let (client, url) = (client.clone(), url.to_owned());
        all.spawn(async move {
            for number in (lane..count).step_by(lanes) {
                let response = client.get(format!("{url}/item-{number}").parse()?).await?;
                ensure!(response.into_body().collect().await?.to_bytes() == "inside", "another answer");
            }
            Ok(())
        });
    }
    while let Some(lane) = all.join_next().await {
        lane.context("a lane has panicked")??;
    }
    Ok(())
}
