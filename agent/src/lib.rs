//! honeyguide's agent: kernel events in, OpenTelemetry signals out. `pipeline` shows every stage.

pub mod attribute;
pub mod config;
pub mod decode;
pub mod discover;
pub mod export;
pub mod flow;
pub mod link;
pub mod load;
pub mod metrics;
pub mod resource;
pub mod ring;
pub mod span;
