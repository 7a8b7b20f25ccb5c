//! What values are, and every way in which they can be wrong.
//!
//! **Invariant:** what a case expects follows from the kind alone, never from what a server was seen to answer.

use roost_tests::user::txn;
use serde_json::{Map, Value, json};

use super::{findings::Expect, scene::Scene};

/// What a field, a query parameter or a whole body is.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Text,
    /// One of these strings; the first is the sample.
    Word(&'static [&'static str]),
    User,
    Room,
    Event,
    Flag,
    /// A whole number that is not negative.
    Count,
    Number,
    /// A string (this, for example) or an object.
    Either(&'static str),
    /// An object whose keys are the client's business.
    Free,
    List(&'static Kind),
    Map(Key, &'static Kind),
    Object(Fields),
    /// In a query: a place in a timeline.
    Token,
    /// In a query: a filter as JSON.
    Filter,
}

/// What a map's keys are.
#[derive(Clone, Copy, Debug)]
pub enum Key {
    User,
    Room,
    Named(&'static str),
}

pub type Fields = &'static [Field];

/// A field of an object, or a parameter of a query.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    pub name: &'static str,
    pub kind: Kind,
    pub required: bool,
    /// Whether samples have it: what would end a session, or need a signature, stands in its own cases only.
    shown: bool,
}

pub const fn must(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, required: true, shown: true }
}

pub const fn may(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, required: false, shown: true }
}

pub const fn rare(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, required: false, shown: false }
}

/// A value that is wrong somewhere.
pub struct Wrong {
    pub what: String,
    pub value: Value,
    pub expect: Expect,
}

