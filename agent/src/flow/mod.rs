//! Per connection: kernel records in order, both directions, gaps as values.

mod endpoints;

pub use endpoints::{Endpoints, Role};
