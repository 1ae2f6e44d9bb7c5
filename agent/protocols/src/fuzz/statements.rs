//! What is hidden of what clients send to databases.

use crate::{
    detect::Protocol,
    mask::{HIDDEN, Mask},
};

/// Any operations of a database's client: a control byte (bits 0 to 3: so many bytes before it were not seen; bit 4: it is the
/// end of an operation), a length byte, and as many bytes. Bits 0 and 1 of the first byte say which database, bit 2 whether
/// it is seen from its first byte.
///
/// # Panics
///
/// When a byte is neither as it was nor one that stands for what is hidden.
pub fn statements(data: &[u8]) {
    let Some((&mode, mut data)) = data.split_first() else { return };
    let protocols = [Protocol::Postgres, Protocol::MySql, Protocol::Redis, Protocol::Memcached];
    let Some(mut mask) = Mask::new(protocols[usize::from(mode & 3)], mode & 4 != 0) else { return };
    let mut offset = 0;
    while let [control, length, rest @ ..] = data {
        let (sent, rest) = rest.split_at(usize::from(*length).min(rest.len()));
        data = rest;
        offset += u64::from(control & 15);
        let mut shown = sent.to_vec();
        mask.hide(offset, &mut shown, control & 16 == 0);
        offset += sent.len() as u64;
        for (shown, sent) in shown.iter().zip(sent) {
            // Parts of Redis' keys become others that look alike.
            assert!(shown == sent || [HIDDEN, b'0', b'a'].contains(shown), "{sent} is shown as {shown}");
        }
    }
}
