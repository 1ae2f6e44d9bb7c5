//! Spans on standard output, for people (`--print spans`) and for pipes (`--print json`).

mod row;
mod text;
mod tree;

use std::{
    env,
    io::{self, IsTerminal as _, Write as _},
    sync::Arc,
    time::Instant,
};

use self::{
    row::{Row, Style},
    tree::Forest,
};
use super::{counters::DropCause, lines::Sink, queue::Queue, settings::Colour};
use crate::span::Span;

/// Standard output, locked for each line only.
#[derive(Debug)]
pub(super) struct Stdout;

impl Sink for Stdout {
    fn write_line(&mut self, line: &[u8]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(line)?;
        out.flush()
    }
}

/// Prints each trace as a tree once no more of it has come for a moment.
pub(super) async fn print_spans(queue: Arc<Queue<Span>>, colour: Colour) {
    let style = Style { coloured: coloured(colour) };
    let mut forest = Forest::default();
    loop {
        let now = Instant::now();
        let next = match forest.due() {
            Some(due) => tokio::time::timeout(due.saturating_duration_since(now), queue.next()).await,
            None => Ok(queue.next().await),
        };
        let now = Instant::now();
        let closed = matches!(next, Ok(None));
        let ripe = match next {
            Ok(Some(batch)) => {
                batch.iter().for_each(|span| forest.add(Row::from(span), now));
                batch.taken_over();
                forest.take_ripe(now)
            }
            Ok(None) => forest.take_all(),
            Err(_) => forest.take_ripe(now),
        };
        print(&queue, &ripe, style);
        if closed {
            return;
        }
    }
}

fn print(queue: &Queue<Span>, traces: &[Vec<Row>], style: Style) {
    let count = traces.iter().map(Vec::len).sum::<usize>() as u64;
    if count == 0 {
        return;
    }
    let mut out = String::new();
    for trace in traces {
        for line in tree::arrange(trace) {
            row::write(&mut out, &line, style);
        }
    }
    match Stdout.write_line(out.as_bytes()) {
        Ok(()) => queue.counters().export(count),
        // Whoever read standard output has seen enough, or nothing can be said there.
        Err(_) => queue.counters().drop(DropCause::Permanent, count),
    }
}

/// `NO_COLOR` counts when set to anything but nothing (no-color.org).
fn coloured(colour: Colour) -> bool {
    match colour {
        Colour::Always => true,
        Colour::Never => false,
        Colour::Auto => {
            let refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
            let dumb = env::var_os("TERM").is_some_and(|value| value == "dumb");
            !refused && !dumb && io::stdout().is_terminal()
        }
    }
}
