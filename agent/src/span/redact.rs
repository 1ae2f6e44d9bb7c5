//! Secrets in URLs: query values, matrix parameters, fragments and userinfo become `REDACTED`.
//!
//! The semantic conventions (HTTP spans, `url.full` and `url.query`) name seven query keys; the default
//! list adds the names under which credentials are commonly sent. Names are compared without regard to
//! case, `-` and `_`, after percent-decoding, and by their last part (`user[password]`, `auth.token`).
//! That redacts more than the conventions' case-sensitive comparison, never less.

use std::{borrow::Cow, collections::HashSet};

use foldhash::fast::RandomState;

pub const REDACTED: &str = "REDACTED";

/// The conventions' own list, as of version 1.44.
pub const CONVENTION_NAMES: [&str; 7] = [
    "X-Amz-Signature",
    "X-Amz-Credential",
    "X-Amz-Security-Token",
    "AWSAccessKeyId",
    "Signature",
    "sig",
    "X-Goog-Signature",
];

/// Names that carry credentials elsewhere. `code` is OAuth's authorisation code, `key` the usual API key.
pub const COMMON_NAMES: [&str; 38] = [
    "token",
    "access_token",
    "refresh_token",
    "id_token",
    "auth_token",
    "session_token",
    "csrf_token",
    "xsrf_token",
    "private_token",
    "bearer_token",
    "jwt",
    "assertion",
    "client_assertion",
    "saml_response",
    "key",
    "api_key",
    "x-api-key",
    "app_key",
    "access_key",
    "secret_key",
    "private_key",
    "subscription-key",
    "x-goog-credential",
    "password",
    "passwd",
    "passphrase",
    "pass",
    "pwd",
    "secret",
    "client_secret",
    "auth",
    "authorization",
    "credentials",
    "code",
    "otp",
    "sessionid",
    "jsessionid",
    "phpsessid",
];

/// Which parameter names are secret. The list given is the whole list, as the conventions ask of an override.
#[derive(Clone, Debug)]
pub struct Redaction {
    /// Normalised: lower case, without `-` and `_`.
    names: HashSet<Box<[u8]>, RandomState>,
    /// One bit for each length (up to 63) a name has: most names are refused without hashing.
    lengths: u64,
}

impl Default for Redaction {
    fn default() -> Self {
        Self::new(CONVENTION_NAMES.iter().chain(&COMMON_NAMES))
    }
}

impl Redaction {
    /// The names that are always secret, and `extra` besides.
    #[must_use]
    pub fn and(extra: &[String]) -> Self {
        Self::new(
            CONVENTION_NAMES.iter().chain(&COMMON_NAMES).copied().chain(extra.iter().map(String::as_str)),
        )
    }

    /// Names longer than 63 bytes are never matched.
    pub fn new(names: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let mut redaction = Self { names: HashSet::default(), lengths: 0 };
        for name in names {
            let mut buffer = [0; MAX_NAME];
            if let Some(name) = normalise(name.as_ref().as_bytes(), &mut buffer) {
                redaction.lengths |= 1 << name.len();
                redaction.names.insert(name.into());
            }
        }
        redaction
    }

    /// `name` as sent: possibly percent-encoded, possibly nested.
    #[must_use]
    pub fn is_secret(&self, name: &str) -> bool {
        if name.len() > MAX_ENCODED_NAME {
            // Longer than any listed name can be, even with every byte encoded and a path in front.
            return self.is_secret_tail(name);
        }
        let mut buffer = [0; MAX_NAME];
        let Some(name) = normalise(last_part(name.as_bytes()), &mut buffer) else { return false };
        self.lengths & (1 << name.len()) != 0 && self.names.contains(name)
    }

    fn is_secret_tail(&self, name: &str) -> bool {
        let mut start = name.len() - MAX_ENCODED_NAME;
        while !name.is_char_boundary(start) {
            start += 1;
        }
        let tail = &name[start..];
        tail.bytes().any(is_nesting) && self.is_secret(tail)
    }

