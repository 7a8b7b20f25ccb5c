//! What every local event is asked before it is built, whichever endpoint it comes from.
//!
//! What the room's authorization rules decide is left to them. Here stands what they can't know: who lets themselves be
//! invited, whom a restricted room admits, what the suspended may still do, and which strings no event can hold.
//!
//! **Invariant:** [`Rooms::append`] and [`Rooms::lay`] pass all drafts through here, and no draft becomes a step otherwise.

use roost_spec::{
    auth::{Action, Power},
    canonical_json::Object,
    event::{FormatError, Pdu, content::JoinRule},
    ident,
};
use ruma::{RoomAliasId, RoomId};

use super::{Author, Draft, Head, Room, Rooms, StateKey, WriteError, send::listed_aliases};
use crate::storage::{Membership, Sym, UserNr};

/// Where drafts are to go.
#[derive(Clone, Copy)]
pub(super) enum Destination<'a> {
    Room(&'a Room),
    /// A room that does not exist yet, with its first alias.
    New {
        alias: Option<&'a RoomAliasId>,
    },
}

/// The user in whose name somebody joins a restricted room. Only the server that asked for the conditions may say who.
const VIA: &str = "join_authorised_via_users_server";
/// Members that are asked for their power at a time.
const CHUNK: usize = 100;

impl Rooms {
    /// Checks `drafts`, and completes what only the server may say.
    ///
    /// # Errors
    /// The first that is wrong with them.
    pub(super) async fn examine(
        &self,
        into: Destination<'_>,
        author: &Author,
        drafts: &mut [Draft],
    ) -> Result<(), WriteError> {
        let mut invited = Vec::new();
        for draft in drafts {
            check_form(draft)?;
            if author.suspended && !is_open_to_suspended(author, draft) {
                return Err(WriteError::Suspended);
            }
            if draft.kind == "m.room.canonical_alias" && draft.state_key.as_deref() == Some("") {
                self.check_canonical_alias(into, &draft.content).await?;
            }
            let Some((target, membership)) = draft.membership() else { continue };
            let joins = membership == Some(Membership::Join) && target == author.id.as_str();
            if membership == Some(Membership::Invite) {
                invited.push(target.to_owned());
            }
            draft.content.remove(VIA);
            if joins
                && let Destination::Room(room) = into
                && let Some(via) = self.admission(room, author).await?
            {
                draft.content.insert(VIA, via);
            }
        }
        self.check_invitations(author, &invited).await
    }

    /// Refuses where one of `invited` is out of reach, or does not let the author invite them; one query at most.
    async fn check_invitations(&self, author: &Author, invited: &[String]) -> Result<(), WriteError> {
        if invited.is_empty() {
            return Ok(());
        }
        let is_far = |user: &&String| ident::is_user_id(user) && !self.is_local(user);
        if let Some(user) = invited.iter().find(is_far) {
            return Err(WriteError::RemoteUser(user.as_str().into()));
        }
        // Whoever has no number has said nothing about invitations either.
        let numbers = self.0.interner.find_many(invited.iter().map(String::as_str)).await?;
        self.check_invites(&author.id, &numbers.into_values().collect::<Vec<_>>()).await
    }

    /// The user in whose name a user who has no invite joins a restricted room: one who is in it and may invite. `None`
    /// where none is needed.
    async fn admission(&self, room: &Room, author: &Author) -> Result<Option<String>, WriteError> {
        if !room.rules.auth.restricted_joins {
            return Ok(None);
        }
        let head = self.head(room).await?;
        let before = self.membership_in(room, &head, author.nr).await?;
        if matches!(before, Some(Membership::Join | Membership::Invite | Membership::Ban)) {
            return Ok(None);
        }
        let rules = self.state_pdu(room, &head.frame.state, StateKey::of(Sym::JOIN_RULES)).await?;
        let Some(rules) = rules.as_ref().and_then(Pdu::join_rules) else { return Ok(None) };
        let restricted = match rules.join_rule {
            Some(JoinRule::Restricted) => true,
            Some(JoinRule::KnockRestricted) => room.rules.auth.knock_restricted_joins,
            _ => false,
        };
        if !restricted {
            return Ok(None);
        }
        let allowed: Vec<_> = rules.allowed_rooms.iter().filter_map(|id| RoomId::parse(&**id).ok()).collect();
        let (allowed, joined) = (self.find_all(&allowed).await?, self.joined_rooms(author.nr).await?);
        if !allowed.iter().any(|allowed| joined.contains(&allowed.nr)) {
            return Err(WriteError::NotAdmitted);
        }
        self.inviter(room, &head).await?.map_or(Err(WriteError::NotAdmitted), |user| Ok(Some(user)))
    }

