//! The stages between a kernel record and a span: flow, link, span, metrics. One thread, no clock of its
//! own: the same records give the same signals, live or replayed.

use std::{collections::HashMap, sync::Arc};

use honeyguide_protocols::{
    Actor, Event, Exchange, http::HttpDetail, keyvalue::KeyValueDetail, sql::SqlDetail,
};

use crate::{
    attribute::Attributes,
    clock::Clock,
    decode::{DataRecord, ProcessEvent, Record},
    flow::{ConnectionInfo, Detail, FlowEvent, Flows, Head, Role},
    link::{LinkSettings, Linked, Links, Threads, Token},
    metrics::{
        db::{DbMetrics, Finished as Measurement},
        durations::{DurationSettings, Run},
        http::{Active, Finished, HttpMetricSettings, HttpMetrics},
        links::LinkMetrics,
        model::ResourceMetrics,
        rpc::RpcMetrics,
    },
    profile::serving::{Served, Serving},
    resource::Resource,
    span::{
        Span, SpanLink,
        context::{Identity, SAMPLED},
        db::{self, DbInput, Statements},
        http::{Call, HttpSettings, Request, SpanInput},
        id::IdGenerator,
        keyvalue,
        route::{RouteSettings, Routes},
        rpc::{self, RpcInput},
        times::ThreadTimes,
    },
};

/// Who a process is.
pub trait Processes {
    fn resource(&mut self, pid: u32) -> Arc<Resource>;

    /// Whose exchange it is that process `actor` took part in over `connection`.
    fn owner(&mut self, connection: &ConnectionInfo, actor: u32) -> Arc<Resource> {
        // A close is seen outside any process; then the connection's own process did it.
        self.resource(if actor == 0 { connection.pid } else { actor })
    }
}

#[derive(Clone, Debug)]
pub struct EngineSettings {
    pub connections: usize,
    /// What connections may hold of messages that are not whole yet, in all.
    pub buffered_bytes: usize,
    pub link: LinkSettings,
    /// Keep in mind which request each thread works for.
    pub serving: bool,
    pub http: HttpSettings,
    pub routes: RouteSettings,
    pub metrics: HttpMetricSettings,
}

#[derive(Debug)]
pub struct Engine {
    pub flows: Flows,
    pub links: Links,
    pub counters: EngineCounters,
    settings: EngineSettings,
    routes: Routes,
    metrics: HttpMetrics,
    db_metrics: DbMetrics,
    rpc_metrics: RpcMetrics,
    link_metrics: LinkMetrics,
    statements: Statements,
    times: ThreadTimes,
    /// Where profiles are made.
    pub serving: Option<Serving>,
    /// What each open server request holds of the active-requests metric; as many as exchanges may be held.
    active: HashMap<Token, Active, foldhash::fast::FixedState>,
    clock: Clock,
    spans: Vec<Span>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineCounters {
    pub data_records: u64,
    pub connection_records: u64,
    pub state_records: u64,
    pub process_records: u64,
    pub task_records: u64,
    pub open_records: u64,
    pub wake_records: u64,
    pub injected_records: u64,
    pub arrived_records: u64,
    /// Bytes that passed the sockets, and how many of them were captured.
    pub bytes: u64,
    pub captured: u64,
    pub spans: u64,
    /// Exchanges whose span the sampler left out.
    pub not_sampled: u64,
    /// Exchanges that an SDK in their process reports.
    pub left_to_sdk: u64,
    /// Spans of which some bytes were not seen.
    pub damaged: u64,
    /// Open requests that the active-requests metric leaves out, because too many are open.
    pub active_dropped: u64,
    /// Threads' times that found no place.
    pub times_dropped: u64,
}

impl Engine {
    /// # Errors
    /// Where a configured route pattern cannot be read.
    pub fn new(settings: EngineSettings, ids: IdGenerator, clock: Clock, start: u64) -> anyhow::Result<Self> {
        Ok(Self {
            flows: Flows::new(settings.connections, settings.buffered_bytes),
            links: Links::new(settings.link, ids),
            counters: EngineCounters::default(),
            routes: Routes::new(settings.routes.clone())?,
            metrics: HttpMetrics::new(settings.metrics.clone(), start),
            db_metrics: DbMetrics::new(durations(&settings.metrics), start),
            rpc_metrics: RpcMetrics::new(durations(&settings.metrics), start),
            link_metrics: LinkMetrics::new(
                settings.metrics.temporality,
                settings.metrics.max_resources,
                start,
            ),
            statements: Statements::default(),
            times: ThreadTimes::new(settings.link.limit),
            serving: settings.serving.then(Serving::default),
            active: HashMap::default(),
            clock,
            spans: Vec::new(),
            settings,
        })
    }

    pub fn set_clock(&mut self, clock: Clock) {
        self.clock = clock;
    }

