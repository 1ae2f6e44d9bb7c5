//! `server.*` and `network.*` from the ends of a connection. The same for every protocol.

use std::{borrow::Cow, net::IpAddr};

use crate::{
    attribute::Attributes,
    flow::{Endpoints, Role},
};

/// The server's socket address, for `server.address` and `server.port`. A client knows it as the remote end.
pub(super) fn server(role: Role, endpoints: &Endpoints) -> (Option<Cow<'_, str>>, Option<u16>) {
    match endpoints {
        Endpoints::Tcp { local, remote } => {
            let server = if role == Role::Client { remote } else { local };
            (Some(Cow::Owned(text(server.ip()))), Some(server.port()))
        }
        Endpoints::Unix { path } => (path.as_deref().map(Cow::Borrowed), None),
        Endpoints::Unknown => (None, None),
    }
}

/// An address as it is written. Every span has one or two, and the formatter takes ten times as long.
pub(super) fn text(address: IpAddr) -> String {
    let IpAddr::V4(address) = address else { return address.to_string() };
    let mut text = String::with_capacity("255.255.255.255".len());
    for (place, octet) in address.octets().into_iter().enumerate() {
        if place > 0 {
            text.push('.');
        }
        for (digit, shown_from) in [(octet / 100, 100), (octet / 10 % 10, 10), (octet % 10, 0)] {
            if octet >= shown_from {
                text.push(char::from(b'0' + digit));
            }
        }
    }
    text
}

/// `server.address:server.port`, a database span's target where there is no nearer one.
pub(super) fn authority(server: &str, port: Option<u16>) -> Cow<'_, str> {
    match port {
        Some(port) if server.contains(':') => Cow::Owned(format!("[{server}]:{port}")),
        Some(port) => Cow::Owned(format!("{server}:{port}")),
        None => Cow::Borrowed(server),
    }
}

/// `network.peer.address` and `network.peer.port`; `network.transport` where it is not TCP.
pub(super) fn set_peer(role: Role, endpoints: &Endpoints, attributes: &mut Attributes) {
    match endpoints {
        Endpoints::Tcp { remote, .. } => {
            attributes.add("network.peer.address", text(remote.ip()));
            attributes.add("network.peer.port", remote.port());
        }
        Endpoints::Unix { path } => {
            attributes.add("network.transport", "unix");
            // The connecting side of a unix socket has no name.
            if let Some(path) = path.as_ref().filter(|_| role == Role::Client) {
                attributes.add("network.peer.address", path.to_string());
            }
        }
        Endpoints::Unknown => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_the_formatter_does() {
        for octet in 0..=255 {
            let address = IpAddr::from([octet, 255 - octet, 0, octet]);
            assert_eq!(text(address), address.to_string());
        }
        for address in ["::1", "2001:db8::7", "::ffff:10.0.0.1"] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(text(address), address.to_string());
        }
    }
}
