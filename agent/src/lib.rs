//! honeyguide's agent: kernel events in, OpenTelemetry signals out. `pipeline` shows every stage.

pub mod attribute;
pub mod export;
pub mod flow;
pub mod metrics;
pub mod resource;
pub mod span;
