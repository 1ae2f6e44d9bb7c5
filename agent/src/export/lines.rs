//! OTLP/JSON, one `*Data` message a line, to a file or to standard output.

use std::{io, sync::Arc};

use super::{counters::DropCause, notice::Notice, otlp::Otlp, queue::Queue};

/// Takes whole lines, each with its end. A line that failed must leave nothing behind.
pub(super) trait Sink {
    fn write_line(&mut self, line: &[u8]) -> io::Result<()>;
}

/// A buffer that grew beyond this for one large batch is not kept.
const KEEP: usize = 4 * 1024 * 1024;

/// Writes every batch as a line until the queue is closed and empty. What cannot be written is
/// counted, and the next batch tried all the same: a full disk may be cleared.
pub(super) async fn write<T: Otlp>(queue: Arc<Queue<T>>, mut sink: impl Sink, destination: String) {
    let notice = Notice::default();
    let mut line = Vec::new();
    while let Some(batch) = queue.next().await {
        line.clear();
        line.shrink_to(KEEP);
        T::json(batch.iter(), &mut line);
        line.push(b'\n');
        queue.counters().request(0);
        match sink.write_line(&line) {
            Ok(()) => batch.exported(),
            Err(error) => {
                // Whoever read standard output has seen enough.
                if error.kind() != io::ErrorKind::BrokenPipe {
                    notice.warn(&destination, format_args!("{} items dropped: {error}", batch.weight()));
                }
                batch.dropped(DropCause::Permanent);
            }
        }
    }
}
