//! Headers for outgoing requests, and TCP options: attached only where the user asked for them.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    os::fd::AsFd,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use aya::{
    Btf, Ebpf,
    maps::{Array, MapData, SockHash},
    programs::{BtfTracePoint, CgroupAttachMode, FExit, SkMsg, SockOps},
};
use honeyguide_common::propagation::{FOLLOW, Outcome, TRIAL};
use log::debug;

use super::{
    hooks::{self, Hook},
    outcomes::Outcomes,
};
use crate::span::context::TraceParent;

/// How contexts are handed on, and what the kernel programs are told about traces that begin with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PropagationSettings {
    pub http_headers: bool,
    pub tcp_option: bool,
    /// The traces that requests come with are gone on with.
    pub trace_context: bool,
    /// Of 2^56 traces, those that are not sampled: all of them where it is more.
    pub reject_below: u64,
}

/// The attached programs' tables. Dropping the programs lets every connection go.
pub(super) struct Headers {
    /// In the order of [`Outcome::ALL`].
    pub(super) outcomes: Outcomes<{ Outcome::ALL.len() }>,
    /// Connections are followed after their first request.
    pub(super) follow: bool,
}

/// How long the kernel may take to hand five bytes from one end of a connection to the other.
const PATIENCE: Duration = Duration::from_secs(2);

/// What both ways need.
pub(super) struct Common {
    cgroup: File,
    pub(super) switches: Array<MapData, u32>,
}

/// Attaches what both ways need.
///
/// # Errors
/// Where there is no cgroup2 hierarchy, or the kernel refuses.
pub(super) fn attach(ebpf: &mut Ebpf, btf: &Btf, hook: Hook, mounts: &str) -> Result<Common> {
    let root = cgroup_root(mounts)
        .context("no cgroup2 file system is mounted: `mount -t cgroup2 none /sys/fs/cgroup/unified`")?;
    let cgroup = File::open(&root).with_context(|| format!("cannot open {}", root.display()))?;
    let switches = Array::try_from(ebpf.take_map("PROPAGATION").context("no map PROPAGATION")?)?;
    attach_hooks(ebpf, btf, hook)?;
    Ok(Common { cgroup, switches })
}

/// Attaches what puts headers in.
///
/// # Errors
/// Where the kernel refuses, or what arrives is not what was to be.
pub(super) fn attach_headers(ebpf: &mut Ebpf, common: &mut Common) -> Result<Headers> {
    let mut connections: SockHash<MapData, u64> =
        SockHash::try_from(ebpf.take_map("CONNECTIONS").context("no map CONNECTIONS")?)?;
    let messages: &mut SkMsg = hooks::program(ebpf, "propagate_messages")?;
    messages.load().map_err(|error| hooks::refusal("propagate_messages", error))?;
    messages.attach(connections.fd()).context("propagate_messages does not attach")?;

    let follow = match tells_what_is_there(&mut connections) {
        Ok(follow) => follow,
        Err(error) => {
            debug!("whether readers are told of their bytes could not be tried: {error:#}");
            false
        }
    };
    common.switches.set(FOLLOW, u32::from(follow), 0)?;
    attach_to_sockets(ebpf, common, "propagate_connections")?;
    let mut headers = Headers { outcomes: Outcomes::take(ebpf, "OUTCOMES")?, follow };
    headers.try_out(common)?;
    Ok(headers)
}

/// Loads a program on socket operations, and attaches it for every process.
pub(super) fn attach_to_sockets(ebpf: &mut Ebpf, common: &Common, name: &str) -> Result<()> {
    let sockets: &mut SockOps = hooks::program(ebpf, name)?;
    sockets.load().map_err(|error| hooks::refusal(name, error))?;
    // By a link, which lets others attach beside it.
    sockets
        .attach(common.cgroup.as_fd(), CgroupAttachMode::Single)
        .with_context(|| format!("{name} does not attach"))?;
    Ok(())
}

/// Which requests are read and answered, and which connections are opened. Operations are seen through the hook that
/// captures them.
fn attach_hooks(ebpf: &mut Ebpf, btf: &Btf, hook: Hook) -> Result<()> {
    let mut tracepoints = vec![("propagate_states", "inet_sock_set_state")];
    match hook {
        Hook::Tracepoint => {
            tracepoints
                .extend([("propagate_sent", "sock_send_length"), ("propagate_received", "sock_recv_length")]);
        }
        Hook::FunctionExit => {
            for (name, function) in [
                ("propagate_inet_sent", "inet_sendmsg"),
                ("propagate_inet6_sent", "inet6_sendmsg"),
                ("propagate_sock_received", "sock_recvmsg"),
            ] {
                let program: &mut FExit = hooks::program(ebpf, name)?;
                program.load(function, btf).map_err(|error| hooks::refusal(name, error))?;
                program.attach().with_context(|| format!("{name} does not attach"))?;
            }
        }
    }
    for (name, tracepoint) in tracepoints {
        let program: &mut BtfTracePoint = hooks::program(ebpf, name)?;
        program.load(tracepoint, btf).map_err(|error| hooks::refusal(name, error))?;
        program.attach().with_context(|| format!("{name} does not attach"))?;
    }
    Ok(())
}

