//! Text from outside made fit for a terminal, and quantities made fit for a reader.

/// `text` without anything a terminal would act on: control characters (C0, DEL, C1), and the
/// invisible ones that reorder or hide what surrounds them. Cut to `width` characters.
pub(super) fn plain(text: &str, width: usize) -> String {
    let clean = |c: char| if is_unsafe(c) { '\u{fffd}' } else { c };
    let mut short: String = text.chars().take(width).map(clean).collect();
    if text.chars().nth(width).is_some() {
        short.pop();
        short.push('…');
    }
    short
}

/// Three digits and a unit, never wider than 8: `950 ns`, `1.25 ms`, `12.4 s`, `2m 03s`.
pub(super) fn duration(nanoseconds: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1_000, "µs"), (1_000_000, "ms"), (1_000_000_000, "s")];
    if nanoseconds < 1_000 {
        return format!("{nanoseconds} ns");
    }
    for (unit, name) in UNITS {
        let value = nanoseconds as f64 / unit as f64;
        // What rounds to 1000 goes to the next unit.
        if value < 9.995 {
            return format!("{value:.2} {name}");
        } else if value < 99.95 {
            return format!("{value:.1} {name}");
        } else if value < 999.5 && name != "s" {
            return format!("{value:.0} {name}");
        }
    }
    let seconds = (nanoseconds + 500_000_000) / 1_000_000_000;
    match seconds {
        0..3_600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h {:02}m", seconds / 3_600, seconds / 60 % 60),
    }
}

fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_a_terminal_acts_on_is_left() {
        for (text, expect) in [
            ("GET /a", "GET /a"),
            ("\u{1b}[31mred\u{1b}]0;t\u{7}", "�[31mred�]0;t�"),
            ("a\r\nb\tc\u{9b}2Jd\u{7f}", "a��b�c�2Jd�"),
            ("abc\u{202e}txt.exe", "abc�txt.exe"),
            ("zero\u{200b}width", "zero�width"),
            ("straße 東京", "straße 東京"),
        ] {
            assert_eq!(plain(text, 40), expect, "{text:?}");
        }
        assert_eq!(plain("0123456789", 10), "0123456789");
        assert_eq!(plain("0123456789a", 10), "012345678…");
    }

    #[test]
    fn durations_have_three_digits() {
        for (nanoseconds, expect) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_000, "1.00 µs"),
            (9_994, "9.99 µs"),
            (9_995, "10.0 µs"),
            (812_300, "812 µs"),
            (999_499, "999 µs"),
            (999_500, "1.00 ms"),
            (12_440_000, "12.4 ms"),
            (1_250_000_000, "1.25 s"),
            (99_940_000_000, "99.9 s"),
            (99_950_000_000, "1m 40s"),
            (123_000_000_000, "2m 03s"),
            (3_599_400_000_000, "59m 59s"),
            (7_260_000_000_000, "2h 01m"),
        ] {
            assert_eq!(duration(nanoseconds), expect, "{nanoseconds}");
        }
    }
}
