//! The two ends of one connection, both on this host: the server's request is the client's call.
//!
//! TCP numbers every byte, and both ends see the same numbers, so a request's first sequence number
//! names it exactly, however late each end was first seen. Unix sockets have no numbers: there, bytes
//! are counted from when each end was first seen. A hash of the request's first bytes guards both.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    hash::{Hash, Hasher},
    net::{IpAddr, SocketAddr},
};

use honeyguide_protocols::exchange::Extent;

use super::Token;
use crate::flow::{ConnectionInfo, Endpoints, Head, Role};

/// Names a request on the wire; equal for both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// Who asks, and where the request begins, tell requests apart well enough for a table; equality looks at all of it.
impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (who, begins) = match self {
            Self::Tcp { client, sequence, .. } => (u64::from(client.port()), u64::from(*sequence)),
            Self::Unix { client, offset, .. } => (*client, *offset),
        };
        state.write_u64(who);
        state.write_u64(begins);
    }
}

/// Requests seen at one end that wait for the other.
#[derive(Debug, Default)]
pub(super) struct Wire {
    waiting: HashMap<Key, (Token, Role), foldhash::fast::FixedState>,
    /// Sockets whose other end does not show: a request of theirs waited as long as any may.
    alone: HashSet<u64, foldhash::fast::FixedState>,
}

/// Beyond it all are forgotten, and show again with their next request.
const MAX_ALONE: usize = 16_384;

impl Wire {
    /// The other end of `token`'s request, if it was here first; else `token` waits for it.
    pub(super) fn meet(&mut self, key: Key, token: Token, role: Role) -> Option<Token> {
        match self.waiting.entry(key) {
            Entry::Occupied(other) if other.get().1 != role => {
                let (partner, _) = other.remove();
                self.alone.remove(&partner.socket);
                self.alone.remove(&token.socket);
                Some(partner)
            }
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
        if let Entry::Occupied(waiting) = self.waiting.entry(*key)
            && waiting.get().0 == token
        {
            waiting.remove();
        }
    }

    /// The other end of a socket's request has not shown in all the time that was given to it.
    pub(super) fn missed(&mut self, socket: u64) {
        if self.alone.len() >= MAX_ALONE {
            self.alone.clear();
        }
        self.alone.insert(socket);
    }

    /// Whether nobody is expected at the other end of a socket.
    pub(super) fn is_alone(&self, socket: u64) -> bool {
        self.alone.contains(&socket)
    }
}

/// The name of a request that begins at `request.offset` of its direction, before which so many bytes more are on the wire;
/// `None` where the connection is not known well enough.
pub(super) fn key(
    connection: &ConnectionInfo,
    role: Role,
    (request, added): (&Extent, u32),
    head: &Head,
) -> Option<Key> {
    let fingerprint = head.fingerprint();
    match (&connection.endpoints, connection.sequences, connection.unix) {
        (Endpoints::Tcp { local, remote }, Some((sent, received)), _) => {
            let (client, server, base) = match role {
                Role::Client => (*local, *remote, sent),
                Role::Server => (*remote, *local, received),
            };
            #[allow(clippy::cast_possible_truncation)] // Sequence numbers wrap at 32 bits.
            let sequence = base.wrapping_add(request.offset as u32).wrapping_add(added);
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
