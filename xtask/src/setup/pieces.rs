//! The real programs that the tests, the demo and the benchmarks run.

use std::process::Command;

use anyhow::Result;

use super::apt;
use crate::process;

/// A command, and the Debian package that brings it.
type Piece = (&'static str, &'static str);

const APPLICATION: [Piece; 4] = [
    ("nginx", "nginx"),
    ("node", "nodejs"),
    // Debian keeps the server itself off the path; this starts it.
    ("pg_ctlcluster", "postgresql"),
    ("python3", "python3"),
];
const TESTS: [Piece; 21] = [
    // The server alone: Debian starts what `apache2` brings.
    ("apache2", "apache2-bin"),
    ("bpftool", "bpftool"),
    ("busybox", "busybox-static"),
    ("cc", "gcc"),
    ("cpio", "cpio"),
    ("curl", "curl"),
    ("h2load", "nghttp2-client"),
    ("haproxy", "haproxy"),
    ("ip", "iproute2"),
    ("mariadbd", "mariadb-server"),
    ("memcached", "memcached"),
    ("musl-gcc", "musl-tools"),
    ("nft", "nftables"),
    ("npm", "npm"),
    // The other view of the same samples.
    ("perf", "linux-perf"),
    ("pgbouncer", "pgbouncer"),
    ("psql", "postgresql-client"),
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("redis-server", "redis-server"),
    ("strip", "binutils"),
    // Brings dumpcap too.
    ("tshark", "tshark"),
];
/// What the tests' own programs are linked with, and import.
const LIBRARIES: [&str; 2] = ["libssl-dev", "python3-pycurl"];
/// By package and not by command: some bring libraries, some a command with a version in its name.
const TRUTH: [&str; 8] = [
    "golang-github-lib-pq-dev",
    "golang-google-grpc-dev",
    "openjdk-17-jdk-headless",
    "php-curl",
    "php-fpm",
    "postgresql",
    "puma",
    "ruby",
];
const LOAD: [Piece; 8] = [
    ("cc", "gcc"),
    ("mariadbd", "mariadb-server"),
    // Brings redis-benchmark too.
    ("redis-cli", "redis-tools"),
    ("redis-server", "redis-server"),
    ("openssl", "openssl"),
    // The other profiler.
    ("perf", "linux-perf"),
    ("sysbench", "sysbench"),
    ("wrk", "wrk"),
];

/// Installs what the tests run, where that is allowed. Returns the packages that are still missing.
pub(crate) fn for_tests() -> Result<Vec<&'static str>> {
    let mut missing = for_demo()?;
    missing.extend(apt::ensure(&TESTS)?);
    missing.extend(apt::ensure_packages(&LIBRARIES)?);
    // A small load of each of its programs is a test.
    missing.extend(apt::ensure_packages(&TRUTH)?);
    Ok(missing)
}

/// The same for the demo.
pub(crate) fn for_demo() -> Result<Vec<&'static str>> {
    let mut missing = apt::ensure(&APPLICATION)?;
    // Debian's python3 comes without the part of the standard library that makes environments.
    let has_venv = || process::output(Command::new("python3").args(["-c", "import venv, ensurepip"])).is_ok();
    if !has_venv() && apt::can_install() {
        apt::install(&["python3-venv"])?;
    }
    if !has_venv() {
        missing.push("python3-venv");
    }
    Ok(missing)
}

/// The same for the benchmarks.
pub(crate) fn for_bench() -> Result<Vec<&'static str>> {
    let mut missing = for_demo()?;
    missing.extend(apt::ensure(&LOAD)?);
    Ok(missing)
}

/// The same for the benchmark of links.
pub(crate) fn for_truth() -> Result<Vec<&'static str>> {
    let mut missing = for_demo()?;
    // Some packages of nodejs bring it along.
    missing.extend(apt::ensure(&[("npm", "npm")])?);
    missing.extend(apt::ensure_packages(&TRUTH)?);
    Ok(missing)
}
