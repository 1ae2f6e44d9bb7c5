//! The exporters against collectors of every temper, all in this process.

mod file;
mod grpc;
mod http;
mod limits;
mod peer;
mod receivers;
mod sample;
mod tls;
