//! The request target (RFC 9112, 3.2) and the authority (RFC 3986, 3.2), taken apart without copying.

/// A request target, in whichever of its four forms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Target<'a> {
    /// Absolute form only.
    pub scheme: Option<&'a str>,
    /// Absolute and authority form only.
    pub authority: Option<&'a str>,
    /// `/…` or `*`; empty for the authority form (CONNECT).
    pub path: &'a str,
    /// Without the `?`.
    pub query: Option<&'a str>,
}

impl<'a> Target<'a> {
    #[must_use]
    pub(super) fn parse(method: &str, target: &'a str) -> Self {
        if method == "CONNECT" {
            return Self { authority: Some(target), ..Self::default() };
        }
        let target = before(target, b'#').unwrap_or(target);
        if target.starts_with('/') || target == "*" {
            return Self::path_and_query(target);
        }
        let Some((scheme, rest)) = target.split_once("://").filter(|(s, _)| is_scheme(s)) else {
            return Self::path_and_query(target);
        };
        let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let mut parsed = Self::path_and_query(rest);
        (parsed.scheme, parsed.authority) = (Some(scheme), Some(authority));
        if parsed.path.is_empty() {
            parsed.path = "/";
        }
        parsed
    }

    fn path_and_query(text: &'a str) -> Self {
        match before(text, b'?') {
            Some(path) => Self { path, query: Some(&text[path.len() + 1..]), ..Self::default() },
            None => Self { path: text, ..Self::default() },
        }
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
}

/// The text in front of an ASCII character. Of so little a search would take longer to set up.
fn before(text: &str, byte: u8) -> Option<&str> {
    text.bytes().position(|b| b == byte).map(|end| &text[..end])
}

/// Host (an IPv6 literal without its brackets) and port of an authority; userinfo is left out.
#[must_use]
pub(super) fn host_and_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let userinfo = authority.bytes().rposition(|b| b == b'@').map_or(0, |end| end + 1);
    let authority = authority[userinfo..].trim_ascii();
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let host = before(rest, b']')?;
        (host, rest[host.len() + 1..].strip_prefix(':'))
    } else if let Some(host) = before(authority, b':') {
        (host, Some(&authority[host.len() + 1..]))
    } else {
        (authority, None)
    };
    (!host.is_empty()).then(|| (host, port.and_then(|p| p.parse().ok())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_four_forms() {
        let check = |method, target, scheme, authority, path, query| {
            assert_eq!(Target::parse(method, target), Target { scheme, authority, path, query }, "{target}");
        };
        check("GET", "/a/b?c=d?e", None, None, "/a/b", Some("c=d?e"));
        check("GET", "/", None, None, "/", None);
        check("GET", "/a?", None, None, "/a", Some(""));
        check("GET", "/r?u=http://x/", None, None, "/r", Some("u=http://x/"));
        check("GET", "http://h:1/a?b", Some("http"), Some("h:1"), "/a", Some("b"));
        check("GET", "https://h", Some("https"), Some("h"), "/", None);
        check("GET", "https://h?q", Some("https"), Some("h"), "/", Some("q"));
        check("GET", "//evil/a", None, None, "//evil/a", None);
        check("GET", "/a#frag?x", None, None, "/a", None);
        check("OPTIONS", "*", None, None, "*", None);
        check("CONNECT", "h:443", None, Some("h:443"), "", None);
        check("GET", "", None, None, "", None);
        check("GET", "a://", Some("a"), Some(""), "/", None);
    }

    #[test]
    fn authorities() {
        assert_eq!(host_and_port("example.com"), Some(("example.com", None)));
        assert_eq!(host_and_port("example.com:8080"), Some(("example.com", Some(8080))));
        assert_eq!(host_and_port("u:p@h:1"), Some(("h", Some(1))));
        assert_eq!(host_and_port("[::1]:80"), Some(("::1", Some(80))));
        assert_eq!(host_and_port("[::1]"), Some(("::1", None)));
        assert_eq!(host_and_port("h:"), Some(("h", None)));
        assert_eq!(host_and_port("h:99999"), Some(("h", None)));
        assert_eq!(host_and_port(":80"), None);
        assert_eq!(host_and_port("[::1"), None);
        assert_eq!(host_and_port(""), None);
    }
}