/// Texts that no [`Value`] can hold: placeholders, replaced in the finished body.
const RAW: [(&str, &str); 3] = [
    ("@huge-exponent", "1e400"),
    ("@long-number", "123456789012345678901234567890"),
    ("@lone-surrogate", r#""a\ud800b""#),
];

/// A body's text.
pub fn text(value: &Value) -> String {
    RAW.iter().fold(value.to_string(), |text, (name, raw)| text.replace(&format!("\"{name}\""), raw))
}

impl Kind {
    /// A value that fits.
    pub fn sample(self, scene: &Scene) -> Value {
        match self {
            Self::Text | Self::Token => json!("sample"),
            Self::Word(words) => json!(words[0]),
            Self::User => json!(scene.other.id),
            Self::Room => json!(scene.room),
            Self::Event => json!(scene.event),
            Self::Flag => json!(false),
            Self::Count => json!(1),
            Self::Number => json!(0.5),
            Self::Either(text) => json!(text),
            Self::Free | Self::Filter => json!({}),
            Self::List(_) => json!([]),
            Self::Map(key, kind) => json!({ key.sample(scene): kind.sample(scene) }),
            Self::Object(fields) => {
                let shown = fields.iter().filter(|field| field.shown);
                Value::Object(shown.map(|field| (field.name.to_owned(), field.kind.sample(scene))).collect())
            }
        }
    }

    fn fits(self, value: &Value) -> bool {
        match self {
            Self::Text | Self::Word(_) | Self::User | Self::Room | Self::Event | Self::Token => value.is_string(),
            Self::Flag => value.is_boolean(),
            Self::Count | Self::Number => value.is_number(),
            Self::Either(_) => value.is_string() || value.is_object(),
            Self::List(_) => value.is_array(),
            Self::Free | Self::Map(..) | Self::Object(_) | Self::Filter => value.is_object(),
        }
    }

    /// Values that do not fit, at any depth.
    pub fn wrong(self, scene: &Scene) -> Vec<Wrong> {
        let types = [
            ("a string", json!("text")),
            ("a number", json!(7)),
            ("a boolean", json!(true)),
            ("a list", json!([1])),
            ("an object", json!({ "a": [] })),
        ];
        let types = types.into_iter().filter(|(_, value)| !self.fits(value));
        let mut all: Vec<Wrong> = types.map(|(what, value)| wrong(what, value, Expect::WrongType)).collect();
        let long = "x".repeat(300);
        match self {
            Self::Text => {
                all.push(wrong("with a lone surrogate", json!("@lone-surrogate"), Expect::NotJson));
                all.push(wrong("with U+0000", json!("a\0b"), Expect::NoFailure));
                all.push(wrong("70,000 letters long", json!("x".repeat(70_000)), Expect::NoFailure));
            }
            Self::Word(_) => all.push(wrong("an unknown word", json!("no such word"), Expect::BadRequest)),
            Self::User => all.extend(bad_ids("nobody", format!("@{long}:localhost"))),
            Self::Room => all.extend(bad_ids("nowhere", format!("!{long}:localhost"))),
            Self::Event => all.extend(bad_ids("nothing", format!("$x:{long}.localhost"))),
            Self::Count => {
                let bad = [("negative", json!(-1)), ("a fraction", json!(1.5)), ("huge", json!("@huge-exponent"))];
                all.extend(bad.into_iter().map(|(what, value)| wrong(what, value, Expect::BadRequest)));
                all.push(wrong("30 digits long", json!("@long-number"), Expect::BadRequest));
                all.push(wrong("2^53", json!(9_007_199_254_740_992_u64), Expect::NoFailure));
            }
            Self::List(kind) => {
                all.extend(kind.wrong(scene).into_iter().map(|it| it.inside("an item", |v| json!([v]))))
            }
            Self::Map(key, kind) => {
                let name = key.sample(scene);
                all.extend(kind.wrong(scene).into_iter().map(|it| it.inside("a value", |v| json!({ &name: v }))));
                if !matches!(key, Key::Named(_)) {
                    all.push(wrong("keyed by no id", json!({ "nonsense": kind.sample(scene) }), Expect::BadRequest));
                }
            }
            Self::Object(fields) => {
                let sample = self.sample(scene);
                for field in fields {
                    let put = |value| with(&sample, field.name, Some(value));
                    let name = format!("`{}`", field.name);
                    all.extend(field.kind.wrong(scene).into_iter().map(|it| it.inside(&name, put)));
                    if field.required {
                        all.push(wrong(&format!("without {name}"), with(&sample, field.name, None), Expect::Missing));
                    }
                }
            }
            Self::Flag | Self::Number | Self::Either(_) | Self::Free | Self::Token | Self::Filter => {}
        }
        all
    }

    /// Values of a query parameter that do not fit.
    pub fn wrong_in_query(self) -> Vec<(&'static str, Expect)> {
        match self {
            Self::Flag => vec![("yes", Expect::BadRequest), ("7", Expect::BadRequest)],
            Self::Count => vec![
                ("-1", Expect::BadRequest),
                ("1.5", Expect::BadRequest),
                ("ten", Expect::BadRequest),
                ("1e400", Expect::BadRequest),
                ("123456789012345678901234567890", Expect::BadRequest),
            ],
            Self::Word(_) => vec![("nonsense", Expect::BadRequest)],
            Self::Token => vec![("nonsense", Expect::BadRequest), ("1.2.3.4.5.6", Expect::BadRequest)],
            Self::Filter => vec![("%7B", Expect::BadRequest), ("%5B%5D", Expect::BadRequest)],
            _ => vec![("%FF", Expect::NoFailure), ("%ZZ", Expect::NoFailure)],
        }
    }
}

impl Key {
    fn sample(self, scene: &Scene) -> String {
        match self {
            Self::User => scene.user.id.clone(),
            Self::Room => scene.room.clone(),
            Self::Named(name) => name.to_owned(),
        }
    }
}

impl Wrong {
    fn inside(self, place: &str, put: impl FnOnce(Value) -> Value) -> Self {
        Self { what: format!("{place}: {}", self.what), value: put(self.value), expect: self.expect }
    }
}

fn wrong(what: &str, value: Value, expect: Expect) -> Wrong {
    Wrong { what: what.to_owned(), value, expect }
}

fn bad_ids(word: &str, long: String) -> [Wrong; 3] {
    [
        wrong("no id", json!(word), Expect::BadRequest),
        wrong("an id over 255 bytes", json!(long), Expect::BadRequest),
        wrong("an id with U+0000", json!(format!("@{word}\0:localhost")), Expect::BadRequest),
    ]
}

/// `object` with another value of `key`, or without it.
fn with(object: &Value, key: &str, value: Option<Value>) -> Value {
    let mut fields: Map<String, Value> = object.as_object().cloned().unwrap_or_default();
    match value {
        Some(value) => fields.insert(key.to_owned(), value),
        None => fields.remove(key),
    };
    Value::Object(fields)
}

/// A transaction id that was not used before: a repeated one would answer with the first event.
pub fn fresh() -> String {
    txn()
}
