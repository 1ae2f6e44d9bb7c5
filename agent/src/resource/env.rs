//! `OTEL_RESOURCE_ATTRIBUTES`: comma-separated `key=value`, percent-encoded (resource SDK specification).

/// The pairs, in order; a key given twice keeps its last value, as the specification of resource merging has it.
///
/// # Errors
/// "In case of any error, e.g. failure during the decoding process, the entire environment variable value SHOULD be
/// discarded": the error says which pair it was.
pub fn parse_attributes(text: &str) -> Result<Vec<(String, String)>, InvalidAttributes> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let invalid = || InvalidAttributes(pair.to_owned());
        let (key, value) = pair.split_once('=').ok_or_else(invalid)?;
        let key = percent_decoded(key.trim()).filter(|key| !key.is_empty()).ok_or_else(invalid)?;
        let value = percent_decoded(value.trim()).ok_or_else(invalid)?;
        match pairs.iter_mut().find(|(seen, _)| *seen == key) {
            Some(slot) => slot.1 = value,
            None => pairs.push((key, value)),
        }
    }
    Ok(pairs)
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a `key=value` pair in percent-encoding")]
pub struct InvalidAttributes(pub String);

/// RFC 3986, section 2.1; the result must be UTF-8.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let [high, low, after @ ..] = tail else { return None };
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        bytes.push(digit(*high)? << 4 | digit(*low)?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expect: &[(&str, &str)]) {
        let pairs = parse_attributes(text).unwrap();
        let pairs: Vec<_> = pairs.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(pairs, expect, "{text}");
    }

    #[test]
    fn pairs_are_trimmed_and_decoded() {
        check("", &[]);
        check("service.name=shop", &[("service.name", "shop")]);
        check(" a = 1 , b=2,", &[("a", "1"), ("b", "2")]);
        check("a=x%2Cy%3Dz%20%C3%A9", &[("a", "x,y=z é")]);
        check("a=b=c", &[("a", "b=c")]);
        check("a=1,b=2,a=3", &[("a", "3"), ("b", "2")]);
        check("a=", &[("a", "")]);
        check("a=+", &[("a", "+")]);
    }

    #[test]
    fn one_bad_pair_discards_the_whole_value_and_is_named() {
        for (text, pair) in
            [("a=1,b", "b"), ("a=%2", "a=%2"), ("a=%zz", "a=%zz"), ("a=%ff", "a=%ff"), ("=x", "=x")]
        {
            assert_eq!(parse_attributes(text), Err(InvalidAttributes(pair.to_owned())));
        }
    }

    proptest! {
        #[test]
        fn garbage_never_panics(text in ".{0,200}") {
            let _ = parse_attributes(&text);
        }
    }
}