    /// One record. What concerns processes is the caller's.
    pub fn handle(&mut self, record: Record<'_>, processes: &mut dyn Processes) {
        match record {
            Record::Data(data) => self.handle_data(&data, processes),
            Record::Connection(connection) => {
                self.counters.connection_records += 1;
                self.flows.handle_connection(connection);
            }
            Record::State(state) => {
                self.counters.state_records += 1;
                self.flows.handle_state(&state);
                self.take_events(state.time, processes);
            }
            Record::Bind(bind) => {
                self.flows.handle_bind(bind);
                self.take_events(bind.time, processes);
            }
            Record::Process(process) => {
                self.counters.process_records += 1;
                if matches!(process.event, ProcessEvent::Fork { .. } | ProcessEvent::Exec) {
                    self.links.handle_process(process.pid);
                }
            }
            Record::Times(times) => self.times.handle(&times),
            Record::Task(task) => {
                self.counters.task_records += 1;
                if task.woken {
                    self.links.handle_wake(task.pid, task.child, task.parent, task.time);
                } else {
                    self.links.handle_task(task.pid, task.child, task.parent, task.time);
                }
            }
            Record::Message(message) => {
                self.counters.task_records += 1;
                self.links.handle_message(&message);
            }
            Record::Open(open) => {
                self.counters.open_records += 1;
                self.links.handle_open(&open);
            }
            Record::Wake(wake) => {
                self.counters.wake_records += 1;
                self.links.handle_thread_wake(&wake);
            }
            Record::Injected(injected) => {
                self.counters.injected_records += 1;
                self.links.handle_injected(&injected);
            }
            Record::Arrived(arrived) => {
                self.counters.arrived_records += 1;
                self.links.handle_arrived(&arrived);
            }
        }
    }

    /// Time has passed: `now` is on the records' clock, and every record before it was handled.
    pub fn handle_time(&mut self, now: u64, processes: &mut dyn Processes) {
        self.flows.handle_time(now);
        self.take_events(now, processes);
        while let Some(linked) = self.links.poll(now) {
            self.finish(linked, processes);
        }
    }

    /// The end: what is open is over.
    pub fn close(&mut self, now: u64, processes: &mut dyn Processes) {
        self.flows.close_all(now);
        self.take_events(now, processes);
        while let Some(linked) = self.links.poll(u64::MAX) {
            self.finish(linked, processes);
        }
    }

    /// The spans finished since the last call.
    pub fn take_spans(&mut self) -> Vec<Span> {
        std::mem::take(&mut self.spans)
    }

    /// How many spans are finished and not taken.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.spans.len()
    }

    /// The metrics of traced processes; `now` in nanoseconds since the Unix epoch.
    pub fn collect(&mut self, now: u64) -> Vec<ResourceMetrics> {
        let mut all = self.metrics.collect(now);
        self.db_metrics.collect(now, &mut all);
        self.rpc_metrics.collect(now, &mut all);
        self.link_metrics.collect(now, &mut all);
        all
    }

    /// Measurements that overflowed, and that found no place.
    #[must_use]
    pub fn metric_losses(&self) -> (u64, u64) {
        let (http, db, rpc) =
            (self.metrics.counters(), self.db_metrics.counters(), self.rpc_metrics.counters());
        (
            http.overflowed + db.overflowed + rpc.overflowed,
            http.dropped + db.dropped + rpc.dropped + self.link_metrics.dropped,
        )
    }

    fn handle_data(&mut self, data: &DataRecord<'_>, processes: &mut dyn Processes) {
        self.counters.data_records += 1;
        self.counters.bytes += data.length;
        self.counters.captured += data.bytes.len() as u64;
        if data.creator != 0 {
            self.links.handle_creator(data.stamp.actor, data.creator);
        }
        self.flows.handle_data(data);
        self.take_events(data.stamp.time, processes);
    }

    fn take_events(&mut self, now: u64, processes: &mut dyn Processes) {
        while let Some(event) = self.flows.poll_event() {
            self.handle_event(event, now, processes);
        }
    }

