//! The two ends of a connection, as the traced process sees them.

use std::net::SocketAddr;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoints {
    /// IPv4-mapped IPv6 addresses are already plain IPv4 here.
    Tcp { local: SocketAddr, remote: SocketAddr },
    /// A unix stream socket; the path is the listening side's, where it has one.
    Unix { path: Option<Box<str>> },
    /// The record that described the connection was lost.
    Unknown,
}

/// Where connections are seen from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Vantage {
    /// One of their ends.
    #[default]
    End,
    /// The wire between them. Each connection is seen once, and told as the end that answers would tell it.
    Wire,
}

/// Which end of the exchange the traced process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    Client,
    Server,
}
