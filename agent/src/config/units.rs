//! Durations, sizes and bounded numbers, as text. Errors say what is allowed.

use std::{ops::RangeInclusive, time::Duration};

const UNITS: [(&str, u64); 6] = [
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60 * 1_000_000_000),
    ("h", 3600 * 1_000_000_000),
    ("d", 86_400 * 1_000_000_000),
];

const SIZES: [(&str, u64); 7] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("B", 1),
];

/// `5ms`, `1.5s`, `10m`.
///
/// # Errors
/// What is allowed.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "a duration such as 5ms, 10s or 1m is allowed".to_owned();
    let (number, unit) = split(text).ok_or_else(wrong)?;
    let (_, nanoseconds) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    let factor = Duration::from_nanos(*nanoseconds);
    match number.parse::<u32>() {
        Ok(whole) => factor.checked_mul(whole).ok_or_else(wrong),
        Err(_) => {
            let number: f64 = number.parse().map_err(|_| wrong())?;
            Duration::try_from_secs_f64(number * factor.as_secs_f64()).map_err(|_| wrong())
        }
    }
}

/// As [`duration`], and longer than nothing.
///
/// # Errors
/// What is allowed.
pub fn positive_duration(text: &str) -> Result<Duration, String> {
    let duration = duration(text)?;
    if duration.is_zero() {
        return Err("a duration longer than 0 is allowed".to_owned());
    }
    Ok(duration)
}

/// Samples a second: seldom enough to cost nothing, and often enough to show something.
pub const SAMPLE_RATES: RangeInclusive<u32> = 1..=2_000;

/// A rate within [`SAMPLE_RATES`].
///
/// # Errors
/// What is allowed.
pub fn sample_rate(text: &str) -> Result<u32, String> {
    let (low, high) = (SAMPLE_RATES.start(), SAMPLE_RATES.end());
    let rate = text.parse().ok().filter(|rate| SAMPLE_RATES.contains(rate));
    rate.ok_or_else(|| format!("a rate from {low} to {high} samples a second is allowed"))
}

/// Waits that are shorter than this are many and tell little.
pub const MIN_OFF_CPU: Duration = Duration::from_millis(1);

/// How long a thread must be blocked before it is told: from 1 µs, which is less than a switch takes, to a minute.
pub const MIN_OFF_CPUS: RangeInclusive<Duration> = Duration::from_micros(1)..=Duration::from_secs(60);

/// A duration within [`MIN_OFF_CPUS`].
///
/// # Errors
/// What is allowed.
pub fn min_off_cpu(text: &str) -> Result<Duration, String> {
    let least = duration(text).ok().filter(|least| MIN_OFF_CPUS.contains(least));
    least.ok_or_else(|| "a duration from 1us to 1m is allowed".to_owned())
}

/// Bytes: `8MiB`, `64KiB`, `1GB`, `8192`.
///
/// # Errors
/// What is allowed.
pub fn size(text: &str) -> Result<u64, String> {
    let wrong = || "a size such as 8192, 64KiB or 8MiB is allowed".to_owned();
    let (number, unit) = split(text).ok_or_else(wrong)?;
    let factor = match unit {
        "" => 1,
        _ => SIZES.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).ok_or_else(wrong)?.1,
    };
    number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)).ok_or_else(wrong)
}

/// A [`size`] that is a power of two within `range`.
///
/// # Errors
/// What is allowed.
pub fn ring_size(text: &str, range: &RangeInclusive<u32>) -> Result<u32, String> {
    let allowed = || {
        let (low, high) = (u64::from(*range.start()), u64::from(*range.end()));
        format!("a power of two from {} to {} is allowed", size_text(low), size_text(high))
    };
    let bytes = u32::try_from(size(text)?).map_err(|_| allowed())?;
    if bytes.is_power_of_two() && range.contains(&bytes) { Ok(bytes) } else { Err(allowed()) }
}

/// # Errors
/// What is allowed.
pub fn within(text: &str, range: &RangeInclusive<u64>) -> Result<u64, String> {
    let value = text.replace('_', "").parse().ok().filter(|value| range.contains(value));
    value.ok_or_else(|| format!("a whole number from {} to {} is allowed", range.start(), range.end()))
}

/// The shortest exact form: `8MiB`, `10000`.
#[must_use]
pub fn size_text(bytes: u64) -> String {
    let unit = SIZES[..3].iter().rev().find(|(_, factor)| bytes >= *factor && bytes.is_multiple_of(*factor));
    unit.map_or_else(|| bytes.to_string(), |(name, factor)| format!("{}{name}", bytes / factor))
}

/// Number and unit, with white space between them or not.
fn split(text: &str) -> Option<(&str, &str)> {
    let text = text.trim();
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    (!number.is_empty()).then(|| (number, unit.trim_start()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations() {
        for (text, expect) in [
            ("5ms", Duration::from_millis(5)),
            ("250us", Duration::from_micros(250)),
            ("10 s", Duration::from_secs(10)),
            ("1.5s", Duration::from_millis(1500)),
            ("2m", Duration::from_secs(120)),
            ("1h", Duration::from_secs(3600)),
            ("0s", Duration::ZERO),
        ] {
            assert_eq!(duration(text), Ok(expect), "{text}");
        }
        for wrong in ["", "5", "ms", "-5s", "5 parsecs", "1.2.3s", "99999999999999999999d"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert!(positive_duration("0ms").is_err());
    }

    #[test]
    fn waits() {
        for (text, expect) in [
            ("1us", Duration::from_micros(1)),
            ("5ms", Duration::from_millis(5)),
            ("1m", Duration::from_secs(60)),
        ] {
            assert_eq!(min_off_cpu(text), Ok(expect), "{text}");
        }
        for wrong in ["0", "0ms", "0.5us", "61s", "1000", "-1ms"] {
            assert_eq!(min_off_cpu(wrong), Err("a duration from 1us to 1m is allowed".to_owned()), "{wrong}");
        }
    }

    #[test]
    fn sizes() {
        for (text, expect) in [("8192", 8192), ("8MiB", 8 << 20), ("64 kib", 65536), ("1kB", 1000), ("3B", 3)]
        {
            assert_eq!(size(text), Ok(expect), "{text}");
        }
        for wrong in ["", "MiB", "1.5MiB", "8XB", "-1", "99999999999999999999", "18446744073709551615KiB"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
        assert_eq!(size_text(8 << 20), "8MiB");
        assert_eq!(size_text(1000), "1000");
        assert_eq!(size_text(3 << 10), "3KiB");
    }

    #[test]
    fn ring_sizes() {
        let range = 4096..=1 << 30;
        assert_eq!(ring_size("8MiB", &range), Ok(8 << 20));
        let allowed = Err("a power of two from 4KiB to 1GiB is allowed".to_owned());
        for wrong in ["3MiB", "2KiB", "2GiB", "8GiB"] {
            assert_eq!(ring_size(wrong, &range), allowed, "{wrong}");
        }
    }

    #[test]
    fn bounded_numbers() {
        assert_eq!(within("32_768", &(1..=100_000)), Ok(32_768));
        assert_eq!(within("0", &(1..=9)), Err("a whole number from 1 to 9 is allowed".to_owned()));
        assert!(within("1.0", &(1..=9)).is_err());
    }

    proptest! {
        #[test]
        fn garbage_never_panics(text in ".{0,40}", number in "[0-9.]{0,30}[a-zA-Z]{0,3}") {
            for text in [text, number] {
                let _ = (duration(&text), size(&text), within(&text, &(0..=9)));
            }
        }
    }
}
