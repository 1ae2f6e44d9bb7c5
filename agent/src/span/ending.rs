//! How an exchange ended, where it did not end well: `error.type` of an early end, and the marks of an end
//! that was not seen. The same for every protocol.

use honeyguide_protocols::{
    CloseReason,
    exchange::{Exchange, Outcome},
};

use crate::attribute::Attributes;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// `error.type`: the names in this file are the whole list.
    pub kind: &'static str,
    /// The span status's description; empty where the kind says it all.
    pub description: &'static str,
}

impl Failure {
    /// An early end is a failure; an end that was not seen (lost, unobserved) is none of the exchange's.
    #[must_use]
    pub(super) fn of_outcome(outcome: Outcome, answered: bool) -> Option<Self> {
        match outcome {
            Outcome::Aborted(CloseReason::Error(errno)) => Some(socket_error(errno)),
            Outcome::Aborted(CloseReason::Finished) if answered => Some(Self {
                kind: "incomplete_response",
                description: "the connection was closed before the response ended",
            }),
            Outcome::Aborted(CloseReason::Finished) => Some(Self {
                kind: "connection_closed",
                description: "the connection was closed before a response",
            }),
            Outcome::Reset { .. } => Some(Self { kind: "stream_reset", description: "the stream was reset" }),
            Outcome::Complete
            | Outcome::Upgraded
            | Outcome::Lost
            | Outcome::Aborted(CloseReason::Unobserved) => None,
        }
    }
}

/// Sets what is not the conventions':
/// - `honeyguide.damaged` = true: bytes of the exchange were not captured, some detail may be missing;
/// - `honeyguide.truncated` = true: the request was longer than what is kept of it;
/// - `honeyguide.end` = `lost` | `unobserved`: the end was not seen, the duration is a lower bound.
pub(super) fn mark<D>(exchange: &Exchange<D>, truncated: bool, attributes: &mut Attributes) {
    if exchange.damaged {
        attributes.set("honeyguide.damaged", true);
    }
    if truncated {
        attributes.set("honeyguide.truncated", true);
    }
    match exchange.outcome {
        Outcome::Lost => attributes.set("honeyguide.end", "lost"),
        Outcome::Aborted(CloseReason::Unobserved) => attributes.set("honeyguide.end", "unobserved"),
        Outcome::Complete
        | Outcome::Upgraded
        | Outcome::Reset { .. }
        | Outcome::Aborted(CloseReason::Finished | CloseReason::Error(_)) => {}
    }
}

/// Linux errno, by `asm-generic/errno.h`.
fn socket_error(errno: i32) -> Failure {
    let (kind, description) = match errno {
        32 => ("broken_pipe", "the peer had closed the connection"),
        101 => ("network_unreachable", "the network is unreachable"),
        103 => ("connection_aborted", "the connection was aborted"),
        104 => ("connection_reset", "the connection was reset by the peer"),
        107 => ("not_connected", "the socket is not connected"),
        110 => ("timeout", "the connection timed out"),
        111 => ("connection_refused", "the connection was refused"),
        112 | 113 => ("host_unreachable", "the host is unreachable"),
        _ => ("socket_error", "the socket reported an error"),
    };
    Failure { kind, description }
}
