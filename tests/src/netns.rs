//! Two network namespaces with a link between them: two hosts, as far as TCP can tell.

use std::{ffi::OsStr, fs::File, os::fd::AsFd as _, process::Command};

use anyhow::{Context, Result};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

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
        self.nft(0, rules)
    }

    /// A command that runs `program` on side 0 or 1. Its process becomes the program's.
    #[must_use]
    pub fn command(&self, side: usize, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.names[side])).arg(program);
        command
    }

    /// Does `work` on side 0 or 1: what it starts is there, as long as this thread lives.
    ///
    /// # Errors
    /// Where the kernel refuses, or `work` fails.
    pub fn within<T>(&self, side: usize, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let enter = |namespace: &File| {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
                .context("another network namespace cannot be entered")
        };
        let here = File::open("/proc/thread-self/ns/net")?;
        enter(&File::open(format!("/run/netns/{}", self.names[side]))?)?;
        let done = work();
        enter(&here)?;
        done
    }

    /// Side 1 does not get every twentieth of the segments that are sent to it.
    ///
    /// # Errors
    /// Where `nft` is missing, or the kernel refuses.
    pub fn lose_packets(&self) -> Result<()> {
        // One by one, or all that was handed over at once is lost.
        ip(&["-n", &self.names[0], "link", "set", "end", "gso_max_segs", "1"])?;
        self.nft(
            1,
            "add table ip losses\nadd chain ip losses in { type filter hook input priority 0; }\n\
             add rule ip losses in ip protocol tcp numgen inc mod 20 19 drop",
        )
    }

    /// Debian keeps it in `sbin`.
    fn nft(&self, side: usize, rules: &str) -> Result<()> {
        quietly(self.command(side, "/usr/sbin/nft").arg(rules))
            .context("`apt-get install nftables` brings nft")
    }

    /// Segments that side 0 has sent again.
    ///
    /// # Errors
    /// Where the kernel does not tell.
    pub fn retransmitted(&self) -> Result<u64> {
        let output = self.command(0, "cat").arg("/proc/net/snmp").output()?;
        let text = String::from_utf8(output.stdout)?;
        let mut lines = text.lines().filter(|line| line.starts_with("Tcp:"));
        let (names, values) = (lines.next().context("no Tcp line")?, lines.next().context("no values")?);
        let at = names.split(' ').position(|name| name == "RetransSegs").context("no RetransSegs")?;
        Ok(values.split(' ').nth(at).context("no value")?.parse()?)
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
