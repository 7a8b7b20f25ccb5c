//! The object: a map that is always in canonical order.

use super::{Error, Numbers, Value, parse_object};

/// A JSON object, its keys ordered by code point.
///
/// A sorted vector: events are small, and are read and written far more often than changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Object {
    entries: Vec<(Box<str>, Value)>,
}

impl Object {
    /// An empty object.
    pub const fn new() -> Self {
        Self { entries: Vec::new() }
    }

    /// An object from what serde can serialize, such as the content types of `ruma`.
    ///
    /// # Errors
    /// If it does not serialize to an object with acceptable numbers.
    pub fn from_serialize(value: &impl serde::Serialize, numbers: Numbers) -> Result<Self, Error> {
        let bytes = serde_json::to_vec(value)
            .map_err(|_| Error::NotJson { at: 0, why: "the value can't be written as JSON" })?;
        parse_object(&bytes, numbers)
    }

    /// The value under `key`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.position(key).ok().map(|index| &self.entries[index].1)
    }

    /// The value under `key`, to be changed.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        self.position(key).ok().map(|index| &mut self.entries[index].1)
    }

    /// The string under `key`; `None` also where another type stands there.
    pub fn get_str(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_str()
    }

    /// The object under `key`; `None` also where another type stands there.
    pub fn get_object(&self, key: &str) -> Option<&Object> {
        self.get(key)?.as_object()
    }

    /// Whether there is a value under `key`.
    pub fn contains_key(&self, key: &str) -> bool {
        self.position(key).is_ok()
    }

    /// Puts `value` under `key`; returns what stood there.
    pub fn insert(&mut self, key: impl Into<Box<str>>, value: impl Into<Value>) -> Option<Value> {
        let (key, value) = (key.into(), value.into());
        match self.position(&key) {
            Ok(index) => Some(std::mem::replace(&mut self.entries[index].1, value)),
            Err(index) => {
                self.entries.insert(index, (key, value));
                None
            }
        }
    }

    /// Takes the object under `key` out; an empty one where something else or nothing stands.
    pub fn take_object(&mut self, key: &str) -> Object {
        match self.remove(key) {
            Some(Value::Object(object)) => object,
            _ => Object::new(),
        }
    }

    /// Takes the value under `key` out.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        self.position(key).ok().map(|index| self.entries.remove(index).1)
    }

    /// Keeps the entries for which `keep` says so.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &mut Value) -> bool) {
        self.entries.retain_mut(|(key, value)| keep(key, value));
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entries in canonical order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.entries.iter().map(|(key, value)| (&**key, value))
    }

    /// The keys in canonical order.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &str> {
        self.entries.iter().map(|(key, _)| &**key)
    }

    /// The values in the order of their keys.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &Value> {
        self.entries.iter().map(|(_, value)| value)
    }

    /// Checks what was built in code against the numbers and the depth that a parser would have accepted.
    ///
    /// # Errors
    /// [`Error::BadJson`] for the first number out of range, or nesting beyond [`super::MAX_DEPTH`].
    pub fn check(&self, numbers: Numbers) -> Result<(), Error> {
        self.values().try_for_each(|value| value.check_below(numbers, super::MAX_DEPTH - 1))
    }

    /// From entries in the order in which they were read. Of equal keys the last wins, as in the network's other servers.
    pub(super) fn from_read(mut entries: Vec<(Box<str>, Value)>) -> Self {
        if !entries.is_sorted_by(|(a, _), (b, _)| a < b) {
            // The sort is stable: turned around, the last of equal keys comes first and is the one that stays.
            entries.reverse();
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            entries.dedup_by(|(later, _), (kept, _)| later == kept);
        }
        Self { entries }
    }

    fn position(&self, key: &str) -> Result<usize, usize> {
        // UTF-8 orders as its code points do.
        self.entries.binary_search_by(|(candidate, _)| (**candidate).cmp(key))
    }
}

impl<K: Into<Box<str>>, V: Into<Value>> FromIterator<(K, V)> for Object {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        Self::from_read(entries.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }
}

impl<K: Into<Box<str>>, V: Into<Value>, const N: usize> From<[(K, V); N]> for Object {
    fn from(entries: [(K, V); N]) -> Self {
        entries.into_iter().collect()
    }
}

impl serde::Serialize for Object {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_ordered_by_code_point_and_the_last_of_equal_keys_wins() {
        let object = Object::from([("本", 2_i64), ("a", 1), ("日", 1), ("a", 3)]);
        assert_eq!(object.to_string(), r#"{"a":3,"日":1,"本":2}"#);
    }

    #[test]
    fn an_object_that_code_built_is_checked_like_one_that_was_read() {
        let mut object = Object::from([("a", 1_i64 << 53)]);
        assert!(object.check(Numbers::Strict).is_err());
        assert!(object.check(Numbers::Legacy).is_ok());
        object.insert("a", 1_i64);
        assert!(object.check(Numbers::Strict).is_ok());
    }
}
