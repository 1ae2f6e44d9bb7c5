//! What an exchange with a key-value store says, whichever protocol carried it.

use std::{borrow::Cow, sync::Arc};

/// The values of `db.system.name`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum System {
    Redis,
    Memcached,
}

/// What was asked, as far as the client's bytes say. It holds no value: what is not a key or a word of the
/// protocol was replaced by `?` while it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValueHead {
    pub system: System,
    /// The command's name: upper case for Redis, as it is on the wire for Memcached. `_OTHER` for what is no
    /// name.
    pub operation: Cow<'static, str>,
    /// The command in the syntax of the system's command line, masked; `None` where there is no more to say.
    pub text: Option<Box<str>>,
    /// A script's digest or a function's name.
    pub procedure: Option<Box<str>>,
}

/// An exchange's detail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValueDetail {
    /// What was asked. Of a transaction it says more than the head that its first command announced.
    pub request: Arc<KeyValueHead>,
    /// The number of the database; `None` where the connection's start was not seen, or there is none.
    pub database: Option<u32>,
    /// Commands in a transaction; `None` where it is no batch.
    pub batch_size: Option<u32>,
    pub failure: Option<Failure>,
    pub waits: Waits,
    /// What became of a transaction that did not run.
    pub transaction: Option<Unrun>,
}

/// The server's refusal. Its message is not kept: it may quote values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The word that begins the error; `None` where it is no such word.
    pub code: Option<Cow<'static, str>>,
}

/// What the duration of an exchange is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits {
    /// The server's answer.
    Answer,
    /// An event for which the client asked to wait: how long says nothing of the server.
    Event,
    /// Nothing: the client wanted no answer.
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unrun {
    /// A key that was watched had changed.
    Aborted,
    /// The client gave it up.
    Discarded,
}
