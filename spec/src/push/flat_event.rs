//! An event as push conditions see it: paths and values, flattened once for all users of a room.
//!
//! **Invariant:** after construction nothing is parsed, folded or allocated any more, however many rulesets look.

use super::condition::Scalar;
use crate::canonical_json;
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
const MENTIONS: &str = "m.mentions";
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
            Value::String(text) => Some(Self::of_text(text)),
            Value::Array(items) => Some(Self::Array(items.iter().filter_map(Scalar::from_json).collect())),
            scalar => Scalar::from_json(scalar).map(Self::Scalar),
        }
    }

    fn of_text(text: &str) -> Self {
        // Most of it is lower case already, and is not written twice.
        if text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
            return Self::Text(text.into(), None);
        }
        let lower = text.to_lowercase();
        Self::Text(text.into(), (lower != *text).then(|| lower.into()))
    }

    fn of_canonical(value: &canonical_json::Value) -> Option<Self> {
        match value {
            canonical_json::Value::Object(_) => None,
            canonical_json::Value::String(text) => Some(Self::of_text(text)),
            canonical_json::Value::Array(items) => {
                Some(Self::Array(items.iter().filter_map(Scalar::from_canonical).collect()))
            }
            scalar => Scalar::from_canonical(scalar).map(Self::Scalar),
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
    /// `content` has `m.mentions`: nobody is mentioned who is not named there.
    says_mentions: bool,
}

impl FlatEvent {
    /// What rules can ask of an event that is being written: its type, sender, state key and content. What the server
    /// adds to it (hashes, signatures, places) no rule asks for.
    pub fn of_draft(
        kind: &str,
        sender: &str,
        state_key: Option<&str>,
        content: &canonical_json::Object,
        room_id: &str,
    ) -> Self {
        let mut flat = Self { known: Default::default(), other: Vec::new(), says_mentions: false };
        flat.says_mentions = content.get_object(MENTIONS).is_some();
        for (path, text) in [("type", Some(kind)), ("sender", Some(sender)), ("state_key", state_key)] {
            if let Some(text) = text {
                flat.push(path, Leaf::of_text(text));
            }
        }
        flat.push("room_id", Leaf::of_text(room_id));
        flat.add_canonical(content, "content", 1);
        flat.other.sort_by(|a, b| a.0.cmp(&b.0));
        flat
    }

    /// Flattens an event of the room `room_id`; a `room_id` in the event itself is not needed and not looked at.
    pub fn new(event: &Map<String, Value>, room_id: &str) -> Self {
        let mut flat = Self { known: Default::default(), other: Vec::new(), says_mentions: false };
        flat.says_mentions =
            event.get("content").and_then(|content| content.get(MENTIONS)).is_some_and(Value::is_object);
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

    /// Whether the event says whom it mentions.
    pub fn says_mentions(&self) -> bool {
        self.says_mentions
    }

    /// The body in lower case, if it has one.
    pub fn lower_body(&self) -> Option<&str> {
        self.known[BODY].as_ref()?.lower_text()
    }

    fn add_canonical(&mut self, object: &canonical_json::Object, prefix: &str, depth: usize) {
        if depth > MAX_DEPTH {
            return;
        }
        for (key, value) in object.iter() {
            let mut path = String::with_capacity(prefix.len() + key.len() + 1);
            path.push_str(prefix);
            path.push('.');
            for character in key.chars() {
                if matches!(character, '.' | '\\') {
                    path.push('\\');
                }
                path.push(character);
            }
            match value {
                canonical_json::Value::Object(object) => self.add_canonical(object, &path, depth + 1),
                value => {
                    if let Some(leaf) = Leaf::of_canonical(value) {
                        self.push(&path, leaf);
                    }
                }
            }
        }
    }

    fn add(&mut self, path: &str, value: &Value) {
        if let Some(leaf) = Leaf::new(value) {
            self.push(path, leaf);
        }
    }

    fn push(&mut self, path: &str, leaf: Leaf) {
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
    fn a_draft_flattens_like_the_event_that_it_becomes() {
        let content =
            json!({"body": "Hi", "m.mentions": {"user_ids": ["@a:b"]}, "n": [1, "x", {}], "a\\b": {"c": null}});
        let event = flat(json!({"type": "t", "sender": "@s:x", "state_key": "", "content": content}));
        let object = canonical_json::Object::from_serialize(&content, canonical_json::Numbers::Strict).unwrap();
        let draft = FlatEvent::of_draft("t", "@s:x", Some(""), &object, "!room:example.org");
        assert_eq!((draft.known, draft.other), (event.known, event.other));
        assert!(draft.says_mentions && event.says_mentions && !flat(json!({"content": {}})).says_mentions);
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
