//! A reset, until it is certain that both ends took it for one.
//!
//! An end forgets what it resets (RFC 9293, section 3.10.5) and says nothing more. Where it does, the reset was another's, or
//! one that is thrown away, such as with a signature that was not agreed on (RFC 2385). The other end tells: if it
//! acknowledges what came behind the reset, the connection went on all the time.

use honeyguide_protocols::detect::Direction;

use super::segment::Segment;

#[derive(Debug)]
pub(super) struct Reset {
    pub(super) by: Direction,
    pub(super) sequence: u32,
    /// Where its end's stream was.
    offset: i64,
    behind: Vec<Kept>,
    weight: usize,
}

/// A segment, with bytes of its own.
#[derive(Debug)]
pub(super) struct Kept {
    segment: Segment<'static>,
    bytes: Vec<u8>,
}

/// What is kept of one connection. An end that is not acknowledged stops sooner.
const MAX_WEIGHT: usize = 64 * 1024;

impl Reset {
    pub(super) fn new(by: Direction, sequence: u32, offset: i64) -> Self {
        Self { by, sequence, offset, behind: Vec::new(), weight: 0 }
    }

    /// A segment of the same end, which begins at `offset`.
    pub(super) fn keep(&mut self, segment: &Segment<'_>, offset: i64) {
        let weight = size_of::<Kept>() + segment.bytes.len();
        let goes_on = offset >= self.offset && (segment.length > 0 || segment.fin) && !segment.reset;
        if goes_on && self.weight + weight <= MAX_WEIGHT {
            self.weight += weight;
            self.behind.push(Kept::new(segment));
        }
    }

    /// Whether the other end's word shows that it was none: it has everything before `offset`.
    pub(super) fn is_belied_by(&self, offset: i64) -> bool {
        !self.behind.is_empty() && offset > self.offset
    }

    /// What came behind it.
    pub(super) fn into_behind(self) -> Vec<Kept> {
        self.behind
    }

    /// Bytes that are held, with what they cost.
    pub(super) fn weight(&self) -> usize {
        self.weight
    }
}

impl Kept {
    fn new(segment: &Segment<'_>) -> Self {
        let Segment { time, source, destination, sequence, acknowledgement, syn, fin, reset, bytes, length } =
            *segment;
        let kept = bytes.to_vec();
        let bytes: &[u8] = &[];
        Self {
            segment: Segment {
                time,
                source,
                destination,
                sequence,
                acknowledgement,
                syn,
                fin,
                reset,
                bytes,
                length,
            },
            bytes: kept,
        }
    }

    pub(super) fn segment(&self) -> Segment<'_> {
        Segment { bytes: &self.bytes, ..self.segment }
    }
}
