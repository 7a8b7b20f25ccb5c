//! What a push gateway is sent.
//!
//! Source: push gateway API, `POST /_matrix/push/v1/notify`.

use std::sync::Arc;

use roost_spec::push::{Action, Actions};
use serde::Serialize;
use serde_json::{Map, Value, json, value::RawValue};

use super::{Push, pushers::Stored};
use crate::{
    rooms::{Room, StateMap, StoredEvent, render},
    storage::{Result, Sym, UserNr, pusher::Pusher},
};

/// Nobody wants to hear of what is older.
pub(super) const STALE_MS: i64 = 24 * 60 * 60 * 1000;

/// What a user's rules say of an event.
#[derive(Clone)]
pub(super) struct Notified {
    pub event: Arc<StoredEvent>,
    pub room: Arc<Room>,
    pub actions: Arc<[Action]>,
}

/// Where a pusher's events go, and how much of them.
pub(super) struct Target {
    pub url: String,
    event_id_only: bool,
    /// Whether it is told how much is unread.
    pub badge: bool,
    /// What the client gave, without the URL.
    data: Map<String, Value>,
}

#[derive(Serialize)]
pub(super) struct Body {
    notification: Notification,
}

#[derive(Serialize)]
struct Notification {
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    room_id: Option<String>,
    prio: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    counts: Option<Value>,
    devices: [Device; 1],
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    event: Option<Event>,
}

#[derive(Serialize)]
struct Device {
    app_id: String,
    pushkey: String,
    /// Seconds since 1970.
    pushkey_ts: i64,
    data: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tweaks: Option<Map<String, Value>>,
}

/// What is left out of `event_id_only`.
#[derive(Serialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    sender: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sender_display_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    room_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    room_alias: Option<String>,
    user_is_target: bool,
    content: Box<RawValue>,
}

impl Target {
    /// `None` where the pusher is none that pushes over HTTP.
    pub fn of(pusher: &Pusher) -> Option<Self> {
        let stored: Stored = serde_json::from_str(&pusher.json).ok()?;
        let mut data = stored.data;
        let url = data.remove("url")?.as_str()?.to_owned();
        let event_id_only = data.get("format").is_some_and(|format| format == "event_id_only");
        let disabled = data.remove("org.matrix.msc4076.disable_badge_count");
        Some(Self { url, event_id_only, badge: disabled != Some(Value::Bool(true)), data })
    }

    /// A body that tells how much is unread, and nothing else.
    pub fn badge(&self, pusher: &Pusher, unread: u64) -> Body {
        Body {
            notification: Notification {
                event_id: None,
                room_id: None,
                prio: "low",
                // Nothing else says that all is read: gateways leave the icon alone where there is no number.
                counts: Some(counts(unread)),
                devices: [self.device(pusher, None)],
                event: None,
            },
        }
    }

    fn device(&self, pusher: &Pusher, tweaks: Option<Map<String, Value>>) -> Device {
        Device {
            app_id: pusher.app_id.clone(),
            pushkey: pusher.pushkey.clone(),
            pushkey_ts: pusher.created_ts / 1000,
            data: self.data.clone(),
            tweaks,
        }
    }
}

impl Push {
    /// The request's body.
    ///
    /// # Errors
    /// The database's own.
    pub(super) async fn notification(
        &self,
        pusher: &Pusher,
        target: &Target,
        notified: &Notified,
        unread: Option<u64>,
    ) -> Result<Body> {
        let Notified { event, room, actions } = notified;
        let loud = actions.highlight() || actions.sound().is_some() || event.kind_text() == "m.room.encrypted";
        let shown = if target.event_id_only {
            None
        } else {
            let state = self.0.rooms.state(event.frame).await?.state.clone();
            Some(Event {
                kind: event.kind_text().into_owned(),
                sender: event.sender_text().into_owned(),
                sender_display_name: self.said(&state, "m.room.member", &event.sender_text(), "displayname").await?,
                room_name: self.said(&state, "m.room.name", "", "name").await?,
                room_alias: self.said(&state, "m.room.canonical_alias", "", "alias").await?,
                user_is_target: event.kind == Sym::MEMBER && event.state_key == Some(pusher.user),
                content: render::content(event)?,
            })
        };
        Ok(Body {
            notification: Notification {
                event_id: Some(event.id.to_string()),
                room_id: Some(room.id.to_string()),
                prio: if loud { "high" } else { "low" },
                counts: unread.map(counts),
                devices: [target.device(pusher, (!target.event_id_only).then(|| tweaks(actions)))],
                event: shown,
            },
        })
    }

    /// What the user has not read, in all rooms.
    pub(super) async fn unread(&self, user: UserNr) -> Result<u64> {
        let joined = self.0.rooms.joined_rooms(user).await?;
        let counts = self.0.rooms.counts(user, &joined).await?;
        Ok(counts.values().map(|unread| unread.total().notify).sum())
    }

    /// A text of a state event's content.
    async fn said(&self, state: &StateMap, kind: &str, key: &str, field: &str) -> Result<Option<String>> {
        let event = self.0.rooms.state_event(state, kind, key).await?;
        let value = event.as_ref().and_then(|event| event.content_value(field));
        Ok(value.and_then(|json| serde_json::from_str(json).ok()))
    }
}

fn counts(unread: u64) -> Value {
    json!({ "unread": unread })
}

fn tweaks(actions: &[Action]) -> Map<String, Value> {
    let set = actions.iter().filter_map(|action| match action {
        Action::SetTweak { tweak, value } => Some((tweak.clone(), value.clone().unwrap_or(Value::Bool(true)))),
        _ => None,
    });
    set.collect()
}
