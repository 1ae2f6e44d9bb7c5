//! `flame --route` and `--trace`: the samples of some requests, which the tracer tells.

use std::{
    collections::{BTreeMap, HashSet},
    fs::File,
    time::Instant,
};

use anyhow::{Result, bail};

use super::{
    super::{
        sampler::Sampler,
        status,
        tracer::{Sink, Steering, Tracer},
        wiring,
    },
    FlameSettings, RequestSettings, name,
    progress::Progress,
    tell, title, write,
};
use crate::{
    clock,
    config::Settings,
    decode::{Record, decode},
    engine::{self, Engine},
    flame::{self, Caption, Graph},
    profile::{gather::Stretch, named::Profile, serving::Served, wanted::Wanted},
    span::{Span, SpanId, SpanKind, id::IdGenerator, sampler},
};

/// Requests whose durations are held; what comes beyond them is counted.
const MAX_REQUESTS: usize = 1_000_000;
/// Other requests' routes that are held, and how many of them are told.
const MAX_OTHERS: usize = 1_000;
const TOLD: usize = 8;

pub(super) fn flame(
    settings: &Settings,
    flame: &FlameSettings,
    requests: &RequestSettings,
    file: File,
) -> Result<()> {
    let mut settings = settings.clone();
    (settings.profile.hz, settings.profile.off_cpu) = (flame.sampling.hz(), flame.sampling.least());
    // Nothing is exported, and a request is told by its span.
    settings.sampler = sampler::Sampler { rule: sampler::Rule::AlwaysOn, parent_based: false };
    // One that an SDK reports has none, and is wanted here all the same.
    settings.context.defer_to_sdk = false;
    let mut tracer = Tracer::start(&settings)?;
    let taken = tracer.take_samples(&settings.profile)?;
    let wanted = requests.wanted.clone();
    let (begun, start) = (Instant::now(), clock::now());
    let mut recording = Recording {
        engine: Engine::new(
            wiring::engine(&settings),
            IdGenerator::from_os(),
            tracer.steering.clock,
            tracer.steering.clock.unix(clock::monotonic()),
        )?,
        sampler: Sampler::start(taken, (&settings, &tracer.steering.who), Some(wanted.clone()))?,
        seen: Seen::new(wanted),
        progress: Progress::new(settings.duration),
    };
    tracer.drain(&settings, &mut recording)?;
    let Recording { mut engine, mut sampler, mut seen, progress } = recording;
    drop(progress);
    engine.close(clock::monotonic(), &mut tracer.steering.who);
    engine.take_spans().iter().for_each(|span| seen.note(span));
    sampler.finish(&mut engine);
    let (elapsed, end) = (begun.elapsed(), clock::now());

    let stretch = Stretch { start, end, period: sampler.period() };
    let dropped = sampler.gather.dropped;
    let profiles = name(&mut sampler.gather, &mut tracer.steering.who, tracer.steering.clock, flame, stretch);
    let what = title(&seen.wanted.to_string(), elapsed.as_secs_f64(), flame.sampling);
    let (graph, caption) = match requests.halves {
        false => (flame::graph(&profiles), flame::caption(what)),
        true => seen.compare(&profiles, what),
    };
    write(flame, file, &profiles, &graph, &caption)?;
    let failures = tracer.steering.control.failures();
    let (drained, kept) = sampler.stacks();
    tell(flame, (drained, kept), (&failures, dropped), &profiles, &flame::Summary::of(&graph, caption.unit));
    let counters = sampler.counters;
    status(format_args!(
        "{} of {} samples within requests, {} of them within the {} of {}",
        counters.served,
        counters.samples,
        counters.kept,
        seen.count(),
        seen.wanted
    ));
    if seen.dropped > 0 {
        status(format_args!("{} requests beyond {MAX_REQUESTS} are in no half", seen.dropped));
    }
    if requests.halves {
        status(format_args!("{}", seen.halves()));
    }
    seen.check(counters.kept)
}

