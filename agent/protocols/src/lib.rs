//! Passive protocol parsers: bytes, stream offsets and timestamps come in, exchanges go out.
//!
//! Nothing here reads a clock, a file or a socket, and nothing here knows how the bytes were
//! captured. A parser watches both directions of one connection, accepts that bytes are missing,
//! and never fails: what it cannot read it counts and skips.
#![forbid(unsafe_code)]

pub mod detect;
pub mod exchange;
pub mod fastcgi;
pub mod fuzz;
pub mod grpc;
pub mod http;
pub mod http1;
pub mod http2;
mod input;
pub mod keyvalue;
pub mod mask;
pub mod memcached;
pub mod mysql;
pub mod postgres;
pub mod proxy;
pub mod reader;
pub mod redis;
pub mod sql;
#[cfg(test)]
mod wire;

pub use exchange::{Actor, CloseReason, Event, Exchange, Extent, Outcome, Party, Stamp};
