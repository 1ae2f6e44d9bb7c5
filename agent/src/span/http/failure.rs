//! `error.type` of an HTTP exchange, and the words that go with it.
//!
//! A status that is an error gives its number. An exchange that ended early gives one of the names of
//! [`Failure::of_outcome`].

use honeyguide_protocols::{exchange::Exchange, http::HttpDetail};

use crate::{flow::Role, span::ending::Failure};

/// What failed, if anything. An early end says more than the status that came before it, which the span
/// carries anyway.
#[must_use]
pub(super) fn of(exchange: &Exchange<HttpDetail>, role: Role) -> Option<Failure> {
    let status = exchange.detail.response.as_ref().map(|r| r.status);
    let refused =
        || status.filter(|s| is_error(*s, role)).map(|s| Failure { kind: code(s), description: "" });
    Failure::of_outcome(exchange.outcome, status.is_some()).or_else(refused)
}

/// HTTP spans, "Status": 4xx is an error for the client alone, 5xx and what is no status for both.
fn is_error(status: u16, role: Role) -> bool {
    match role {
        Role::Client => !(100..400).contains(&status),
        Role::Server => !(100..500).contains(&status),
    }
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
