//! Attributes, as OpenTelemetry has them: a key and a typed value. Shared by spans, metrics and resources.

use std::borrow::Cow;

pub type Key = Cow<'static, str>;

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Str(Cow<'static, str>),
    Int(i64),
    Double(f64),
    Bool(bool),
    StrArray(Vec<String>),
}

/// A short list, in the order it was set; a key set twice keeps its last value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attributes(Vec<(Key, Value)>);

impl Attributes {
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    pub fn set(&mut self, key: impl Into<Key>, value: impl Into<Value>) {
        let (key, value) = (key.into(), value.into());
        match self.0.iter_mut().find(|(k, _)| *k == key) {
            Some(slot) => slot.1 = value,
            None => self.0.push((key, value)),
        }
    }

    /// [`Self::set`] of a key that is not there yet, for lists whose keys are known.
    pub fn add(&mut self, key: &'static str, value: impl Into<Value>) {
        debug_assert!(self.find(key).is_none(), "{key} is set already");
        self.0.push((Cow::Borrowed(key), value.into()));
    }

    #[must_use]
    pub fn find(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, v)| v)
    }

    /// The value of `key` where it is a string.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.find(key)? {
            Value::Str(s) => Some(s),
            Value::Int(_) | Value::Double(_) | Value::Bool(_) | Value::StrArray(_) => None,
        }
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.0.iter().map(|(k, v)| (k.as_ref(), v))
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<&'static str> for Value {
    fn from(value: &'static str) -> Self {
        Self::Str(Cow::Borrowed(value))
    }
}

impl From<Cow<'static, str>> for Value {
    fn from(value: Cow<'static, str>) -> Self {
        Self::Str(value)
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Str(Cow::Owned(value))
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<u16> for Value {
    fn from(value: u16) -> Self {
        Self::Int(i64::from(value))
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Int(i64::from(value))
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Double(value)
    }
}

impl From<Vec<String>> for Value {
    fn from(value: Vec<String>) -> Self {
        Self::StrArray(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_set_twice_keeps_its_last_value_and_its_place() {
        let mut attributes = Attributes::default();
        attributes.set("a", 1_i64);
        attributes.set("b", "x");
        attributes.set("a", 2_i64);
        let keys: Vec<_> = attributes.iter().map(|(k, _)| k.to_owned()).collect();
        assert_eq!(keys, ["a", "b"]);
        assert_eq!(attributes.find("a"), Some(&Value::Int(2)));
        assert_eq!(attributes.text("a"), None);
    }
}
