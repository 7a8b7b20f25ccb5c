//! The user's rooms, in the order in which something happened in them, and the filters of lists.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
    sync::Arc,
};

use ruma::OwnedRoomId;

use super::{
    super::{Sync, scope::Standing},
    Filters,
    connection::Sent,
    meta::Meta,
    spaces::Children,
};
use crate::{
    rooms::{Memberships, Room, StoredEvent, trail::Trail},
    storage::{EventNr, Membership, Pos, Result, RoomNr, UserNr, member::OfUser},
};

/// A room of the user's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub own: OfUser,
    /// When something last happened that the user may know of.
    pub order: Pos,
    /// The same for what people care for.
    pub bump: Pos,
}

/// From which rooms users were sent away, as of their memberships.
pub(in super::super) type SentAway = moka::sync::Cache<UserNr, (Arc<Memberships>, Arc<HashSet<RoomNr>>)>;

/// What filters look at, loaded as far as any of them asks.
#[derive(Default)]
struct Facts {
    metas: HashMap<RoomNr, Meta>,
    direct: Arc<HashSet<String>>,
    tags: Arc<HashMap<RoomNr, HashSet<String>>>,
}

impl Sync {
    /// The user's rooms, the newest first: those that they are in, are invited to, knock at or were sent away from, and those
    /// that they left and `sent` knows; one that is forgotten by now, until the client that read up to `since` is told that
    /// they left it. Invitations that the user does not want are none of them: they are in no list and in no count.
    ///
    /// # Errors
    /// The database's own.
    pub(super) async fn entries(
        &self,
        user: UserNr,
        standing: &Standing,
        sent: &Sent,
        since: Option<Pos>,
    ) -> Result<Vec<Entry>> {
        let memberships = &standing.memberships;
        let sent_away = self.sent_away(user, memberships).await?;
        let stamps = self.0.caches.recency.stamps(&self.0.pool, &memberships.joined).await?;
        let is_invited = |own: &&OfUser| own.membership == Membership::Invite;
        let invited: Vec<OfUser> = memberships.all.iter().filter(is_invited).copied().collect();
        let unwanted = self.unwanted(user, &invited).await?;
        let mut entries = Vec::with_capacity(memberships.all.len());
        let is_told = |own: &OfUser| {
            let known = sent.rooms.get(&own.room).and_then(|known| known.until.or(since));
            known.is_none_or(|until| own.pos <= until)
        };
        for own in memberships.all.iter().filter(|own| !own.forgotten || !is_told(own)) {
            let (order, bump) = match own.membership {
                Membership::Join => stamps.get(&own.room).map_or((own.pos, own.pos), |s| (s.last, s.bump)),
                Membership::Invite if unwanted.contains(&own.room) => continue,
                Membership::Invite | Membership::Knock => (own.pos, own.pos),
                Membership::Leave | Membership::Ban => {
                    if !sent_away.contains(&own.room) && !sent.rooms.contains_key(&own.room) {
                        continue;
                    }
                    (own.pos, own.pos)
                }
            };
            entries.push(Entry { own: *own, order, bump });
        }
        entries.sort_unstable_by_key(|entry| (Reverse(entry.order), entry.own.room));
        Ok(entries)
    }

    /// The rooms that the user was in and that they are banned from, or that others made them leave.
    async fn sent_away(&self, user: UserNr, memberships: &Arc<Memberships>) -> Result<Arc<HashSet<RoomNr>>> {
        if let Some((as_of, rooms)) = self.0.sent_away.get(&user)
            && Arc::ptr_eq(&as_of, memberships)
        {
            return Ok(rooms);
        }
        let gone = |own: &&OfUser| matches!(own.membership, Membership::Leave | Membership::Ban) && !own.forgotten;
        let numbers: Vec<EventNr> = memberships.all.iter().filter(gone).map(|own| own.nr).collect();
        let mut newest = self.0.rooms.events(&numbers).await?;
        newest.retain(|event| event.sender != user || is_ban(event));
        let trails = self.0.rooms.trails(&newest.iter().map(|event| event.nr).collect::<Vec<_>>()).await?;
        // Whoever had left by themselves is not sent away by what becomes of them later, unless it is a ban.
        let away = |(event, trail): &(&Arc<StoredEvent>, Trail)| {
            trail.leaving().is_some_and(|leaving| leaving.sender != user || is_ban(event))
        };
        let rooms = newest.iter().zip(trails).filter(away).map(|(event, _)| event.room);
        let rooms = Arc::new(rooms.collect::<HashSet<RoomNr>>());
        self.0.sent_away.insert(user, (Arc::clone(memberships), Arc::clone(&rooms)));
        Ok(rooms)
    }

