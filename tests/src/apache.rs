//! Debian's Apache, with a configuration of the caller's.

use std::{fmt::Write as _, fs, net::Ipv4Addr, path::PathBuf, process::Command};

use anyhow::{Context, Result};

use crate::{guard::Guard, port, scratch::Scratch};

/// A running server. `/ok` and what is aliased to it answers with 200.
#[derive(Debug)]
pub struct Apache {
    guard: Guard,
    port: u16,
    files: Scratch,
}

impl Apache {
    /// Starts it with these modules beyond the necessary ones. `configure` says the rest; it is given the directory of
    /// the documents.
    ///
    /// # Errors
    /// When it is not there or does not start.
    pub fn start(modules: &[&str], configure: impl FnOnce(&Scratch) -> Result<String>) -> Result<Self> {
        let (files, port) = (Scratch::new("apache")?, port::free()?);
        let root = files.path().display();
        let mut text = format!(
            "ServerRoot {root}\nServerName localhost\nListen 127.0.0.1:{port}\nPidFile {root}/pid\n\
             ErrorLog {root}/errors\nDocumentRoot {root}\n"
        );
        for module in ["mpm_event", "authz_core", "alias"].iter().chain(modules) {
            writeln!(text, "LoadModule {module}_module /usr/lib/apache2/modules/mod_{module}.so")?;
        }
        fs::write(files.join("ok"), "ok")?;
        text += &configure(&files)?;
        let file = files.join("apache.conf");
        fs::write(&file, text)?;
        let mut command = Command::new("/usr/sbin/apache2");
        command.arg("-f").arg(file).arg("-DFOREGROUND");
        let mut guard = Guard::spawn(command).context("`apt-get install apache2-bin` brings apache2")?;
        port::wait(&mut guard, (Ipv4Addr::LOCALHOST, port).into())?;
        Ok(Self { guard, port, files })
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.guard.pid()
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it has logged.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn errors(&self) -> Result<String> {
        Ok(fs::read_to_string(self.error_log())?)
    }

    fn error_log(&self) -> PathBuf {
        self.files.join("errors")
    }
}
