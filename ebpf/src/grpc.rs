//! grpc-go: who sends on which stream. All requests of a connection are written by one goroutine of the connection's; the
//! one that has opened a stream gives its messages to that.

use honeyguide_common::{
    Failure,
    identity::GOROUTINE,
    record::{KIND_MESSAGE, Message},
};

use crate::{
    emit,
    identity::{self, word},
};

/// `id` in `transport.Stream`: its first field up to grpc-go 1.76, and since 1.77 behind `ctx`, `method`, `recvCompress`,
/// `sendCompress`, `readRequester`, `contentSubtype`, `trailer` and `state`.
const ID: u64 = 108;
/// Where Go's memory begins on Linux (`runtime.mallocinit`), and far beyond what a process has of it.
const HEAP: u64 = 0xc0 << 32;
const HEAP_END: u64 = 0x100 << 32;

/// The goroutine `g` sends on `stream` of `connection`.
#[inline(always)]
pub fn sends(connection: u64, stream: u64, g: u64) {
    let Some((caller, runtime)) = identity::runtime_of_caller(GOROUTINE) else { return };
    let Some(id) = stream_id(stream) else { return };
    let found = identity::of_goroutine(runtime, g);
    if found.context == 0 {
        return;
    }
    let record = Message {
        header: emit::header(KIND_MESSAGE, 0),
        pid: caller.pid,
        stream: id,
        connection,
        goroutine: found.context,
        parent: found.parent,
        padding: 0,
    };
    emit::fixed(&record, Failure::RingFullTask);
}

/// A `*Stream` up to 1.68, and then a `*ClientStream`, which begins with a `*Stream` or, since 1.77, a `Stream`. Its first word
/// tells them apart: a number, an address in Go's memory, or that of a type's table in the program.
#[inline(always)]
fn stream_id(stream: u64) -> Option<u32> {
    let first = word(stream)?;
    let id = if first >> 32 == 0 {
        first as u32
    } else if (HEAP..HEAP_END).contains(&first) {
        word(first)? as u32
    } else {
        (word(stream + ID - 4)? >> 32) as u32
    };
    // RFC 9113, section 5.1.1: a client's are odd.
    (id % 2 == 1).then_some(id)
}
