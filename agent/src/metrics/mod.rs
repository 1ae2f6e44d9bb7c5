//! Metrics made from exchanges, and the agent's own.
//!
//! Every request counts, also one whose span was not sampled. Times come in with the records; nothing here
//! reads a clock. [`http::HttpMetrics`], [`db::DbMetrics`] and [`rpc::RpcMetrics`] are the ways in, [`resources`] and [`registry`]
//! hold the series, [`model`] is what goes out.

pub mod db;
pub mod durations;
pub mod histogram;
pub mod http;
pub mod links;
pub mod model;
pub mod registry;
pub mod resources;
pub mod rpc;
