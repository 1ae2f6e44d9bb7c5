//! A protocol's corpus in every prefix, every split and with every gap.

use proptest::{collection::vec, prelude::*, sample};

use super::{Case, Told, Wire};
use crate::exchange::Party;

/// How a corpus is run, and what must hold of it.
pub(crate) struct Corpus<C> {
    pub(crate) cases: Vec<Case>,
    /// The largest pieces that conversations are cut into.
    pub(crate) pieces: usize,
    /// Of the second cut of a message in three, and of the ends of gaps, every so manyeth: for corpora of long messages.
    pub(crate) cut_step: usize,
    pub(crate) gap_step: usize,
    /// Whether a connection whose start is not known reads the same of a case in pieces of this size.
    pub(crate) joined: fn(&Case, usize) -> bool,
    /// What must hold of the exchanges of a prefix.
    pub(crate) prefix: fn(&Case, &Wire<C>, &str),
    /// What must hold of the exchanges when part of the conversation was not seen.
    pub(crate) credible: fn(&Case, &[String], &str),
    /// Gaps that nothing can tell of: in this message, to its end or not.
    pub(crate) untold: fn(&Case, &Gap) -> bool,
}

/// Bytes of a message that were not seen.
pub(crate) struct Gap {
    pub(crate) message: usize,
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// It reaches to the message's end.
    pub(crate) to_the_end: bool,
    pub(crate) hole: Hole,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hole {
    /// Counted, and the last bytes of it seen.
    Tail,
    Counted,
    /// No record at all.
    Lost,
}

/// A piece as large as any message.
pub(crate) const WHOLE: usize = usize::MAX;

impl<C: Told> Corpus<C> {
    pub(crate) fn whole(&self) {
        for case in &self.cases {
            check(case, Wire::<C>::opened(), |_, _| Vec::new(), "whole");
            if (self.joined)(case, WHOLE) {
                check(case, Wire::<C>::joined(), |_, _| Vec::new(), "whole, start not known");
            }
        }
    }

    pub(crate) fn in_pieces_of_every_size(&self) {
        for case in &self.cases {
            for size in 1..=self.pieces {
                let cut = |_: usize, bytes: &[u8]| (size..bytes.len()).step_by(size).collect();
                check(case, Wire::<C>::opened(), cut, &format!("pieces of {size}"));
                if (self.joined)(case, size) {
                    check(case, Wire::<C>::joined(), cut, &format!("pieces of {size}, start not known"));
                }
            }
        }
    }

    pub(crate) fn every_message_in_two_and_in_three(&self) {
        for case in &self.cases {
            for (target, (_, bytes)) in case.script.iter().enumerate() {
                for first in 1..bytes.len() {
                    for second in (first..bytes.len()).step_by(self.cut_step) {
                        let cut =
                            |index, _: &[u8]| if index == target { vec![first, second] } else { Vec::new() };
                        let what = format!("message {target} cut at {first} and {second}");
                        check(case, Wire::<C>::opened(), cut, &what);
                    }
                }
            }
        }
    }

    pub(crate) fn every_prefix(&self) {
        for case in &self.cases {
            let total: usize = case.script.iter().map(|(_, bytes)| bytes.len()).sum();
            for length in 0..total {
                let mut wire = Wire::<C>::opened();
                let mut left = length;
                for (from, bytes) in &case.script {
                    let taken = left.min(bytes.len());
                    wire.send(*from, &bytes[..taken]);
                    left -= taken;
                }
                wire.close();
                (self.prefix)(case, &wire, &format!("{length} bytes"));
            }
        }
    }

    pub(crate) fn every_gap(&self) {
        for case in &self.cases {
            for (message, (_, bytes)) in case.script.iter().enumerate() {
                for start in 0..bytes.len() {
                    for end in (start + 1..=bytes.len()).step_by(self.gap_step) {
                        for hole in [Hole::Tail, Hole::Counted, Hole::Lost] {
                            let gap = Gap { message, start, end, to_the_end: end == bytes.len(), hole };
                            if (self.untold)(case, &gap) {
                                continue;
                            }
                            let wire = run_with_gap::<C>(case, &gap);
                            let what = format!("message {message}, {start}..{end} {hole:?}");
                            (self.credible)(case, &wire.exchanges, &what);
                        }
                    }
                }
            }
        }
    }

    /// Attached in the middle, from each message from `first` on: what passed before was not seen.
    pub(crate) fn joined_at_every_message(&self, first: usize, holds: impl Fn(&Case, &Wire<C>, &str)) {
        for case in &self.cases {
            for start in first..case.script.len() {
                let mut wire = Wire::<C>::joined();
                case.script[start..].iter().for_each(|(party, bytes)| wire.send(*party, bytes));
                wire.close();
                holds(case, &wire, &format!("from message {start}"));
            }
        }
    }

