//! The answer as JSON, in the dialect of the request.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use super::{
    super::{
        Sync,
        answer::{push_account_data, push_device_lists, push_key_counts, push_list},
        ephemeral,
        reader::Reader,
    },
    Dialect, SlidingRequest,
    extensions::{Extra, users},
    rooms::{Body, Inside, Part},
};
use crate::{
    clock::now_ms,
    rooms::{
        StoredEvent,
        render::{Beside, View, push_string, write_client_event, write_stripped},
        unread::{Count, Unread},
    },
    storage::{Result, RoomNr, Sym, UserNr, sync::Receipt},
};

impl Part {
    /// Whether there is nothing in it that the client does not know.
    pub(super) fn is_empty(&self) -> bool {
        match &self.body {
            Body::Inside(inside) => {
                !self.initial
                    && inside.looked.shape.shown.is_empty()
                    && !inside.looked.shape.limited
                    && inside.state.is_empty()
                    && inside.name.is_none()
                    && inside.avatar.is_none()
                    && inside.counts.is_none()
                    && !inside.read
            }
            Body::Outside(_) => false,
        }
    }
}

impl Sync {
    /// Writes the answer, apart from the position at its end.
    pub(super) async fn write_sliding(
        &self,
        request: &SlidingRequest,
        reader: &Reader,
        counts: &BTreeMap<String, usize>,
        parts: &[Part],
        extra: &Extra,
    ) -> Result<String> {
        let view = View { device: Some(reader.device), now: now_ms(), room_id: false, previous: true };
        let mut referring: Vec<&StoredEvent> = Vec::new();
        let mut names: BTreeSet<Sym> = users(extra);
        let mut rooms: BTreeSet<RoomNr> = BTreeSet::new();
        // As in `/sync`: where a timeline begins anew, its events come with what relates to them.
        let mut begun: Vec<&StoredEvent> = Vec::new();
        for part in parts {
            if let Body::Inside(inside) = &part.body {
                if part.initial || inside.looked.shape.limited {
                    begun.extend(inside.looked.shape.shown.iter().map(|shown| &*shown.event));
                }
                referring.extend(inside.looked.shape.shown.iter().map(|shown| &*shown.event));
                referring.extend(inside.state.iter().map(|event| &**event).filter(|event| event.redacted_by.is_some()));
                names.extend(inside.heroes.iter().flatten().map(|(user, _)| *user));
            }
        }
        rooms.extend(extra.receipts.iter().flat_map(|receipts| receipts.keys()));
        rooms.extend(extra.typing.iter().flat_map(|typing| typing.rooms.keys()));
        rooms.extend(extra.account_data.iter().flat_map(|notes| notes.rooms.keys()));
        let mut beside = self.0.rooms.beside(referring, &view).await?;
        if !begun.is_empty() {
            let ignored = self.ignored(reader.user).await?;
            self.0.rooms.bundle(&mut beside, begun, reader.user, &ignored).await?;
        }
        let names = self.0.rooms.interner().texts(&names.into_iter().collect::<Vec<_>>()).await?;
        let rooms = self.0.rooms.find_many(&rooms.into_iter().collect::<Vec<_>>()).await?;
        let ids = rooms.into_iter().map(|(nr, room)| (nr, room.id.as_str().into())).collect();
        let direct = if parts.is_empty() { Arc::default() } else { self.direct_chats(reader.user).await? };
        let mut writer = Writer { out: String::with_capacity(4096), request, view, beside, names, ids, direct };
        writer.answer(counts, parts, extra);
        Ok(writer.out)
    }
}

struct Writer<'a> {
    out: String,
    request: &'a SlidingRequest,
    view: View,
    beside: Beside,
    names: HashMap<Sym, Arc<str>>,
    ids: HashMap<RoomNr, Arc<str>>,
    direct: Arc<HashSet<String>>,
}

