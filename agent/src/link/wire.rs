//! The two ends of one connection, both on this host: the server's request is the client's call.
//!
//! TCP numbers every byte, and both ends see the same numbers, so a request's first sequence number
//! names it exactly, however late each end was first seen. Unix sockets have no numbers: there, bytes
//! are counted from when each end was first seen. A hash of the request's first bytes guards both.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::{IpAddr, SocketAddr},
};

use honeyguide_protocols::exchange::Extent;

use super::Token;
use crate::flow::{ConnectionInfo, Endpoints, Head, Role};

/// Names a request on the wire; equal for both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Tcp {
        client: SocketAddr,
        server: SocketAddr,
        /// 0 unless the addresses are local to a network namespace.
        netns: u32,
        sequence: u32,
        fingerprint: u64,
    },
    Unix {
        client: u64,
        server: u64,
        offset: u64,
        fingerprint: u64,
    },
}

/// Requests seen at one end that wait for the other.
#[derive(Debug, Default)]
pub(super) struct Wire {
    waiting: HashMap<Key, (Token, Role), foldhash::fast::FixedState>,
}

impl Wire {
    /// The other end of `token`'s request, if it was here first; else `token` waits for it.
    pub(super) fn meet(&mut self, key: Key, token: Token, role: Role) -> Option<Token> {
        match self.waiting.entry(key) {
            Entry::Occupied(other) if other.get().1 != role => Some(other.remove().0),
            // The same end twice cannot be; the later one is the live one.
            Entry::Occupied(mut same) => {
                same.insert((token, role));
                None
            }
            Entry::Vacant(place) => {
                place.insert((token, role));
                None
            }
        }
    }

    /// `token` waits no longer.
    pub(super) fn forget(&mut self, key: &Key, token: Token) {
        if self.waiting.get(key).is_some_and(|(waiting, _)| *waiting == token) {
            self.waiting.remove(key);
        }
    }
}

/// The name of a request that begins at `request.offset` of its direction; `None` where the connection is
/// not known well enough.
pub(super) fn key(connection: &ConnectionInfo, role: Role, request: &Extent, head: &Head) -> Option<Key> {
    let fingerprint = head.fingerprint();
    match (&connection.endpoints, connection.sequences, connection.unix) {
        (Endpoints::Tcp { local, remote }, Some((sent, received)), _) => {
            let (client, server, base) = match role {
                Role::Client => (*local, *remote, sent),
                Role::Server => (*remote, *local, received),
            };
            #[allow(clippy::cast_possible_truncation)] // Sequence numbers wrap at 32 bits.
            let sequence = base.wrapping_add(request.offset as u32);
            let netns = if is_per_namespace(client.ip()) { connection.netns } else { 0 };
            Some(Key::Tcp { client, server, netns, sequence, fingerprint })
        }
        (Endpoints::Unix { .. }, _, Some((own, peer))) => {
            let (client, server) = match role {
                Role::Client => (own, peer),
                Role::Server => (peer, own),
            };
            Some(Key::Unix { client, server, offset: request.offset, fingerprint })
        }
        _ => None,
    }
}

/// Every network namespace has these for itself.
fn is_per_namespace(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unicast_link_local(),
    }
}
