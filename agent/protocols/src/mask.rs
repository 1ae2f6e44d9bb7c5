//! Hiding what databases are told and what they answer that nobody is to see: values that are bound, stored or found,
//! passwords and keys, strings in statements, texts of errors. In place, and so that what is left is read as the same
//! exchanges.
//!
//! Each protocol's `mask` follows its client's messages by their lengths alone, and `mask/answers.rs` its server's. Where they
//! begin is not known any more, after bytes that were not seen, everything is hidden until an operation begins with a message;
//! by the same rule as the parser's, so that what it would read is there. What a packet of MySQL's server is depends on
//! what was asked, so there the parser says it.

use std::fmt::Debug;

use crate::{detect::Protocol, exchange::Party, memcached, mysql, postgres, redis, sql::Backslash};

/// What stands for a hidden byte. Nothing begins with it in the protocols that are masked but a command of Redis, and
/// then digits follow.
pub(crate) const HIDDEN: u8 = b'*';

/// Both directions of one connection.
#[derive(Debug)]
pub struct Mask {
    client: Side,
    server: Side,
    settled: Option<Backslash>,
}

#[derive(Debug)]
struct Side {
    walk: Box<dyn Walk>,
    /// The offset that is due next.
    next: Option<u64>,
    lost: bool,
}

/// The messages of one direction.
pub(crate) trait Walk: Debug + Send {
    /// Whether bytes at the start of an operation begin a message.
    fn begins(&self, bytes: &[u8]) -> bool;

    /// A message is due.
    fn begin(&mut self);

    /// Hides what is to be hidden of the first bytes, of which there is one at least. How many they were; `None` where
    /// they are no message.
    fn step(&mut self, bytes: &mut [u8]) -> Option<usize>;

    /// The last bytes of the step, which are shown, have told that what was taken for a message is none.
    fn is_broken(&self) -> bool {
        false
    }

    /// So many bytes were not seen. False where it is not known any more where a message begins.
    fn pass(&mut self, unseen: u64) -> bool;

    /// How many of the last bytes are of no secret, though where they belong is not known.
    fn ending(&self, bytes: &[u8]) -> usize;

    /// The stream offset of what comes next.
    fn place(&mut self, _: u64) {}

    /// Something that these bytes do not tell.
    fn learn(&mut self, _: News<'_>) {}

    /// Answers of one byte that the client has asked for since the last call.
    fn take_replies(&mut self) -> u32 {
        0
    }
}

/// What is known of a connection otherwise.
#[derive(Clone, Copy, Debug)]
pub(crate) enum News<'a> {
    /// The packets are compressed from here on. They cannot be masked where they are.
    Compressed,
    /// So many answers of one byte are due.
    Replies(u32),
    /// What MySQL's parser has read.
    Notes(&'a mysql::Notes),
    /// What a backslash is in the next command.
    Settled(Backslash),
    /// Offsets are so much higher.
    Shifted(u64),
}

/// Whether this protocol has something to hide here.
#[must_use]
pub fn hides(protocol: Protocol) -> bool {
    match protocol {
        Protocol::Postgres | Protocol::MySql | Protocol::Redis | Protocol::Memcached => true,
        Protocol::Http1 | Protocol::Http2 | Protocol::FastCgi => false,
    }
}

impl Mask {
    /// `None` where the protocol is no database's.
    #[must_use]
    pub fn new(protocol: Protocol) -> Option<Self> {
        let (client, server): (Box<dyn Walk>, Box<dyn Walk>) = match protocol {
            Protocol::Postgres => (Box::<postgres::Mask>::default(), Box::<postgres::AnswerMask>::default()),
            Protocol::MySql => (Box::<mysql::Mask>::default(), Box::<mysql::AnswerMask>::default()),
            Protocol::Redis => (Box::<redis::Mask>::default(), Box::<redis::AnswerMask>::default()),
            Protocol::Memcached => {
                (Box::<memcached::Mask>::default(), Box::<memcached::AnswerMask>::default())
            }
            Protocol::Http1 | Protocol::Http2 | Protocol::FastCgi => return None,
        };
        let [client, server] = [client, server].map(|walk| Side { walk, next: None, lost: false });
        Some(Self { client, server, settled: None })
    }

    /// Hides what is to be hidden of the bytes at this offset of a direction. They begin a socket operation, or are the end
    /// of one.
    pub fn hide(&mut self, from: Party, offset: u64, bytes: &mut [u8], starts: bool) {
        match from {
            Party::Client => {
                self.client.hide(offset, bytes, starts);
                let replies = self.client.walk.take_replies();
                self.server.walk.learn(News::Replies(replies));
            }
            Party::Server => self.server.hide(offset, bytes, starts),
        }
    }

    /// What MySQL's parser has read of the server's bytes that are masked next.
    pub fn note(&mut self, notes: &mysql::Notes) {
        self.server.walk.learn(News::Notes(notes));
        self.settled = notes.settled().or(self.settled);
    }

    /// All that was noted has been masked.
    pub fn settle(&mut self) {
        if let Some(backslash) = self.settled.take() {
            self.client.walk.learn(News::Settled(backslash));
        }
    }

    /// The streams go on as others, whose offsets are so much higher: the client's, the server's.
    pub fn shift(&mut self, by: [u64; 2]) {
        for (side, by) in [&mut self.client, &mut self.server].into_iter().zip(by) {
            side.next = side.next.map(|next| next.saturating_add(by));
            side.walk.learn(News::Shifted(by));
        }
    }

    /// The packets are compressed from here on.
    pub fn compressed(&mut self) {
        for side in [&mut self.client, &mut self.server] {
            side.walk.learn(News::Compressed);
        }
    }
}

impl Side {
    fn hide(&mut self, offset: u64, bytes: &mut [u8], starts: bool) {
        // The first byte of a connection begins a message.
        let due = *self.next.get_or_insert_with(|| {
            self.lost = offset > 0;
            offset
        });
        self.next = Some(due.max(offset.saturating_add(bytes.len() as u64)));
        let Some(unseen) = offset.checked_sub(due) else { return bytes.fill(HIDDEN) };
        let walk = &mut *self.walk;
        self.lost |= unseen > 0 && !walk.pass(unseen);
        walk.place(offset);
        if self.lost && starts && !bytes.is_empty() && walk.begins(bytes) {
            walk.begin();
            self.lost = false;
        }
        let mut rest = bytes;
        while !self.lost && !rest.is_empty() {
            match walk.step(rest) {
                Some(length) => {
                    rest = &mut rest[length..];
                    self.lost = walk.is_broken();
                }
                None => self.lost = true,
            }
        }
        let known = walk.ending(rest);
        let hidden = rest.len() - known;
        rest[..hidden].fill(HIDDEN);
    }
}

/// As many of the first bytes as `left` says.
pub(crate) fn first(bytes: &mut [u8], left: u64) -> &mut [u8] {
    let length = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
    &mut bytes[..length]
}

/// Hides as many of the first bytes as are `left` to be hidden; how many they were.
pub(crate) fn cover(bytes: &mut [u8], left: &mut u64) -> usize {
    let hidden = first(bytes, *left);
    hidden.fill(HIDDEN);
    *left -= hidden.len() as u64;
    hidden.len()
}

#[cfg(test)]
mod tests;
