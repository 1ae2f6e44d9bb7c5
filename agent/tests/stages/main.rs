//! The stages between a record and a span, driven by records made by hand.
#![allow(clippy::unwrap_used, clippy::panic)] // Helpers of tests fail as tests do.

mod bounds;
mod event_loops;
mod executions;
mod flows;
mod handovers;
mod headers;
mod links;
mod options;
mod profiles;
mod sdk;
mod stream;
mod wakes;
