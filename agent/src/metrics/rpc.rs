//! The RPC metrics of the semantic conventions (RPC metrics, 1.44), per resource.
//!
//! `rpc.server.call.duration` and `rpc.client.call.duration`, with the attributes the conventions require or
//! recommend. A call's HTTP request is not measured a second time.

mod key;

use std::sync::Arc;

use self::key::{Key, KeyRef};
use super::{
    durations::{DurationCounters, DurationSettings, Durations, Instrument, Run},
    model::ResourceMetrics,
};
use crate::{flow::Role, resource::Resource, span::rpc::Call};

#[derive(Debug)]
pub struct RpcMetrics {
    server: Durations<Key>,
    client: Durations<Key>,
}

impl RpcMetrics {
    /// `start`: nanoseconds since the Unix epoch.
    #[must_use]
    pub fn new(settings: DurationSettings, start: u64) -> Self {
        Self {
            server: Durations::new(SERVER, settings.clone(), start),
            client: Durations::new(CLIENT, settings, start),
        }
    }

    /// Of both instruments.
    #[must_use]
    pub fn counters(&self) -> DurationCounters {
        let (server, client) = (self.server.counters(), self.client.counters());
        DurationCounters {
            overflowed: server.overflowed + client.overflowed,
            dropped: server.dropped + client.dropped,
            evicted: server.evicted + client.evicted,
        }
    }

    pub fn call_finished(&mut self, resource: &Arc<Resource>, call: &Call<'_>, run: Run) {
        let durations = match call.request.role {
            Role::Server => &mut self.server,
            Role::Client => &mut self.client,
        };
        durations.record(resource, &KeyRef::of(call), run);
    }

    /// Adds what there is to export at `now`, in nanoseconds since the Unix epoch, to what other aggregators
    /// collected. Drops what is idle.
    pub fn collect(&mut self, now: u64, into: &mut Vec<ResourceMetrics>) {
        self.server.collect(now, Key::attributes, into);
        self.client.collect(now, Key::attributes, into);
    }
}

const SERVER: Instrument = Instrument {
    name: "rpc.server.call.duration",
    description: "Measures the duration of an incoming Remote Procedure Call (RPC).",
    bounds: &SECONDS,
};

const CLIENT: Instrument = Instrument {
    name: "rpc.client.call.duration",
    description: "Measures the duration of an outgoing Remote Procedure Call (RPC).",
    bounds: &SECONDS,
};

/// The bounds the conventions recommend for calls.
const SECONDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

#[cfg(test)]
mod tests;
