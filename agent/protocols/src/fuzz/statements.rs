//! What is hidden of what databases are told and answer.

use super::{Operation, Script};
use crate::{
    detect::Protocol,
    exchange::Party,
    mask::{HIDDEN, Mask},
    mysql,
};

/// Any script of operations on a database's connection, in the form of [`super::http1`]'s, but for the first byte: bits 0 and 1
/// say which database, bit 2 whether it is seen from its first byte.
///
/// # Panics
///
/// When a byte is neither as it was nor one that stands for what is hidden. When what is shown of a server's depends on what is
/// not: then what is masked once more is not the same. (What MySQL's says is masked by what was asked, and in Redis' protocol
/// an asterisk is the beginning of something.)
pub fn statements(data: &[u8]) {
    let script: Vec<_> = Script::new(data).map(|(from, _, operation)| (from, operation)).collect();
    let mode = data.first().copied().unwrap_or_default();
    let shown = masked(mode, &script);
    let again: Vec<_> = script
        .iter()
        .zip(&shown)
        .map(|((from, operation), shown)| match from {
            Party::Client => (*from, *operation),
            Party::Server => (*from, operation.with(shown)),
        })
        .collect();
    for ((_, operation), shown) in script.iter().zip(&shown) {
        for (shown, was) in shown.iter().zip(operation.bytes()) {
            // Parts of Redis' keys become others that look alike, and so do numbers.
            assert!(shown == was || [HIDDEN, b'0', b'a'].contains(shown), "{was} is shown as {shown}");
        }
    }
    if matches!(PROTOCOLS[usize::from(mode & 3)], Protocol::Postgres | Protocol::Memcached) {
        for (once, twice) in shown.iter().zip(masked(mode, &again)) {
            let (once, twice) = (once.escape_ascii(), twice.escape_ascii());
            assert!(once.clone().eq(twice.clone()), "{once} shows what is hidden: once more it is {twice}");
        }
    }
}

const PROTOCOLS: [Protocol; 4] = [Protocol::Postgres, Protocol::MySql, Protocol::Redis, Protocol::Memcached];

fn masked(mode: u8, script: &[(Party, Operation<'_>)]) -> Vec<Vec<u8>> {
    let (protocol, opened) = (PROTOCOLS[usize::from(mode & 3)], mode & 4 != 0);
    let limits = mysql::Limits { outstanding: 6, failures: 3, ..mysql::Limits::default() };
    let mut parser = match opened {
        true => mysql::Connection::opened(limits),
        false => mysql::Connection::new(limits),
    }
    .noting();
    let Some(mut mask) = Mask::new(protocol) else { return Vec::new() };
    let mut offsets = [if opened { 0 } else { 7 }; 2];
    let mut shown = Vec::new();
    for (from, operation) in script {
        let offset = &mut offsets[usize::from(*from == Party::Server)];
        if protocol == Protocol::MySql {
            operation.hand_to(&mut parser, *from, crate::Stamp::default(), *offset);
            while parser.poll_event().is_some() {}
            mask.note(&parser.take_notes());
            if parser.is_compressed() {
                mask.compressed();
            }
        }
        *offset += operation.length();
        let bytes = operation.bytes();
        // A tail may be longer than all that it is the end of.
        let known = usize::try_from(operation.length()).unwrap_or(usize::MAX).min(bytes.len());
        let mut bytes = bytes[bytes.len() - known..].to_vec();
        let starts = matches!(operation, Operation::Bytes(_));
        mask.hide(*from, *offset - bytes.len() as u64, &mut bytes, starts);
        mask.settle();
        shown.push(bytes);
    }
    shown
}
