//! honeyguide's agent: kernel events in, OpenTelemetry signals out. `pipeline` shows every stage.

pub mod attribute;
pub mod cli;
pub mod clock;
pub mod config;
pub mod decode;
pub mod discover;
pub mod doctor;
pub mod engine;
pub mod export;
pub mod flame;
pub mod flow;
pub mod link;
pub mod load;
pub mod metrics;
pub mod pipeline;
pub mod profile;
pub mod recording;
pub mod resource;
pub mod ring;
pub mod span;
pub mod telemetry;
