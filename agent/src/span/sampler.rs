//! Head samplers, by the OpenTelemetry SDK specification ("Built-in samplers") and, for ratios, its
//! consistent probability sampling: a trace is kept where its 56 random bits reach a threshold.

use super::{
    TraceId,
    context::{Identity, SAMPLED},
};

/// The decision for a span without a parent, or for every span where it is not parent-based.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    AlwaysOn,
    AlwaysOff,
    Ratio(Threshold),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampler {
    pub rule: Rule,
    /// A span with a parent is sampled as its parent is.
    pub parent_based: bool,
}

impl Default for Sampler {
    /// `parentbased_always_on`, as the specification has it.
    fn default() -> Self {
        Self { rule: Rule::AlwaysOn, parent_based: true }
    }
}

impl Sampler {
    /// `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG`. What is not understood is ignored, as the
    /// specification asks; the second value then says what, for the log.
    #[must_use]
    pub fn parse(name: &str, argument: Option<&str>) -> (Self, Option<String>) {
        let name = name.trim();
        let (parent_based, rule) = match name.strip_prefix("parentbased_") {
            Some(rule) => (true, rule),
            None => (false, name),
        };
        let (rule, warning) = match rule {
            "always_on" => (Rule::AlwaysOn, None),
            "always_off" => (Rule::AlwaysOff, None),
            "traceidratio" => ratio(argument),
            _ => {
                let known = "always_on, always_off, traceidratio, each with or without parentbased_";
                let warning =
                    format!("unknown sampler {name:?}: using parentbased_always_on (known: {known})");
                return (Self::default(), Some(warning));
            }
        };
        (Self { rule, parent_based }, warning)
    }

    /// Of the 2^56 values of a new trace's random bits, those below this are rejected; all of them where it is more.
    #[must_use]
    pub fn reject_below(&self) -> u64 {
        match self.rule {
            Rule::AlwaysOn => 0,
            Rule::AlwaysOff => u64::MAX,
            Rule::Ratio(threshold) => threshold.0,
        }
    }

    /// Sets or clears [`SAMPLED`] of a new span and says which. `parent_flags` are those of its parent,
    /// remote or local. A ratio's decision is written into `tracestate` as `ot=th:…`, so that whoever
    /// counts spans later knows how many each one stands for; parent-based decisions leave it alone.
    pub fn decide(&self, identity: &mut Identity, parent_flags: Option<u8>) -> bool {
        let sampled = match (parent_flags.filter(|_| self.parent_based), self.rule) {
            (Some(flags), _) => flags & SAMPLED != 0,
            (None, Rule::AlwaysOn) => true,
            (None, Rule::AlwaysOff) => false,
            (None, Rule::Ratio(threshold)) => {
                let state = identity.trace_state.as_deref();
                let sampled = randomness(identity.trace_id, state) >= threshold.0;
                identity.trace_state = with_threshold(state, sampled.then_some(threshold));
                sampled
            }
        };
        identity.trace_flags = identity.trace_flags & !SAMPLED | u8::from(sampled);
        sampled
    }
}

/// How many of 2^56 traces are rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Threshold(u64);

const SPACE: u64 = 1 << 56;

impl Threshold {
    /// `None` unless `ratio` lies in [2^-56, 1]. Four significant hexadecimal digits, as the
    /// specification recommends: the digits after the leading `f`s.
    #[must_use]
    pub fn of_ratio(ratio: f64) -> Option<Self> {
        if !(1.0 / SPACE as f64..=1.0).contains(&ratio) {
            return None;
        }
        // Of 2^56 that are kept: exact, where 1 - ratio would round small ratios away.
        let kept = (ratio * SPACE as f64).round() as u64;
        let exact = SPACE - kept;
        let leading = kept.leading_zeros().saturating_sub(8) / 4;
        let cut = 4 * 14_u32.saturating_sub(4 + leading);
        let unit = 1_u64 << cut;
        let rounded = (exact + unit / 2) / unit * unit;
        Some(Self(if rounded >= SPACE { exact } else { rounded }))
    }

