//! The `honeyguide` command; [`honeyguide::cli`] is all of it.

use std::process::ExitCode;

/// Spans are made on one thread and freed on another, thousands at a time: the C library's allocator spends a
/// sixth of the agent's time on that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    honeyguide::cli::main(std::env::args_os())
}