    /// A query or a fragment, without its leading `?` or `#`.
    #[must_use]
    pub fn query<'a>(&self, query: &'a str) -> Cow<'a, str> {
        self.parameters(query, true, |b| b == b'&')
    }

    /// A path: only matrix parameters (`/a;jsessionid=x/b`) can hold a named secret.
    #[must_use]
    pub fn path<'a>(&self, path: &'a str) -> Cow<'a, str> {
        match path.find(';') {
            None => Cow::Borrowed(path),
            Some(_) => self.parameters(path, false, |b| b == b'/'),
        }
    }

    /// A whole URL, a request target or a part of one: userinfo, path, query and fragment.
    #[must_use]
    pub fn url<'a>(&self, url: &'a str) -> Cow<'a, str> {
        let slash = url.find(['/', '?', '#']).unwrap_or(url.len());
        let absolute = url[..slash].ends_with(':') && url[slash..].starts_with("//");
        let authority = if absolute { slash + 2 } else { 0 };
        let (head, tail) =
            url.split_at(url[authority..].find(['/', '?', '#']).map_or(url.len(), |n| authority + n));
        let head = if absolute { userinfo(head, authority) } else { Cow::Borrowed(head) };
        let (path, query) = tail.split_at(tail.find(['?', '#']).unwrap_or(tail.len()));
        let (path, query) = (self.path(path), self.query(query));
        match (&head, &path, &query) {
            (Cow::Borrowed(_), Cow::Borrowed(_), Cow::Borrowed(_)) => Cow::Borrowed(url),
            _ => Cow::Owned([head, path, query].concat()),
        }
    }

    /// Copies `text`, replacing the value of every secret name. A name starts at the start of the text (if
    /// `named`) and after each of `& ; ? #`; a secret value reaches to `ends`, so that a server which does not
    /// split at `;` leaks nothing.
    fn parameters<'a>(&self, text: &'a str, named: bool, ends: fn(u8) -> bool) -> Cow<'a, str> {
        let bytes = text.as_bytes();
        let mut out = String::new();
        let (mut copied, mut name) = (0, 0);
        let mut named = named;
        let mut at = 0;
        while at < bytes.len() {
            match bytes[at] {
                b'&' | b';' | b'?' | b'#' => (name, named) = (at + 1, true),
                b'=' if named => {
                    named = false;
                    if self.is_secret(&text[name..at]) {
                        let end =
                            bytes[at + 1..].iter().position(|b| ends(*b)).map_or(bytes.len(), |n| at + 1 + n);
                        out.push_str(&text[copied..=at]);
                        out.push_str(REDACTED);
                        (copied, at) = (end, end);
                        continue;
                    }
                }
                _ => {}
            }
            at += 1;
        }
        if copied == 0 {
            return Cow::Borrowed(text);
        }
        out.push_str(&text[copied..]);
        Cow::Owned(out)
    }
}

/// The longest listed name, normalised.
const MAX_NAME: usize = 63;
/// Three bytes for each of a name's, and as many separators.
const MAX_ENCODED_NAME: usize = 6 * MAX_NAME;

fn is_nesting(byte: u8) -> bool {
    matches!(byte, b'[' | b']' | b'.' | b'%')
}

/// `password` of `user[password]`, `user%5Bpassword%5D` and `user.password`.
fn last_part(name: &[u8]) -> &[u8] {
    let mut name = name;
    loop {
        name = match name {
            [rest @ .., b']' | b'['] | [rest @ .., b'%', b'5', b'D' | b'd' | b'B' | b'b'] => rest,
            _ => break,
        };
    }
    let dot = name.iter().rposition(|b| matches!(b, b'[' | b'.')).map_or(0, |at| at + 1);
    let encoded =
        name.windows(3).rposition(|w| matches!(w, [b'%', b'5', b'B' | b'b'] | [b'%', b'2', b'E' | b'e']));
    &name[dot.max(encoded.map_or(0, |at| at + 3))..]
}

/// Percent-decoded, lower case, without `-`, `_`, `+` and blanks; `None` where that is empty or too long.
fn normalise<'a>(name: &[u8], buffer: &'a mut [u8; MAX_NAME]) -> Option<&'a [u8]> {
    let (mut len, mut at) = (0, 0);
    while let Some(&byte) = name.get(at) {
        let byte = match (byte, name.get(at + 1..at + 3)) {
            (b'%', Some(&[high, low])) => match (hex(high), hex(low)) {
                (Some(high), Some(low)) => {
                    at += 2;
                    high << 4 | low
                }
                _ => byte,
            },
            _ => byte,
        };
        at += 1;
        if !matches!(byte, b'-' | b'_' | b'+' | b' ' | b'\t') {
            *buffer.get_mut(len)? = byte.to_ascii_lowercase();
            len += 1;
        }
    }
    (len > 0).then(|| &buffer[..len])
}