    /// As `th` has it: without trailing zeros.
    fn digits(self) -> String {
        let digits = format!("{:014x}", self.0);
        let short = digits.trim_end_matches('0');
        if short.is_empty() { "0".to_owned() } else { short.to_owned() }
    }
}

fn ratio(argument: Option<&str>) -> (Rule, Option<String>) {
    let Some(text) = argument.map(str::trim).filter(|a| !a.is_empty()) else { return (ALL, None) };
    match text.parse::<f64>() {
        Ok(0.0) => (Rule::AlwaysOff, None),
        Ok(ratio) => match Threshold::of_ratio(ratio) {
            Some(threshold) => (Rule::Ratio(threshold), None),
            None => (ALL, Some(format!("sampler argument {text:?} is not between 0 and 1: using 1"))),
        },
        Err(_) => (ALL, Some(format!("sampler argument {text:?} is not a number: using 1"))),
    }
}

/// The ratio 1, which is what an absent or ignored argument means.
const ALL: Rule = Rule::Ratio(Threshold(0));

/// `rv` of the OpenTelemetry member where there is one, else the trace id's low seven bytes.
fn randomness(trace_id: TraceId, state: Option<&str>) -> u64 {
    let explicit = || {
        let value = ot_member(state?)?.split(';').find_map(|pair| pair.strip_prefix("rv:"))?;
        let digits =
            value.len() == 14 && value.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'));
        u64::from_str_radix(value, 16).ok().filter(|_| digits)
    };
    explicit().unwrap_or_else(|| {
        let [.., a, b, c, d, e, f, g] = trace_id.0;
        u64::from_be_bytes([0, a, b, c, d, e, f, g])
    })
}

fn ot_member(state: &str) -> Option<&str> {
    state.split(',').find_map(|member| member.strip_prefix("ot="))
}

/// `state` with `th` replaced, or removed; the member that was changed comes first (Trace Context 3.5).
fn with_threshold(state: Option<&str>, threshold: Option<Threshold>) -> Option<Box<str>> {
    let kept = state.and_then(ot_member).into_iter().flat_map(|m| m.split(';'));
    let kept = kept.filter(|pair| !pair.starts_with("th:")).map(str::to_owned);
    let pairs: Vec<_> = threshold.map(|t| format!("th:{}", t.digits())).into_iter().chain(kept).collect();
    let own = (!pairs.is_empty()).then(|| format!("ot={}", pairs.join(";")));
    let others = state.into_iter().flat_map(|s| s.split(',')).filter(|m| !m.starts_with("ot="));
    let others = others.take(MAX_OTHER_MEMBERS).map(str::to_owned);
    let members: Vec<_> = own.into_iter().chain(others).collect();
    (!members.is_empty()).then(|| members.join(",").into())
}