    /// For each of `lists` which of `entries` it holds, in their order.
    ///
    /// # Errors
    /// The database's own.
    pub(super) async fn sift(
        &self,
        user: UserNr,
        entries: &[Entry],
        rooms: &HashMap<RoomNr, Arc<Room>>,
        lists: &[&Filters],
    ) -> Result<Vec<Vec<usize>>> {
        let any = |asks: fn(&Filters) -> bool| lists.iter().any(|filters| asks(filters));
        let mut facts = Facts::default();
        if any(|f| f.is_encrypted.is_some() || f.room_types.is_some() || !f.not_room_types.is_empty()) {
            facts.metas = self.metas(&entries.iter().map(|entry| entry.own.room).collect::<Vec<_>>()).await?;
        }
        if any(|f| f.is_dm.is_some()) {
            facts.direct = self.direct_chats(user).await?;
        }
        if any(|f| f.tags.is_some() || !f.not_tags.is_empty()) {
            facts.tags = self.tags(user).await?;
        }
        let named: HashSet<&OwnedRoomId> = lists.iter().filter_map(|f| f.spaces.as_ref()).flatten().collect();
        let spaces: Vec<&Arc<Room>> = entries
            .iter()
            .filter(|entry| entry.own.membership == Membership::Join && !named.is_empty())
            .filter_map(|entry| rooms.get(&entry.own.room).filter(|room| named.contains(&room.id)))
            .collect();
        let children = self.children(&spaces.iter().map(|room| room.nr).collect::<Vec<_>>()).await?;
        let children: Vec<(&OwnedRoomId, &Children)> =
            spaces.iter().filter_map(|room| Some((&room.id, &**children.get(&room.nr)?))).collect();
        let mut sifted = Vec::with_capacity(lists.len());
        for filters in lists {
            let spaces = filters.spaces.as_deref();
            let of = |(id, children)| spaces.is_some_and(|spaces| spaces.contains(id)).then_some(children);
            let listed: Option<Vec<&Children>> = spaces.map(|_| children.iter().copied().filter_map(of).collect());
            let takes = |(i, entry): (usize, &Entry)| {
                let room = rooms.get(&entry.own.room)?;
                let is_in = |children: &&Children| children.contains(room.id.as_str());
                let inside = listed.as_ref().is_none_or(|listed| listed.iter().any(is_in));
                (inside && facts.fit(filters, entry, room)).then_some(i)
            };
            sifted.push(entries.iter().enumerate().filter_map(takes).collect());
        }
        Ok(sifted)
    }
}

fn is_ban(event: &StoredEvent) -> bool {
    event.membership == Some(Membership::Ban)
}

impl Facts {
    fn fit(&self, filters: &Filters, entry: &Entry, room: &Room) -> bool {
        let is = |wanted: Option<bool>, fact: &dyn Fn() -> bool| wanted.is_none_or(|wanted| wanted == fact());
        let meta = self.metas.get(&room.nr);
        let room_type = meta.and_then(|meta| meta.room_type.as_deref());
        let among = |types: &[Option<String>]| types.iter().any(|wanted| wanted.as_deref() == room_type);
        let tagged =
            |tags: &[String]| self.tags.get(&room.nr).is_some_and(|given| tags.iter().any(|tag| given.contains(tag)));
        is(filters.is_invited, &|| entry.own.membership == Membership::Invite)
            && is(filters.is_dm, &|| self.direct.contains(room.id.as_str()))
            && is(filters.is_encrypted, &|| meta.is_some_and(|meta| meta.encrypted))
            && filters.room_types.as_deref().is_none_or(among)
            && !among(&filters.not_room_types)
            && filters.tags.as_deref().is_none_or(tagged)
            && !tagged(&filters.not_tags)
    }
}

#[cfg(test)]
mod tests {
    use roost_spec::room_version::RoomVersion;

    use super::*;

    fn fits(filters: Filters) -> bool {
        let nr = RoomNr(1);
        let meta = Meta { room_type: Some("m.space".into()), encrypted: true };
        let facts = Facts {
            metas: [(nr, meta)].into(),
            direct: Arc::new(["!a:s".to_owned()].into()),
            tags: Arc::new([(nr, ["m.favourite".to_owned()].into())].into()),
        };
        let own = OfUser { room: nr, membership: Membership::Invite, nr: EventNr(1), pos: Pos(1), forgotten: false };
        let rules = RoomVersion::parse("11").unwrap().rules();
        let room = Room { nr, id: OwnedRoomId::try_from("!a:s").unwrap(), rules };
        facts.fit(&filters, &Entry { own, order: Pos(1), bump: Pos(1) }, &room)
    }

    #[test]
    fn every_filter_asks_its_question() {
        let space = || vec![Some("m.space".to_owned())];
        let tag = |name: &str| vec![name.to_owned()];
        assert!(fits(Filters::default()));
        for (yes, filters) in [
            (
                true,
                Filters { is_dm: Some(true), is_encrypted: Some(true), is_invited: Some(true), ..Filters::default() },
            ),
            (false, Filters { is_dm: Some(false), ..Filters::default() }),
            (false, Filters { is_encrypted: Some(false), ..Filters::default() }),
            (false, Filters { is_invited: Some(false), ..Filters::default() }),
            (true, Filters { room_types: Some(space()), ..Filters::default() }),
            (false, Filters { room_types: Some(vec![None]), ..Filters::default() }),
            (true, Filters { not_room_types: vec![None], ..Filters::default() }),
            (false, Filters { room_types: Some(space()), not_room_types: space(), ..Filters::default() }),
            (true, Filters { tags: Some(tag("m.favourite")), ..Filters::default() }),
            (false, Filters { tags: Some(tag("m.lowpriority")), ..Filters::default() }),
            (false, Filters { not_tags: tag("m.favourite"), ..Filters::default() }),
        ] {
            assert_eq!(fits(filters.clone()), yes, "{filters:?}");
        }
    }
}
