//! From the ring's bytes to a sample, checked.

use honeyguide_common::{
    identity,
    interpreter::{MAX_INTERPRETED, Walked},
    sample::{
        FLAG_OFF_CPU, FLAG_UNKNOWN_PROCESS, FRAME_EXACT, KIND_SAMPLE, MAX_KERNEL_FRAMES, MAX_USER_FRAMES,
        Outcome, Sample as Raw,
    },
};
use zerocopy::FromBytes as _;

use super::model::{Frame, Measure, Sample};
use crate::decode::{Comm, Malformed, context};

/// A sample whose addresses belong to no file yet.
#[derive(Debug)]
pub(super) struct Decoded {
    pub(super) sample: Sample,
    /// Words of an interpreter's frames.
    pub(super) interpreted: Vec<u64>,
    /// Changes when the process maps other code.
    pub(super) space: u64,
    /// The kernel did not know the process.
    pub(super) unknown: bool,
}

/// Reads one record; `period`: nanoseconds between two samples.
pub(super) fn decode(bytes: &[u8], period: u64) -> Result<Decoded, Malformed> {
    let (raw, rest) = Raw::read_from_prefix(bytes).map_err(|_| Malformed)?;
    let outcome = Outcome::from_number(raw.outcome).ok_or(Malformed)?;
    let (kernel, user) = (usize::from(raw.kernel_frames), usize::from(raw.user_frames));
    if raw.header.kind != KIND_SAMPLE || kernel > MAX_KERNEL_FRAMES || user > MAX_USER_FRAMES {
        return Err(Malformed);
    }
    let walked = Walked::from_flags(raw.header.flags).ok_or(Malformed)?;
    let captured = raw.header.captured as usize;
    let interpreted = (captured / 8).checked_sub(kernel + user).ok_or(Malformed)?;
    if interpreted > MAX_INTERPRETED {
        return Err(Malformed);
    }
    let words = rest.get(..(kernel + user + interpreted) * 8).ok_or(Malformed)?;
    let mut words = words.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap_or_default()));
    let kernel = words.by_ref().take(kernel).collect();
    let user_frames = words
        .by_ref()
        .take(user)
        .map(|word| Frame { address: word & !FRAME_EXACT, mapping: None, exact: word & FRAME_EXACT != 0 })
        .collect();
    let interpreted = words.collect();
    let off_cpu = raw.header.flags & FLAG_OFF_CPU != 0;
    let sample = Sample {
        time: raw.header.time,
        measure: if off_cpu { Measure::OffCpu } else { Measure::Cpu },
        weight: if off_cpu { raw.weight } else { period },
        pid: raw.pid,
        tid: raw.tid,
        cpu: raw.cpu,
        comm: Comm::new(raw.comm),
        context: context(u8::try_from(raw.identity).map_err(|_| Malformed)?, raw.context),
        moves: [identity::GOROUTINE, identity::TOKIO].map(u64::from).contains(&raw.identity),
        kernel,
        user: user_frames,
        outcome,
        interpreted: Vec::new(),
        walked,
    };
    let unknown = raw.header.flags & FLAG_UNKNOWN_PROCESS != 0;
    Ok(Decoded { sample, interpreted, space: raw.space, unknown })
}

#[cfg(test)]
mod tests {
    use zerocopy::{FromZeros as _, IntoBytes as _};

    use super::*;

    fn record() -> Vec<u8> {
        let mut raw = Raw::new_zeroed();
        raw.header.kind = KIND_SAMPLE;
        (raw.pid, raw.kernel_frames, raw.user_frames, raw.space) = (7, 1, 2, 99);
        (raw.header.captured, raw.header.flags) = (32, 1 << 4);
        let mut bytes = raw.as_bytes().to_vec();
        for word in [0xffff_ffff_8100_0000, 0x1000 | FRAME_EXACT, 0x2000, 0x7f01] {
            bytes.extend_from_slice(&u64::to_le_bytes(word));
        }
        bytes
    }

    #[test]
    fn frames_are_told_apart() {
        let decoded = decode(&record(), 10).unwrap();
        let sample = decoded.sample;
        assert_eq!((sample.pid, sample.weight, decoded.space, decoded.unknown), (7, 10, 99, false));
        assert_eq!(sample.kernel, [0xffff_ffff_8100_0000]);
        let user: Vec<_> = sample.user.iter().map(|frame| (frame.address, frame.exact)).collect();
        assert_eq!(user, [(0x1000, true), (0x2000, false)]);
        assert_eq!((decoded.interpreted, sample.walked), (vec![0x7f01], Walked::Complete));
    }

    #[test]
    fn every_prefix_and_wrong_counts_are_malformed() {
        let whole = record();
        for end in 0..whole.len() {
            assert!(decode(&whole[..end], 1).is_err(), "prefix of {end}");
        }
        for (at, value) in [(0, 1), (28, 200), (30, 128), (31, 255)] {
            let mut wrong = whole.clone();
            wrong[at] = value;
            assert!(decode(&wrong, 1).is_err(), "byte {at} = {value}");
        }
    }
}
