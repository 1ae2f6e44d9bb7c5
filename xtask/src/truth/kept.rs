//! What a run leaves behind under `target/truth/CASE`: the agent's files, or a recording to be judged again.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use honeyguide_tests::{
    agent::Agent,
    capture::Capture,
    truth::{Load, Pattern},
};
use serde_json::{Value, json};

use super::settings::Settings;
use crate::paths;

pub(super) struct Kept {
    directory: PathBuf,
}

/// What has to be known of the loads to judge a recording.
pub(super) trait Known: Sized {
    fn json(&self) -> Value;
    fn read(json: &Value) -> Option<Self>;
}

impl Kept {
    pub(super) fn of(case: &str) -> Self {
        Self { directory: paths::target().join("truth").join(case) }
    }

    /// An agent that traces `pids`, or records them.
    pub(super) fn agent(&self, pids: &[u32], settings: &Settings) -> Result<Agent> {
        let selection = pids.iter().flat_map(|pid| ["--pid".to_owned(), pid.to_string()]);
        if settings.record {
            fs::create_dir_all(&self.directory)?;
            return Agent::record(&self.recording(), selection.chain(settings.agent.iter().cloned()));
        }
        Agent::run(selection.chain(quiet(settings)))
    }

    /// Ends the agent and reads what it has seen.
    pub(super) fn stop(&self, agent: Agent, loads: &impl Known, settings: &Settings) -> Result<Capture> {
        if settings.record {
            agent.stop()?;
            fs::write(self.loads_file(), loads.json().to_string())?;
            return self.replay(settings);
        }
        let out = agent.out().to_owned();
        agent.stop_with(|said| {
            if settings.keep {
                self.copy(&out)?;
            }
            Capture::read(&out, said)
        })
    }

    pub(super) fn replay(&self, settings: &Settings) -> Result<Capture> {
        let recording = self.recording();
        Agent::replay(&recording, quiet(settings))
            .with_context(|| format!("{}: `--record` makes it", recording.display()))
    }

    pub(super) fn loads<T: Known>(&self) -> Result<T> {
        let path = self.loads_file();
        let text = fs::read_to_string(&path)
            .with_context(|| format!("{}: a run with `--record` writes it", path.display()))?;
        let json: Value = serde_json::from_str(&text)?;
        T::read(&json).with_context(|| format!("{} is not what this command writes", path.display()))
    }

    fn copy(&self, out: &Path) -> Result<()> {
        fs::create_dir_all(&self.directory)?;
        for entry in fs::read_dir(out)? {
            let entry = entry?;
            fs::copy(entry.path(), self.directory.join(entry.file_name()))?;
        }
        println!("kept in {}", self.directory.display());
        Ok(())
    }

    fn recording(&self) -> PathBuf {
        self.directory.join("recording.hgr")
    }

    fn loads_file(&self) -> PathBuf {
        self.directory.join("loads.json")
    }
}

fn quiet(settings: &Settings) -> impl Iterator<Item = String> {
    ["--print".to_owned(), "none".to_owned()].into_iter().chain(settings.agent.iter().cloned())
}

impl Known for Vec<u64> {
    fn json(&self) -> Value {
        json!(self)
    }

    fn read(json: &Value) -> Option<Self> {
        json.as_array()?.iter().map(Value::as_u64).collect()
    }
}

impl Known for Vec<Load> {
    fn json(&self) -> Value {
        let load = |load: &Load| {
            let Load { pattern, connections, answered, took } = load;
            json!({
                "pattern": pattern.name(), "connections": connections,
                "seconds": took.as_secs_f64(), "answered": answered.json(),
            })
        };
        self.iter().map(load).collect()
    }

    fn read(json: &Value) -> Option<Self> {
        let load = |json: &Value| {
            Some(Load {
                pattern: Pattern::ALL.into_iter().find(|pattern| json["pattern"] == pattern.name())?,
                connections: usize::try_from(json["connections"].as_u64()?).ok()?,
                answered: Vec::<u64>::read(&json["answered"])?,
                took: Duration::try_from_secs_f64(json["seconds"].as_f64()?).ok()?,
            })
        };
        json.as_array()?.iter().map(load).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_read_back_as_they_were() {
        let took = Duration::from_millis(1500);
        let loads = vec![Load { pattern: Pattern::Fan, connections: 16, answered: vec![1, 2, 9], took }];
        assert_eq!(Vec::<Load>::read(&loads.json()), Some(loads));
    }
}
