//! Hiding what a client sends to a database and nobody is to see: bound values, stored values, passwords, strings in
//! statements. In place, and so that what is left is read as the same exchanges.
//!
//! Each protocol's `mask` follows its client's messages by their lengths alone. Where they begin is not known any more, after
//! bytes that were not seen, everything is hidden until an operation begins with a message; by the same rule as the
//! parser's, so that what it would read is there.

use crate::{detect::Protocol, memcached, mysql, postgres, redis};

/// What stands for a hidden byte. Nothing begins with it in the protocols that are masked but a command of Redis, and
/// then digits follow.
pub(crate) const HIDDEN: u8 = b'*';

/// The client's bytes of one connection.
#[derive(Debug)]
pub struct Mask {
    walk: Walks,
    /// The offset that is due next.
    next: Option<u64>,
    lost: bool,
}

/// The messages of one protocol's client.
pub(crate) trait Walk {
    /// Whether bytes at the start of an operation begin a message.
    fn begins(&self, bytes: &[u8]) -> bool;

    /// A message is due.
    fn begin(&mut self);

    /// Hides what is to be hidden of the first bytes, of which there is one at least. How many they were; `None` where
    /// they are no message.
    fn step(&mut self, bytes: &mut [u8]) -> Option<usize>;

    /// So many bytes were not seen. False where it is not known any more where a message begins.
    fn pass(&mut self, unseen: u64) -> bool;

    /// How many of the last bytes are of no secret, though where they belong is not known.
    fn ending(&self, bytes: &[u8]) -> usize;
}

#[derive(Debug)]
enum Walks {
    Postgres(postgres::Mask),
    MySql(mysql::Mask),
    Redis(Box<redis::Mask>),
    Memcached(memcached::Mask),
}

/// Whether clients of this protocol have something to hide here.
#[must_use]
pub fn hides(protocol: Protocol) -> bool {
    match protocol {
        Protocol::Postgres | Protocol::MySql | Protocol::Redis | Protocol::Memcached => true,
        Protocol::Http1 | Protocol::Http2 | Protocol::FastCgi => false,
    }
}

impl Mask {
    /// `opened`: the first byte of the connection is the first that comes. `None` where the protocol is no database's.
    #[must_use]
    pub fn new(protocol: Protocol, opened: bool) -> Option<Self> {
        let walk = match protocol {
            Protocol::Postgres => Walks::Postgres(postgres::Mask::default()),
            Protocol::MySql => Walks::MySql(mysql::Mask::new(opened)),
            Protocol::Redis => Walks::Redis(Box::default()),
            Protocol::Memcached => Walks::Memcached(memcached::Mask::default()),
            Protocol::Http1 | Protocol::Http2 | Protocol::FastCgi => return None,
        };
        Some(Self { walk, next: None, lost: !opened })
    }

    /// Hides what is to be hidden of the client's bytes at this offset. They begin a socket operation, or are the end of
    /// one.
    pub fn hide(&mut self, offset: u64, bytes: &mut [u8], starts: bool) {
        let due = self.next.unwrap_or(offset);
        self.next = Some(due.max(offset.saturating_add(bytes.len() as u64)));
        let Some(unseen) = offset.checked_sub(due) else { return bytes.fill(HIDDEN) };
        let walk = self.walk.walk();
        self.lost |= unseen > 0 && !walk.pass(unseen);
        if self.lost && starts && !bytes.is_empty() && walk.begins(bytes) {
            walk.begin();
            self.lost = false;
        }
        let mut rest = bytes;
        while !self.lost && !rest.is_empty() {
            match walk.step(rest) {
                Some(length) => rest = &mut rest[length..],
                None => self.lost = true,
            }
        }
        let known = walk.ending(rest);
        let hidden = rest.len() - known;
        rest[..hidden].fill(HIDDEN);
    }

    /// The stream goes on as another one, whose offsets are so much higher.
    pub fn shift(&mut self, by: u64) {
        self.next = self.next.map(|next| next.saturating_add(by));
    }

    /// The packets are compressed from here on. They cannot be masked where they are.
    pub fn compressed(&mut self) {
        if let Walks::MySql(mask) = &mut self.walk {
            mask.compressed();
        }
    }
}

impl Walks {
    fn walk(&mut self) -> &mut dyn Walk {
        match self {
            Self::Postgres(walk) => walk,
            Self::MySql(walk) => walk,
            Self::Redis(walk) => &mut **walk,
            Self::Memcached(walk) => walk,
        }
    }
}

