//! `error.type` of an HTTP exchange, and the words that go with it.
//!
//! A status that is an error gives its number. An exchange that ended early gives one of the names in
//! [`Failure::of`]; they are the whole list.

use honeyguide_protocols::{
    CloseReason,
    exchange::{Exchange, Outcome},
    http::HttpDetail,
};

use crate::flow::Role;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// `error.type`.
    pub kind: &'static str,
    /// The span status's description; empty where the status code says it all.
    pub description: &'static str,
}

impl Failure {
    /// What failed, if anything. An early end says more than the status that came before it, which the span
    /// carries anyway. An end that was not seen (lost, unobserved) is no failure of the exchange.
    #[must_use]
    pub(super) fn of(exchange: &Exchange<HttpDetail>, role: Role) -> Option<Self> {
        let status = exchange.detail.response.as_ref().map(|r| r.status);
        match exchange.outcome {
            Outcome::Aborted(CloseReason::Error(errno)) => Some(socket_error(errno)),
            Outcome::Aborted(CloseReason::Finished) if status.is_none() => Some(Self {
                kind: "connection_closed",
                description: "the connection was closed before a response",
            }),
            Outcome::Aborted(CloseReason::Finished) => Some(Self {
                kind: "incomplete_response",
                description: "the connection was closed before the response ended",
            }),
            Outcome::Reset { .. } => Some(Self { kind: "stream_reset", description: "the stream was reset" }),
            Outcome::Complete
            | Outcome::Upgraded
            | Outcome::Lost
            | Outcome::Aborted(CloseReason::Unobserved) => {
                status.filter(|s| is_error(*s, role)).map(|s| Self { kind: code(s), description: "" })
            }
        }
    }
}

/// HTTP spans, "Status": 4xx is an error for the client alone, 5xx and what is no status for both.
fn is_error(status: u16, role: Role) -> bool {
    match role {
        Role::Client => !(100..400).contains(&status),
        Role::Server => !(100..500).contains(&status),
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

/// A status code's digits, without allocating. `_OTHER` for what has not three of them.
fn code(status: u16) -> &'static str {
    CODES
        .get(usize::from(status))
        .and_then(|c| str::from_utf8(c).ok())
        .filter(|_| status >= 100)
        .unwrap_or("_OTHER")
}

static CODES: [[u8; 3]; 1000] = {
    let mut codes = [[b'0'; 3]; 1000];
    let (mut n, mut digits) = (0, [b'0'; 3]);
    while n < 1000 {
        codes[n] = digits;
        let mut place = 2;
        while digits[place] == b'9' && place > 0 {
            digits[place] = b'0';
            place -= 1;
        }
        digits[place] += 1;
        n += 1;
    }
    codes
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_its_number() {
        for status in 100..=999_u16 {
            assert_eq!(code(status), status.to_string());
        }
        assert_eq!((code(0), code(99), code(1000)), ("_OTHER", "_OTHER", "_OTHER"));
    }
}