/// A `tracestate` has 32 members at most.
const MAX_OTHER_MEMBERS: usize = 31;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span::id::IdGenerator;

    #[test]
    fn thresholds_are_those_of_the_specification() {
        let check = |ratio: f64, digits: &str| {
            assert_eq!(Threshold::of_ratio(ratio).map(Threshold::digits).as_deref(), Some(digits), "{ratio}");
        };
        check(1.0, "0");
        check(0.5, "8");
        check(1.0 / 3.0, "aaab");
        check(0.25, "c");
        check(0.2, "cccd");
        check(0.125, "e");
        check(0.1, "e666");
        check(0.0625, "f");
        check(0.01, "fd70a");
        check(0.001, "ffbe77");
        check(0.0001, "fff9724");
        check(0.00001, "ffff583a");
        check(0.000_001, "ffffef39");
        check(1.0 / SPACE as f64, "ffffffffffffff");
        for ratio in [0.0, -1.0, 1.1, f64::NAN, f64::INFINITY] {
            assert_eq!(Threshold::of_ratio(ratio), None);
        }
    }

    #[test]
    fn names() {
        let check = |name, argument, rule, parent_based, warns: bool| {
            let (sampler, warning) = Sampler::parse(name, argument);
            assert_eq!((sampler, warning.is_some()), (Sampler { rule, parent_based }, warns), "{name}");
        };
        let half = Rule::Ratio(Threshold(SPACE / 2));
        check("always_on", None, Rule::AlwaysOn, false, false);
        check("always_off", Some("7"), Rule::AlwaysOff, false, false);
        check("traceidratio", Some(" 0.5 "), half, false, false);
        check("parentbased_traceidratio", Some("0.5"), half, true, false);
        check("parentbased_always_off", None, Rule::AlwaysOff, true, false);
        check("traceidratio", Some("0"), Rule::AlwaysOff, false, false);
        check("traceidratio", None, ALL, false, false);
        check("traceidratio", Some("1.5"), ALL, false, true);
        check("traceidratio", Some("half"), ALL, false, true);
        check("jaeger_remote", None, Rule::AlwaysOn, true, true);
    }

    #[test]
    fn a_parent_decides_where_the_sampler_is_parent_based() {
        let check = |name, parent, sampled: bool| {
            let mut identity = Identity { trace_flags: 3, ..Identity::default() };
            assert_eq!(
                Sampler::parse(name, None).0.decide(&mut identity, parent),
                sampled,
                "{name} {parent:?}"
            );
            assert_eq!(identity.trace_flags, 2 | u8::from(sampled));
        };
        check("parentbased_always_on", Some(0), false);
        check("parentbased_always_off", Some(1), true);
        check("parentbased_always_off", None, false);
        check("always_on", Some(0), true);
        check("always_off", Some(1), false);
    }

    #[test]
    fn a_ratio_compares_the_low_seven_bytes() {
        let half = Sampler { rule: Rule::Ratio(Threshold(SPACE / 2)), parent_based: false };
        let check = |byte: u8, state: Option<&str>, expect: Option<&str>| {
            let mut id = [0xff; 16];
            (id[8], id[9]) = (0, byte);
            let trace_state = state.map(Into::into);
            let mut identity = Identity { trace_id: TraceId(id), trace_state, ..Identity::default() };
            let sampled = half.decide(&mut identity, None);
            assert_eq!(identity.trace_state.as_deref(), expect);
            sampled
        };
        assert!(check(0x80, None, Some("ot=th:8")));
        assert!(!check(0x7f, None, None));
        assert!(check(0x80, Some("a=1,ot=th:c;x:y,b=2"), Some("ot=th:8;x:y,a=1,b=2")));
        assert!(!check(0x7f, Some("a=1,ot=th:0"), Some("a=1")));
        assert!(check(0x00, Some("ot=rv:80000000000000"), Some("ot=th:8;rv:80000000000000")));
        assert!(!check(0x80, Some("ot=rv:7fffffffffffff"), Some("ot=rv:7fffffffffffff")));
        assert!(check(0x80, Some("ot=rv:7F"), Some("ot=th:8;rv:7F")));
    }

    #[test]
    fn a_ratio_keeps_its_share_and_what_a_smaller_one_keeps() {
        let mut ids = IdGenerator::seeded(3);
        let [tenth, third] = ["0.1", "0.33"].map(|r| Sampler::parse("traceidratio", Some(r)).0);
        let (mut kept, mut kept_more) = (0, 0);
        for _ in 0..10_000 {
            let identity = Identity { trace_id: ids.trace_id(), ..Identity::default() };
            let (a, b) =
                (tenth.decide(&mut identity.clone(), None), third.decide(&mut identity.clone(), None));
            assert!(!a || b);
            (kept, kept_more) = (kept + u32::from(a), kept_more + u32::from(b));
        }
        assert!((820..=1_180).contains(&kept) && (3_020..=3_580).contains(&kept_more), "{kept} {kept_more}");
    }
}
