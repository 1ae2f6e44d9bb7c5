//! How often something may be done: a token bucket on the records' clock.

/// At most `burst` at once, and `rate` a second in the long run.
#[derive(Debug)]
pub(super) struct Budget {
    rate: u64,
    burst: u64,
    /// In billionths: what a nanosecond brings at one a second.
    tokens: u64,
    /// Nanoseconds.
    filled: u64,
}

const TOKEN: u64 = 1_000_000_000;

impl Budget {
    pub(super) fn new(rate: u64, burst: u64) -> Self {
        Self { rate, burst: burst * TOKEN, tokens: burst * TOKEN, filled: 0 }
    }

    /// Takes one; says whether there was one. `now` in nanoseconds; records of two CPUs may come in either order.
    pub(super) fn take(&mut self, now: u64) -> bool {
        let passed = now.saturating_sub(self.filled);
        self.tokens = self.tokens.saturating_add(passed.saturating_mul(self.rate)).min(self.burst);
        self.filled = self.filled.max(now);
        let left = self.tokens.checked_sub(TOKEN);
        self.tokens = left.unwrap_or(self.tokens);
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_the_rate() {
        let mut budget = Budget::new(2, 3);
        let start = 5 * TOKEN;
        let taken = |budget: &mut Budget, now: u64| (0..10).filter(|_| budget.take(now)).count();
        assert_eq!(taken(&mut budget, start), 3);
        assert_eq!(taken(&mut budget, start + TOKEN / 2 - 1), 0);
        assert_eq!(taken(&mut budget, start + TOKEN / 2), 1);
        assert_eq!(taken(&mut budget, start), 0);
        assert_eq!(taken(&mut budget, start + 2 * TOKEN), 3);
        assert_eq!(taken(&mut budget, u64::MAX), 3);
    }
}
