//! Failures are counted, never silent: one per-CPU counter for each cause.

use honeyguide_common::Failure;

use crate::maps::FAILURES;

/// Adds one to a failure's counter.
#[inline(always)]
pub fn count(failure: Failure) {
    if let Some(counter) = FAILURES.get_ptr_mut(failure as u32) {
        // SAFETY: a per-CPU slot of a map that lives as long as the program.
        unsafe { *counter += 1 };
    }
}
