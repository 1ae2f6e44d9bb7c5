//! Databases and key-value stores, each under the load of its own benchmark: many small commands, of which the store
//! itself makes little work.

use anyhow::{Result, ensure};
use honeyguide_tests::{mysql::MySql, postgres::Postgres, python, redis::Redis};

use super::{
    Settings, loads,
    measure::{Bench, Subject, Working},
    report::{Report, Targets},
};

/// What the project asks for; printed next to what was measured.
const POSTGRES: Targets =
    Targets { throughput: Some(0.95), server: None, agent_micros: None, rss_megabytes: 80.0 };
const MARIADB: Targets = Targets { throughput: None, ..POSTGRES };
const REDIS: Targets = Targets { throughput: Some(0.85), ..POSTGRES };
const REDIS_PIPELINED: Targets = Targets { throughput: None, ..POSTGRES };

/// What runs a case, by the case's name.
type Case = (&'static str, fn(&'static str, &Settings) -> Result<Report>);

const CASES: [Case; 6] = [
    ("postgres-prepared", |name, settings| postgres(name, "prepared", settings)),
    ("postgres-simple", |name, settings| postgres(name, "simple", settings)),
    ("mariadb-prepared", |name, settings| mariadb(name, true, settings)),
    ("mariadb-text", |name, settings| mariadb(name, false, settings)),
    ("redis", |name, settings| redis(name, 1, settings)),
    ("redis-pipelined", |name, settings| redis(name, 16, settings)),
];

pub(super) fn run(settings: &Settings) -> Result<()> {
    let wanted = settings.only.as_deref().unwrap_or_default();
    let cases: Vec<&Case> = CASES.iter().filter(|(name, _)| name.starts_with(wanted)).collect();
    ensure!(!cases.is_empty(), "no case begins with `{wanted}`: {:?}", CASES.map(|(name, _)| name));
    for (name, case) in cases {
        println!("bench: {name}");
        case(name, settings)?.tell()?;
    }
    Ok(())
}

fn postgres(name: &'static str, protocol: &'static str, settings: &Settings) -> Result<Report> {
    let server = Postgres::start()?;
    let mut tables = server.client("pgbench", "127.0.0.1".as_ref())?;
    python::quietly(tables.args(["--initialize", "--quiet"]))?;
    let title = match protocol {
        "prepared" => "PostgreSQL, pgbench --select-only, prepared",
        _ => "PostgreSQL, pgbench --select-only, simple",
    };
    let (pid, work) = (server.pid(), loads::pgbench(&server, protocol));
    measure(
        name,
        title,
        Subject { name: "PostgreSQL", traced: vec![pid], working: Working::Families(vec![pid]), work },
        settings,
        POSTGRES,
    )
}

fn mariadb(name: &'static str, prepared: bool, settings: &Settings) -> Result<Report> {
    let server = MySql::start()?;
    loads::sysbench_table(&server)?;
    let title = match prepared {
        true => "MariaDB, sysbench oltp_point_select, prepared",
        false => "MariaDB, sysbench oltp_point_select, text",
    };
    let (pid, work) = (server.pid(), loads::sysbench(&server, prepared));
    let working = Working::Processes(vec![pid]);
    measure(name, title, Subject { name: "MariaDB", traced: vec![pid], working, work }, settings, MARIADB)
}

fn redis(name: &'static str, pipeline: u32, settings: &Settings) -> Result<Report> {
    let server = Redis::start()?;
    let (title, targets) = match pipeline {
        1 => ("Redis, redis-benchmark -t set,get", REDIS),
        _ => ("Redis, redis-benchmark -t set,get -P 16", REDIS_PIPELINED),
    };
    let (pid, work) = (server.pid(), loads::redis(&server, pipeline));
    let working = Working::Processes(vec![pid]);
    measure(name, title, Subject { name: "Redis", traced: vec![pid], working, work }, settings, targets)
}

fn measure(
    name: &'static str,
    title: &'static str,
    subject: Subject<'_>,
    settings: &Settings,
    targets: Targets,
) -> Result<Report> {
    let bench = Bench { subject, settings };
    let pairs = bench.pairs()?;
    let programs = bench.program_times(&bench.subject.work)?;
    let settings = settings.clone();
    Ok(Report {
        name,
        title,
        server: bench.subject.name,
        targets,
        settings,
        pairs,
        paced: None,
        programs,
        hits: None,
    })
}
