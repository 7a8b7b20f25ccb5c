//! A room's members as far as they matter to an evaluation: whose rules are others than the predefined ones, and by which
//! words a body may name whom.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use serde::Deserialize;

use super::Rules;
use crate::{
    log::LogEvent,
    rooms::{Room, Rooms},
    storage::{self, EventNr, Membership, Result, UserNr, unread},
};

/// The joined members of a room.
#[derive(Debug)]
pub struct Audience {
    pub(super) room_id: Box<str>,
    members: HashMap<UserNr, Member>,
    by_id: HashMap<Arc<str>, UserNr>,
    /// Users by the membership event that says their name.
    by_event: HashMap<EventNr, UserNr>,
    /// Users by the longest word of their display name, and of their localpart.
    by_word: HashMap<Box<str>, Vec<UserNr>>,
    /// Users by the first character of a name that has no such word.
    by_character: HashMap<char, Vec<UserNr>>,
    pub(super) individuals: HashMap<UserNr, Individual>,
    /// Who ignores whom, by the user ID of the ignored.
    ignorers: HashMap<Box<str>, HashSet<UserNr>>,
    /// Whose rules are still to be looked at.
    pending: HashSet<UserNr>,
    /// Changes of rules before this number are in it.
    rules_seen: u64,
}

#[derive(Debug)]
pub(super) struct Member {
    pub id: Arc<str>,
    pub name: Option<Box<str>>,
    event: EventNr,
}

/// A member whose rules are not the predefined ones as far as the room goes.
#[derive(Debug)]
pub(super) struct Individual {
    pub rules: Arc<Rules>,
    /// The room's ordinary messages do not notify them: only their exceptions count.
    pub quiet: bool,
}

#[derive(Deserialize)]
struct MemberEvent {
    state_key: String,
    content: MemberContent,
}

#[derive(Deserialize, Default)]
struct MemberContent {
    #[serde(default)]
    displayname: Option<serde_json::Value>,
}

impl MemberEvent {
    fn name(self) -> Option<Box<str>> {
        match self.content.displayname {
            Some(serde_json::Value::String(name)) if !name.is_empty() => Some(name.into()),
            _ => None,
        }
    }
}

impl Audience {
    fn new(room_id: &str, members: Vec<unread::Member>, rules_seen: u64) -> Self {
        let mut audience = Self {
            room_id: room_id.into(),
            members: HashMap::with_capacity(members.len()),
            by_id: HashMap::with_capacity(members.len()),
            by_event: HashMap::new(),
            by_word: HashMap::new(),
            by_character: HashMap::new(),
            individuals: HashMap::new(),
            ignorers: HashMap::new(),
            pending: HashSet::new(),
            rules_seen,
        };
        for member in members {
            let Ok(id) = String::from_utf8(member.id) else { continue };
            let name = serde_json::from_str::<MemberEvent>(&member.json).ok().and_then(MemberEvent::name);
            if member.settings.rules.is_some() || member.settings.ignored.is_some() {
                audience.set_rules(member.user, &Arc::new(Rules::new(&member.settings, &id)));
            }
            audience.insert(member.user, Member { id: id.into(), name, event: member.event });
        }
        audience
    }

    pub(super) fn weight(&self) -> usize {
        4 + self.members.len()
    }

    /// How many are joined.
    pub(super) fn count(&self) -> u64 {
        self.members.len() as u64
    }

    pub(super) fn member(&self, user: UserNr) -> Option<&Member> {
        self.members.get(&user)
    }

    pub(super) fn by_id(&self, id: &str) -> Option<UserNr> {
        self.by_id.get(id).copied()
    }

    /// Who may be named in a body (in lower case); whether they are is for their rules to say.
    pub(super) fn named_in(&self, body: &str, mut found: impl FnMut(UserNr)) {
        for word in words(body) {
            self.by_word.get(word).into_iter().flatten().for_each(|user| found(*user));
        }
        if !self.by_character.is_empty() {
            for character in body.chars().filter(|c| !is_word(*c)) {
                self.by_character.get(&character).into_iter().flatten().for_each(|user| found(*user));
            }
        }
    }

