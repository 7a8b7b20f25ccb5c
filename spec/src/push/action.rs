//! What a matching rule does: notify, and the tweaks that say how.
//!
//! **Invariant:** what has no effect here, the historical `dont_notify` and `coalesce` among it, is kept as it was written.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::{Map, Value};

/// One entry of a rule's `actions`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// `"notify"`: the event generates a notification.
    Notify,
    /// `{"set_tweak": name, "value": value}`: an entry of the notification's `tweaks`.
    SetTweak {
        /// The tweak's name; `sound` and `highlight` are defined, others pass through.
        tweak: String,
        /// Its value; absent for a bare `{"set_tweak": "highlight"}`, which means true.
        value: Option<Value>,
    },
    /// An action of the past or the future: kept as it is, without effect.
    Unknown(Value),
}

/// The sound of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sound<'a> {
    /// The device's default sound.
    Default,
    /// A sound known to the client by this name.
    Named(&'a str),
}

impl Action {
    /// `{"set_tweak": "sound", "value": name}`.
    pub fn sound(name: &str) -> Self {
        Self::SetTweak { tweak: "sound".to_owned(), value: Some(Value::from(name)) }
    }

    /// Whether it is a known tweak with a value of another type than it has: kept where it is stored, and nothing to take on.
    pub fn is_malformed(&self) -> bool {
        match self {
            Self::SetTweak { tweak, value: Some(value) } => match tweak.as_str() {
                "sound" => !value.is_string(),
                "highlight" => !value.is_boolean(),
                _ => false,
            },
            _ => false,
        }
    }

    /// `{"set_tweak": "highlight"}`.
    pub fn highlight() -> Self {
        Self::SetTweak { tweak: "highlight".to_owned(), value: None }
    }
}

/// Questions asked of the actions that an evaluation returns.
pub trait Actions {
    /// Whether the event generates a notification.
    fn notify(&self) -> bool;
    /// Whether the notification is highlighted. The last `highlight` tweak decides; without a value it means true.
    fn highlight(&self) -> bool;
    /// The sound to play, if any. The last `sound` tweak decides.
    fn sound(&self) -> Option<Sound<'_>>;
}

impl Actions for [Action] {
    fn notify(&self) -> bool {
        self.contains(&Action::Notify)
    }

    fn highlight(&self) -> bool {
        last_tweak(self, "highlight").is_some_and(|value| matches!(value, None | Some(Value::Bool(true))))
    }

    fn sound(&self) -> Option<Sound<'_>> {
        match last_tweak(self, "sound")?.and_then(Value::as_str)? {
            "default" => Some(Sound::Default),
            name => Some(Sound::Named(name)),
        }
    }
}

fn last_tweak<'a>(actions: &'a [Action], name: &str) -> Option<Option<&'a Value>> {
    actions.iter().rev().find_map(|action| match action {
        Action::SetTweak { tweak, value } if tweak == name => Some(value.as_ref()),
        _ => None,
    })
}

impl Serialize for Action {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Notify => serializer.serialize_str("notify"),
            Self::SetTweak { tweak, value } => {
                let mut object = Map::new();
                object.insert("set_tweak".to_owned(), Value::from(tweak.as_str()));
                if let Some(value) = value {
                    object.insert("value".to_owned(), value.clone());
                }
                object.serialize(serializer)
            }
            Self::Unknown(value) => value.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Action {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(name) if name == "notify" => Ok(Self::Notify),
            Value::String(name) => Ok(Self::Unknown(Value::String(name))),
            Value::Object(mut object) => match object.remove("set_tweak") {
                Some(Value::String(tweak)) => Ok(Self::SetTweak { tweak, value: object.remove("value") }),
                Some(_) => Err(D::Error::custom("set_tweak must be a string")),
                None => Ok(Self::Unknown(Value::Object(object))),
            },
            _ => Err(D::Error::custom("an action must be a string or an object")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn actions(value: Value) -> Vec<Action> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn historical_actions_have_no_effect() {
        let list = actions(json!(["dont_notify", "coalesce"]));
        assert!(!list.notify() && !list.highlight() && list.sound().is_none());
        assert!(actions(json!(["notify", "coalesce"])).notify());
    }

    #[test]
    fn a_highlight_without_value_is_true_and_the_last_one_counts() {
        assert!(actions(json!([{"set_tweak": "highlight"}])).highlight());
        assert!(!actions(json!([{"set_tweak": "highlight", "value": false}])).highlight());
        assert!(!actions(json!(["notify"])).highlight());
        assert!(actions(json!([{"set_tweak": "highlight", "value": false}, {"set_tweak": "highlight"}])).highlight());
    }

    #[test]
    fn known_tweaks_have_their_types() {
        let tweak = |tweak: &str, value: Value| Action::SetTweak { tweak: tweak.to_owned(), value: Some(value) };
        assert!(tweak("sound", json!(1)).is_malformed() && tweak("highlight", json!("yes")).is_malformed());
        assert!(!tweak("sound", json!("ring")).is_malformed() && !tweak("highlight", json!(false)).is_malformed());
        assert!(!tweak("light", json!([1])).is_malformed() && !Action::highlight().is_malformed());
    }

    #[test]
    fn sounds_are_named_or_default() {
        let list = actions(json!(["notify", {"set_tweak": "sound", "value": "ring"}]));
        assert!(list.notify());
        assert_eq!(list.sound(), Some(Sound::Named("ring")));
        assert_eq!([Action::sound("default")].sound(), Some(Sound::Default));
        assert_eq!([Action::Notify].sound(), None);
    }

    #[test]
    fn what_is_unknown_is_kept_and_what_is_no_action_is_refused() {
        let value =
            json!(["dont_notify", "org.example.shout", {"org.example": 1}, {"set_tweak": "light", "value": [1]}]);
        assert_eq!(serde_json::to_value(actions(value.clone())).unwrap(), value);
        for bad in [json!([1]), json!([null]), json!([{"set_tweak": 3}]), json!("notify")] {
            assert!(serde_json::from_value::<Vec<Action>>(bad).is_err());
        }
    }
}
