//! The database client metric of the semantic conventions (database client metrics, 1.44), per resource.
//!
//! `db.client.operation.duration` is required there. Its attributes are those the conventions require or
//! recommend, without `network.peer.*`: the conventions of these systems do not ask for it, and `server.*`
//! has the same socket address. The conventions have no metric of the database's own side.

mod key;

use std::sync::Arc;

use self::key::{Key, KeyRef};
use super::{
    durations::{DurationCounters, DurationSettings, Durations, Instrument, Run},
    model::ResourceMetrics,
};
use crate::{flow::Role, resource::Resource, span::db::Measured};

/// A finished database operation.
#[derive(Clone, Copy, Debug)]
pub struct Finished<'a> {
    pub role: Role,
    pub measured: Measured<'a>,
    pub run: Run,
}

#[derive(Debug)]
pub struct DbMetrics {
    client: Durations<Key>,
}

impl DbMetrics {
    /// `start`: nanoseconds since the Unix epoch.
    #[must_use]
    pub fn new(settings: DurationSettings, start: u64) -> Self {
        Self { client: Durations::new(CLIENT, settings, start) }
    }

    #[must_use]
    pub fn counters(&self) -> DurationCounters {
        self.client.counters()
    }

    /// Records what a client did; a server's side is no measurement.
    pub fn request_finished(&mut self, resource: &Arc<Resource>, finished: &Finished<'_>) {
        let Finished { role, measured, run } = *finished;
        if role == Role::Client {
            self.client.record(resource, &KeyRef(measured), run);
        }
    }

    /// Adds what there is to export at `now`, in nanoseconds since the Unix epoch, to what other aggregators
    /// collected. Drops what is idle.
    pub fn collect(&mut self, now: u64, into: &mut Vec<ResourceMetrics>) {
        self.client.collect(now, Key::attributes, into);
    }
}

const CLIENT: Instrument = Instrument {
    name: "db.client.operation.duration",
    description: "Duration of database client operations.",
    bounds: &SECONDS,
};

/// The bounds the conventions recommend for database operations.
pub const SECONDS: [f64; 9] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];

#[cfg(test)]
mod tests;