pub(crate) fn hex(digit: u8) -> Option<u8> {
    (digit as char).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// `head` is a scheme, `://` (its end at `authority`) and an authority.
fn userinfo(head: &str, authority: usize) -> Cow<'_, str> {
    match head[authority..].rfind('@') {
        None => Cow::Borrowed(head),
        Some(at) => Cow::Owned([&head[..authority], "REDACTED:REDACTED", &head[authority + at..]].concat()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(input: &str, expect: &str) {
        assert_eq!(Redaction::default().url(input), expect, "{input}");
    }

    #[test]
    fn secrets_of_urls() {
        check("/search?q=OpenTelemetry", "/search?q=OpenTelemetry");
        check("/path?color=blue&sig=abc", "/path?color=blue&sig=REDACTED");
        check("/path?sig=abc&color=blue", "/path?sig=REDACTED&color=blue");
        check(
            "/?X-Amz-Signature=1&X-Amz-Credential=2&X-Amz-Date=3",
            "/?X-Amz-Signature=REDACTED&X-Amz-Credential=REDACTED&X-Amz-Date=3",
        );
        check(
            "/?AWSAccessKeyId=A&Signature=B&Expires=1",
            "/?AWSAccessKeyId=REDACTED&Signature=REDACTED&Expires=1",
        );
        check("/?x-goog-signature=1", "/?x-goog-signature=REDACTED");
        check(
            "/?ACCESS_TOKEN=1&apiKey=2&api-key=3",
            "/?ACCESS_TOKEN=REDACTED&apiKey=REDACTED&api-key=REDACTED",
        );
        check("/?%70assword=x", "/?%70assword=REDACTED");
        check("/?p%61ss%77ord=x&b=c", "/?p%61ss%77ord=REDACTED&b=c");
        check("/?user[password]=x&user%5Bpwd%5D=y", "/?user[password]=REDACTED&user%5Bpwd%5D=REDACTED");
        check("/?auth.token=x", "/?auth.token=REDACTED");
        check("/?a=b;token=x;y&c=d", "/?a=b;token=REDACTED&c=d");
        check("/?token=", "/?token=REDACTED");
        check("/?token", "/?token");
        check("/?token=a=b=c", "/?token=REDACTED");
        check("/?next=/login?token=x&z=1", "/?next=/login?token=REDACTED&z=1");
        check("/cb#access_token=x&state=y", "/cb#access_token=REDACTED&state=y");
        check("/a;jsessionid=1F2/b?q=1", "/a;jsessionid=REDACTED/b?q=1");
        check("/key=value", "/key=value");
        check("https://user:secret@www.example.com/", "https://REDACTED:REDACTED@www.example.com/");
        check("https://user@h:1?sig=x", "https://REDACTED:REDACTED@h:1?sig=REDACTED");
        check("http://a:b@c@host", "http://REDACTED:REDACTED@host");
        check("/mail/a@b.c", "/mail/a@b.c");
        check("/cb?token=x&next=http://a:b@h/?sig=y", "/cb?token=REDACTED&next=http://a:b@h/?sig=REDACTED");
        check("", "");
        check("/?tokens=1&monkey=2&passport=3", "/?tokens=1&monkey=2&passport=3");
    }

    #[test]
    fn a_list_given_replaces_the_default() {
        let redaction = Redaction::new(["colour"]);
        assert_eq!(redaction.query("token=1&Colour=red"), "token=1&Colour=REDACTED");
    }

    #[test]
    fn a_name_behind_a_long_path_of_names_is_found() {
        let name = format!("{}[password]", "a[b]".repeat(500));
        assert!(Redaction::default().is_secret(&name));
        assert!(!Redaction::default().is_secret(&"password".repeat(500)));
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in ".{0,200}") {
            let redaction = Redaction::default();
            let _ = (redaction.url(&text), redaction.query(&text), redaction.path(&text));
        }

        #[test]
        fn urlish_text_is_survived(text in "[a-z%0-9=&;?#/:@\\[\\].é]{0,80}") {
            let redaction = Redaction::default();
            let once = redaction.url(&text).into_owned();
            prop_assert_eq!(redaction.url(&once), once.as_str());
        }

        #[test]
        fn a_listed_value_never_leaks(
            name in 0..45_usize,
            upper in any::<bool>(),
            before in "[a-z0-9=&;?/]{0,20}",
            separator in "[&;?#]",
            after in "[a-z0-9=;]{0,20}",
        ) {
            let names: Vec<&str> = CONVENTION_NAMES.iter().chain(&COMMON_NAMES).copied().collect();
            let name = if upper { names[name].to_uppercase() } else { names[name].to_owned() };
            let url = format!("/p?{before}{separator}{name}=XYZZY{after}");
            prop_assert!(!Redaction::default().url(&url).contains("XYZZY"));
        }
    }
}