    /// Of whole messages in any order, each by its case and its place there: the exchanges.
    pub(crate) fn shuffled(&self, messages: &[(usize, u8)]) -> Vec<String> {
        let mut wire = Wire::<C>::joined();
        for (case, pick) in messages {
            let script = &self.cases[*case].script;
            let (party, bytes) = &script[usize::from(*pick) % script.len()];
            wire.send(*party, bytes);
        }
        wire.close();
        wire.exchanges
    }
}

/// Runs a case in which each message is cut as `cut` says: it reads as it should, and nothing is complained of.
#[track_caller]
pub(crate) fn check<C: Told>(
    case: &Case,
    mut wire: Wire<C>,
    cut: impl Fn(usize, &[u8]) -> Vec<usize>,
    what: &str,
) {
    for (index, (from, bytes)) in case.script.iter().enumerate() {
        let mut start = 0;
        for end in cut(index, bytes).into_iter().chain([bytes.len()]) {
            wire.send(*from, &bytes[start..end]);
            start = end;
        }
    }
    wire.close();
    assert_eq!(wire.exchanges, case.expect, "{}: {what}", case.name);
    assert_eq!(wire.connection.complaint(), None, "{}: {what}", case.name);
}

/// Of a prefix: the exchanges that have ended are the first of those expected, as `ended` tells, and nothing failed.
#[track_caller]
pub(crate) fn check_in_order<C: Told>(case: &Case, wire: &Wire<C>, what: &str, ended: impl Fn(&str) -> bool) {
    let whole = wire.exchanges.iter().filter(|line| ended(line)).count();
    assert_eq!(&wire.exchanges[..whole], &case.expect[..whole], "{}: {what}", case.name);
    assert_eq!(wire.connection.failures(), 0, "{}: {what}", case.name);
}

#[track_caller]
pub(crate) fn check_nothing_told(case: &Case, exchanges: &[String], secret: &str, what: &str) {
    for line in exchanges {
        assert!(!line.contains(secret), "{}: {what}: {line}", case.name);
    }
}

/// A session that was recorded: lines of `C` or `S` and bytes in hexadecimal; and its exchanges, one a line.
#[track_caller]
pub(crate) fn check_recorded<C: Told>(name: &str, recording: &str, expect: &str) -> Wire<C> {
    let mut wire = Wire::<C>::opened();
    for line in recording.lines() {
        let (party, hex) = line.split_once(' ').unwrap();
        let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        let bytes: Vec<_> = (0..hex.len()).step_by(2).map(byte).collect();
        wire.send(if party == "C" { Party::Client } else { Party::Server }, &bytes);
    }
    wire.close();
    assert_eq!(wire.exchanges, expect.lines().collect::<Vec<_>>(), "{name}");
    wire
}

/// Messages of a corpus whole, in parts, and noise, by these weights.
pub(crate) fn fragment(cases: Vec<Case>, parts: u32, whole: u32) -> impl Strategy<Value = Vec<u8>> {
    let all = cases.into_iter().flat_map(|case| case.script).map(|(_, bytes)| bytes);
    let pieces: Vec<Vec<u8>> = all.filter(|bytes| bytes.len() < 256).collect();
    let cut = (sample::select(pieces.clone()), any::<sample::Index>(), any::<sample::Index>());
    prop_oneof![
        parts => cut.prop_map(|(piece, a, b)| {
            let (a, b) = (a.index(piece.len() + 1), b.index(piece.len() + 1));
            piece[a.min(b)..a.max(b)].to_vec()
        }),
        whole => sample::select(pieces),
        1 => vec(any::<u8>(), 0..64),
    ]
}

/// What a fuzzer's body reads: a first byte, then operations of a control byte and up to 255 bytes.
pub(crate) fn script(first: u8, operations: Vec<(u8, Vec<u8>)>) -> Vec<u8> {
    let mut data = vec![first];
    for (control, bytes) in operations {
        let bytes = &bytes[..bytes.len().min(255)];
        data.extend([control, u8::try_from(bytes.len()).unwrap()]);
        data.extend(bytes);
    }
    data
}

fn run_with_gap<C: Told>(case: &Case, gap: &Gap) -> Wire<C> {
    let mut wire = Wire::<C>::opened();
    for (index, (from, bytes)) in case.script.iter().enumerate() {
        if index != gap.message {
            wire.send(*from, bytes);
            continue;
        }
        if gap.start > 0 {
            wire.send(*from, &bytes[..gap.start]);
        }
        let missing = &bytes[gap.start..gap.end];
        let length = missing.len() as u64;
        match gap.hole {
            Hole::Tail => wire.skip(*from, length, &missing[missing.len().saturating_sub(16)..]),
            Hole::Counted => wire.skip(*from, length, b""),
            Hole::Lost => wire.lose(*from, length),
        }
        if !gap.to_the_end {
            wire.send(*from, &bytes[gap.end..]);
        }
    }
    wire.close();
    wire
}