struct Recording {
    engine: Engine,
    sampler: Sampler,
    seen: Seen,
    progress: Progress,
}

impl Sink for Recording {
    fn record(&mut self, bytes: &[u8], steering: &mut Steering) -> Result<()> {
        // What cannot be decoded is no request.
        if let Ok(record) = decode(bytes) {
            if let Record::Process(process) = &record {
                steering.who.handle_process(process, &mut steering.control);
                self.sampler.handle_process(process);
            }
            self.engine.handle(record, &mut steering.who);
        }
        Ok(())
    }

    fn round(&mut self, now: u64, _ring: u64, steering: &mut Steering) -> Result<()> {
        self.engine.set_clock(steering.clock);
        self.engine.handle_time(now, &mut steering.who);
        for (socket, word) in self.engine.flows.take_verdicts() {
            steering.control.judge(socket, word);
        }
        self.engine.take_spans().iter().for_each(|span| self.seen.note(span));
        self.sampler.poll(now, &mut self.engine);
        self.progress.show(self.sampler.counters.kept);
        if steering.housekeeping {
            let proc = &steering.who.proc;
            self.engine.flows.sweep(now, |pid| proc.exists(pid));
        }
        Ok(())
    }
}

/// The requests of a recording.
struct Seen {
    wanted: Wanted,
    /// How long each that is wanted took, in nanoseconds.
    durations: Vec<(u64, SpanId)>,
    dropped: u64,
    /// How many there were of others, by what they asked for.
    others: BTreeMap<String, u64>,
}

/// The slowest tenth of the requests, and the faster half.
struct Halves<'a> {
    slow: &'a [(u64, SpanId)],
    fast: &'a [(u64, SpanId)],
}

impl Seen {
    fn new(wanted: Wanted) -> Self {
        Self { wanted, durations: Vec::new(), dropped: 0, others: BTreeMap::new() }
    }

    fn note(&mut self, span: &Span) {
        if span.kind != SpanKind::Server {
            return;
        }
        let served = Served { link: Some((span.trace_id, span.span_id)), operation: engine::operation(span) };
        if self.wanted.has(&served) {
            if self.durations.len() < MAX_REQUESTS {
                self.durations.push((span.end - span.start, span.span_id));
            } else {
                self.dropped += 1;
            }
        } else if let Some((_, operation)) = served.operation
            && (self.others.len() < MAX_OTHERS || self.others.contains_key(&*operation))
        {
            *self.others.entry(operation.to_string()).or_default() += 1;
        }
    }

    fn count(&self) -> u64 {
        self.durations.len() as u64 + self.dropped
    }

    /// By duration: call after the last one was noted.
    fn halves(&self) -> Halves<'_> {
        let count = self.durations.len();
        Halves { slow: &self.durations[count - count.div_ceil(10)..], fast: &self.durations[..count / 2] }
    }

    /// Slow against fast.
    fn compare(&mut self, profiles: &[Profile], title: String) -> (Graph, Caption) {
        self.durations.sort_unstable_by_key(|&(duration, id)| (duration, id.0));
        let Halves { slow, fast } = self.halves();
        let of = |part: &[(u64, SpanId)]| {
            let ids: HashSet<SpanId> = part.iter().map(|(_, id)| *id).collect();
            let mut profiles = profiles.to_vec();
            for profile in &mut profiles {
                profile.samples.retain(|sample| sample.link.is_some_and(|(_, id)| ids.contains(&id)));
            }
            profiles
        };
        let graph = flame::comparison(&of(fast), &of(slow));
        let compared = Some(("fast".to_owned(), "slow".to_owned()));
        (graph, Caption { compared, ..flame::caption(title) })
    }

    /// Says why there is nothing to see.
    fn check(&self, kept: u64) -> Result<()> {
        if kept > 0 {
            return Ok(());
        }
        if self.count() > 0 {
            bail!("no sample fell into the {} requests of {}: record for longer", self.count(), self.wanted);
        }
        let mut others: Vec<(&String, &u64)> = self.others.iter().collect();
        others.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
        let others: Vec<String> =
            others.iter().take(TOLD).map(|(operation, count)| format!("{operation} ({count})")).collect();
        match others.as_slice() {
            [] => bail!("no request of {} was seen, and none of anything else", self.wanted),
            _ => bail!("no request of {} was seen; others were: {}", self.wanted, others.join(", ")),
        }
    }
}

