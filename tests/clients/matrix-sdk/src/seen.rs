//! What this device has seen, reported line by line.
//!
//! **Invariant:** an event is reported once, and once more only when it turns from undecryptable to plain.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{Mutex, PoisonError},
};

use anyhow::Result;
use matrix_sdk::{
    Client, Room,
    deserialized_responses::{TimelineEvent, TimelineEventKind},
    room::MessagesOptions,
    ruma::{events::room::encrypted::OriginalSyncRoomEncryptedEvent, serde::Raw, uint},
    sync::{RoomUpdates, Timeline},
};
use serde_json::{Value, json};

use crate::wire::report;

/// Pages asked for in one gap before the rest of it is left out.
const PAGES: usize = 100;

#[derive(Default)]
pub struct Seen {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Event id to its report.
    events: BTreeMap<String, Value>,
    /// Decrypted contents of images, for `download`.
    images: BTreeMap<String, Value>,
    /// Room and event as it came, for those that could not be decrypted yet.
    locked: BTreeMap<String, (String, Raw<OriginalSyncRoomEncryptedEvent>)>,
}

impl Seen {
    /// Reports everything that syncs brought, and whatever their room keys have unlocked.
    pub async fn add(&self, client: &Client, brought: &[RoomUpdates]) -> Result<()> {
        for rooms in brought {
            let left = rooms.left.iter().map(|(room, update)| (room, &update.timeline));
            let joined = rooms.joined.iter().map(|(room, update)| (room, &update.timeline));
            for (room_id, timeline) in joined.chain(left) {
                let Some(room) = client.get_room(room_id) else { continue };
                // A room seen for the first time is read from here on; what was before is asked for with `timeline`.
                if timeline.limited && self.knows(room_id.as_str()) {
                    for event in self.gap(&room, timeline).await?.iter().rev() {
                        self.note(&room, event)?;
                    }
                }
                for event in &timeline.events {
                    self.note(&room, event)?;
                }
            }
        }
        self.retry(client).await
    }

    /// What a device saw before it was shut down, so that a gap ends where it fell asleep.
    pub fn load(path: &Path) -> Result<Self> {
        let seen = Self::default();
        if path.exists() {
            seen.lock().events = serde_json::from_slice(&fs::read(path)?)?;
        }
        Ok(seen)
    }

    /// For [`Seen::load`].
    pub fn save(&self, path: &Path) -> Result<()> {
        fs::write(path, serde_json::to_vec(&self.lock().events)?)?;
        Ok(())
    }

    /// The decrypted content of an image that was seen.
    pub fn image(&self, event: &str) -> Option<Value> {
        self.lock().images.get(event).cloned()
    }

    /// Reports one event unless it was; returns its report, or nothing for state.
    pub fn note(&self, room: &Room, event: &TimelineEvent) -> Result<Option<Value>> {
        let Some((saw, content)) = describe(room, event)? else { return Ok(None) };
        let id = saw["event"].as_str().unwrap_or_default().to_owned();
        let mut inner = self.lock();
        if saw["kind"] == "image" {
            inner.images.insert(id.clone(), content);
        }
        if let TimelineEventKind::UnableToDecrypt { event, .. } = &event.kind {
            let raw = event.clone().cast_unchecked();
            inner.locked.insert(id.clone(), (room.room_id().to_string(), raw));
        } else {
            inner.locked.remove(&id);
        }
        let known = inner.events.get(&id).map(|old| old["kind"].clone());
        if known.is_none() || (known == Some(json!("undecryptable")) && saw["kind"] != "undecryptable") {
            report("saw", saw.clone());
            inner.events.insert(id, saw.clone());
        }
        Ok(Some(saw))
    }

    /// Whether anything of this room was seen before.
    fn knows(&self, room: &str) -> bool {
        self.lock().events.values().any(|saw| saw["room"] == room)
    }

    /// The events between the last seen one and a limited timeline, newest first.
    async fn gap(&self, room: &Room, timeline: &Timeline) -> Result<Vec<TimelineEvent>> {
        let mut events = Vec::new();
        let mut from = timeline.prev_batch.clone();
        for _ in 0..PAGES {
            if from.is_none() {
                break;
            }
            let mut options = MessagesOptions::backward().from(from.as_deref());
            options.limit = uint!(100);
            let page = room.messages(options).await?;
            for event in page.chunk {
                let id = event.event_id().map(|id| id.to_string()).unwrap_or_default();
                if self.lock().events.contains_key(&id) {
                    return Ok(events);
                }
                events.push(event);
            }
            from = page.end;
        }
        Ok(events)
    }

    /// Tries again what could not be decrypted.
    async fn retry(&self, client: &Client) -> Result<()> {
        let locked: Vec<_> = self.lock().locked.values().cloned().collect();
        for (room, raw) in locked {
            let room = client.get_room(<&matrix_sdk::ruma::RoomId>::try_from(room.as_str())?);
            let Some(room) = room else { continue };
            let event = room.decrypt_event(&raw, None).await?;
            self.note(&room, &event)?;
        }
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The report of an event, with its content; nothing for state.
pub fn describe(room: &Room, event: &TimelineEvent) -> Result<Option<(Value, Value)>> {
    let json: Value = event.raw().deserialize_as_unchecked()?;
    if json["state_key"].is_string() {
        return Ok(None);
    }
    let content = &json["content"];
    let relation = &content["m.relates_to"];
    let (kind, body, of) = match (json["type"].as_str().unwrap_or_default(), content["msgtype"].as_str()) {
        ("m.room.message", _) if relation["rel_type"] == "m.replace" => {
            ("edit", &content["m.new_content"]["body"], &relation["event_id"])
        }
        ("m.room.message", Some("m.text")) => ("text", &content["body"], &Value::Null),
        ("m.room.message", Some("m.image")) => ("image", &content["body"], &Value::Null),
        ("m.room.message" | "m.room.encrypted", None) if content.as_object().is_none_or(|it| it.is_empty()) => {
            ("redacted", &Value::Null, &Value::Null)
        }
        ("m.reaction", _) => ("reaction", &relation["key"], &relation["event_id"]),
        ("m.room.redaction", _) => {
            let of = if content["redacts"].is_string() { &content["redacts"] } else { &json["redacts"] };
            ("redaction", &content["reason"], of)
        }
        ("m.room.encrypted", _) => ("undecryptable", &Value::Null, &Value::Null),
        (other, _) => (other, &content["body"], &Value::Null),
    };
    let mut saw = json!({
        "room": room.room_id(),
        "event": json["event_id"],
        "sender": json["sender"],
        "kind": kind,
        "body": body,
        "of": of,
        "encrypted": !matches!(event.kind, TimelineEventKind::PlainText { .. }),
    });
    if let TimelineEventKind::UnableToDecrypt { utd_info, .. } = &event.kind {
        saw["why"] = json!(format!("{:?}", utd_info.reason));
    }
    Ok(Some((saw, content.clone())))
}
