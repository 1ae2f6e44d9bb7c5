//! Headers put into outgoing requests, and options into segments, where the user asked for it.

/// What is put in: `traceparent: 00-<32>-<16>-<2>` and the end of its line (W3C Trace Context Level 2, 3.2).
pub const LINE: usize = 70;
/// The value alone.
pub const VALUE: usize = 55;

/// The most connections that wait for their requests, and requests that calls may follow.
pub const MAX_CONNECTIONS: usize = 65_536;
pub const MAX_REQUESTS: usize = 16_384;

/// Indices of the kernel's `PROPAGATION` table. 1: a connection is followed after its first request, since this kernel tells
/// readers rightly how much there is to read of connections that are.
pub const FOLLOW: u32 = 0;
/// 1: the agent tries it on a connection of its own.
pub const TRIAL: u32 = 1;
/// 1: the programs for TCP options are attached, too.
pub const OPTIONS: u32 = 2;
/// How many there are.
pub const SWITCHES: usize = 3;

/// What became of a message that was looked at, each with a counter of its own (a per-CPU array indexed by this). New ones
/// come last.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A request got its header.
    Injected = 0,
    /// It has a `traceparent` of its own.
    Carried = 1,
    /// The connection does not begin with an HTTP/1 request: TLS, HTTP/2, a database.
    NotHttp = 2,
    /// The head was not whole in one send.
    Split = 3,
    /// The head is longer than is looked at.
    TooLong = 4,
    /// Bytes sent before are not acknowledged yet: a pipeline, or a send that went another way.
    InFlight = 5,
    /// What follows the request cannot be told from its head (chunked, upgraded, two lengths): the connection is not followed
    /// any more.
    Unfollowed = 6,
    /// The kernel had no room for the header, or for the connection.
    NoRoom = 7,
    /// The header is in, and the message is several pieces: it may leave in as many packets.
    InPieces = 8,
    /// The ring had no room to tell of it: the header is in, and its span has another id.
    Untold = 9,
}

impl Outcome {
    pub const ALL: [Self; 10] = [
        Self::Injected,
        Self::Carried,
        Self::NotHttp,
        Self::Split,
        Self::TooLong,
        Self::InFlight,
        Self::Unfollowed,
        Self::NoRoom,
        Self::InPieces,
        Self::Untold,
    ];

    /// In the agent's own metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Injected => "injected",
            Self::Carried => "carried",
            Self::NotHttp => "not_http",
            Self::Split => "split",
            Self::TooLong => "too_long",
            Self::InFlight => "in_flight",
            Self::Unfollowed => "unfollowed",
            Self::NoRoom => "no_room",
            Self::InPieces => "in_pieces",
            Self::Untold => "untold",
        }
    }
}

const _: () = {
    let mut i = 0;
    while i < Outcome::ALL.len() {
        assert!(Outcome::ALL[i] as usize == i);
        i += 1;
    }
};

/// The TCP option: its kind (RFC 4727, 2.2: for experiments), its length, an experiment's id (RFC 6994), a trace id, and a
/// span id.
pub const OPTION_KIND: u8 = 254;
pub const OPTION_LENGTH: usize = 28;
/// The experiment's id: "hg", of which the lower two bits are [`OPTION_SAMPLED`] and [`OPTION_PLAINTEXT`].
pub const OPTION_ID: u16 = 0x6864;
pub const OPTION_SAMPLED: u16 = 1;
/// The offset counts the inside of TLS.
pub const OPTION_PLAINTEXT: u16 = 2;
/// The lower bits of the span id say where its bytes begin: the same bits of their offset in the stream, which counts from
/// the first byte of the connection, or of the inside of its TLS.
pub const OFFSET_BITS: u32 = 24;

/// Of a connection so many are kept: those that are not acknowledged yet, those that have come.
pub const KEPT: usize = 4;

/// What became of contexts in TCP options; as [`Outcome`].
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionOutcome {
    /// A send began that has one.
    Begun = 0,
    /// A segment was made with one. It may leave as several, and again.
    Written = 1,
    /// The other options of a segment left no room.
    NoRoom = 2,
    /// One has come.
    Read = 3,
    /// The kernel had no memory for it, or the ring no room to tell of it.
    Untold = 4,
    /// There was room in a segment, and the kernel did not take it: another program has written an option of this kind.
    Refused = 5,
}

impl OptionOutcome {
    pub const ALL: [Self; 6] =
        [Self::Begun, Self::Written, Self::NoRoom, Self::Read, Self::Untold, Self::Refused];

    /// In the agent's own metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::Written => "written",
            Self::NoRoom => "no_room",
            Self::Read => "read",
            Self::Untold => "untold",
            Self::Refused => "refused",
        }
    }
}

const _: () = {
    let mut i = 0;
    while i < OptionOutcome::ALL.len() {
        assert!(OptionOutcome::ALL[i] as usize == i);
        i += 1;
    }
};
