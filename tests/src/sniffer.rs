//! Wireshark's own programs: one that captures, and one that reads captures independently of the agent.

use std::{path::PathBuf, process::Command, thread, time::Duration};

use anyhow::{Context, Result, bail, ensure};

use crate::{guard::Guard, scratch::Scratch};

const START: Duration = Duration::from_secs(30);
const STOP: Duration = Duration::from_secs(30);
/// dumpcap takes packets from the kernel in blocks, of which the last one is given out this much later at most.
const LAST_BLOCK: Duration = Duration::from_millis(1_500);

/// A running dumpcap on loopback.
#[derive(Debug)]
pub struct Sniffer {
    guard: Guard,
    directory: Scratch,
}

/// A finished capture; the file goes away with it.
#[derive(Debug)]
pub struct Sniffed {
    pub file: PathBuf,
    _directory: Scratch,
}

impl Sniffer {
    /// Captures what goes to and from `port`, in the format that `options` ask of dumpcap.
    ///
    /// # Errors
    /// When dumpcap is not there or does not start.
    pub fn start(port: u16, options: &[&str]) -> Result<Self> {
        let directory = Scratch::new("sniffer")?;
        let mut command = Command::new("dumpcap");
        // A large buffer: a busy machine must not lose packets.
        command.args(["-i", "lo", "-B", "64", "-f", &format!("tcp port {port}")]).args(options);
        command.arg("-w").arg(directory.join("capture"));
        let mut guard = Guard::spawn(command).context("dumpcap: `apt-get install tshark` brings it")?;
        guard.wait_for_text("File: ", START)?;
        Ok(Self { guard, directory })
    }

    /// Ends the capture.
    ///
    /// # Errors
    /// When dumpcap fails, or says that it has lost packets.
    pub fn stop(mut self) -> Result<Sniffed> {
        thread::sleep(LAST_BLOCK);
        self.guard.signal(libc::SIGINT);
        let status = self.guard.wait(STOP)?;
        let log = self.guard.log();
        ensure!(status.success(), "dumpcap ended with {status}\n{log}");
        ensure!(log.contains("(pcap:0/dumpcap:0/"), "packets were lost\n{log}");
        let Self { directory, .. } = self;
        Ok(Sniffed { file: directory.join("capture"), _directory: directory })
    }
}

impl Sniffed {
    /// What tshark reads in it: a row for each packet that `filter` lets pass, with a column for each of `fields`. Several
    /// values in one packet are separated by `|`. `protocol` is what is spoken on `port`.
    ///
    /// # Errors
    /// When tshark is not there or fails.
    pub fn read(&self, port: u16, protocol: &str, filter: &str, fields: &[&str]) -> Result<Vec<Vec<String>>> {
        let mut command = Command::new("tshark");
        command.arg("-n").arg("-r").arg(&self.file).args(["-d", &format!("tcp.port=={port},{protocol}")]);
        command.args(["-Y", filter, "-T", "fields", "-E", "occurrence=a", "-E", "aggregator=|"]);
        for field in fields {
            command.args(["-e", field]);
        }
        let output = command.output().context("tshark: `apt-get install tshark` brings it")?;
        if !output.status.success() {
            bail!("tshark ended with {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
        }
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect())
    }
}