    /// A member of this server who may invite: of those whom the power levels name, or, where everybody may, the first.
    async fn inviter(&self, room: &Room, head: &Head) -> Result<Option<String>, WriteError> {
        let view = self.power_view(room, &head.frame.state).await?;
        let power = Power::of(room.rules, &view)?;
        let needs = power.needed(Action::Invite)?;
        let may = |user: &str| self.is_local(user) && power.of_user(user).is_ok_and(|has| has.reaches(needs));
        let named: Vec<&str> = power.named().filter(|user| may(user)).collect();
        let numbers = self.0.interner.find_many(named.iter().copied()).await?;
        let joined = self.joined_members(room.nr).await?;
        let is_joined = |user: &&str| numbers.get(user).is_some_and(|nr| joined.binary_search(nr).is_ok());
        if let Some(user) = named.iter().copied().find(is_joined) {
            return Ok(Some(user.to_owned()));
        }
        if !power.of_others()?.reaches(needs) {
            return Ok(None);
        }
        for chunk in joined.chunks(CHUNK) {
            let names = self.0.interner.texts(chunk).await?;
            if let Some(user) = chunk.iter().filter_map(|nr: &UserNr| names.get(nr)).find(|user| may(user)) {
                return Ok(Some((**user).to_owned()));
            }
        }
        Ok(None)
    }

    fn is_local(&self, user: &str) -> bool {
        ident::server_name(user) == Some(self.0.server_name.as_str())
    }

    /// Aliases that are new in a canonical alias event must lead to its room; what stood there before may stay.
    async fn check_canonical_alias(&self, into: Destination<'_>, content: &Object) -> Result<(), WriteError> {
        let listed = listed_aliases(content)?;
        let bad = |alias: &str| Err(WriteError::BadAlias(alias.into()));
        let room = match into {
            Destination::Room(room) => room,
            Destination::New { alias: own } => {
                let foreign = listed.into_iter().find(|alias| own.is_none_or(|own| own.as_str() != *alias));
                return foreign.map_or(Ok(()), bad);
            }
        };
        let before = self.current(room, "m.room.canonical_alias", "").await?;
        let before = before.as_ref().map(|event| listed_aliases(event.content())).transpose().ok().flatten();
        let before = before.unwrap_or_default();
        let mut added = Vec::new();
        for alias in listed.into_iter().filter(|alias| !before.contains(alias)) {
            let parsed = RoomAliasId::parse(alias).map_err(|_| WriteError::InvalidAlias(alias.into()))?;
            if *parsed.server_name() != *self.0.server_name || alias.contains('\0') {
                return bad(alias);
            }
            added.push(alias);
        }
        let leading_here = self.aliases_leading_to(room.nr, &added).await?;
        added.into_iter().find(|alias| !leading_here.contains(*alias)).map_or(Ok(()), bad)
    }
}

/// The lengths that hold for every event: known before anything is looked up or numbered.
fn check_form(draft: &Draft) -> Result<(), WriteError> {
    if draft.kind.len() > ident::MAX_BYTES {
        return Err(FormatError::TooLong("type").into());
    }
    if draft.state_key.as_ref().is_some_and(|key| key.len() > ident::MAX_BYTES) {
        return Err(FormatError::TooLong("state_key").into());
    }
    if draft.kind == "m.room.redaction" && draft.state_key.is_some() {
        return Err(WriteError::BadContent("a redaction is no state event"));
    }
    Ok(())
}

/// Source: client-server API, "Account suspension": leaving rooms and redacting stay open.
fn is_open_to_suspended(author: &Author, draft: &Draft) -> bool {
    let leaves = draft.membership() == Some((author.id.as_str(), Some(Membership::Leave)));
    leaves || draft.redaction.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn author() -> Author {
        Author { nr: Sym(1000), id: ruma::user_id!("@a:s").to_owned(), suspended: true }
    }

    fn member(user: &str, membership: &str) -> Draft {
        Draft::state("m.room.member", user, Object::from([("membership", membership)]))
    }

    #[test]
    fn the_suspended_leave_and_redact_and_nothing_else() {
        let open = |draft: &Draft| is_open_to_suspended(&author(), draft);
        assert!(open(&member("@a:s", "leave")));
        for draft in [member("@a:s", "join"), member("@b:s", "leave"), Draft::message("m.room.message", Object::new())]
        {
            assert!(!open(&draft), "{draft:?}");
        }
        // The word alone redacts nothing.
        assert!(!open(&Draft::message("m.room.redaction", Object::new())));
    }

    #[test]
    fn lengths_are_checked_before_anything_else() {
        let long = "x".repeat(256);
        assert!(check_form(&Draft::message(&long, Object::new())).is_err());
        assert!(check_form(&Draft::state("m.x", &long, Object::new())).is_err());
        assert!(check_form(&Draft::state("m.room.redaction", "", Object::new())).is_err());
        assert!(check_form(&Draft::state("m.x", &long[1..], Object::new())).is_ok());
    }
}
