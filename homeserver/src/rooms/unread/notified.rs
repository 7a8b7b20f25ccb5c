//! What a stored event is to some of its readers, with the actions that their rules name; and what a user was notified of.

use std::{collections::HashMap, sync::Arc};

use roost_spec::{
    auth::{Power, PowerLevel, StateView},
    canonical_json::parse_object,
    event::Pdu,
    push::{Action, Actions, Context, FlatEvent, SenderPower},
};

use crate::{
    rooms::{Room, Rooms, StoredEvent, members::Memberships},
    storage::{self, Error, Membership, Pos, Result, UserNr, unread::Asked},
};

/// An event of which a user was notified.
#[derive(Debug, Clone)]
pub struct Notification {
    pub event: Arc<StoredEvent>,
    pub room: Arc<Room>,
    pub actions: Vec<Action>,
    pub read: bool,
}

impl Rooms {
    /// Those of `users` whom `event` notifies, with what their rules say of it.
    ///
    /// # Errors
    /// The database's own.
    pub async fn notified(
        &self,
        room: &Room,
        event: &StoredEvent,
        users: &[UserNr],
    ) -> Result<HashMap<UserNr, Vec<Action>>> {
        let content = parse_object(event.content().as_bytes(), room.rules.numbers)
            .map_err(|error| Error::Inconsistent(format!("event {} can't be read: {error}", event.nr.0)))?;
        let (kind, sender, state_key) = (event.kind_text(), event.sender_text(), event.state_key_text());
        let state = self.state(event.frame).await?.state.clone();
        let view = self.power_view(room, &state).await?;
        let level = Power::of(room.rules, &view).and_then(|power| power.of_user(&sender)).ok();
        let notifications =
            view.event("m.room.power_levels", "").and_then(Pdu::power_levels).and_then(|l| l.notifications.present());
        let power = level.map(|level| SenderPower {
            level: match level {
                PowerLevel::Finite(level) => level,
                PowerLevel::Infinite => i64::MAX,
            },
            notifications,
        });
        let rules = self.rules_of_many(users).await?;
        let names = self.0.interner.texts(users).await?;
        let audience = self.audience(room).await?;
        let audience = audience.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let flat = FlatEvent::of_draft(&kind, &sender, state_key.as_deref(), &content, room.id.as_str());
        let mut notified = HashMap::new();
        for user in users {
            let (Some(rules), Some(id)) = (rules.get(user), names.get(user)) else { continue };
            let context = Context {
                user_id: id,
                display_name: audience.member(*user).and_then(|member| member.name.as_deref()),
                member_count: audience.count(),
                power,
                mentions_in_body: true,
            };
            let actions = rules.evaluate(&flat, &context);
            if actions.notify() {
                notified.insert(*user, actions.to_vec());
            }
        }
        Ok(notified)
    }

    /// Up to `limit` events of which `user` was notified in the rooms that they are joined to, with `after < pos < before`,
    /// the last first.
    ///
    /// # Errors
    /// The database's own.
    pub async fn notifications(
        &self,
        user: UserNr,
        (after, before): (Pos, Pos),
        limit: usize,
        only_highlights: bool,
    ) -> Result<Vec<Notification>> {
        let rules = self.rules_of(user).await?;
        let joined = self.joined_rooms(user).await?;
        let rooms = self.find_many(&joined).await?;
        let asked = Asked {
            rooms: rooms.values().map(|room| (room.nr, rules.is_quiet_in(room.id.as_str()))).collect(),
            after,
            before,
            limit: i64::try_from(limit).unwrap_or(i64::MAX),
            only_highlights,
        };
        let found = storage::unread::notifications(&self.0.pool, user, &asked).await?;
        let mut notifications = Vec::with_capacity(found.len());
        for event in self.events(&found).await? {
            let Some(room) = rooms.get(&event.room) else { continue };
            // Rules may have changed since; what they say now is shown then, or that it notified.
            let actions =
                self.notified(room, &event, &[user]).await?.remove(&user).unwrap_or_else(|| vec![Action::Notify]);
            let read = self.is_read(user, &event).await?;
            notifications.push(Notification { event, room: Arc::clone(room), actions, read });
        }
        Ok(notifications)
    }

    /// Whether the user has read up to the event, or is not in its room.
    ///
    /// # Errors
    /// The database's own.
    pub async fn is_read(&self, user: UserNr, event: &StoredEvent) -> Result<bool> {
        let Some(pos) = event.pos else { return Ok(true) };
        let memberships = self.memberships(user).await?;
        match memberships.of(event.room).map(|m| m.membership) {
            Some(Membership::Join) => {}
            // An invite is answered, not read.
            Some(Membership::Invite) => return Ok(!is_own(&memberships, event)),
            _ => return Ok(true),
        }
        self.counts(user, &[event.room]).await?;
        let thread = self.thread_of(event).await?;
        Ok(self.read_point(user, event.room, thread.as_deref()).is_some_and(|point| pos <= point))
    }
}

fn is_own(memberships: &Memberships, event: &StoredEvent) -> bool {
    memberships.of(event.room).is_some_and(|m| m.nr == event.nr)
}
