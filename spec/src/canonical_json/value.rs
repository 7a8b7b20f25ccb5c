//! The value type.

use super::{Error, Numbers, Object, number::OUT_OF_RANGE};

/// A JSON value.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Value {
    /// `null`
    #[default]
    Null,
    /// `true` or `false`
    Bool(bool),
    /// An integer.
    Integer(i64),
    /// The canonical text of a number that is no 64-bit integer. Only old room versions have them.
    Number(Box<str>),
    /// A string, unescaped.
    String(Box<str>),
    /// An array.
    Array(Vec<Value>),
    /// An object.
    Object(Object),
}

impl Value {
    /// The string, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// The integer, if it is one.
    pub fn as_integer(&self) -> Option<i64> {
        if let Self::Integer(integer) = self { Some(*integer) } else { None }
    }

    /// The boolean, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(flag) = self { Some(*flag) } else { None }
    }

    /// The array's items, if it is one.
    pub fn as_array(&self) -> Option<&[Value]> {
        if let Self::Array(items) = self { Some(items) } else { None }
    }

    /// The object, if it is one.
    pub fn as_object(&self) -> Option<&Object> {
        if let Self::Object(object) = self { Some(object) } else { None }
    }

    /// The object, to be changed, if it is one.
    pub fn as_object_mut(&mut self) -> Option<&mut Object> {
        if let Self::Object(object) = self { Some(object) } else { None }
    }

    /// Checks what was built in code against the numbers and the depth that a parser would have accepted.
    ///
    /// # Errors
    /// [`Error::BadJson`] for the first number out of range, or nesting beyond [`super::MAX_DEPTH`].
    pub fn check(&self, numbers: Numbers) -> Result<(), Error> {
        self.check_below(numbers, super::MAX_DEPTH)
    }

    pub(super) fn check_below(&self, numbers: Numbers, levels: usize) -> Result<(), Error> {
        let deeper = || levels.checked_sub(1).ok_or(Error::BadJson { at: 0, why: super::parse::TOO_DEEP });
        match self {
            Self::Integer(integer) if !numbers.accepts(*integer) => Err(Error::BadJson { at: 0, why: OUT_OF_RANGE }),
            Self::Number(_) if numbers != Numbers::Legacy => Err(Error::BadJson { at: 0, why: OUT_OF_RANGE }),
            Self::Array(items) => {
                let levels = deeper()?;
                items.iter().try_for_each(|item| item.check_below(numbers, levels))
            }
            Self::Object(object) => {
                let levels = deeper()?;
                object.values().try_for_each(|item| item.check_below(numbers, levels))
            }
            _ => Ok(()),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text.into())
    }
}

impl From<i64> for Value {
    fn from(integer: i64) -> Self {
        Self::Integer(integer)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Bool(flag)
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        Self::Object(object)
    }
}

impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(items: Vec<T>) -> Self {
        Self::Array(items.into_iter().map(Into::into).collect())
    }
}

impl serde::Serialize for Value {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(flag) => serializer.serialize_bool(*flag),
            Self::Integer(integer) => serializer.serialize_i64(*integer),
            // Only floats and integers beyond 64 bits come here; a double is what any reader would make of them.
            Self::Number(text) => serializer.serialize_f64(text.parse().map_err(serde::ser::Error::custom)?),
            Self::String(text) => serializer.serialize_str(text),
            Self::Array(items) => serializer.collect_seq(items),
            Self::Object(object) => object.serialize(serializer),
        }
    }
}