    /// Takes in a membership or a redaction that the log brought. Whatever was taken in before, the last one counts.
    pub(super) fn follow(&mut self, event: &LogEvent) {
        if let Some(target) = event.redacts {
            return self.redact(target);
        }
        if event.membership.is_none() {
            return;
        }
        let Some(user) = event.state_key else { return };
        let known = self.remove(user);
        if event.membership != Some(Membership::Join) {
            self.individuals.remove(&user);
            self.forget_ignored(user);
            self.pending.remove(&user);
            return;
        }
        let Ok(read) = serde_json::from_str::<MemberEvent>(&event.json) else { return };
        let id = Arc::from(read.state_key.as_str());
        self.insert(user, Member { id, name: read.name(), event: event.nr });
        if !known {
            self.pending.insert(user);
        }
    }

    /// Forgets the name that a membership event said which was redacted.
    fn redact(&mut self, event: EventNr) {
        let Some(user) = self.by_event.get(&event).copied() else { return };
        let Some(id) = self.members.get(&user).map(|member| Arc::clone(&member.id)) else { return };
        self.remove(user);
        self.insert(user, Member { id, name: None, event });
    }

    /// Who ignores the user.
    pub(super) fn ignorers(&self, user_id: &str) -> Option<&HashSet<UserNr>> {
        self.ignorers.get(user_id)
    }

    fn forget_ignored(&mut self, user: UserNr) {
        self.ignorers.retain(|_, ignorers| {
            ignorers.remove(&user);
            !ignorers.is_empty()
        });
    }

    fn insert(&mut self, user: UserNr, member: Member) {
        self.by_id.insert(Arc::clone(&member.id), user);
        // Who says no name has none to lose.
        if member.name.is_some() {
            self.by_event.insert(member.event, user);
        }
        for handle in handles(&member) {
            match handle {
                Handle::Word(word) => self.by_word.entry(word).or_default().push(user),
                Handle::Character(character) => self.by_character.entry(character).or_default().push(user),
            }
        }
        self.members.insert(user, member);
    }

    fn remove(&mut self, user: UserNr) -> bool {
        let Some(member) = self.members.remove(&user) else { return false };
        self.by_id.remove(&member.id);
        self.by_event.remove(&member.event);
        for handle in handles(&member) {
            match handle {
                Handle::Word(word) => take_out(&mut self.by_word, word, user),
                Handle::Character(character) => take_out(&mut self.by_character, character, user),
            }
        }
        true
    }

    fn set_rules(&mut self, user: UserNr, rules: &Arc<Rules>) {
        self.pending.remove(&user);
        self.forget_ignored(user);
        for ignored in rules.ignored() {
            self.ignorers.entry(ignored.into()).or_default().insert(user);
        }
        if rules.is_default_in(&self.room_id) {
            self.individuals.remove(&user);
        } else {
            let quiet = rules.is_quiet_in(&self.room_id);
            self.individuals.insert(user, Individual { rules: Arc::clone(rules), quiet });
        }
    }
}

enum Handle {
    Word(Box<str>),
    Character(char),
}

/// By what a body that names the member is found.
fn handles(member: &Member) -> Vec<Handle> {
    let localpart = member.id.strip_prefix('@').and_then(|rest| rest.split(':').next());
    let names = member.name.as_deref().into_iter().chain(localpart).map(str::to_lowercase);
    let handle = |name: String| match words(&name).max_by_key(|word| word.len()) {
        Some(word) => Some(Handle::Word(word.into())),
        None => name.chars().next().map(Handle::Character),
    };
    names.filter_map(handle).collect()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c| !is_word(c)).filter(|word| !word.is_empty())
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn take_out<K: std::hash::Hash + Eq>(map: &mut HashMap<K, Vec<UserNr>>, key: K, user: UserNr) {
    if let std::collections::hash_map::Entry::Occupied(mut entry) = map.entry(key) {
        if let Some(at) = entry.get().iter().position(|u| *u == user) {
            entry.get_mut().swap_remove(at);
        }
        if entry.get().is_empty() {
            entry.remove();
        }
    }
}

