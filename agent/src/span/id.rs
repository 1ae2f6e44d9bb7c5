//! Trace and span ids: fast, uniform, not for secrets. xoshiro256++ (Blackman and Vigna, 2019).

use std::hash::{BuildHasher, RandomState};

use super::{SpanId, TraceId};

/// Makes ids. All bytes are random, so a trace made here carries the flag [`super::context::RANDOM`].
#[derive(Clone, Debug)]
pub struct IdGenerator([u64; 4]);

impl IdGenerator {
    /// The same seed gives the same ids, which a replay needs.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        let mut state = seed;
        Self([(); 4].map(|()| split_mix(&mut state)))
    }

    /// Seeded by the operating system: the standard library's hash keys are 128 bits of its randomness.
    #[must_use]
    pub fn from_os() -> Self {
        let keys = RandomState::new();
        let mut generator = Self([0_u64, 1, 2, 3].map(|n| keys.hash_one(n)));
        if generator.0 == [0; 4] {
            generator = Self::seeded(0); // The one state xoshiro never leaves.
        }
        generator
    }

    pub fn trace_id(&mut self) -> TraceId {
        loop {
            let (high, low) = (self.next(), self.next());
            let id = TraceId((u128::from(high) << 64 | u128::from(low)).to_be_bytes());
            if id.is_valid() {
                return id;
            }
        }
    }

    pub fn span_id(&mut self) -> SpanId {
        loop {
            let id = SpanId(self.next().to_be_bytes());
            if id.is_valid() {
                return id;
            }
        }
    }

    fn next(&mut self) -> u64 {
        let s = &mut self.0;
        let result = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }
}

/// SplitMix64 spreads a small seed over the whole state.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_generator_is_xoshiro256_plus_plus() {
        // The first outputs of the authors' reference code from this state.
        let mut generator = IdGenerator([1, 2, 3, 4]);
        assert_eq!([(); 3].map(|()| generator.next()), [41_943_041, 58_720_359, 3_588_806_011_781_223]);
    }

    #[test]
    fn a_seed_repeats_and_ids_do_not() {
        let (mut a, mut b) = (IdGenerator::seeded(7), IdGenerator::seeded(7));
        assert_eq!((a.trace_id(), a.span_id()), (b.trace_id(), b.span_id()));
        assert_ne!(IdGenerator::seeded(8).trace_id(), IdGenerator::seeded(7).trace_id());
        assert_ne!(IdGenerator::from_os().trace_id(), IdGenerator::from_os().trace_id());
        let ids: HashSet<_> = (0..10_000).map(|_| a.span_id()).collect();
        assert_eq!(ids.len(), 10_000);
    }

    #[test]
    fn every_bit_of_the_low_seven_bytes_is_even() {
        let mut generator = IdGenerator::seeded(1);
        let mut ones = [0_u32; 56];
        for _ in 0..10_000 {
            let id = u128::from_be_bytes(generator.trace_id().0);
            for (bit, count) in ones.iter_mut().enumerate() {
                *count += u32::from(id >> bit & 1 == 1);
            }
        }
        // Six standard deviations of a fair coin.
        assert!(ones.iter().all(|n| (4_700..=5_300).contains(n)), "{ones:?}");
    }
}
