//! The project's own commands. `cargo xtask` without one lists them.
#![allow(clippy::print_stdout, clippy::print_stderr)] // These commands speak to the person who typed them.

mod bench;
mod bpf;
mod build;
mod demo;
mod fuzz;
mod lint;
mod paths;
mod process;
mod setup;
mod test;
mod tidy;
mod truth;

use std::{env, process::ExitCode};

use anyhow::{Result, bail};

const USAGE: &str = "\
cargo xtask <command>

  demo                 build, trace a small real application, print its spans     (start here)
  test [FILTER]        set up, build, run every test, the kernel's and the VM's included
  bench http [--seconds N] [--rounds N] [--connections N] [--rate N] [--against CONFIG]
                       what tracing costs nginx, and what the agent needs
  bench tls [the same] what it costs nginx over TLS
  bench go [the same]  what it costs a Go server that calls another
  bench sql [the same, and --only postgres|redis]
                       what it costs PostgreSQL and Redis
  bench off-cpu [--seconds N] [--rounds N]
                       what it costs two threads that wait for each other
  truth [CASE…] [--concurrency 1,16,64] [--pattern seq,pause,fan] [--requests N] [--seconds N] 
        [--keep] [--record | --replay] [--rules] [-- ARG…]
                       how many links between requests and their calls are right; writes docs/truth.md
  setup                find or install what building the BPF programs needs
  build-ebpf           the BPF object alone: target/bpf/honeyguide.bpf.o
  fuzz [TARGET]… [--seconds N] [--input FILE]
                       libFuzzer on the parsers, 60 s each
  lint                 format, clippy, the house rules, the dependencies
  tidy                 the house rules alone
  build                the BPF object and the agent: target/release/honeyguide
";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let Some((command, rest)) = arguments.split_first() else {
        print!("{USAGE}");
        return Ok(());
    };
    match command.as_str() {
        "setup" => takes_nothing(rest).and_then(|()| setup::run()),
        "build-ebpf" => takes_nothing(rest).and_then(|()| bpf::run()),
        "build" => takes_nothing(rest).and_then(|()| build::run()),
        "demo" => takes_nothing(rest).and_then(|()| demo::run()),
        "bench" => bench::run(rest),
        "truth" => truth::run(rest),
        "test" => test::run(rest),
        "fuzz" => fuzz::run(rest),
        "lint" => takes_nothing(rest).and_then(|()| lint::run()),
        "tidy" => takes_nothing(rest).and_then(|()| tidy::run()),
        "help" | "-h" | "--help" => {
            print!("{USAGE}");
            Ok(())
        }
        other => bail!("there is no command `{other}`\n\n{USAGE}"),
    }
}

fn takes_nothing(rest: &[String]) -> Result<()> {
    match rest.first() {
        None => Ok(()),
        Some(extra) => bail!("`{extra}` means nothing here"),
    }
}
