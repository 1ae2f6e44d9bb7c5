//! The load generator wrk.

use std::{process::Command, time::Duration};

use anyhow::{Context, Result, bail};

/// What one run of wrk reports.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Report {
    pub requests: u64,
    /// As wrk measured it, a little longer than asked for.
    pub seconds: f64,
    /// Answers other than 2xx and 3xx.
    pub refused: u64,
}

impl Report {
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // Counts of one bounded run are far below 2^52.
    pub fn rate(&self) -> f64 {
        self.requests as f64 / self.seconds
    }
}

/// Loads `url` over `connections` kept connections for `duration`, from one thread.
///
/// # Errors
/// When wrk is not there or meets socket errors.
pub fn run(url: &str, connections: u32, duration: Duration) -> Result<Report> {
    let output = Command::new("wrk")
        .args(["--threads", "1", "--connections", &connections.to_string()])
        .arg("--duration")
        .arg(format!("{}s", duration.as_secs().max(1)))
        .arg(url)
        .output()
        .context("wrk: `apt-get install wrk` brings it")?;
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() || said.contains("Socket errors") {
        bail!("wrk failed: {}\n{said}{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    read(&said).with_context(|| format!("cannot read what wrk said:\n{said}"))
}

fn read(said: &str) -> Option<Report> {
    // "  180012 requests in 3.00s, 30.2MB read"
    let (requests, rest) = said.lines().find_map(|line| line.trim().split_once(" requests in "))?;
    let seconds = time(rest.split(',').next()?)?;
    let refused = said.lines().find_map(|line| line.trim().strip_prefix("Non-2xx or 3xx responses: "));
    let refused = refused.map_or(Some(0), |count| count.parse().ok())?;
    Some(Report { requests: requests.parse().ok()?, seconds, refused })
}

fn time(text: &str) -> Option<f64> {
    let number = text.trim_end_matches(char::is_alphabetic);
    let scale = match &text[number.len()..] {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_is_read() {
        let said = "Running 3s test @ http://x\n  1 threads and 8 connections\n  180012 requests in 3.01s, 30.2MB read\n\
                    \x20 Non-2xx or 3xx responses: 12\nRequests/sec:  1\n";
        assert_eq!(read(said), Some(Report { requests: 180_012, seconds: 3.01, refused: 12 }));
        assert_eq!(read("  60 requests in 1.50m, x").map(|r| r.seconds), Some(90.0));
        assert_eq!(read("unable to connect"), None);
    }
}
