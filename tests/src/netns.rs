//! Two network namespaces with a link between them: two hosts, as far as TCP can tell.

use std::{ffi::OsStr, process::Command};

use anyhow::{Context, Result};

use crate::python::quietly;

/// Both go when it is dropped.
#[derive(Debug)]
pub struct Pair {
    names: [String; 2],
}

impl Pair {
    /// The addresses of the two ends.
    pub const ADDRESSES: [&'static str; 2] = ["10.213.7.1", "10.213.7.2"];

    /// # Errors
    /// Where `ip` is missing, or the kernel refuses.
    pub fn new() -> Result<Self> {
        let pid = std::process::id();
        let pair = Self { names: [format!("honeyguide-{pid}-a"), format!("honeyguide-{pid}-b")] };
        for name in &pair.names {
            ip(&["netns", "add", name])?;
            ip(&["-n", name, "link", "set", "lo", "up"])?;
        }
        let [a, b] = &pair.names;
        ip(&["-n", a, "link", "add", "end", "type", "veth", "peer", "name", "end", "netns", b])?;
        for (name, address) in pair.names.iter().zip(Self::ADDRESSES) {
            ip(&["-n", name, "address", "add", &format!("{address}/24"), "dev", "end"])?;
            ip(&["-n", name, "link", "set", "end", "up"])?;
        }
        Ok(pair)
    }

    /// Side 0 sends there what side 1 has no address for.
    pub const BEYOND: &'static str = "10.213.8.0/24";

    /// Lets side 0 send to [`Self::BEYOND`], by way of side 1, and translate addresses by `rules`, a table of nft's; it can be
    /// reached by `address`, too.
    ///
    /// # Errors
    /// Where `nft` is missing, or the kernel refuses.
    pub fn translate(&self, address: &str, rules: &str) -> Result<()> {
        let name = &self.names[0];
        ip(&["-n", name, "address", "add", &format!("{address}/24"), "dev", "end"])?;
        ip(&["-n", name, "route", "add", Self::BEYOND, "via", Self::ADDRESSES[1]])?;
        // Debian keeps it in `sbin`.
        quietly(self.command(0, "/usr/sbin/nft").arg(rules)).context("`apt-get install nftables` brings nft")
    }

    /// A command that runs `program` on side 0 or 1. Its process becomes the program's.
    #[must_use]
    pub fn command(&self, side: usize, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.names[side])).arg(program);
        command
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        for name in &self.names {
            // One that was not made is not there to be deleted.
            let _ = ip(&["netns", "delete", name]);
        }
    }
}

fn ip(arguments: &[&str]) -> Result<()> {
    quietly(Command::new("ip").args(arguments)).context("`apt-get install iproute2` brings ip")?;
    Ok(())
}
