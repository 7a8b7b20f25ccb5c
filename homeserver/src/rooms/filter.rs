//! What a reader wants to see of a room's events.
//!
//! Source: client-server API, "Filtering".

use std::{collections::HashSet, sync::Arc};

use roost_spec::glob::matches_stars;
use ruma::{
    OwnedUserId,
    api::client::filter::{LazyLoadOptions, RoomEventFilter, UrlFilter},
};
use serde::Deserialize;

use super::{Rooms, StoredEvent, relations::Said};
use crate::storage::{self, Interner, Result, Sym, event::Sieve};

/// A filter, ready for use.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    types: Option<Vec<String>>,
    not_types: Vec<String>,
    senders: Option<Vec<String>>,
    not_senders: Vec<String>,
    rooms: Option<Vec<String>>,
    not_rooms: Vec<String>,
    with_url: Option<bool>,
    /// Memberships of the senders are wanted besides, and no others.
    pub lazy_members: bool,
    pub limit: Option<usize>,
    pub relations: RelationFilter,
}

/// What of events' relations is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "WrittenRelationFilter")]
pub struct RelationFilter {
    /// Only events that relate to another by one of these.
    pub rel_types: Option<Vec<String>>,
    /// No events that relate to another by one of these.
    pub not_rel_types: Vec<String>,
    /// Only events to which another relates by one of these.
    pub related_by_rel_types: Option<Vec<String>>,
    /// Only events to which one of these users relates another.
    pub related_by_senders: Option<Vec<OwnedUserId>>,
}

/// As clients write it: where both names come, the stable one counts.
#[derive(Deserialize)]
struct WrittenRelationFilter {
    rel_types: Option<Vec<String>>,
    #[serde(rename = "org.matrix.msc3874.rel_types")]
    older_rel_types: Option<Vec<String>>,
    not_rel_types: Option<Vec<String>>,
    #[serde(rename = "org.matrix.msc3874.not_rel_types")]
    older_not_rel_types: Option<Vec<String>>,
    related_by_rel_types: Option<Vec<String>>,
    related_by_senders: Option<Vec<OwnedUserId>>,
}

impl From<WrittenRelationFilter> for RelationFilter {
    fn from(written: WrittenRelationFilter) -> Self {
        Self {
            rel_types: written.rel_types.or(written.older_rel_types),
            not_rel_types: written.not_rel_types.or(written.older_not_rel_types).unwrap_or_default(),
            related_by_rel_types: written.related_by_rel_types,
            related_by_senders: written.related_by_senders,
        }
    }
}

impl RelationFilter {
    fn matches(&self, event: &StoredEvent) -> bool {
        if self.rel_types.is_none() && self.not_rel_types.is_empty() {
            return true;
        }
        let said = Said::of(event).map(|said| said.rel_type);
        self.rel_types.as_ref().is_none_or(|types| said.as_ref().is_some_and(|said| types.contains(said)))
            && !said.is_some_and(|said| self.not_rel_types.contains(&said))
    }

    /// Whether the events' children decide too.
    pub fn asks_for_children(&self) -> bool {
        self.related_by_rel_types.is_some() || self.related_by_senders.is_some()
    }
}

impl From<RoomEventFilter> for EventFilter {
    fn from(filter: RoomEventFilter) -> Self {
        fn texts<T: ToString>(list: Vec<T>) -> Vec<String> {
            list.iter().map(ToString::to_string).collect()
        }
        Self {
            types: filter.types,
            not_types: filter.not_types,
            senders: filter.senders.map(texts),
            not_senders: texts(filter.not_senders),
            rooms: filter.rooms.map(texts),
            not_rooms: texts(filter.not_rooms),
            with_url: filter.url_filter.map(|url| matches!(url, UrlFilter::EventsWithUrl)),
            lazy_members: matches!(filter.lazy_load_options, LazyLoadOptions::Enabled { .. }),
            limit: filter.limit.map(|limit| usize::try_from(u64::from(limit)).unwrap_or(usize::MAX)),
            relations: RelationFilter::default(),
        }
    }
}

impl EventFilter {
    /// Whether anything of this room can pass.
    pub fn takes_room(&self, room_id: &str) -> bool {
        self.rooms.as_ref().is_none_or(|rooms| rooms.iter().any(|r| r == room_id))
            && !self.not_rooms.iter().any(|r| r == room_id)
    }

    /// Whether it picks among a room's events.
    pub fn is_selective(&self) -> bool {
        self.types.is_some()
            || self.senders.is_some()
            || self.with_url.is_some()
            || !self.not_types.is_empty()
            || !self.not_senders.is_empty()
            || self.relations != RelationFilter::default()
    }

