//! What every protocol parser speaks: who sent bytes and when, and the exchange they add up to.

/// The execution identity that performed a socket operation. Parsers carry it, and never look inside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Actor {
    /// Process id (thread group id) in the initial pid namespace.
    pub pid: u32,
    /// Thread id in the initial pid namespace.
    pub tid: u32,
    /// A runtime's own identity (a goroutine, a Python context); 0 where there is none.
    pub context: u64,
}

/// When a run of bytes passed the socket, and by whose hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// Nanoseconds of the kernel's monotonic clock.
    pub time: u64,
    pub actor: Actor,
}

/// Which end of the conversation sent the bytes. The client is the one who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Party {
    Client,
    Server,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// Both directions were closed in order.
    Finished,
    /// A reset or another socket error; the number is the errno (for example 104, ECONNRESET).
    Error(i32),
    /// The agent stopped watching (evicted, shut down, process gone): says nothing of the peers.
    Unobserved,
}

/// The extent of one message (a request or a response) on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// The operation that carried the first byte.
    pub first: Stamp,
    /// The operation that carried the last byte seen so far.
    pub last: Stamp,
    /// Stream offset of the first byte, in its direction.
    pub offset: u64,
    /// Bytes on the wire: start line, headers, framing and body.
    pub wire_bytes: u64,
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The response ended where the protocol says it ends.
    Complete,
    /// The connection went on in another protocol (101, CONNECT).
    Upgraded,
    /// One side gave up this exchange alone (RST_STREAM of HTTP/2, with its error code). The reset is the
    /// last of that side's message: `last` of its extent is when it passed.
    Reset { by: Party, code: u32 },
    /// The connection ended before the response did.
    Aborted(CloseReason),
    /// Bytes were lost so that the end could not be seen; times are a lower bound.
    Lost,
}

/// One request and, when there was one, its response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange<D> {
    /// Ordinal on this connection; the same number that [`Event::Request`] announced.
    pub id: u64,
    pub request: Extent,
    pub response: Option<Extent>,
    pub outcome: Outcome,
    /// When the connection's end cut it off: of [`Outcome::Aborted`] alone.
    pub closed: Option<Stamp>,
    /// Bytes that carry meaning (a head, a body's framing) were not captured: some detail may be
    /// missing, times hold. Body bytes that were only counted do not damage an exchange.
    pub damaged: bool,
    /// What the protocol has to say: method and status, statement and rows.
    pub detail: D,
}

/// What a parser reports, in the order it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<R, D> {
    /// A request's head is known. The exchange stays open until an `Exchange` with the same id.
    Request { id: u64, extent: Extent, head: R },
    /// The first byte of the response to request `id` has passed.
    Response { id: u64, first: Stamp },
    /// The exchange is over.
    Exchange(Exchange<D>),
}

impl<R, D> Event<R, D> {
    pub fn id_mut(&mut self) -> &mut u64 {
        match self {
            Self::Request { id, .. } | Self::Response { id, .. } | Self::Exchange(Exchange { id, .. }) => id,
        }
    }
}

impl<D> Exchange<D> {
    /// The exchange without its detail, and the detail.
    pub fn split(self) -> (Exchange<()>, D) {
        let Self { id, request, response, outcome, closed, damaged, detail } = self;
        (Exchange { id, request, response, outcome, closed, damaged, detail: () }, detail)
    }

    /// The same exchange with another detail.
    pub fn map<T>(self, detail: impl FnOnce(D) -> T) -> Exchange<T> {
        let Self { id, request, response, outcome, closed, damaged, detail: own } = self;
        Exchange { id, request, response, outcome, closed, damaged, detail: detail(own) }
    }
}
