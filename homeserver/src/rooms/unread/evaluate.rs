//! Whom an event notifies: one evaluation for the class of members with the predefined rules, and one for each whom it may
//! concern otherwise.

use std::{collections::HashSet, sync::Arc};

use roost_spec::{
    canonical_json::Object,
    push::{Actions, CompiledRuleset, Context, FlatEvent, SenderPower},
};

use super::Audience;
use crate::storage::{
    UserNr,
    commit::{Exception, Noted},
};

/// An event as it is about to be written.
pub(in crate::rooms) struct NewEvent<'a> {
    pub kind: &'a str,
    pub sender: UserNr,
    pub sender_id: &'a str,
    pub state_key: Option<&'a str>,
    pub content: &'a Object,
    pub power: Option<SenderPower<'a>>,
    pub thread: Option<Arc<str>>,
}

impl Audience {
    /// Whom the event notifies.
    pub(in crate::rooms) fn evaluate(&self, asked: &NewEvent<'_>) -> Noted {
        let nobody = Noted { thread: asked.thread.clone(), ..Noted::default() };
        // Of memberships the predefined rules notify only whoever is invited, and who is invited is no member yet.
        let membership = asked.kind == "m.room.member" && asked.state_key.is_some();
        // Whoever comes is no member yet: the only member hears of it too.
        let alone = self.count() < if membership { 1 } else { 2 };
        if alone || membership && self.individuals.is_empty() {
            return nobody;
        }
        let event = FlatEvent::of_draft(asked.kind, asked.sender_id, asked.state_key, asked.content, &self.room_id);
        let context = Context {
            user_id: "",
            display_name: None,
            member_count: self.count(),
            power: asked.power,
            mentions_in_body: true,
        };
        let default = CompiledRuleset::server_default();
        let actions = default.evaluate(&event, &context);
        let (notify, highlight) = (actions.notify(), actions.notify() && actions.highlight());

        let ignorers = self.ignorers(asked.sender_id);
        let mut exceptions = Vec::new();
        for user in self.candidates(asked, &event) {
            let Some(member) = self.member(user).filter(|_| user != asked.sender) else { continue };
            let individual = self.individuals.get(&user);
            let context = Context { user_id: &member.id, display_name: member.name.as_deref(), ..context };
            let actions = match individual {
                Some(individual) => individual.rules.evaluate(&event, &context),
                None => default.evaluate(&event, &context),
            };
            let heard = !ignorers.is_some_and(|ignorers| ignorers.contains(&user));
            let notifies = heard && actions.notify();
            let own = (notifies, notifies && actions.highlight());
            let expected = if individual.is_some_and(|i| i.quiet) { (false, false) } else { (notify, highlight) };
            if own != expected {
                exceptions.push(Exception { user, notify: own.0, highlight: own.1 });
            }
        }
        Noted { notify, highlight, exceptions: exceptions.into(), ..nobody }
    }

    /// Those whom the event may concern in another way than the class.
    fn candidates(&self, asked: &NewEvent<'_>, event: &FlatEvent) -> HashSet<UserNr> {
        let mut found: HashSet<UserNr> = self.individuals.keys().copied().collect();
        found.extend(self.ignorers(asked.sender_id).into_iter().flatten());
        if event.says_mentions() {
            let named = asked.content.get_object("m.mentions").and_then(|mentions| mentions.get("user_ids"));
            let named = named.and_then(|list| list.as_array()).unwrap_or_default();
            found.extend(named.iter().filter_map(|id| self.by_id(id.as_str()?)));
        } else if let Some(body) = event.lower_body() {
            self.named_in(body, |user| {
                found.insert(user);
            });
        }
        found
    }
}