    /// What the database can leave out by itself; `None` where nothing can pass. [`EventFilter::matches`] has the last word.
    ///
    /// # Errors
    /// The database's own.
    pub async fn sieve(&self, interner: &Interner) -> Result<Option<Sieve>> {
        let exact = |list: &[String]| list.iter().filter(|t| !t.contains('*')).cloned().collect::<Vec<_>>();
        let kinds = match &self.types {
            Some(types) if types.iter().all(|t| !t.contains('*')) => Some(known(interner, types).await?),
            _ => None,
        };
        let senders = match &self.senders {
            Some(senders) => Some(known(interner, senders).await?),
            None => None,
        };
        if kinds.as_ref().is_some_and(Vec::is_empty) || senders.as_ref().is_some_and(Vec::is_empty) {
            return Ok(None);
        }
        let not_kinds = known(interner, &exact(&self.not_types)).await?;
        let not_senders = known(interner, &self.not_senders).await?;
        Ok(Some(Sieve { kinds, not_kinds, senders, not_senders }))
    }

    /// Whether `event` passes.
    pub fn matches(&self, event: &StoredEvent) -> bool {
        let (kind, sender) = (event.kind_text(), event.sender_text());
        self.types.as_ref().is_none_or(|types| types.iter().any(|t| matches_stars(t, &kind)))
            && !self.not_types.iter().any(|t| matches_stars(t, &kind))
            && self.senders.as_ref().is_none_or(|senders| senders.iter().any(|s| *s == sender))
            && !self.not_senders.iter().any(|s| *s == sender)
            && self.with_url.is_none_or(|wanted| has_url(event) == wanted)
            && self.relations.matches(event)
    }
}

impl Rooms {
    /// The IDs of those of `events` to which others relate as the filter wants; one query for all.
    ///
    /// # Errors
    /// The database's own.
    pub(super) async fn with_children(
        &self,
        filter: &RelationFilter,
        events: &[Arc<StoredEvent>],
    ) -> Result<HashSet<String>> {
        let interner = &self.0.interner;
        let rel_types = match &filter.related_by_rel_types {
            Some(types) => Some(known(interner, types).await?),
            None => None,
        };
        let senders: Option<Vec<&str>> =
            filter.related_by_senders.as_ref().map(|senders| senders.iter().map(|user| user.as_str()).collect());
        let senders = match senders {
            Some(senders) => Some(known(interner, &senders).await?),
            None => None,
        };
        let ids: Vec<&str> = events.iter().map(|event| &*event.id).collect();
        let found = storage::relation::related_by(&self.0.pool, &ids, rel_types.as_deref(), senders.as_deref()).await?;
        Ok(found.into_iter().collect())
    }
}

/// The numbers of those texts that have one: what has none occurs in no event. One query at most, however many.
async fn known(interner: &Interner, texts: &[impl AsRef<str>]) -> Result<Vec<Sym>> {
    Ok(interner.find_many(texts.iter().map(AsRef::as_ref)).await?.into_values().collect())
}

fn has_url(event: &StoredEvent) -> bool {
    event.content_value("url").is_some_and(|value| value.starts_with('"'))
}

#[cfg(test)]
mod tests {
    use super::{super::stored::tests::stored, *};

    #[test]
    fn exclusion_wins_and_an_empty_list_takes_nothing() {
        let json = r#"{"content":{"url":"mxc://a/b"},"sender":"@u:s","type":"m.room.message"}"#;
        let event = stored(1, Sym(17), None, json);
        let filter = |json: &str| EventFilter::from(serde_json::from_str::<RoomEventFilter>(json).unwrap());
        for passes in ["{}", r#"{"types":["m.room.*"]}"#, r#"{"contains_url":true,"senders":["@u:s"]}"#] {
            assert!(filter(passes).matches(&event), "{passes}");
        }
        for fails in [
            r#"{"types":[]}"#,
            r#"{"types":["m.*"],"not_types":["*.message"]}"#,
            r#"{"contains_url":false}"#,
            r#"{"not_senders":["@u:s"]}"#,
            r#"{"senders":["@v:s"]}"#,
        ] {
            assert!(!filter(fails).matches(&event), "{fails}");
        }
        assert!(filter(r#"{"not_rooms":["!b:s"]}"#).takes_room("!a:s"));
        assert!(!filter(r#"{"rooms":["!b:s"]}"#).takes_room("!a:s"));
    }
}
