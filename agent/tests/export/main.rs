//! The exporters against collectors of every temper, all in this process.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests are tests")]
#![allow(clippy::print_stdout, reason = "a skipped test says so")]

mod file;
mod grpc;
mod http;
mod limits;
mod peer;
mod receivers;
mod sample;
mod tls;
