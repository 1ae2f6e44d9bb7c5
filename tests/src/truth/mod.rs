//! The benchmark of links: programs that carry a request's number to every call they make for it, so that whoever
//! reads the spans knows which parent is right.
//!
//! The number is in the path of the request (`/seq/17`) and in the path of each call (`/up/17/1`); for SQL in a
//! column's name (`SELECT pg_sleep(…) AS r17_1`). All of them reach the spans; the agent's links make no use of them.
//!
//! Every program under `tests/apps/truth` answers three patterns:
//!
//! | path | calls |
//! |---|---|
//! | `/seq/ID` | 1, then 2 |
//! | `/pause/ID` | 1, then 2, with a random pause of up to 5 ms before, between and after |
//! | `/fan/ID` | 1 and 2 at once, then 3 |
//!
//! What is called answers after a random delay of up to 8 ms, so that requests overlap and overtake one another.

pub mod chain;
pub mod judge;
pub mod programs;
pub mod upstream;

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use crate::client::{Address, Client, Request};

/// In which order a program makes its calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pattern {
    Seq,
    Pause,
    Fan,
}

impl Pattern {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Seq => "seq",
            Self::Pause => "pause",
            Self::Fan => "fan",
        }
    }

    /// How many calls a request makes.
    #[must_use]
    pub fn calls(self) -> usize {
        match self {
            Self::Seq | Self::Pause => 2,
            Self::Fan => 3,
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Requests that were sent together and answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    pub pattern: Pattern,
    pub connections: usize,
    /// The numbers of the requests that were answered, ascending.
    pub answered: Vec<u64>,
    pub took: Duration,
}

/// Sends up to `requests` of them over `connections` kept connections, none after `limit`. Numbers are never given
/// twice in one process, so several loads can be told apart in one capture.
///
/// # Errors
/// When a connection fails or an answer is not 200.
pub fn load(
    address: &Address,
    pattern: Pattern,
    connections: usize,
    requests: u64,
    limit: Duration,
) -> Result<Load> {
    let begun = Instant::now();
    let answered = numbered(address, pattern.name(), connections, requests, limit)?;
    Ok(Load { pattern, connections, answered, took: begun.elapsed() })
}

/// The same for any path `/PREFIX/ID`. Returns the numbers.
///
/// # Errors
/// As for [`load`].
pub fn numbered(
    address: &Address,
    prefix: &str,
    connections: usize,
    requests: u64,
    limit: Duration,
) -> Result<Vec<u64>> {
    // Above any port or status, so that a number is found for what it is when one reads spans.
    static NEXT: AtomicU64 = AtomicU64::new(1_000_000);
    let first = NEXT.fetch_add(requests, Ordering::Relaxed);
    let due = AtomicU64::new(first);
    let begun = Instant::now();
    let one = || -> Result<Vec<u64>> {
        let mut client = Client::new(address.clone());
        let mut answered = Vec::new();
        while begun.elapsed() < limit {
            let id = due.fetch_add(1, Ordering::Relaxed);
            if id >= first + requests {
                break;
            }
            let request = Request::get(format!("/{prefix}/{id}"));
            let exchange = client.send(&request).with_context(|| format!("/{prefix}/{id}"))?;
            ensure!(exchange.status == 200, "/{prefix}/{id} was answered with {}", exchange.status);
            answered.push(id);
        }
        Ok(answered)
    };
    let mut all = thread::scope(|scope| -> Result<Vec<u64>> {
        let workers: Vec<_> = (0..connections).map(|_| scope.spawn(one)).collect();
        let mut all = Vec::new();
        for worker in workers {
            let Ok(answered) = worker.join() else { bail!("a client thread panicked") };
            all.extend(answered?);
        }
        Ok(all)
    })?;
    all.sort_unstable();
    Ok(all)
}
