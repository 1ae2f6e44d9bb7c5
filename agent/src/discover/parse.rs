//! The text of `/proc` files, parsed. Whatever is in them, the answer is a value: never a panic.

/// Of `/proc/PID/stat`, what the agent needs (proc(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// At most 15 bytes, chosen by the program.
    pub comm: String,
    pub ppid: u32,
    /// Clock ticks after boot; with the pid, it names a process for as long as the machine is up.
    pub start_ticks: u64,
    pub kernel_thread: bool,
}

/// `PF_KTHREAD` of include/linux/sched.h.
const KERNEL_THREAD: u64 = 0x0020_0000;
const LISTEN: &str = "0A";

/// The command name stands in parentheses and may hold parentheses and spaces itself: the last `)` ends it.
/// A process that has ended and was not waited for (states Z and X) is absent: it runs nothing any more.
pub(super) fn stat(text: &[u8]) -> Option<Stat> {
    let open = text.iter().position(|byte| *byte == b'(')?;
    let close = text.iter().rposition(|byte| *byte == b')')?;
    let comm = String::from_utf8_lossy(text.get(open + 1..close)?).into_owned();
    let rest = std::str::from_utf8(text.get(close + 1..)?).ok()?;
    // Counted from the state, which is field 3 of proc(5).
    let mut fields = rest.split_ascii_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    let ppid = fields.next()?.parse().ok()?;
    let flags: u64 = fields.nth(4)?.parse().ok()?;
    let start_ticks = fields.nth(12)?.parse().ok()?;
    Some(Stat { comm, ppid, start_ticks, kernel_thread: flags & KERNEL_THREAD != 0 })
}

/// NUL-separated strings: `cmdline`. A process that wrote its own title leaves one string and a tail of NULs.
pub(super) fn argv(bytes: &[u8]) -> Vec<String> {
    let mut argv: Vec<String> =
        bytes.split(|byte| *byte == 0).map(|arg| String::from_utf8_lossy(arg).into_owned()).collect();
    while argv.last().is_some_and(String::is_empty) {
        argv.pop();
    }
    argv
}

/// `NAME=value` strings, NUL-separated: `environ`. What has no `=` is left out; a name given twice counts once, as getenv has it.
pub(super) fn environ(bytes: &[u8], keep: impl Fn(&str) -> bool) -> Vec<(String, String)> {
    let mut variables: Vec<(String, String)> = Vec::new();
    for entry in bytes.split(|byte| *byte == 0) {
        let Some(equals) = entry.iter().position(|byte| *byte == b'=') else { continue };
        let Ok(name) = std::str::from_utf8(&entry[..equals]) else { continue };
        if name.is_empty() || !keep(name) || variables.iter().any(|(seen, _)| seen == name) {
            continue;
        }
        variables.push((name.to_owned(), String::from_utf8_lossy(&entry[equals + 1..]).into_owned()));
    }
    variables
}

/// One line of `/proc/PID/net/tcp` or `tcp6`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TcpLine {
    Listening {
        port: u16,
        inode: u64,
    },
    /// Any other state. The kernel writes the listening sockets first, so the reader may stop here.
    Other,
    /// The heading, or not a socket.
    NotASocket,
}

/// `sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode …`
pub(super) fn tcp_line(line: &str) -> TcpLine {
    let mut fields = line.split_ascii_whitespace();
    let parsed = (|| {
        let (_, port) = fields.nth(1)?.rsplit_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        let state = fields.nth(1)?;
        let inode: u64 = fields.nth(5)?.parse().ok()?;
        Some((port, state, inode))
    })();
    match parsed {
        None => TcpLine::NotASocket,
        Some((port, LISTEN, inode)) => TcpLine::Listening { port, inode },
        Some(_) => TcpLine::Other,
    }
}

/// The number in `socket:[123]`, `net:[4026531840]`.
pub(super) fn bracketed(link: &str, kind: &str) -> Option<u64> {
    link.strip_prefix(kind)?.strip_prefix(":[")?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STAT: &str =
        "1234 (tmux: server) S 1 1234 1234 0 -1 4194368 5 0 0 0 1 2 0 0 20 0 1 0 98765 1000 200";

    #[test]
    fn stat_gives_parent_start_time_and_whether_it_is_the_kernels() {
        let expect = Stat { comm: "tmux: server".into(), ppid: 1, start_ticks: 98765, kernel_thread: false };
        assert_eq!(stat(STAT.as_bytes()), Some(expect));
        let kthread = b"2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 3 0 0";
        assert!(stat(kthread).unwrap().kernel_thread);
    }

    #[test]
    fn a_command_name_may_hold_parentheses_and_spaces() {
        let text = STAT.replace("tmux: server", ") 9 9 (x");
        assert_eq!(stat(text.as_bytes()).unwrap().comm, ") 9 9 (x");
        assert_eq!(stat(text.as_bytes()).unwrap().ppid, 1);
    }

    #[test]
    fn a_zombie_is_absent() {
        assert_eq!(stat(STAT.replace(") S ", ") Z ").as_bytes()), None);
    }

    #[test]
    fn a_cut_stat_is_absent() {
        for end in 0..STAT.len() - 15 {
            assert_eq!(stat(&STAT.as_bytes()[..end]), None, "{}", &STAT[..end]);
        }
    }

    #[test]
    fn argv_keeps_empty_arguments_inside_and_drops_the_tail() {
        assert_eq!(argv(b"a\0\0b\0"), ["a", "", "b"]);
        assert_eq!(argv(b"nginx: worker process\0\0\0\0"), ["nginx: worker process"]);
        assert!(argv(b"").is_empty());
    }

    #[test]
    fn environ_keeps_what_is_asked_for_once() {
        let bytes = b"A=1\0SECRET=x\0A=2\0B=x=y\0junk\0=z\0C=\0";
        let kept = environ(bytes, |name| name != "SECRET");
        let expect = [("A", "1"), ("B", "x=y"), ("C", "")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(kept, expect);
    }

    #[test]
    fn tcp_lines_of_both_families() {
        let v4 = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 30157 1 0 100 0 0 10 0";
        assert_eq!(tcp_line(v4), TcpLine::Listening { port: 8080, inode: 30157 });
        let v6 = "   1: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 77 1";
        assert_eq!(tcp_line(v6), TcpLine::Listening { port: 80, inode: 77 });
        assert_eq!(tcp_line(&v4.replace(" 0A ", " 01 ")), TcpLine::Other);
        let heading = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";
        assert_eq!(tcp_line(heading), TcpLine::NotASocket);
    }

    #[test]
    fn links_to_sockets_and_namespaces() {
        assert_eq!(bracketed("socket:[30157]", "socket"), Some(30157));
        assert_eq!(bracketed("pipe:[1]", "socket"), None);
        assert_eq!(bracketed("socket:[x]", "socket"), None);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..256), text in ".{0,200}") {
            stat(&bytes);
            argv(&bytes);
            environ(&bytes, |_| true);
            tcp_line(&text);
            bracketed(&text, "net");
        }

        #[test]
        fn damaged_stat_never_panics(at in 0..STAT.len(), byte in any::<u8>()) {
            let mut damaged = STAT.as_bytes().to_vec();
            damaged[at] = byte;
            stat(&damaged);
        }
    }
}