    fn handle_event(&mut self, event: FlowEvent, now: u64, processes: &mut dyn Processes) {
        let FlowEvent { connection, role, event } = event;
        match event {
            Event::Request { id, extent, head } => {
                let resource = processes.owner(&connection, extent.last.actor.pid);
                if resource.instrumented {
                    self.links.handle_instrumented(extent.last.actor.pid);
                }
                self.links.handle_request(&connection, role, id, &extent, &head, threads_of(&resource));
                if let (Role::Server, Some(serving)) = (role, &mut self.serving) {
                    let token = Token { socket: connection.socket, exchange: id };
                    serving.begin(token, extent.last.actor, extent.first.time);
                }
                if role == Role::Server && keeps_its_thread(&resource, &extent.first.actor) {
                    self.times
                        .request(Token { socket: connection.socket, exchange: id }, extent.first.actor.tid);
                }
                if let (Role::Server, Head::Http(head)) = (role, &head) {
                    let request = Request::new(
                        head,
                        role,
                        &connection.endpoints,
                        connection.encrypted,
                        &self.settings.http,
                    );
                    let time = self.clock.unix(extent.first.time);
                    if self.active.len() >= self.settings.link.limit {
                        self.counters.active_dropped += 1;
                    } else if let Some(active) = self.metrics.request_started(&resource, &request, time) {
                        let token = Token { socket: connection.socket, exchange: id };
                        self.active.insert(token, active);
                    }
                }
            }
            Event::Response { id, first } => {
                self.links.handle_response(Token { socket: connection.socket, exchange: id }, role, first);
            }
            Event::Exchange(exchange) => {
                let token = Token { socket: connection.socket, exchange: exchange.id };
                if let Some(active) = self.active.remove(&token) {
                    self.metrics.request_ended(active);
                }
                self.times.exchange(token, &exchange);
                if let Some(serving) = &mut self.serving {
                    serving.end(token, &exchange);
                }
                self.links.handle_exchange(&connection, role, exchange, now);
            }
        }
    }

    fn finish(&mut self, linked: Linked, processes: &mut dyn Processes) {
        let Linked { connection, role, exchange, identity, start, end, rule, by_sdk, candidates } = linked;
        let resource = processes.owner(&connection, exchange.request.last.actor.pid);
        let damaged = exchange.damaged;
        self.counters.times_dropped = self.times.dropped;
        let times = self.times.take(Token { socket: connection.socket, exchange: exchange.id });
        let place = Place {
            role,
            connection: &connection,
            resource,
            sampled: identity.trace_flags & SAMPLED != 0 && !by_sdk,
            identity,
            start: self.clock.unix(start),
            end: self.clock.unix(end),
        };
        if role == Role::Client {
            self.link_metrics.call_finished(&place.resource, rule, place.end);
        }
        let sampled = place.sampled;
        let token = Token { socket: connection.socket, exchange: exchange.id };
        let link = sampled.then_some((place.identity.trace_id, place.identity.span_id));
        let (exchange, detail) = exchange.split();
        let Report { span, operation } = match detail {
            Detail::Http(detail) if detail.rpc.is_some() => {
                self.finish_rpc(&exchange.map(|()| detail), place)
            }
            Detail::Http(detail) => self.finish_http(&exchange.map(|()| detail), place),
            Detail::Sql(detail) => self.finish_sql(&exchange.map(|()| detail), place),
            Detail::KeyValue(detail) => self.finish_key_value(&exchange.map(|()| detail), place),
        };
        if let (Role::Server, Some(serving)) = (role, &mut self.serving) {
            serving.name(token, Served { link, operation });
        }
        match span {
            Some(mut span) => {
                if let Some(times) = times {
                    times.describe(&mut span.attributes);
                }
                if rule.is_inferred() {
                    span.attributes.set("honeyguide.link.rule", rule.name());
                }
                let link =
                    |(trace_id, span_id)| SpanLink { trace_id, span_id, attributes: Attributes::default() };
                span.links.extend(candidates.into_iter().map(link));
                self.counters.spans += 1;
                self.counters.damaged += u64::from(damaged);
                self.spans.push(span);
            }
            None if by_sdk => self.counters.left_to_sdk += 1,
            None => self.counters.not_sampled += u64::from(!sampled),
        }
    }

    fn finish_http(&mut self, exchange: &Exchange<HttpDetail>, place: Place<'_>) -> Report {
        let Place { role, connection, resource, identity, start, end, sampled } = place;
        let call =
            Call::new(exchange, role, &connection.endpoints, connection.encrypted, &self.settings.http);
        let learn = call.status().is_none_or(|status| status != 404);
        let route = match role {
            Role::Server => self.routes.route(resource.service(), call.request.path(), learn),
            Role::Client => {
                let upstream = call.request.server.as_deref().unwrap_or_default();
                self.routes.route(upstream, call.request.path(), learn)
            }
        };
        let span = sampled.then_some((identity.trace_id, identity.span_id));
        let finished = Finished { call: &call, route: route.as_ref(), start, end, span };
        self.metrics.request_finished(&resource, &finished);
        let operation = self.is_profiled(role).then(|| Some(("http.route", route.clone()?))).flatten();
        let (endpoints, encrypted) = (&connection.endpoints, connection.encrypted);
        let input = SpanInput { role, endpoints, encrypted, identity, start, end, route, resource };
        Report { operation, span: sampled.then(|| call.span(input, &self.settings.http)) }
    }