impl Writer<'_> {
    fn answer(&mut self, counts: &BTreeMap<String, usize>, parts: &[Part], extra: &Extra) {
        self.out.push_str("{\"lists\":");
        self.map(
            counts.iter(),
            |w, name| push_string(&mut w.out, name),
            |w, count| {
                w.out.push_str("{\"count\":");
                w.out.push_str(&count.to_string());
                w.out.push('}');
            },
        );
        self.out.push_str(",\"rooms\":");
        let rooms = parts.iter().map(|part| (part, part));
        self.map(rooms, |w, part| push_string(&mut w.out, part.room().id.as_str()), Self::room);
        self.extensions(extra);
        if let Some(txn_id) = &self.request.txn_id {
            self.out.push_str(",\"txn_id\":");
            push_string(&mut self.out, txn_id);
        }
    }

    fn room(&mut self, part: &Part) {
        let own = part.named.entry.own;
        self.out.push_str("{\"bump_stamp\":");
        self.out.push_str(&part.named.entry.bump.0.to_string());
        if part.initial {
            self.out.push_str(",\"initial\":true");
        }
        if self.direct.contains(part.room().id.as_str()) {
            self.out.push_str(",\"is_dm\":true");
        }
        if self.request.dialect == Dialect::Stable {
            self.out.push_str(",\"membership\":\"");
            self.out.push_str(own.membership.as_str());
            self.out.push_str("\",\"lists\":");
            push_list(&mut self.out, &part.named.lists, |out, name| push_string(out, name));
        }
        match &part.body {
            Body::Inside(inside) => self.inside(part, inside),
            Body::Outside(state) => {
                // Knocks too: clients look at their own membership in it.
                self.out.push_str(match self.request.dialect {
                    Dialect::Stable => ",\"stripped_state\":",
                    Dialect::Unstable => ",\"invite_state\":",
                });
                push_list(&mut self.out, state, |out, event| write_stripped(out, event));
            }
        }
        self.out.push('}');
    }

    fn inside(&mut self, part: &Part, inside: &Inside) {
        let field = |event: &Option<Arc<StoredEvent>>, name: &str| {
            let value = event.as_ref().and_then(|event| event.content_value(name)).map(str::to_owned);
            value.filter(|text| text.starts_with('"') && text.len() > 2)
        };
        if let Some(name) = &inside.name {
            match field(name, "name") {
                Some(name) => self.entry("name", &name),
                None if part.initial => {}
                None => self.entry("name", "null"),
            }
        }
        if let Some(avatar) = &inside.avatar {
            match field(avatar, "url") {
                Some(url) => self.entry("avatar", &url),
                None if part.initial => {}
                None => self.entry("avatar", "null"),
            }
        }
        if let Some(heroes) = &inside.heroes {
            self.heroes(heroes);
        }
        if let Some(counts) = &inside.counts {
            self.entry("joined_count", &counts.joined.to_string());
            self.entry("invited_count", &counts.invited.to_string());
        }
        if self.request.dialect == Dialect::Unstable {
            let unread = inside.unread.as_ref().map_or_else(Count::default, Unread::total);
            self.entry("notification_count", &unread.notify.to_string());
            self.entry("highlight_count", &unread.highlight.to_string());
        }
        if part.expanded {
            let stable = self.request.dialect == Dialect::Stable;
            self.entry(if stable { "expanded_timeline" } else { "unstable_expanded_timeline" }, "true");
        }
        let shape = &inside.looked.shape;
        self.entry("num_live", &inside.live.to_string());
        self.entry("limited", if shape.limited { "true" } else { "false" });
        self.out.push_str(",\"prev_batch\":\"");
        self.out.push_str(&shape.prev_batch.to_string());
        self.out.push_str("\",\"timeline\":");
        let (view, beside) = (self.view, &self.beside);
        push_list(&mut self.out, &shape.shown, |out, shown| {
            write_client_event(out, &shown.event, shown.membership, &view, beside);
        });
        self.out.push_str(",\"required_state\":");
        let view = View { previous: false, ..view };
        push_list(&mut self.out, &inside.state, |out, event| write_client_event(out, event, None, &view, beside));
    }

    fn heroes(&mut self, heroes: &[(UserNr, Option<Arc<StoredEvent>>)]) {
        self.out.push_str(",\"heroes\":");
        let names = &self.names;
        push_list(&mut self.out, heroes, |out, (user, member)| {
            out.push_str("{\"user_id\":");
            push_string(out, names.get(user).map_or("", |name| name));
            for (field, name) in [("displayname", ",\"displayname\":"), ("avatar_url", ",\"avatar_url\":")] {
                let value = member.as_ref().and_then(|event| event.content_value(field));
                if let Some(value) = value.filter(|value| value.starts_with('"')) {
                    out.push_str(name);
                    out.push_str(value);
                }
            }
            out.push('}');
        });
    }

    fn extensions(&mut self, extra: &Extra) {
        let mut first = true;
        let mut begin = |w: &mut Self, name: &str| {
            w.out.push_str(if first { ",\"extensions\":{" } else { "," });
            first = false;
            push_string(&mut w.out, name);
            w.out.push_str(":{");
        };
        if let Some((events, next)) = &extra.to_device {
            begin(self, "to_device");
            self.out.push_str("\"next_batch\":\"");
            self.out.push_str(&next.to_string());
            self.out.push_str("\",\"events\":");
            push_list(&mut self.out, events, |out, event| out.push_str(event));
            self.out.push('}');
        }
        if let Some((lists, counts)) = &extra.e2ee {
            begin(self, "e2ee");
            self.out.push_str("\"device_lists\":");
            push_device_lists(&mut self.out, lists, &self.names);
            push_key_counts(&mut self.out, counts);
            self.out.push('}');
        }
        if let Some(notes) = &extra.account_data {
            begin(self, "account_data");
            self.out.push_str("\"global\":");
            push_account_data(&mut self.out, &notes.global);
            self.out.push_str(",\"rooms\":");
            self.map(notes.rooms.iter(), Self::id, |w, notes| push_account_data(&mut w.out, notes));
            self.out.push('}');
        }
        if let Some(receipts) = &extra.receipts {
            begin(self, "receipts");
            self.out.push_str("\"rooms\":");
            self.map(receipts.iter(), Self::id, |w, receipts: &Vec<Receipt>| {
                let events = ephemeral::receipt_events(receipts, &w.names);
                // There is room for one event: the receipts without a thread are in the first.
                w.out.push_str(events.first().map_or("{\"content\":{},\"type\":\"m.receipt\"}", |event| event));
            });
            self.out.push('}');
        }
        if let Some(typing) = &extra.typing {
            begin(self, "typing");
            self.out.push_str("\"rooms\":");
            self.map(typing.rooms.iter(), Self::id, |w, users| {
                let names = users.iter().filter_map(|user| w.names.get(user)).map(|name| &**name);
                let event = ephemeral::typing_event(names);
                w.out.push_str(&event);
            });
            self.out.push('}');
        }
        if !first {
            self.out.push('}');
        }
    }

    fn entry(&mut self, name: &str, value: &str) {
        self.out.push(',');
        push_string(&mut self.out, name);
        self.out.push(':');
        self.out.push_str(value);
    }

    fn id(&mut self, room: &RoomNr) {
        let id = self.ids.get(room).map_or("", |id| id);
        push_string(&mut self.out, id);
    }

    fn map<K, V>(
        &mut self,
        entries: impl Iterator<Item = (K, V)>,
        key: impl Fn(&mut Self, K),
        value: impl Fn(&mut Self, V),
    ) {
        self.out.push('{');
        for (i, (k, v)) in entries.enumerate() {
            self.out.push_str(if i > 0 { "," } else { "" });
            key(self, k);
            self.out.push(':');
            value(self, v);
        }
        self.out.push('}');
    }
}
