//! What loads a server as fast as it goes: programs of others, and what they report.

use std::{cell::Cell, process::Command};

use anyhow::{Context, Result, ensure};
use honeyguide_tests::{
    mysql::{self, MySql},
    postgres::Postgres,
    redis::Redis,
    wrk,
};

use super::Settings;

/// A load of about the duration that is set: how many requests were answered, and in how many seconds.
pub(super) type Work<'a> = Box<dyn Fn(&Settings) -> Result<(u64, f64)> + 'a>;

/// `url`, over kept connections.
pub(super) fn wrk(url: String) -> Work<'static> {
    Box::new(move |settings| {
        let report = wrk::run(&url, settings.connections, settings.duration())?;
        ensure!(report.refused == 0, "{url}: {} requests were refused", report.refused);
        Ok((report.requests, report.seconds))
    })
}

/// pgbench's transaction of one `SELECT`. `protocol` is `simple`, `extended` or `prepared`.
pub(super) fn pgbench<'a>(server: &'a Postgres, protocol: &'static str) -> Work<'a> {
    Box::new(move |settings| {
        let mut command = server.client("pgbench", "127.0.0.1".as_ref())?;
        command.args(["--no-vacuum", "--select-only", "--protocol", protocol]);
        command.args(["--client", &settings.connections.to_string(), "--jobs", "1"]);
        command.args(["--time", &settings.seconds.to_string()]);
        let said = said(&mut command)?;
        pgbench_report(&said).with_context(|| format!("cannot read what pgbench said:\n{said}"))
    })
}

/// sysbench's transaction of one `SELECT` by primary key, prepared on the server or sent as text.
pub(super) fn sysbench<'a>(server: &'a MySql, prepared: bool) -> Work<'a> {
    Box::new(move |settings| {
        let mut command = sysbench_command(server);
        command.arg(format!("--threads={}", settings.connections));
        command.arg(format!("--time={}", settings.seconds));
        command.arg(if prepared { "--db-ps-mode=auto" } else { "--db-ps-mode=disable" });
        let said = said(command.arg("run"))?;
        sysbench_report(&said).with_context(|| format!("cannot read what sysbench said:\n{said}"))
    })
}

/// The table that sysbench reads.
pub(super) fn sysbench_table(server: &MySql) -> Result<()> {
    said(sysbench_command(server).arg("prepare")).map(|_| ())
}

fn sysbench_command(server: &MySql) -> Command {
    let mut command = Command::new("sysbench");
    command.args(["oltp_point_select", "--db-driver=mysql", "--tables=1", "--table-size=10000"]);
    command.args(["--mysql-host=127.0.0.1", &format!("--mysql-port={}", server.port())]);
    command.arg(format!("--mysql-user={}", mysql::USER));
    command.arg(format!("--mysql-password={}", mysql::PASSWORD));
    command.arg(format!("--mysql-db={}", mysql::DATABASE));
    command
}

/// `SET` and `GET` in equal numbers, one after the other, `pipeline` of them at once on each connection.
pub(super) fn redis<'a>(server: &'a Redis, pipeline: u32) -> Work<'a> {
    // redis-benchmark is told how much to do and not how long.
    let rate = Cell::new(None);
    Box::new(move |settings| {
        let run = |each: u64| {
            let mut command = server.client("redis-benchmark");
            command.args(["-t", "set,get", "--csv", "-n", &each.to_string()]);
            command.args(["-c", &settings.connections.to_string(), "-P", &pipeline.to_string()]);
            let said = said(&mut command)?;
            let seconds = redis_report(&said, each);
            seconds.with_context(|| format!("cannot read what redis-benchmark said:\n{said}"))
        };
        if rate.get().is_none() {
            rate.set(Some(TRIAL as f64 / run(TRIAL)?));
        }
        let each = rate.get().unwrap_or_default() * settings.duration().as_secs_f64();
        let each = each as u64;
        Ok((2 * each, run(each)?))
    })
}

/// Commands of each kind in the load that tells how many a second there are.
const TRIAL: u64 = 50_000;

fn said(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}\n{errors}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Transactions, and the seconds without those that connecting took.
fn pgbench_report(said: &str) -> Option<(u64, f64)> {
    let value = |name: &str| said.lines().find_map(|line| line.strip_prefix(name));
    let transactions = value("number of transactions actually processed: ")?.split('/').next()?.trim();
    let transactions: u64 = transactions.parse().ok()?;
    let failed = value("number of failed transactions: ").is_none_or(|failed| failed.starts_with("0 "));
    let rate: f64 = value("tps = ")?.split(' ').next()?.parse().ok()?;
    (failed && rate > 0.0).then_some((transactions, transactions as f64 / rate))
}

/// Transactions, and the seconds that they took.
fn sysbench_report(said: &str) -> Option<(u64, f64)> {
    let value = |name: &str| said.lines().find_map(|line| line.trim_start().strip_prefix(name));
    let transactions: u64 = value("transactions:")?.split_whitespace().next()?.parse().ok()?;
    let failed = value("ignored errors:").is_none_or(|errors| errors.split_whitespace().next() == Some("0"));
    let seconds: f64 = value("total time:")?.trim().strip_suffix('s')?.parse().ok()?;
    (failed && seconds > 0.0).then_some((transactions, seconds))
}

/// Seconds that `SET` and `GET` took, `each` times each.
fn redis_report(said: &str, each: u64) -> Option<f64> {
    let seconds = |test: &str| {
        let mut rows = said.lines().map(|line| line.split(',').map(|field| field.trim_matches('"')));
        let rate: f64 =
            rows.find_map(|mut row| if row.next()? == test { row.next() } else { None })?.parse().ok()?;
        (rate > 0.0).then_some(each as f64 / rate)
    };
    Some(seconds("SET")? + seconds("GET")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pgbench_says_is_read() {
        let said = "transaction type: <builtin: select only>\nnumber of transactions actually processed: 41000\n\
                    number of failed transactions: 0 (0.000%)\nlatency average = 0.1 ms\n\
                    tps = 20500.000000 (without initial connection time)\n";
        assert_eq!(pgbench_report(said), Some((41_000, 2.0)));
        assert_eq!(pgbench_report(&said.replace(": 0 (", ": 3 (")), None);
        assert_eq!(pgbench_report("pgbench: error"), None);
    }

    #[test]
    fn what_sysbench_says_is_read() {
        let said = "SQL statistics:\n    transactions:                        41000  (20500.00 per sec.)\n\
                    \x20   ignored errors:                      0      (0.00 per sec.)\n\
                    General statistics:\n    total time:                          2.0000s\n";
        assert_eq!(sysbench_report(said), Some((41_000, 2.0)));
        assert_eq!(sysbench_report(&said.replace("errors:                      0", "errors:  3")), None);
        assert_eq!(sysbench_report("FATAL: error"), None);
    }

    #[test]
    fn what_redis_benchmark_says_is_read() {
        let said = "\"test\",\"rps\",\"avg_latency_ms\"\n\"SET\",\"50000.00\",\"0.1\"\n\"GET\",\"100000.00\",\"0.1\"\n";
        assert_eq!(redis_report(said, 100_000), Some(3.0));
        assert_eq!(redis_report("\"SET\",\"50000.00\"\n", 1), None);
    }
}
