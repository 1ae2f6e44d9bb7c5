//! What the masks of a recording had no room for.

use std::fmt;

/// What happened since start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Directions forgotten in the middle: a value of HTTP/1 that goes on then is not known for a secret.
    pub streams: u64,
    /// Connections, and TLS sessions without a socket, that are not followed any more: their HTTP/2 stays asterisks.
    pub connections: u64,
    pub sessions: u64,
    /// Records of TLS sessions whose socket did not become known in time: asterisks.
    pub unbound: u64,
    /// Stretches of bytes that could have been shown later, and stay asterisks.
    pub stretches: u64,
    /// Databases' connections forgotten: what both sides say stays asterisks until it is certain where a message begins.
    pub statements: u64,
}

/// Nothing where nothing was lost.
impl fmt::Display for Losses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { streams, connections, sessions, unbound, stretches, statements } = *self;
        let hidden = [
            (connections, "connections"),
            (sessions, "TLS sessions"),
            (unbound, "records of unknown TLS sessions"),
            (stretches, "stretches"),
            (statements, "connections to databases"),
        ];
        let mut between = " · left masked: ";
        for (count, what) in hidden.into_iter().filter(|(count, _)| *count > 0) {
            write!(f, "{between}{count} {what}")?;
            between = ", ";
        }
        if streams > 0 {
            write!(f, " · {streams} directions forgotten while they were masked")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_lost_is_said_and_nothing_else() {
        assert_eq!(Losses::default().to_string(), "");
        let losses = Losses { streams: 7, connections: 1, stretches: 3, ..Losses::default() };
        let expect =
            " · left masked: 1 connections, 3 stretches · 7 directions forgotten while they were masked";
        assert_eq!(losses.to_string(), expect);
    }
}
