//! One connection, packet by packet, and what is told of it.

use std::net::{Ipv4Addr, SocketAddr};

use honeyguide::{
    decode::{Record, StateChange},
    flow::Endpoints,
    pcap::{Connections, Limits, Packet},
};
use honeyguide_protocols::detect::Direction;

use crate::packets::{ACK, FIN, RAW, RST, SYN, Tcp};

pub(crate) const MS: u64 = 1_000_000;

/// Sends packets a millisecond apart, and writes down the records.
pub(crate) struct Talk {
    pub(crate) connections: Connections,
    pub(crate) now: u64,
    /// What is told, a line each: `open`, `join`; `> bytes` and `< bytes` of client and server, with `+n` where `n`
    /// more were not captured, with `@offset` alone for a gap up to there, with `end`; `closed`, `reset`, `abandoned`, `unobserved`.
    pub(crate) told: Vec<String>,
    /// The sequence numbers of SYN: the client's, the server's.
    pub(crate) first: [u32; 2],
    pub(crate) port: u16,
    /// When each line was told to have happened.
    pub(crate) times: Vec<u64>,
    /// Lose interest after this many bytes of a record.
    pub(crate) bored_by: usize,
}

impl Talk {
    pub(crate) fn new() -> Self {
        Self::with(Limits::default())
    }

    pub(crate) fn with(limits: Limits) -> Self {
        Self {
            connections: Connections::new(limits),
            now: 1_000 * MS,
            told: Vec::new(),
            first: [1_000, 5_000],
            port: 40_000,
            times: Vec::new(),
            bored_by: usize::MAX,
        }
    }

    /// The handshake is over.
    pub(crate) fn opened() -> Self {
        let mut talk = Self::new();
        talk.open();
        talk
    }

    pub(crate) fn open(&mut self) {
        self.syn();
        self.syn_ack();
        self.client(0, 0, "");
    }

    pub(crate) fn syn(&mut self) {
        self.send(true, SYN, -1, -1, b"", 0);
    }

    pub(crate) fn syn_ack(&mut self) {
        self.send(false, SYN | ACK, -1, 0, b"", 0);
    }

    /// Bytes of the client's stream from offset `at` on, whose sender has `ack` bytes of the server's.
    pub(crate) fn client(&mut self, at: i64, ack: i64, data: &str) {
        self.send(true, ACK, at, ack, data.as_bytes(), data.len());
    }

    pub(crate) fn server(&mut self, at: i64, ack: i64, data: &str) {
        self.send(false, ACK, at, ack, data.as_bytes(), data.len());
    }

    pub(crate) fn client_fin(&mut self, at: i64, ack: i64, data: &str) {
        self.send(true, ACK | FIN, at, ack, data.as_bytes(), data.len());
    }

    pub(crate) fn server_fin(&mut self, at: i64, ack: i64, data: &str) {
        self.send(false, ACK | FIN, at, ack, data.as_bytes(), data.len());
    }

    pub(crate) fn client_rst(&mut self, at: i64) {
        self.send(true, RST, at, 0, b"", 0);
    }

    pub(crate) fn server_rst(&mut self, at: i64) {
        self.send(false, RST | ACK, at, 0, b"", 0);
    }

    /// A segment of `length` bytes of data, of which `data` was captured.
    pub(crate) fn send(&mut self, client: bool, flags: u8, at: i64, ack: i64, data: &[u8], length: usize) {
        let ends = [self.end(true), self.end(false)];
        let (own, other) = if client { (0, 1) } else { (1, 0) };
        let number =
            |side: usize, at: i64| self.first[side].wrapping_add(1).wrapping_add((at & 0xffff_ffff) as u32);
        let tcp = Tcp {
            source: ends[own],
            destination: ends[other],
            sequence: number(own, at),
            acknowledgement: if flags & ACK == 0 { 0 } else { number(other, ack) },
            flags,
        };
        let mut whole = data.to_vec();
        whole.resize(length, b'?');
        let bytes = tcp.packet(&whole);
        let captured = bytes.len() - (length - data.len());
        self.packet(RAW, &bytes[..captured], bytes.len());
    }

    pub(crate) fn packet(&mut self, link: u16, bytes: &[u8], length: usize) {
        self.now += MS;
        let packet = Packet { time: self.now, link, length: length as u64, bytes };
        let (told, times, bored_by) = (&mut self.told, &mut self.times, self.bored_by);
        self.connections.handle(&packet, &mut |record| tell(told, times, bored_by, record));
    }

    pub(crate) fn finish(&mut self) {
        let (told, times, bored_by) = (&mut self.told, &mut self.times, self.bored_by);
        self.connections.finish(&mut |record| tell(told, times, bored_by, record));
        assert_eq!(self.connections.waiting(), 0);
    }

    /// Holds what was told since this was last called against `expect`.
    #[track_caller]
    pub(crate) fn check(&mut self, expect: &[&str]) {
        assert_eq!(self.told, expect);
        self.told.clear();
        self.times.clear();
    }

    fn end(&self, client: bool) -> SocketAddr {
        if client {
            (Ipv4Addr::new(10, 0, 0, 1), self.port).into()
        } else {
            (Ipv4Addr::new(10, 0, 0, 2), 80).into()
        }
    }
}

fn tell(told: &mut Vec<String>, times: &mut Vec<u64>, bored_by: usize, record: Record<'_>) -> bool {
    let (line, time) = match record {
        Record::Connection(connection) => {
            let Endpoints::Tcp { local, remote } = connection.endpoints else { panic!("not TCP") };
            let how = if connection.from_start { "open" } else { "join" };
            (format!("{how} {local} from {remote}"), connection.time)
        }
        Record::Data(data) => {
            let side = if data.direction == Direction::Received { ">" } else { "<" };
            let text = String::from_utf8_lossy(data.bytes);
            let line = match data.length - data.bytes.len() as u64 {
                _ if data.eof => format!("{side} end"),
                0 if data.length == 0 => format!("{side} @{}", data.offset),
                0 => format!("{side} {text}"),
                cut => format!("{side} {text}+{cut}"),
            };
            (line, data.stamp.time)
        }
        Record::State(state) => {
            let line = match state.change {
                StateChange::Closed => "closed",
                StateChange::Failed(errno) if errno == libc_reset() => "reset",
                StateChange::Abandoned => "abandoned",
                StateChange::Unobserved => "unobserved",
                other => panic!("{other:?}"),
            };
            (line.to_owned(), state.time)
        }
        other => panic!("{other:?}"),
    };
    let wanted = line.len() < bored_by;
    told.push(line);
    times.push(time);
    wanted
}

/// ECONNRESET.
fn libc_reset() -> i32 {
    104
}