/// What is mounted here; nothing where `/proc` is not.
pub(super) fn mounts() -> String {
    fs::read_to_string("/proc/self/mounts").unwrap_or_default()
}

impl std::fmt::Debug for Headers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Headers").field("follow", &self.follow).finish_non_exhaustive()
    }
}

impl Headers {
    /// Sends a request of our own and looks at what arrives: kernels have had faults in this, and versions do not tell.
    ///
    /// # Errors
    /// Where anything else arrives than the request with its header.
    fn try_out(&mut self, common: &mut Common) -> Result<()> {
        common.switches.set(TRIAL, 1, 0)?;
        let arrived = send(TRIAL_HEAD, TRIAL_BODY);
        common.switches.set(TRIAL, 0, 0)?;
        let arrived = arrived.context("a request cannot be sent over loopback, to try it")?;
        self.outcomes.end_trial();
        if !is_with_header(&arrived, TRIAL_HEAD, TRIAL_BODY) {
            bail!(
                "this kernel does not put a header where it is told to: {:?}",
                String::from_utf8_lossy(&arrived)
            );
        }
        Ok(())
    }
}

/// The request of the trial: the empty line that ends its head is not the only one.
const TRIAL_HEAD: &[u8] = b"POST /honeyguide HTTP/1.1\r\nHost: localhost\r\nContent-Length: 43\r\n\r\n";
const TRIAL_BODY: &[u8] = b"GET /inner HTTP/1.1\r\nHost: localhost\r\n\r\nend";

/// What arrives of a request that is sent over a connection of its own.
pub(super) fn send(head: &[u8], body: &[u8]) -> Result<Vec<u8>> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let mut ours = TcpStream::connect(listener.local_addr()?)?;
    let (mut theirs, _) = listener.accept()?;
    ours.write_all(&[head, body].concat())?;
    ours.shutdown(Shutdown::Write)?;
    theirs.set_read_timeout(Some(PATIENCE))?;
    let mut arrived = Vec::new();
    theirs.read_to_end(&mut arrived)?;
    Ok(arrived)
}

fn is_with_header(arrived: &[u8], head: &[u8], body: &[u8]) -> bool {
    let Some((fields, end)) = head.split_at_checked(head.len() - 2) else { return false };
    let line = arrived.strip_prefix(fields).and_then(|rest| rest.strip_suffix(&[end, body].concat()[..]));
    let value = line.and_then(|line| std::str::from_utf8(line).ok()?.strip_prefix("traceparent: "));
    value.and_then(|value| TraceParent::parse(value.strip_suffix("\r\n")?)).is_some()
}

/// Whether a reader is told rightly how much there is to read of a connection in a sockmap. Linux 6.18.14, 6.12.75 and
/// 6.6.128 say 0 (their `tcp_bpf_ioctl` counts what a verdict program has queued, and there is none), and readers that ask
/// first (nginx, Java) stall. It is tried, on a connection of our own, since versions do not tell where it was mended.
fn tells_what_is_there(connections: &mut SockHash<MapData, u64>) -> Result<bool> {
    const KEY: u64 = 0;
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let ours = TcpStream::connect(listener.local_addr()?)?;
    let (mut theirs, _) = listener.accept()?;
    connections.insert(KEY, ours.as_fd(), 0)?;
    theirs.write_all(b"bytes")?;
    ours.set_read_timeout(Some(PATIENCE))?;
    let begun = Instant::now();
    while ours.peek(&mut [0; 8])? < 5 {
        if begun.elapsed() > PATIENCE {
            bail!("five bytes did not arrive");
        }
    }
    let told = rustix::io::ioctl_fionread(&ours)?;
    connections.remove(&KEY)?;
    Ok(told == 5)
}

/// Where the root of the cgroup2 hierarchy is; `mounts` is `/proc/self/mounts`.
fn cgroup_root(mounts: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (target, kind) = (fields.next()?, fields.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(target))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_one_header_passes_the_trial() {
        let (head, body) = (TRIAL_HEAD, TRIAL_BODY);
        assert_eq!(head.windows(18).any(|field| field == b"Content-Length: 43"), body.len() == 43);
        let (fields, end) = head.split_at(head.len() - 2);
        let line = b"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n";
        let check = |arrived: &[&[u8]]| is_with_header(&arrived.concat(), head, body);
        assert!(check(&[fields, line, end, body]));
        assert!(!check(&[head, body]));
        assert!(!check(&[fields, line, line, end, body]));
        assert!(!check(&[fields, line, end, &body[1..]]));
        assert!(!check(&[fields, &[0; 70], end, body]));
        assert!(!check(&[]));
    }

    #[test]
    fn the_root_of_the_hierarchy_is_where_it_is_mounted_first() {
        let mounts = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\ncgroup2 /run/other cgroup2 rw 0 0\n";
        assert_eq!(cgroup_root(mounts), Some(PathBuf::from("/sys/fs/cgroup/unified")));
        assert_eq!(cgroup_root("tmpfs / tmpfs rw 0 0\n"), None);
        assert_eq!(cgroup_root(""), None);
    }
}
