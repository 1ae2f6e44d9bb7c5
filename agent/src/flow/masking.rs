//! What of a connection's bytes can be shown to anybody. Asked for by those who write them down.

use honeyguide_protocols::{
    Party,
    detect::{Direction, Protocol},
    http2,
    http2::Secrets,
};

use super::{connection::party, protocol::Parser};

/// How a direction's bytes are to be treated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hiding {
    /// From this stream offset on nothing is for anybody to see but what is shown.
    pub from: Option<u64>,
    /// More of what has passed may be shown later.
    pub waits: bool,
}

/// What is known of how a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speech {
    pub protocol: Protocol,
    /// The direction of the requests.
    pub client: Direction,
    pub compressed: bool,
}

#[derive(Debug)]
pub(super) struct Masking {
    pub(super) secrets: Secrets,
    shown: Vec<(Direction, u64, Vec<u8>)>,
    /// Where HTTP/2 begins: in what is sent, in what is received. It stays, whatever becomes of the parser, until
    /// another protocol is found.
    from: Option<[u64; 2]>,
    /// What is before these offsets is nobody's secret.
    first: [u64; 2],
}

impl Masking {
    pub(super) fn new(secrets: Secrets) -> Self {
        Self { secrets, shown: Vec::new(), from: None, first: [0; 2] }
    }

    /// The connection speaks another protocol from here on; `http2` where it is that.
    pub(super) fn begin(&mut self, http2: Option<&mut http2::Connection>, client: Direction) {
        self.from = http2
            .map(|parser| [Direction::Sent, Direction::Received].map(|way| parser.start(party(way, client))));
    }

    /// The first `length` bytes of a direction are what a proxy says, which has no secrets.
    pub(super) fn skip(&mut self, direction: Direction, length: u64) {
        self.first[direction as usize] = length;
    }

    /// It may be anything, and somebody's secrets may have passed: all is hidden until it is known.
    pub(super) fn suspect(&mut self) {
        self.from = self.from.or(Some(self.first));
    }

    /// What was hidden so far is of another protocol.
    pub(super) fn reveal(&mut self, bytes: impl Iterator<Item = (Direction, u64, Vec<u8>)>) {
        if self.from.is_some() {
            self.shown.extend(bytes);
        }
    }

    pub(super) fn from(&self, direction: Direction) -> Option<u64> {
        self.from.map(|from| from[direction as usize])
    }

    /// Takes what `parser` shows, if anybody asked.
    pub(super) fn collect(masking: &mut Option<Self>, parser: &mut Parser, client: Direction) {
        if let (Some(masking), Some(parser)) = (masking, parser.http2()) {
            let shown = parser.take_shown().into_iter().map(|shown| {
                let direction = match shown.from {
                    Party::Client => client,
                    Party::Server => client.opposite(),
                };
                (direction, shown.offset, shown.bytes)
            });
            masking.shown.extend(shown);
        }
    }

    pub(super) fn take(&mut self) -> Vec<(Direction, u64, Vec<u8>)> {
        std::mem::take(&mut self.shown)
    }
}
