//! What a proxy says of the original request: `Forwarded` (RFC 7239) or `X-Forwarded-For`.

use std::net::{IpAddr, SocketAddr};

use honeyguide_protocols::http::Forwarded;

use super::target::host_and_port;

/// The first (left-most) hop: the original client, as far as the headers can be believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Origin<'a> {
    /// Only where it is an address: `unknown` and obfuscated names (`_hidden`) say nothing.
    pub client: Option<(IpAddr, Option<u16>)>,
    pub host: Option<(&'a str, Option<u16>)>,
    /// `http` or `https`.
    pub scheme: Option<&'static str>,
}

impl<'a> Origin<'a> {
    #[must_use]
    pub(super) fn of(header: &'a Forwarded) -> Self {
        match header {
            Forwarded::XForwardedFor(list) => {
                Self { client: node(list.split(',').next().unwrap_or_default()), ..Self::default() }
            }
            Forwarded::Forwarded(list) => Self::first_element(list),
        }
    }

    fn first_element(list: &'a str) -> Self {
        let mut origin = Self::default();
        for pair in split_unquoted(list, b',').next().into_iter().flat_map(|e| split_unquoted(e, b';')) {
            let Some((name, value)) = pair.split_once('=') else { continue };
            let (name, value) = (name.trim(), unquote(value.trim()));
            if name.eq_ignore_ascii_case("for") {
                origin.client = node(value);
            } else if name.eq_ignore_ascii_case("host") {
                origin.host = host_and_port(value);
            } else if name.eq_ignore_ascii_case("proto") {
                origin.scheme = super::scheme(value);
            }
        }
        origin
    }
}

/// An address with or without a port, brackets and quotes.
fn node(text: &str) -> Option<(IpAddr, Option<u16>)> {
    let text = unquote(text.trim());
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some((address.to_canonical(), None));
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some((address.ip().to_canonical(), Some(address.port())));
    }
    let (host, _) = host_and_port(text)?;
    Some((host.parse::<IpAddr>().ok()?.to_canonical(), None))
}

fn unquote(text: &str) -> &str {
    text.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or(text)
}

fn split_unquoted(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |c: char| {
        quoted ^= c == '"';
        !quoted && c == separator as char
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(header: &Forwarded) -> Option<String> {
        Origin::of(header).client.map(|(ip, port)| format!("{ip} {port:?}"))
    }

    #[test]
    fn clients() {
        let check = |list: &str, expect: Option<&str>| {
            assert_eq!(client(&Forwarded::XForwardedFor(list.into())).as_deref(), expect, "{list}");
        };
        check("203.0.113.7, 10.0.0.1", Some("203.0.113.7 None"));
        check("203.0.113.7:4711", Some("203.0.113.7 Some(4711)"));
        check("2001:db8::1", Some("2001:db8::1 None"));
        check("[2001:db8::1]:80", Some("2001:db8::1 Some(80)"));
        check("::ffff:10.0.0.1", Some("10.0.0.1 None"));
        check("unknown", None);
        check("", None);
        let check = |list: &str, expect: Option<&str>| {
            assert_eq!(client(&Forwarded::Forwarded(list.into())).as_deref(), expect, "{list}");
        };
        check("for=192.0.2.60;proto=http;by=203.0.113.43", Some("192.0.2.60 None"));
        check("For=\"[2001:db8:cafe::17]:4711\"", Some("2001:db8:cafe::17 Some(4711)"));
        check("for=_hidden, for=192.0.2.1", None);
        check("for=unknown", None);
        check("for=\"a,b\";host=x", None);
        check(";;=;for", None);
    }

    #[test]
    fn host_and_scheme() {
        let header =
            Forwarded::Forwarded("proto=HTTPS; host=\"shop.example:8443\" ;for=1.2.3.4, host=other".into());
        let origin = Origin::of(&header);
        assert_eq!((origin.host, origin.scheme), (Some(("shop.example", Some(8443))), Some("https")));
        assert_eq!(Origin::of(&Forwarded::Forwarded("proto=gopher".into())).scheme, None);
    }
}
