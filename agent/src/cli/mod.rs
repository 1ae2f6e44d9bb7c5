//! The command line. Each command is a file; all of them end in an exit code: 0 done, 1 failed, 2 wrong usage,
//! 3 the kernel or the privileges do not allow it.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is where the agent speaks to its user")]

mod attach;
mod check_config;
mod completions;
mod doctor;
mod flags;
mod flame;
mod record;
mod replay;
mod run;

use std::{ffi::OsString, process::ExitCode};

use clap::{CommandFactory as _, Parser, Subcommand, error::ErrorKind};

pub use flags::{ExportFlags, SelectionFlags};

use crate::{
    config::{ConfigError, Layer, Loaded},
    load::Unsupported,
};

/// Flags that do not go together, beyond what their own descriptions say.
#[derive(Debug)]
struct WrongUsage(String);

impl std::fmt::Display for WrongUsage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WrongUsage {}

/// HTTP calls of running programs as OpenTelemetry spans and metrics, without touching the programs.
#[derive(Debug, Parser)]
#[command(name = "honeyguide", version = VERSION, subcommand_required = true, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Trace what is selected (everything, by default) until stopped.
    Run(run::Run),
    /// Show one process's spans live, with a summary at the end.
    Attach(attach::Attach),
    /// Sample what runs on the CPUs, and write where the time went.
    Flame(flame::Flame),
    /// Write kernel events to a file, for replay.
    Record(record::Record),
    /// Put a recording or a packet capture through the same pipeline; needs no privileges.
    Replay(replay::Replay),
    /// Say what this kernel and these privileges allow, and what is missing.
    Doctor(doctor::Doctor),
    /// Check a configuration file.
    CheckConfig(check_config::CheckConfig),
    /// Print a shell's completion script.
    Completions(completions::Completions),
}

/// `0.1.0 (3f9c2ab)`; without the revision where the source is not a git checkout.
pub const VERSION: &str = env!("HONEYGUIDE_VERSION");

const FAILED: u8 = 1;
const WRONG_USAGE: u8 = 2;
const UNSUPPORTED: u8 = 3;

/// Runs the command in `arguments`, of which the first is the program's name.
pub fn main(arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers and go to stdout; a closed pipe is not worth a word.
            let _ = error.print();
            return ExitCode::from(match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => 0,
                _ => WRONG_USAGE,
            });
        }
    };
    match cli.command.execute() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("honeyguide: {error:#}");
            exit_code(&error)
        }
    }
}

impl Command {
    fn execute(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Run(command) => command.execute(),
            Self::Attach(command) => command.execute(),
            Self::Flame(command) => command.execute(),
            Self::Record(command) => command.execute(),
            Self::Replay(command) => command.execute(),
            Self::Doctor(command) => Ok(command.execute()),
            Self::CheckConfig(command) => command.execute(),
            Self::Completions(command) => Ok(command.execute(&mut Cli::command())),
        }
    }
}

fn exit_code(error: &anyhow::Error) -> ExitCode {
    let code = if error.chain().any(<dyn std::error::Error>::is::<Unsupported>) {
        UNSUPPORTED
    } else if error.chain().any(|error| error.is::<ConfigError>() || error.is::<WrongUsage>()) {
        WRONG_USAGE
    } else {
        FAILED
    };
    ExitCode::from(code)
}

/// The settings of a command, and what is to be said about them; `None` when `OTEL_SDK_DISABLED` asks to do nothing.
fn settings(
    file: Option<&std::path::Path>,
    flags: Layer,
) -> Result<Option<crate::config::Settings>, ConfigError> {
    let variable = |name: &str| std::env::var(name).ok();
    let Loaded { settings, notes, disabled } = crate::config::load(file, variable, flags)?;
    crate::telemetry::logger::install(settings.log);
    for note in notes {
        eprintln!("honeyguide: {note}");
    }
    if disabled {
        eprintln!("honeyguide: OTEL_SDK_DISABLED is true; nothing is traced");
        return Ok(None);
    }
    Ok(Some(settings))
}

#[cfg(test)]
mod tests;