    fn finish_rpc(&mut self, exchange: &Exchange<HttpDetail>, place: Place<'_>) -> Report {
        let Place { role, connection, resource, identity, start, end, sampled } = place;
        let (endpoints, encrypted) = (&connection.endpoints, connection.encrypted);
        let Some(call) = rpc::Call::new(exchange, role, endpoints, encrypted, &self.settings.http) else {
            return Report::default();
        };
        let span = sampled.then_some((identity.trace_id, identity.span_id));
        self.rpc_metrics.call_finished(&resource, &call, Run { start, end, span });
        let operation = self.is_profiled(role).then(|| Some(("rpc.method", call.method()?.into()))).flatten();
        Report { operation, span: sampled.then(|| call.span(RpcInput { identity, start, end, resource })) }
    }

    fn finish_sql(&mut self, exchange: &Exchange<SqlDetail>, place: Place<'_>) -> Report {
        let Place { role, connection, resource, identity, start, end, sampled } = place;
        if !db::is_reported(&exchange.detail) {
            return Report::default();
        }
        let text = self.statements.describe(&exchange.detail.request);
        let call = db::Call::new(exchange, role, &connection.endpoints, text);
        let span = sampled.then_some((identity.trace_id, identity.span_id));
        let run = Run { start, end, span };
        self.db_metrics.request_finished(&resource, &Measurement { role, measured: call.measured(), run });
        let operation = self.is_profiled(role).then(|| call.measured().name()).flatten();
        let endpoints = &connection.endpoints;
        let span = sampled.then(|| call.span(DbInput { role, endpoints, identity, start, end, resource }));
        Report { span, operation }
    }

    fn finish_key_value(&mut self, exchange: &Exchange<KeyValueDetail>, place: Place<'_>) -> Report {
        let Place { role, connection, resource, identity, start, end, sampled } = place;
        let endpoints = &connection.endpoints;
        let call = keyvalue::Call::new(exchange, role, endpoints);
        let span = sampled.then_some((identity.trace_id, identity.span_id));
        if call.is_measured() {
            let run = Run { start, end, span };
            self.db_metrics
                .request_finished(&resource, &Measurement { role, measured: call.measured(), run });
        }
        let operation = self.is_profiled(role).then(|| call.measured().name()).flatten();
        let span = sampled.then(|| call.span(DbInput { role, endpoints, identity, start, end, resource }));
        Report { span, operation }
    }

    /// Whether samples ask for the names of requests.
    fn is_profiled(&self, role: Role) -> bool {
        role == Role::Server && self.serving.is_some()
    }
}

/// What an exchange has become.
#[derive(Default)]
struct Report {
    /// None where it is not sampled.
    span: Option<Span>,
    /// What a profile says of it, whether it is sampled or not; none where nobody asks.
    operation: Option<NamedOperation>,
}

/// An attribute: its key, and its value.
type NamedOperation = (&'static str, Arc<str>);

/// What a profile says of a span whose trace is not at hand.
pub(crate) fn operation(span: &Span) -> Option<NamedOperation> {
    let keys = ["http.route", "rpc.method", "db.query.summary", "db.operation.name"];
    keys.into_iter().find_map(|key| Some((key, span.attributes.text(key)?.into())))
}

/// Where an exchange stands: in its trace, in time, in its process.
struct Place<'a> {
    role: Role,
    connection: &'a ConnectionInfo,
    resource: Arc<Resource>,
    identity: Identity,
    /// Nanoseconds since the Unix epoch.
    start: u64,
    end: u64,
    sampled: bool,
}

fn durations(settings: &HttpMetricSettings) -> DurationSettings {
    DurationSettings {
        temporality: settings.temporality,
        cardinality_limit: settings.cardinality_limit,
        max_series: settings.max_series,
        max_resources: settings.max_resources,
        idle_after: settings.idle_after,
    }
}

/// Whether the time of the thread that read a request is that request's: the runtime does not move work between
/// threads, or the process does its work in its first thread, as servers with one process a connection do.
fn keeps_its_thread(resource: &Resource, actor: &Actor) -> bool {
    let moves = matches!(resource.attributes.text("telemetry.sdk.language"), Some("go" | "erlang"));
    is_loyal(resource) || (actor.pid == actor.tid && !moves)
}

fn threads_of(resource: &Resource) -> Threads {
    match resource.attributes.text("telemetry.sdk.language") {
        Some("go" | "erlang") => Threads::Shared,
        Some("ruby") => Threads::InTurns,
        _ if is_loyal(resource) => Threads::Loyal,
        _ => Threads::Observed,
    }
}

/// Whether the threads of a process stay with the request they read: one interpreter, no tasks that move
/// between threads.
fn is_loyal(resource: &Resource) -> bool {
    matches!(resource.attributes.text("telemetry.sdk.language"), Some("python" | "ruby" | "php"))
}
