//! Everything the pipeline needs to know, parsed and within bounds.

use std::{path::PathBuf, time::Duration};

use crate::{
    discover::Selection, export::settings::ExportSettings, load::HookChoice, metrics::model::Temporality,
    resource::ResourceOptions, span::sampler::Sampler,
};

#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub select: Selection,
    /// Where the host's `/proc` is.
    pub proc: PathBuf,
    pub capture: Capture,
    pub http: Http,
    pub link: Link,
    pub profile: Profile,
    pub context: Context,
    pub sampler: Sampler,
    pub metrics: Metrics,
    pub export: ExportSettings,
    pub limits: Limits,
    pub resource: ResourceSettings,
    /// Ends by itself after this long.
    pub duration: Option<Duration>,
    pub log: log::LevelFilter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capture {
    pub hook: HookChoice,
    /// Follow what is inside of TLS.
    pub tls: bool,
    /// Captured of the start of a message; 64 to 16,384.
    pub bytes_per_message: u32,
    /// A power of two, a page or more.
    pub ring_bytes: u32,
    /// How often the ring is drained when it does not fill up.
    pub poll_interval: Duration,
    /// Spans say what their thread did with its time; costs two hooks in the scheduler.
    pub thread_times: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// Patterns for `http.route`, tried in order.
    pub routes: Vec<String>,
    /// Make a low-cardinality template of a path that no pattern matches.
    pub route_template: bool,
    /// Query parameters whose values are redacted, besides those that always are.
    pub redact_query: Vec<String>,
    /// Believe `Forwarded` and `X-Forwarded-For`, which any client can forge.
    pub forwarded: bool,
    /// The whole list of methods that are not reported as `_OTHER`; `None` is the conventions' list.
    pub known_methods: Option<Vec<String>>,
}

/// How calls are given to the requests that caused them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Tell goroutines and Python's contexts apart.
    pub tasks: bool,
    /// Follow what threads hand to each other by waking one another.
    pub wakes: bool,
    /// Decide calls late where nothing certain was known at once.
    pub inference: bool,
    /// The longest that a call waits to be decided.
    pub hold: Duration,
}

/// Profiles beside the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Samples a second and CPU; `None` takes none.
    pub hz: Option<u32>,
    /// It is told where threads are blocked, each time that it takes so long; `None` tells nothing.
    pub off_cpu: Option<Duration>,
    /// How often profiles are exported.
    pub interval: Duration,
}

impl Profile {
    /// Whether there are any.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.hz.is_some() || self.off_cpu.is_some()
    }
}

/// What of an incoming request's context is honoured, and what is handed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// `traceparent` and `tracestate`.
    pub tracecontext: bool,
    /// Leave to an SDK in a process what it reports itself.
    pub defer_to_sdk: bool,
    /// Keys of `baggage` that become span attributes; empty when the propagator is off.
    pub baggage: Vec<String>,
    /// Put a `traceparent` into the HTTP/1 requests that selected processes send.
    pub http_headers: bool,
    /// Hand contexts on to other hosts in a TCP option of what they send.
    pub tcp_option: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metrics {
    pub interval: Duration,
    pub temporality: Temporality,
    /// Attribute sets of one metric of one service; beyond it, the overflow set.
    pub cardinality_limit: usize,
}

/// What the agent holds at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub connections: usize,
    /// What connections hold of messages that are not whole yet, in all.
    pub buffered_bytes: usize,
    /// Finished exchanges that wait for what may still belong to them.
    pub held_exchanges: usize,
    pub processes: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceSettings {
    /// What traced processes are called and marked with.
    pub traced: ResourceOptions,
    /// `service.name` of the agent's own telemetry.
    pub agent_service_name: String,
}