impl Rooms {
    /// The room's audience, with the rules of all its members known: no query where nothing changed.
    ///
    /// # Errors
    /// The database's own.
    pub(in crate::rooms) async fn audience(&self, room: &Room) -> Result<Arc<Mutex<Audience>>> {
        let caches = &self.0.caches.unread;
        let load = async || -> Result<_> {
            let seen = caches.journal().rules.next;
            let members = storage::unread::members(&self.0.pool, room.nr).await?;
            Ok(Arc::new(Mutex::new(Audience::new(room.id.as_str(), members, seen))))
        };
        // In a room that many join at once there is no moment without a change.
        let take_in = |audience: &Arc<Mutex<Audience>>, event: Arc<LogEvent>| {
            audience.lock().unwrap_or_else(PoisonError::into_inner).follow(&event);
        };
        let audience = caches.audiences.get_or_load_following(room.nr, load, take_in).await?;
        self.catch_up(&audience).await?;
        Ok(audience)
    }

    /// Looks at the rules of those who came, and at those that changed.
    async fn catch_up(&self, audience: &Mutex<Audience>) -> Result<()> {
        let caches = &self.0.caches.unread;
        loop {
            let pending: Vec<UserNr> = {
                let mut state = audience.lock().unwrap_or_else(PoisonError::into_inner);
                let journal = caches.journal();
                match journal.rules.since(state.rules_seen) {
                    Some(changed) => {
                        let changed: Vec<UserNr> = changed.copied().filter(|u| state.members.contains_key(u)).collect();
                        state.pending.extend(changed);
                    }
                    None => {
                        let everybody: Vec<UserNr> = state.members.keys().copied().collect();
                        state.pending.extend(everybody);
                    }
                }
                state.rules_seen = journal.rules.next;
                state.pending.iter().copied().collect()
            };
            if pending.is_empty() {
                return Ok(());
            }
            let rules = self.rules_of_many(&pending).await?;
            let mut state = audience.lock().unwrap_or_else(PoisonError::into_inner);
            let changed_again: HashSet<UserNr> =
                caches.journal().rules.since(state.rules_seen).into_iter().flatten().copied().collect();
            for (user, rules) in &rules {
                if state.members.contains_key(user) && !changed_again.contains(user) {
                    state.set_rules(*user, rules);
                } else {
                    state.pending.remove(user);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Sym;

    fn audience(members: &[(&str, &str)]) -> Audience {
        let rows = (1..).zip(members).map(|(nr, (id, name))| unread::Member {
            user: Sym(nr),
            id: id.as_bytes().to_vec(),
            event: EventNr(i64::from(nr)),
            json: serde_json::json!({"state_key": id, "content": {"displayname": name}}).to_string(),
            settings: unread::Settings::default(),
        });
        Audience::new("!r:x", rows.collect(), 0)
    }

    fn named(audience: &Audience, body: &str) -> Vec<i32> {
        let mut found = Vec::new();
        audience.named_in(body, |user| found.push(user.0));
        found.sort_unstable();
        found.dedup();
        found
    }

    #[test]
    fn a_body_finds_those_whom_it_may_name() {
        let mut audience = audience(&[("@anna:x", "Anna Lee-Smith"), ("@b.c:x", "日本"), ("@z:x", "é")]);
        assert_eq!(named(&audience, "hi smith"), [1]);
        assert_eq!(named(&audience, "hi lee"), Vec::<i32>::new(), "the longest word is enough to find her");
        assert_eq!(named(&audience, "anna, 日本 and élan"), [1, 2, 3]);
        assert!(audience.remove(Sym(1)));
        assert_eq!(named(&audience, "anna smith"), Vec::<i32>::new());
        assert_eq!((audience.count(), audience.by_id("@z:x")), (2, Some(Sym(3))));
    }

    #[test]
    fn a_redacted_membership_says_no_name() {
        let mut audience = audience(&[("@a:x", "Zebra"), ("@b:x", "Lion")]);
        audience.redact(EventNr(1));
        assert_eq!(named(&audience, "zebra and lion"), [2]);
        assert_eq!(named(&audience, "a"), [1], "the localpart stays");
        assert!(audience.member(Sym(1)).unwrap().name.is_none());
    }
}
