//! The `honeyguide` command; [`honeyguide::cli`] is all of it.

use std::process::ExitCode;

fn main() -> ExitCode {
    honeyguide::cli::main(std::env::args_os())
}
