//! `server.*` and `network.*` from the ends of a connection. The same for every protocol.

use std::borrow::Cow;

use crate::{
    attribute::Attributes,
    flow::{Endpoints, Role},
};

/// The server's socket address, for `server.address` and `server.port`. A client knows it as the remote end.
pub(super) fn server(role: Role, endpoints: &Endpoints) -> (Option<Cow<'_, str>>, Option<u16>) {
    match endpoints {
        Endpoints::Tcp { local, remote } => {
            let server = if role == Role::Client { remote } else { local };
            (Some(Cow::Owned(server.ip().to_string())), Some(server.port()))
        }
        Endpoints::Unix { path } => (path.as_deref().map(Cow::Borrowed), None),
        Endpoints::Unknown => (None, None),
    }
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
            attributes.set("network.peer.address", remote.ip().to_string());
            attributes.set("network.peer.port", remote.port());
        }
        Endpoints::Unix { path } => {
            attributes.set("network.transport", "unix");
            // The connecting side of a unix socket has no name.
            if let Some(path) = path.as_ref().filter(|_| role == Role::Client) {
                attributes.set("network.peer.address", path.to_string());
            }
        }
        Endpoints::Unknown => {}
    }
}
