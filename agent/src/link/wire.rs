//! The two ends of one connection, both on this host: the server's request is the client's call.
//!
//! TCP numbers every byte, and both ends see the same numbers, so a request's first sequence number
//! names it, however late each end was first seen. Address translation leaves the numbers alone: a service's
//! address in Kubernetes is another on the way, and one of the ends, or the client's port, is the same on both sides.
//! Unix sockets have no numbers: there, bytes are counted from when each end was first seen. A hash of the request's first
//! bytes guards both.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    hash::{Hash, Hasher},
    net::{IpAddr, SocketAddr},
};

use honeyguide_protocols::exchange::Extent;

use super::Token;
use crate::flow::{ConnectionInfo, Endpoints, Head, Role};

/// A request as one end sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    name: Name,
    /// Of TCP alone.
    ends: Option<Ends>,
}

/// Names a request on the wire; equal for both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Tcp { sequence: u32, fingerprint: u64 },
    Unix { client: u64, server: u64, offset: u64, fingerprint: u64 },
}

/// Where the request begins, which a client chooses, and how; equality looks at all of it.
impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Tcp { sequence, fingerprint } => {
                state.write_u64(u64::from(*sequence));
                state.write_u64(*fingerprint);
            }
            Self::Unix { client, offset, .. } => {
                state.write_u64(*client);
                state.write_u64(*offset);
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ends {
    client: SocketAddr,
    server: SocketAddr,
    /// 0 unless the addresses are local to a network namespace.
    netns: u32,
}

impl Ends {
    /// Whether both are of one connection, of which addresses may be translated in between.
    fn fit(&self, other: &Self) -> bool {
        let stays = |ends: &Self| is_per_namespace(ends.client.ip()) || is_per_namespace(ends.server.ip());
        let is_kept = || {
            self.client == other.client
                || self.server == other.server
                || self.client.port() == other.client.port()
        };
        self == other || (!stays(self) && !stays(other) && is_kept())
    }
}

/// Requests seen at one end that wait for the other.
#[derive(Debug, Default)]
pub(super) struct Wire {
    waiting: HashMap<Name, Waiting, foldhash::fast::FixedState>,
    /// Sockets whose other end does not show: a request of theirs waited as long as any may.
    alone: HashSet<u64, foldhash::fast::FixedState>,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    token: Token,
    role: Role,
    ends: Option<Ends>,
}

/// Beyond it all are forgotten, and show again with their next request.
const MAX_ALONE: usize = 16_384;

impl Wire {
    /// The other end of `token`'s request, if it was here first; else `token` waits for it.
    pub(super) fn meet(&mut self, key: Key, token: Token, role: Role) -> Option<Token> {
        let Key { name, ends } = key;
        let waiting = Waiting { token, role, ends };
        match self.waiting.entry(name) {
            Entry::Occupied(other) if other.get().is_other_end(&waiting) => {
                let partner = other.remove().token;
                self.alone.remove(&partner.socket);
                self.alone.remove(&token.socket);
                Some(partner)
            }
            // The same end twice cannot be; the later one is the live one.
            Entry::Occupied(mut same) => {
                same.insert(waiting);
                None
            }
            Entry::Vacant(place) => {
                place.insert(waiting);
                None
            }
        }
    }

    /// `token` waits no longer.
    pub(super) fn forget(&mut self, key: &Key, token: Token) {
        if let Entry::Occupied(waiting) = self.waiting.entry(key.name)
            && waiting.get().token == token
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

impl Waiting {
    fn is_other_end(&self, other: &Self) -> bool {
        let fit = match (&self.ends, &other.ends) {
            (Some(own), Some(other)) => own.fit(other),
            (own, other) => own == other,
        };
        self.role != other.role && fit
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
            let ends = Some(Ends { client, server, netns });
            Some(Key { name: Name::Tcp { sequence, fingerprint }, ends })
        }
        (Endpoints::Unix { .. }, _, Some((own, peer))) => {
            let (client, server) = match role {
                Role::Client => (own, peer),
                Role::Server => (peer, own),
            };
            let name = Name::Unix { client, server, offset: request.offset, fingerprint };
            Some(Key { name, ends: None })
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

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: Name = Name::Tcp { sequence: 4_000_000_000, fingerprint: 7 };

    fn key(client: &str, server: &str, netns: u32) -> Key {
        let ends = Ends { client: client.parse().unwrap(), server: server.parse().unwrap(), netns };
        Key { name: NAME, ends: Some(ends) }
    }

    fn token(socket: u64) -> Token {
        Token { socket, exchange: 1 }
    }

    /// Whether a call and a request as the two ends see them are one.
    fn meet(call: Key, request: Key) -> bool {
        let mut wire = Wire::default();
        assert_eq!(wire.meet(call, token(1), Role::Client), None);
        wire.meet(request, token(2), Role::Server) == Some(token(1))
    }

    #[test]
    fn a_request_is_what_was_called() {
        let call = key("10.0.0.1:40000", "10.0.0.2:80", 0);
        assert!(meet(call, call));
        let other = Key { name: Name::Tcp { sequence: 4_000_000_001, fingerprint: 7 }, ..call };
        assert!(!meet(call, other), "another byte");
        let other = Key { name: Name::Tcp { sequence: 4_000_000_000, fingerprint: 8 }, ..call };
        assert!(!meet(call, other), "other bytes");
    }

    #[test]
    fn addresses_may_be_translated_on_the_way() {
        let call = key("10.0.0.1:40000", "10.96.0.10:80", 0);
        assert!(meet(call, key("10.0.0.1:40000", "10.0.0.2:8080", 0)), "a service's");
        assert!(
            meet(call, key("192.168.0.1:61000", "10.96.0.10:80", 0)),
            "the client's, behind one for many"
        );
        assert!(meet(call, key("192.168.0.1:40000", "10.0.0.2:8080", 0)), "both, and the port is kept");
        assert!(!meet(call, key("192.168.0.1:61000", "10.0.0.2:8080", 0)), "nothing is the same");
    }

    #[test]
    fn what_is_local_to_a_namespace_is_not_translated() {
        let call = key("127.0.0.1:40000", "127.0.0.1:80", 1);
        assert!(meet(call, call));
        assert!(!meet(call, key("127.0.0.1:40000", "127.0.0.1:80", 2)), "of two containers");
        assert!(!meet(call, key("10.0.0.1:40000", "10.0.0.2:80", 0)));
    }

    #[test]
    fn the_later_one_of_the_same_end_is_the_live_one() {
        let mut wire = Wire::default();
        let call = key("10.0.0.1:40000", "10.0.0.2:80", 0);
        assert_eq!(wire.meet(call, token(1), Role::Client), None);
        assert_eq!(wire.meet(call, token(2), Role::Client), None);
        wire.forget(&call, token(1));
        assert_eq!(wire.meet(call, token(3), Role::Server), Some(token(2)));
    }
}
