//! Which evidence gave an exchange its parent.

/// In the order of the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// Nothing before it: the root of a trace.
    None,
    /// The thread that sent the call had exactly one request in hand.
    SameThread,
    /// The goroutine or the Python context that sent the call had exactly one request in hand.
    SameTask,
    /// Whoever sent the call wrote this response next.
    Writer,
    /// The task that sent the call was made, by one or several steps, by the one that has the request.
    Ancestry,
    /// The task that sent the call was woken for it by one that has the request, or that this one has made; or the thread
    /// that has the request waited for the answer, and was woken by the one that had sent the call and read it.
    Woken,
    /// The thread that sent the call had just read the request, or an answer to one of its calls; or wrote the
    /// response when it had just read this call's.
    Reaction,
    /// Of the requests that are open in a proxy, it is the only one that asks for the same.
    Relayed,
    /// The other end of the same connection, seen on this host.
    Wire,
    /// The request carried the context of a request its sender had in hand.
    PassedOn,
    /// A `traceparent` from outside what is traced.
    Header,
    /// A context in a TCP option of the segment that the request began in, from outside what is traced.
    TcpOption,
    /// Several requests could have caused the call; none was chosen.
    Ambiguous,
    /// Its request was found when the call had left with the id of another trace, in which it therefore is; it is linked to it.
    Apart,
}

impl Rule {
    pub const ALL: [Self; 14] = [
        Self::None,
        Self::SameThread,
        Self::SameTask,
        Self::Writer,
        Self::Ancestry,
        Self::Woken,
        Self::Reaction,
        Self::Relayed,
        Self::Wire,
        Self::PassedOn,
        Self::Header,
        Self::TcpOption,
        Self::Ambiguous,
        Self::Apart,
    ];

    /// In metrics, and in the attribute `honeyguide.link.rule`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::SameThread => "same_thread",
            Self::SameTask => "same_task",
            Self::Writer => "response_writer",
            Self::Ancestry => "task_ancestry",
            Self::Woken => "woken",
            Self::Reaction => "reaction",
            Self::Relayed => "relayed",
            Self::Wire => "wire",
            Self::PassedOn => "passed_on",
            Self::Header => "header",
            Self::TcpOption => "tcp_option",
            Self::Ambiguous => "ambiguous",
            Self::Apart => "apart",
        }
    }

    /// Whether it was concluded from what a process did, and not read on the wire.
    #[must_use]
    pub const fn is_inferred(self) -> bool {
        match self {
            Self::SameThread
            | Self::SameTask
            | Self::Writer
            | Self::Ancestry
            | Self::Woken
            | Self::Reaction
            | Self::Relayed
            | Self::Ambiguous
            | Self::Apart => true,
            Self::None | Self::Wire | Self::PassedOn | Self::Header | Self::TcpOption => false,
        }
    }
}

const _: () = {
    let mut i = 0;
    while i < Rule::ALL.len() {
        assert!(Rule::ALL[i] as usize == i);
        i += 1;
    }
};
