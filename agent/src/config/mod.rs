//! Settings: one YAML file, the standard environment variables, and the command line's flags.
//! A flag goes before a variable, a variable before the file, the file before the default.

mod env;
mod error;
mod file;
mod layer;
mod nearest;
mod otlp;
mod reader;
mod settings;
pub mod units;
mod yaml;

use std::{fs::File, io::Read as _, path::Path};

pub use error::{ConfigError, Problem};
pub use layer::Layer;
pub use otlp::{DestinationLayer, SignalLayer, endpoint};
pub use settings::{Capture, Context, Http, Limits, Link, Metrics, Profile, ResourceSettings, Settings};

/// Settings and what the user should be told about them.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub settings: Settings,
    /// Environment variables that were ignored, and why: the specification asks to warn and go on.
    pub notes: Vec<String>,
    /// `OTEL_SDK_DISABLED=true`: nothing is to be done.
    pub disabled: bool,
}

/// A configuration is a page or two of text.
const FILE_LIMIT: u64 = 1 << 20;

/// Everything that has a say, put together. `variable` gives the value of an environment variable.
///
/// # Errors
/// Every problem in the file at once, each with its line; and a file that cannot be read.
pub fn load(
    file: Option<&Path>,
    variable: impl Fn(&str) -> Option<String>,
    flags: Layer,
) -> Result<Loaded, ConfigError> {
    let file = file.map(read_file).transpose()?.unwrap_or_default();
    let env = env::read(&variable);
    let layers = flags.over(env.layer).over(file);
    Ok(Loaded { settings: layers.into_settings(env.service_name), notes: env.notes, disabled: env.disabled })
}

/// The file alone, checked: `honeyguide check-config`.
///
/// # Errors
/// As [`load`].
pub fn read_file(path: &Path) -> Result<Layer, ConfigError> {
    let name = path.display().to_string();
    let unreadable = |reason: String| ConfigError::new(&name, vec![Problem { line: None, message: reason }]);
    let mut text = String::new();
    // A device or a pipe has no size to ask for.
    let read = File::open(path).and_then(|file| file.take(FILE_LIMIT + 1).read_to_string(&mut text));
    if text.len() as u64 > FILE_LIMIT {
        return Err(unreadable(format!("is larger than {}", units::size_text(FILE_LIMIT))));
    }
    read.map_err(|e| unreadable(format!("cannot be read: {e}")))?;
    read_text(&text).map_err(|problems| ConfigError::new(&name, problems))
}

fn read_text(text: &str) -> Result<Layer, Vec<Problem>> {
    let root = yaml::parse(text).map_err(|problem| vec![problem])?;
    file::read(root.as_ref())
}

#[cfg(test)]
mod tests;