impl std::fmt::Display for Halves<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let milliseconds = |request: Option<&(u64, SpanId)>| request.map_or(0.0, |(ns, _)| *ns as f64 / 1e6);
        write!(
            f,
            "slow: {} requests of {:.1} ms and more, the slowest tenth; fast: {} of {:.1} ms and less, the faster half",
            self.slow.len(),
            milliseconds(self.slow.first()),
            self.fast.len(),
            milliseconds(self.fast.last()),
        )
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        attribute::Attributes,
        flame::Weights,
        profile::named::{Measure, Point, Sample, tests::stack},
        resource::Resource,
        span::TraceId,
    };

    fn span(id: u8, route: &'static str, duration: u64) -> Span {
        let mut attributes = Attributes::default();
        attributes.set("http.route", route);
        Span {
            trace_id: TraceId([1; 16]),
            span_id: SpanId([id; 8]),
            parent: None,
            parent_is_remote: false,
            trace_flags: 1,
            trace_state: None,
            kind: SpanKind::Server,
            name: "GET".into(),
            start: 1_000,
            end: 1_000 + duration,
            attributes,
            links: Vec::new(),
            status: crate::span::Status::default(),
            resource: Arc::new(Resource::default()),
        }
    }

    fn seen() -> Seen {
        Seen::new(Wanted::Route("/a".parse().unwrap()))
    }

    #[test]
    fn slow_requests_are_held_against_fast_ones() {
        let mut seen = seen();
        // Not in the order of their durations: 10 and 20 take 100 and 200 ms, the rest 1 to 18.
        for id in 1..=20_u8 {
            seen.note(&span(id, "/a", u64::from(id) * if id % 10 == 0 { 10_000_000 } else { 1_000_000 }));
        }
        seen.note(&Span { kind: SpanKind::Client, ..span(30, "/a", 1) });
        let sample = |id: u8, function: &str| Sample {
            stack: stack(function),
            points: vec![Point { time: 1, value: 10 }],
            thread: 1,
            thread_name: "t".into(),
            link: Some((TraceId([1; 16]), SpanId([id; 8]))),
            attributes: Attributes::default(),
        };
        let profile = Profile {
            id: [1; 16],
            resource: Arc::new(Resource::default()),
            measure: Measure::Cpu,
            start: 0,
            duration: 1,
            period: 10,
            samples: vec![sample(20, "slow"), sample(10, "slow"), sample(15, "between"), sample(1, "fast")],
        };
        let (graph, caption) = seen.compare(&[profile], "x".to_owned());
        assert_eq!(graph.root().total, Weights { now: 20, before: 10 });
        assert_eq!(caption.compared, Some(("fast".to_owned(), "slow".to_owned())));
        assert_eq!(
            seen.halves().to_string(),
            "slow: 2 requests of 100.0 ms and more, the slowest tenth; fast: 10 of 11.0 ms and less, the faster half"
        );
        assert!(!graph.names().iter().any(|name| name == "between"));
    }

    #[test]
    fn a_route_that_was_not_seen_is_told_what_was() {
        let mut seen = seen();
        let check = |seen: &Seen| seen.check(0).unwrap_err().to_string();
        assert_eq!(check(&seen), "no request of /a was seen, and none of anything else");
        for _ in 0..2 {
            seen.note(&span(1, "/b", 1));
        }
        seen.note(&span(1, "/c", 1));
        assert_eq!(check(&seen), "no request of /a was seen; others were: /b (2), /c (1)");
        seen.note(&span(1, "/a", 1));
        assert_eq!(check(&seen), "no sample fell into the 1 requests of /a: record for longer");
        assert!(seen.check(1).is_ok());
    }
}
