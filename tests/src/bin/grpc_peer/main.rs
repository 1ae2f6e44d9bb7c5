//! gRPC by tonic, on either side, without generated code: what `grpc_server.py` and `grpc_client.js` do.
//!
//! ```text
//! grpc_peer serve [CERT KEY] PORT         the methods of tests.Bytes, over TLS with a certificate
//! grpc_peer call BASE UNARY CANCEL [CERT]  calls each kind of method, UNARY times the plain one, a hundred at once;
//!                                          CANCEL is 1 where it also takes back a call
//! ```

mod client;
mod raw;
mod server;

use std::env;

use anyhow::{Result, bail};

fn main() -> Result<()> {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    match words[..] {
        ["serve", port] => runtime.block_on(server::serve(port.parse()?, None)),
        ["serve", certificate, key, port] => {
            runtime.block_on(server::serve(port.parse()?, Some((certificate, key))))
        }
        ["call", base, unary, cancel] => {
            runtime.block_on(client::call(base, unary.parse()?, cancel == "1", None))
        }
        ["call", base, unary, cancel, certificate] => {
            runtime.block_on(client::call(base, unary.parse()?, cancel == "1", Some(certificate)))
        }
        _ => bail!("grpc_peer serve [CERT KEY] PORT, or call BASE UNARY CANCEL [CERT]"),
    }
}
