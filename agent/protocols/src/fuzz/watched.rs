//! What the protocols' connections have in common, for those who drive any of them.

use crate::{
    exchange::{CloseReason, Event, Party, Stamp},
    fastcgi, http1, http2, memcached, mysql, postgres, redis,
};

pub(crate) trait Watched {
    type Head;
    type Detail;

    fn handle_bytes(&mut self, from: Party, at: Stamp, offset: u64, bytes: &[u8]);
    fn handle_gap(&mut self, from: Party, at: Stamp, offset: u64, length: u64, tail: &[u8]);
    fn handle_shutdown(&mut self, from: Party, at: Stamp);
    fn handle_close(&mut self, at: Stamp, reason: CloseReason);
    fn poll_event(&mut self) -> Option<Event<Self::Head, Self::Detail>>;
    fn buffered(&self) -> usize;
    fn outstanding(&self) -> usize;
    fn is_closed(&self) -> bool;
}

macro_rules! watched {
    ($($protocol:ident: $event:ident),*) => {$(
        impl Watched for $protocol::Connection {
            type Head = <$protocol::$event as Parts>::Head;
            type Detail = <$protocol::$event as Parts>::Detail;

            fn handle_bytes(&mut self, from: Party, at: Stamp, offset: u64, bytes: &[u8]) {
                self.handle_bytes(from, at, offset, bytes);
            }

            fn handle_gap(&mut self, from: Party, at: Stamp, offset: u64, length: u64, tail: &[u8]) {
                self.handle_gap(from, at, offset, length, tail);
            }

            fn handle_shutdown(&mut self, from: Party, at: Stamp) {
                self.handle_shutdown(from, at);
            }

            fn handle_close(&mut self, at: Stamp, reason: CloseReason) {
                self.handle_close(at, reason);
            }

            fn poll_event(&mut self) -> Option<$protocol::$event> {
                self.poll_event()
            }

            fn buffered(&self) -> usize {
                self.buffered()
            }

            fn outstanding(&self) -> usize {
                self.outstanding()
            }

            fn is_closed(&self) -> bool {
                self.state() == $protocol::State::Closed
            }
        }
    )*};
}

watched!(
    fastcgi: FastCgiEvent,
    http1: HttpEvent,
    http2: HttpEvent,
    memcached: MemcachedEvent,
    mysql: SqlEvent,
    postgres: SqlEvent,
    redis: RedisEvent
);

/// What an event's alias is made of.
pub(crate) trait Parts {
    type Head;
    type Detail;
}

impl<R, D> Parts for Event<R, D> {
    type Head = R;
    type Detail = D;
}
