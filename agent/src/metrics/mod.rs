//! Metrics made from exchanges, and the agent's own.

pub mod model;
