//! What an HTTP/2 exchange says as a gRPC call (the gRPC over HTTP/2 protocol).

/// A call's detail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RpcDetail {
    /// Fully qualified, as `rpc.method` has it: `package.Service/Method`, the path without its first
    /// slash. `None` where the path was not seen.
    pub method: Option<Box<str>>,
    /// `grpc-status` as sent, from the trailers or from a response that is nothing but trailers. `None`
    /// where the call ended without or it was not seen.
    pub status: Option<u32>,
    /// There was a `grpc-message`; its text is not kept.
    pub has_message: bool,
    /// Messages that were begun until the exchange was over, counted by their prefixes. `None` where one
    /// prefix or more was not seen. A call that streams has other numbers than one, or one by chance.
    pub request_messages: Option<u64>,
    pub response_messages: Option<u64>,
}

/// `application/grpc` and its subtypes for codecs; not gRPC-Web, which frames its trailers as data.
pub(crate) fn is_grpc(content_type: &[u8]) -> bool {
    content_type
        .strip_prefix(b"application/grpc")
        .is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';' | b' ')))
}

/// `grpc-status`: a decimal number.
pub(crate) fn status(value: &[u8]) -> Option<u32> {
    str::from_utf8(value).ok()?.parse().ok()
}

/// Counts messages in one direction of a stream by their prefixes: a flag and a length (4 bytes).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Messages {
    begun: u64,
    /// Of the current message's body.
    left: u64,
    prefix: [u8; PREFIX],
    held: usize,
    lost: bool,
}

const PREFIX: usize = 5;

impl Messages {
    pub(crate) const NONE: Self = Self { begun: 0, left: 0, prefix: [0; PREFIX], held: 0, lost: false };

    /// Messages begun; `None` where that is not certain.
    pub(crate) fn count(self) -> Option<u64> {
        (!self.lost).then_some(self.begun)
    }

    /// Where messages begin is not known any more.
    pub(crate) fn lose(&mut self) {
        self.lost = true;
    }

    /// Payload that was not seen: harmless inside a message's body.
    pub(crate) fn skip(&mut self, length: u64) {
        match self.left.checked_sub(length) {
            Some(left) => self.left = left,
            None => self.lost = true,
        }
    }

    pub(crate) fn read(&mut self, mut payload: &[u8]) {
        while !self.lost && !payload.is_empty() {
            if self.left > 0 {
                let body = usize::try_from(self.left).map_or(payload.len(), |left| left.min(payload.len()));
                self.left -= body as u64;
                payload = &payload[body..];
                continue;
            }
            let taken = payload.len().min(PREFIX - self.held);
            self.prefix[self.held..self.held + taken].copy_from_slice(&payload[..taken]);
            self.held += taken;
            payload = &payload[taken..];
            if self.held == PREFIX {
                let [compressed, a, b, c, d] = self.prefix;
                self.left = u64::from(u32::from_be_bytes([a, b, c, d]));
                self.held = 0;
                self.begun += 1;
                self.lost = compressed > 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types() {
        for yes in ["application/grpc", "application/grpc+proto", "application/grpc;charset=x"] {
            assert!(is_grpc(yes.as_bytes()), "{yes}");
        }
        for no in ["application/grpc-web", "application/grpc-web+proto", "application/json", ""] {
            assert!(!is_grpc(no.as_bytes()), "{no}");
        }
    }

    #[test]
    fn statuses_are_decimal() {
        assert_eq!(
            (status(b"0"), status(b"16"), status(b"ok"), status(b"")),
            (Some(0), Some(16), None, None)
        );
    }

    const THREE: &[u8] = b"\0\0\0\0\x02ab\x01\0\0\0\0\0\0\0\0\x03abc";

    #[test]
    fn messages_are_counted_in_pieces_of_any_size() {
        for size in 1..=THREE.len() {
            let mut messages = Messages::NONE;
            THREE.chunks(size).for_each(|piece| messages.read(piece));
            assert_eq!(messages.count(), Some(3));
        }
    }

    #[test]
    fn a_gap_is_harmless_inside_a_body_alone() {
        for start in 0..THREE.len() {
            for end in start + 1..=THREE.len() {
                let mut messages = Messages::NONE;
                messages.read(&THREE[..start]);
                messages.skip((end - start) as u64);
                messages.read(&THREE[end..]);
                let inside = [5..7, 17..20].iter().any(|body| body.contains(&start) && end <= body.end);
                assert_eq!(messages.count(), inside.then_some(3), "{start}..{end}");
            }
        }
    }

    #[test]
    fn other_data_is_not_counted() {
        let mut messages = Messages::NONE;
        messages.read(b"{\"json\": true}");
        assert_eq!(messages.count(), None);
    }
}
