//! Which C libraries have TLS, where they lie, and which of their functions are probed.

use honeyguide_common::tls::{CALL_READ, CALL_READ_EX, CALL_SENDFILE, CALL_WRITE, CALL_WRITE_EX};

use crate::load::uprobe::Target;

pub(super) const ENTER: &str = "tls_enter";
pub(super) const LEAVE: &str = "tls_leave";
pub(super) const HANDSHAKE: &str = "tls_handshake";
pub(super) const FREE: &str = "tls_free";

/// Where the dynamic linker finds libraries.
pub(super) const DIRECTORIES: [&str; 7] = [
    "usr/lib/x86_64-linux-gnu",
    "lib/x86_64-linux-gnu",
    "usr/lib64",
    "lib64",
    "usr/lib",
    "lib",
    "usr/local/lib",
];
/// The TLS libraries it finds there.
pub(super) const LIBRARIES: [(&str, &[Target]); 3] =
    [("libssl.so.3", OPENSSL), ("libssl.so.1.1", OPENSSL), ("libgnutls.so.30", GNUTLS)];

/// `SSL_write_early_data` and `SSL_read_early_data` call the functions here, `SSL_new` clears what it makes, and
/// `SSL_peek` passes none of them.
pub(super) const OPENSSL: &[Target] = &[
    moves("SSL_read", CALL_READ),
    moves("SSL_write", CALL_WRITE),
    moves("SSL_read_ex", CALL_READ_EX),
    moves("SSL_write_ex", CALL_WRITE_EX),
    moves("SSL_sendfile", CALL_SENDFILE),
    alone("SSL_do_handshake", HANDSHAKE),
    alone("SSL_clear", FREE),
    alone("SSL_free", FREE),
];

/// `gnutls_record_send` is a jump to `gnutls_record_send2`, which has two more arguments.
pub(super) const GNUTLS: &[Target] = &[
    moves("gnutls_record_recv", CALL_READ),
    moves("gnutls_record_send2", CALL_WRITE),
    alone("gnutls_deinit", FREE),
];

/// `libssl.so.3`, `libssl-0a1b2c.so.1.1` of a Python wheel, `libgnutls.so.30`.
pub(super) fn named(path: &str) -> Option<&'static [Target]> {
    let name = path.rsplit('/').next()?;
    if !name.contains(".so") {
        return None;
    }
    let is = |prefix: &str| {
        name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('.') || rest.starts_with('-'))
    };
    if is("libssl") {
        Some(OPENSSL)
    } else if is("libgnutls") {
        Some(GNUTLS)
    } else {
        None
    }
}

const fn moves(function: &'static str, call: u64) -> Target {
    Target { function, cookie: Some(call), entry: ENTER, exits: Some(LEAVE) }
}

const fn alone(function: &'static str, entry: &'static str) -> Target {
    Target { function, cookie: None, entry, exits: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_known_by_their_file_names() {
        let is = |path: &str| named(path).map(|targets| targets[0].function);
        assert_eq!(is("/usr/lib/x86_64-linux-gnu/libssl.so.3"), Some("SSL_read"));
        assert_eq!(is("/opt/venv/lib/libssl-0a1b2c3d.so.1.1"), Some("SSL_read"));
        assert_eq!(is("/usr/lib/libgnutls.so.30.34.3"), Some("gnutls_record_recv"));
        assert_eq!(is("/usr/lib/libssl3.so"), None);
        assert_eq!(is("/usr/share/libssl.txt"), None);
        assert_eq!(is("/usr/lib/libcrypto.so.3"), None);
    }
}