/// As many of the first bytes as `left` says.
pub(crate) fn first(bytes: &mut [u8], left: u64) -> &mut [u8] {
    let length = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
    &mut bytes[..length]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        exchange::Party,
        wire::{Case, Told, Wire},
    };

    /// What a client sends in a conversation that is cut into pieces, masked; and the exchanges it is read as.
    fn played<C: Told>(protocol: Protocol, case: &Case, size: usize, masks: bool) -> (Vec<u8>, Vec<String>) {
        let (mut wire, mut sent) = (Wire::<C>::opened(), Vec::new());
        let mut mask = Mask::new(protocol, true).unwrap();
        for (from, bytes) in &case.script {
            for piece in bytes.chunks(size) {
                let mut piece = piece.to_vec();
                if *from == Party::Client && masks {
                    mask.hide(wire.offsets[0], &mut piece, true);
                }
                wire.send(*from, &piece);
                if *from == Party::Client {
                    sent.extend(piece);
                }
            }
        }
        wire.close();
        // Exchanges have statements as they were sent.
        let told = wire.exchanges.iter().map(|exchange| exchange.replace("'f'", "'*'")).collect();
        (sent, told)
    }

    /// `but`: those of which not all is read, and why.
    fn check<C: Told>(protocol: Protocol, cases: &[Case], sizes: &[usize], but: &[&str]) {
        for case in cases {
            let whole = played::<C>(protocol, case, usize::MAX, true).0;
            for &size in sizes {
                let what = format!("{} in pieces of {size}", case.name);
                let (plain, expect) = played::<C>(protocol, case, size, false);
                let (masked, found) = played::<C>(protocol, case, size, true);
                assert_eq!(masked.len(), plain.len(), "{what}");
                assert!(!holds(&masked, b"secret"), "{what}: {}", masked.escape_ascii());
                assert!(masked == whole, "{what}: {}\n{}", masked.escape_ascii(), whole.escape_ascii());
                if !but.contains(&case.name) {
                    assert_eq!(found, expect, "{what}");
                }
            }
        }
        assert!(cases.iter().any(|case| holds(&played::<C>(protocol, case, 9, false).0, b"secret")));
    }

    fn holds(bytes: &[u8], part: &[u8]) -> bool {
        bytes.windows(part.len()).any(|window| window == part)
    }

    const SIZES: [usize; 7] = [1, 2, 3, 5, 7, 16, usize::MAX];

    #[test]
    fn nothing_secret_is_left_and_the_same_is_read() {
        check::<postgres::Connection>(Protocol::Postgres, &postgres::corpus::cases(), &SIZES, &[]);
        // What is in a command of one line is hidden without a look at it.
        let lines = ["blocking, silent and inline commands"];
        check::<redis::Connection>(Protocol::Redis, &redis::corpus::cases(), &[usize::MAX], &lines);
        let mut cases = mysql::corpus::cases();
        cases.retain(|case| !case.name.starts_with("compressed"));
        // Attributes are values whose lengths are among them, and so are the rows of a batch.
        let lengths = [
            "prepared, with EOF packets, a cursor, attributes",
            "MariaDB: bulk, the last statement, descriptions left out, a change of the user",
        ];
        check::<mysql::Connection>(Protocol::MySql, &cases, &SIZES, &lengths);
    }

    /// Of a file that is sent nothing is captured.
    #[test]
    fn operations_without_bytes_begin_nothing() {
        for protocol in [Protocol::Postgres, Protocol::MySql, Protocol::Redis, Protocol::Memcached] {
            let mut mask = Mask::new(protocol, false).unwrap();
            mask.hide(7, &mut [], true);
            let mut bytes = *b"\0secret";
            mask.hide(9, &mut bytes, false);
            assert!(!holds(&bytes, b"secret"), "{protocol:?}: {}", bytes.escape_ascii());
        }
    }

    #[test]
    fn values_that_are_stored_are_hidden() {
        let sent = b"set a 0 0 6\r\nsecret\r\nget a b\r\nms c 6 T9\r\nsecret\r\nmg c v\r\n";
        let expect = b"set a 0 0 6\r\n******\r\nget a b\r\nms c 6 T9\r\n******\r\nmg c v\r\n";
        for split in 0..=sent.len() {
            let (mut bytes, mut mask) = (sent.to_vec(), Mask::new(Protocol::Memcached, true).unwrap());
            let (first, second) = bytes.split_at_mut(split);
            mask.hide(0, first, true);
            mask.hide(split as u64, second, true);
            assert_eq!(bytes.escape_ascii().to_string(), expect.escape_ascii().to_string());
        }
    }
}
