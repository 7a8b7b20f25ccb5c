//! An event as push conditions see it: paths and values, flattened once for all users of a room.
//!
//! **Invariant:** after construction nothing is parsed, folded or allocated any more, however many rulesets look.

use super::condition::Scalar;
use serde_json::{Map, Value};

/// Paths that the predefined rules ask for; they get a slot instead of a search.
const KNOWN: [&str; 10] = [
    "type",
    "sender",
    "room_id",
    "state_key",
    "content.body",
    "content.msgtype",
    "content.membership",
    r"content.m\.mentions.user_ids",
    r"content.m\.mentions.room",
    r"content.m\.relates_to.rel_type",
];
const SENDER: usize = 1;
const BODY: usize = 4;
/// JSON nested deeper than this is left out; the canonical form allows no event that deep.
const MAX_DEPTH: usize = 64;

/// A path, resolved to its slot when the rule is compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Path {
    Known(usize),
    Other(Box<str>),
}

impl Path {
    pub(super) const BODY: Self = Self::Known(BODY);

    pub(super) fn new(path: &str) -> Self {
        // A backslash before anything but a dot or a backslash stands for itself and would be escaped in the event.
        let path = normalize(path);
        match KNOWN.iter().position(|known| *known == path) {
            Some(slot) => Self::Known(slot),
            None => Self::Other(path.into()),
        }
    }
}

/// Rewrites redundant escapes (`\x`) the way that flattening writes them (`\\x`).
fn normalize(path: &str) -> String {
    let mut normal = String::with_capacity(path.len());
    let mut rest = path.chars().peekable();
    while let Some(character) = rest.next() {
        normal.push(character);
        if character == '\\' {
            normal.push(rest.next_if(|next| matches!(next, '.' | '\\')).unwrap_or('\\'));
        }
    }
    normal
}

/// A leaf of the event.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Leaf {
    /// A string; the second is its lower-cased form where that differs.
    Text(Box<str>, Option<Box<str>>),
    Scalar(Scalar),
    Array(Box<[Scalar]>),
}

impl Leaf {
    fn new(value: &Value) -> Option<Self> {
        match value {
            Value::Object(_) => None,
            Value::String(text) => {
                let lower = text.to_lowercase();
                Some(Self::Text(text.as_str().into(), (lower != *text).then(|| lower.into())))
            }
            Value::Array(items) => Some(Self::Array(items.iter().filter_map(Scalar::from_json).collect())),
            scalar => Scalar::from_json(scalar).map(Self::Scalar),
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        if let Self::Text(text, _) = self { Some(text) } else { None }
    }

    pub(super) fn lower_text(&self) -> Option<&str> {
        if let Self::Text(text, lower) = self { Some(lower.as_ref().unwrap_or(text)) } else { None }
    }

    pub(super) fn is(&self, value: &Scalar) -> bool {
        match (self, value) {
            (Self::Text(text, _), Scalar::String(value)) => **text == **value,
            (Self::Scalar(scalar), value) => scalar == value,
            _ => false,
        }
    }
}

/// A flattened event.
#[derive(Clone, Debug)]
pub struct FlatEvent {
    known: [Option<Leaf>; KNOWN.len()],
    /// Sorted by path.
    other: Vec<(Box<str>, Leaf)>,
}

impl FlatEvent {
    /// Flattens an event of the room `room_id`; a `room_id` in the event itself is not needed and not looked at.
    pub fn new(event: &Map<String, Value>, room_id: &str) -> Self {
        let mut flat = Self { known: Default::default(), other: Vec::new() };
        flat.add_object(event, "", 0);
        flat.add("room_id", &Value::from(room_id));
        // A path can be written twice only by hostile keys (an empty one); the first counts.
        flat.other.sort_by(|a, b| a.0.cmp(&b.0));
        flat
    }

    /// The sender, if it is a string.
    pub fn sender(&self) -> Option<&str> {
        self.known[SENDER].as_ref()?.text()
    }

    pub(super) fn get(&self, path: &Path) -> Option<&Leaf> {
        match path {
            Path::Known(slot) => self.known[*slot].as_ref(),
            Path::Other(path) => {
                let index = self.other.partition_point(|(other, _)| other < path);
                self.other.get(index).filter(|(other, _)| other == path).map(|(_, leaf)| leaf)
            }
        }
    }

    fn add_object(&mut self, object: &Map<String, Value>, prefix: &str, depth: usize) {
        if depth > MAX_DEPTH {
            return;
        }
        for (key, value) in object {
            let key =
                if key.contains(['.', '\\']) { key.replace('\\', r"\\").replace('.', r"\.") } else { key.clone() };
            let path = if depth == 0 { key } else { format!("{prefix}.{key}") };
            match value {
                Value::Object(object) => self.add_object(object, &path, depth + 1),
                value => self.add(&path, value),
            }
        }
    }

    fn add(&mut self, path: &str, value: &Value) {
        let Some(leaf) = Leaf::new(value) else { return };
        match KNOWN.iter().position(|known| *known == path) {
            Some(slot) => self.known[slot] = Some(leaf),
            None => self.other.push((path.into(), leaf)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn flat(event: Value) -> FlatEvent {
        FlatEvent::new(event.as_object().unwrap(), "!room:example.org")
    }

    #[test]
    fn paths_escape_dots_and_backslashes() {
        let event = flat(json!({"content": {"m.foo": {"a\\b": 1}, "c": {"d": "X"}}}));
        assert!(event.get(&Path::new(r"content.m\.foo.a\\b")).unwrap().is(&Scalar::Integer(1)));
        assert!(event.get(&Path::new(r"content.m\.foo.a\b")).unwrap().is(&Scalar::Integer(1)), "a literal backslash");
        assert_eq!(event.get(&Path::new("content.c.d")).unwrap().lower_text(), Some("x"));
        assert_eq!(event.get(&Path::new("content.m.foo")), None);
    }

    #[test]
    fn the_room_is_the_given_one() {
        let event = flat(json!({"room_id": "!forged:example.org"}));
        assert_eq!(event.get(&Path::new("room_id")).unwrap().text(), Some("!room:example.org"));
    }

    #[test]
    fn values_compare_by_type() {
        let event = flat(json!({"a": true, "b": "true", "c": 1, "d": 1.5, "e": null, "f": {}, "g": [1, {}, "x"]}));
        let is = |path: &str, value: Scalar| event.get(&Path::new(path)).is_some_and(|leaf| leaf.is(&value));
        assert!(is("a", Scalar::Bool(true)) && !is("b", Scalar::Bool(true)));
        assert!(is("c", Scalar::Integer(1)) && !is("d", Scalar::Integer(1)));
        assert!(is("e", Scalar::Null) && !is("f", Scalar::Null) && !is("h", Scalar::Null));
        assert_eq!(
            event.get(&Path::new("g")),
            Some(&Leaf::Array([Scalar::Integer(1), Scalar::String("x".to_owned())].into()))
        );
    }
}
