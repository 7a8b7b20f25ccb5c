//! A request of sliding sync: waits as `/sync` does, and answers with what the client's connection does not know.
//!
//! What differs each time apart (`pos`, `timeout`), a client asks the same again and again. Where its last answer told all
//! that there was for the very same request, there is news only where the log says so: a look at memory, whatever the
//! number of rooms.

use std::{
    collections::{BTreeSet, HashMap},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use tokio::time::{Instant, sleep_until};

use super::{
    super::{
        Sync, Token,
        poll::LONGEST,
        reader::{Reader, StateAfter},
        scope::{Moved, Standing},
        token::Malformed,
        typing::Typing,
    },
    Dialect, Filters, SlidingRequest,
    call::Call,
    connection::{Answered, Counts, Name, Sent},
    extensions::Surroundings,
    rooms::{Part, outside},
    window::{Due, Named, afterwards, begin_anew, due, jobs, named},
};
use crate::{
    log::{Changes, Watch},
    rooms::{Room, trail::Trail},
    storage::{self, Membership, Pos, RoomNr, member::OfUser},
    users::Requester,
};

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
pub enum SlidingError {
    /// The connection has ended, or never was: the client begins anew, without `pos`.
    #[error("there is no connection with this position")]
    UnknownPos,
    #[error("the to-device extension's `since`: {0}")]
    Messages(#[from] Malformed),
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

/// Where a client stands.
struct At {
    /// `None` at the beginning of a connection.
    token: Option<Token>,
    sent: Arc<Sent>,
    /// What the client named, by which number.
    named: Option<(i64, Arc<Sent>)>,
    /// Known where all was told that there was at `token`.
    counts: Option<Arc<Counts>>,
}

/// What a look brought.
struct News {
    /// The answer, apart from its end.
    body: String,
    at: At,
    empty: bool,
}

impl Sync {
    /// The answer to a request, as JSON.
    ///
    /// # Errors
    /// See [`SlidingError`].
    pub async fn sliding(&self, requester: &Requester, request: SlidingRequest) -> Result<String, SlidingError> {
        let deadline = Instant::now() + request.timeout.min(LONGEST);
        let (call, mut at) = Box::pin(self.begin_sliding(requester, request)).await?;
        let user = call.reader.user;
        let mut watch: Option<(Watch, Arc<[RoomNr]>)> = None;
        loop {
            let rooms = self.0.rooms.joined_rooms(user).await?;
            let patient = at.token.is_some() && Instant::now() < deadline;
            let current = watch.take().filter(|(_, watched)| Arc::ptr_eq(watched, &rooms));
            let watching = current.or_else(|| patient.then(|| (self.0.log.watch(user, &rooms), Arc::clone(&rooms))));
            if !self.is_quiet(&call, &rooms, &mut at) {
                let begins = at.token.is_none();
                let news = Box::pin(self.read_sliding(&call, &at)).await?;
                at = news.at;
                if begins || !news.empty {
                    return Ok(self.end_sliding(&call, at, news.body));
                }
            }
            let Some(watching) = watching.filter(|_| patient) else { break };
            // Joined or left between the look at the rooms and the registration: register anew before waiting.
            if !Arc::ptr_eq(&rooms, &self.0.rooms.joined_rooms(user).await?) {
                continue;
            }
            tokio::select! {
                biased;
                () = self.0.draining.cancelled() => break,
                () = watching.0.touched() => watch = Some(watching),
                () = sleep_until(deadline) => break,
            }
        }
        Box::pin(self.nothing_sliding(&call, at)).await
    }

    /// Finds what the client knows by the token it shows, and deletes the messages that it shows to have received.
    async fn begin_sliding(
        &self,
        requester: &Requester,
        request: SlidingRequest,
    ) -> Result<(Box<Call>, At), SlidingError> {
        let name: Name = (requester.device, request.connection.clone());
        let messages = match request.extensions.to_device.as_ref().and_then(|asked| asked.since.as_deref()) {
            None | Some("") => Pos(0),
            Some(since) => {
                let since = self.resume(Token::parse(since)?).await?.to_device;
                self.received(requester.device, since).await?;
                since
            }
        };
        let asked = request.asked();
        let at = match request.pos.as_deref() {
            None | Some("") => {
                self.0.told.forget(name.0, told_by(&name));
                At { token: None, sent: Arc::default(), named: None, counts: None }
            }
            Some(pos) => {
                let token = Token::parse(pos).map_err(|_| SlidingError::UnknownPos)?;
                let counts = self.0.connections.answered(&name, asked, &token);
                // The third number is the state's, not a place in the log.
                let nr = token.to_device;
                let sent = self.sent(&name, nr.0).await?.ok_or(SlidingError::UnknownPos)?;
                let token = Token { to_device: nr, ..self.resume(token).await? };
                At { token: Some(token), named: Some((nr.0, Arc::clone(&sent))), sent, counts }
            }
        };
        let reader = Reader {
            user: requester.user,
            user_id: requester.user_id.clone(),
            device: requester.device,
            filter: Arc::default(),
            full_state: false,
            state_after: StateAfter::No,
        };
        Ok((Box::new(Call { reader, name, request, asked, messages }), at))
    }

    /// Whether there is nothing new for the client: from memory alone. If so it has read up to the end of the log.
    fn is_quiet(&self, call: &Call, rooms: &[RoomNr], at: &mut At) -> bool {
        let (Some(token), true) = (&mut at.token, at.counts.is_some()) else { return false };
        // Before the looks: what comes after them is behind it.
        let end = self.0.log.watermark();
        let extensions = &call.request.extensions;
        let quiet = (extensions.to_device.is_none()
            || !self.0.caches.touched.to_device(call.reader.device, call.messages))
            && (extensions.typing.is_none() || !self.is_typing_touched(rooms, token))
            && (token.pos >= end || self.0.log.changes(call.reader.user, rooms, token.pos) == Changes::None);
        if quiet {
            token.pos = token.pos.max(end);
        }
        quiet
    }

    async fn read_sliding(&self, call: &Call, at: &At) -> storage::Result<News> {
        let Call { reader, request, .. } = call;
        let (from, sent) = (at.token.as_ref(), &*at.sent);
        let standing = self.standing(reader.user).await?;
        let (since, until) = (from.map(|token| token.pos), standing.until);
        let entries = self.entries(reader.user, &standing, sent, since).await?;
        let numbers: Vec<RoomNr> = entries.iter().map(|entry| entry.own.room).collect();
        let rooms = self.0.rooms.find_many(&numbers).await?;
        let filters: Vec<&Filters> = request.lists.values().map(|list| &list.filters).collect();
        let sifted = self.sift(reader.user, &entries, &rooms, &filters).await?;
        let (counts, named) = named(request, &entries, &rooms, &sifted);
        let (moved, touched) = self.moves(reader, &standing, since).await?;

        let changes: HashMap<RoomNr, Moved> = moved.iter().map(|moved| (moved.current.room, *moved)).collect();
        let mut named: Vec<(Named, Due)> = named
            .into_iter()
            .map(|named| {
                let change = changes.get(&named.entry.own.room).map(|moved| moved.change);
                let due = due(&named, sent, since.unwrap_or_default(), change);
                (named, due)
            })
            .collect();
        if request.dialect == Dialect::Unstable {
            self.mark_read(reader, &mut named, &touched, until);
        }
        let trails = self.trails_outside(&named).await?;
        begin_anew(&mut named, &trails);
        let parts = self.sliding_parts(call, &named, &rooms, &trails, (since, until)).await?;
        let look = Surroundings {
            call,
            standing: &standing,
            from,
            moved: &moved,
            touched: &touched,
            named: &named,
            sent,
            parts: &parts,
        };
        let extra = self.extra(&request.extensions, &look).await?;

        let empty = parts.is_empty() && extra.is_empty();
        let body = self.write_sliding(request, reader, &counts, &parts, &extra).await?;
        let after = afterwards(sent, &named, &entries, &touched, since.unwrap_or_default());
        let after = if after == *sent { Arc::clone(&at.sent) } else { Arc::new(after) };
        let nr = from.map_or(Pos(0), |token| token.to_device);
        let generation = self.0.log.generation();
        let next = match extra.typing {
            Some(Typing { stamp: ephemeral, node, positions, .. }) => {
                Token { generation, pos: until, to_device: nr, ephemeral, node, positions }
            }
            None => Token { generation, pos: until, to_device: nr, ..from.cloned().unwrap_or_default() },
        };
        let at = At { token: Some(next), sent: after, named: at.named.clone(), counts: Some(Arc::new(counts)) };
        Ok(News { body, at, empty })
    }

    /// The end of an answer: the position, which names what the client knows. That has a new number only where it changed.
    fn end_sliding(&self, call: &Call, at: At, mut body: String) -> String {
        let nr = match at.named {
            Some((nr, sent)) if *sent == *at.sent => nr,
            named => self.keep_sent(&call.name, &at.sent, named),
        };
        let next = Token { to_device: Pos(nr), ..at.token.clone().unwrap_or_default() };
        if let Some(counts) = at.counts {
            self.0.connections.note(&call.name, Answered { asked: call.asked, next: next.clone(), counts });
        }
        body.push_str(",\"pos\":\"");
        body.push_str(&next.to_string());
        body.push_str("\"}");
        body
    }

    /// The answer of a poll that ends without news.
    async fn nothing_sliding(&self, call: &Call, at: At) -> Result<String, SlidingError> {
        let extra = self.nothing_extra(call, at.token.as_ref().map_or(Pos(0), |token| token.pos)).await?;
        let counts = at.counts.clone().unwrap_or_default();
        let body = self.write_sliding(&call.request, &call.reader, &counts, &[], &extra).await?;
        Ok(self.end_sliding(call, at, body))
    }

    /// What became of the user's memberships, and in which joined rooms something happened.
    async fn moves(
        &self,
        reader: &Reader,
        standing: &Standing,
        since: Option<Pos>,
    ) -> storage::Result<(Vec<Moved>, BTreeSet<RoomNr>)> {
        let Some(since) = since else { return Ok((Vec::new(), BTreeSet::new())) };
        let moved = self.moved(reader.user, standing, since).await?;
        let touched = self.touched_rooms(reader.user, standing, since).await?;
        Ok((moved, touched.into_iter().collect()))
    }

    /// Marks the rooms in which the reader's own receipts moved: their counts may be others.
    fn mark_read(&self, reader: &Reader, named: &mut [(Named, Due)], touched: &BTreeSet<RoomNr>, until: Pos) {
        let inside = |named: &Named| named.entry.own.membership == Membership::Join;
        for (named, due) in named.iter_mut().filter(|(named, due)| inside(named) && !due.is_due()) {
            let Some(since) = due.since.filter(|_| touched.contains(&named.room.nr)) else { continue };
            let receipts = self.0.caches.touched.receipts(named.room.nr, since, until);
            due.read = receipts.is_none_or(|receipts| receipts.iter().any(|receipt| receipt.user == reader.user));
        }
    }

    /// The reader's trails through those rooms that are due and that they are outside of.
    async fn trails_outside(&self, named: &[(Named, Due)]) -> storage::Result<HashMap<RoomNr, Trail>> {
        let is_out = |own: &OfUser| matches!(own.membership, Membership::Leave | Membership::Ban);
        let due = named.iter().filter(|(named, due)| due.is_due() && is_out(&named.entry.own));
        let owns: Vec<OfUser> = due.map(|(named, _)| named.entry.own).collect();
        let trails = self.0.rooms.trails(&owns.iter().map(|own| own.nr).collect::<Vec<_>>()).await?;
        Ok(owns.iter().map(|own| own.room).zip(trails).collect())
    }

    async fn sliding_parts(
        &self,
        call: &Call,
        named: &[(Named, Due)],
        rooms: &HashMap<RoomNr, Arc<Room>>,
        trails: &HashMap<RoomNr, Trail>,
        (since, until): (Option<Pos>, Pos),
    ) -> storage::Result<Vec<Part>> {
        if !named.iter().any(|(_, due)| due.is_due()) {
            return Ok(Vec::new());
        }
        let reader = &call.reader;
        let ignored = self.ignored(reader.user).await?;
        let dues: HashMap<RoomNr, (Named, Due)> =
            named.iter().map(|(named, due)| (named.room.nr, (named.clone(), due.clone()))).collect();
        let looked = self.look(reader, jobs(named, trails, until), rooms, &ignored, until).await?;
        let mut parts = self.inside_parts(call, told_by(&call.name), looked, &dues, (since, until)).await?;
        parts.retain(|part| !part.is_empty());

        let is_outside = |own: &OfUser| matches!(own.membership, Membership::Invite | Membership::Knock);
        let due = named.iter().filter(|(named, due)| due.is_due() && is_outside(&named.entry.own));
        let owns: Vec<OfUser> = due.map(|(named, _)| named.entry.own).collect();
        for stripped in self.outside(&owns, rooms).await? {
            if let Some((named, due)) = dues.get(&stripped.room.nr) {
                parts.push(outside(named.clone(), due, stripped.state));
            }
        }
        Ok(parts)
    }
}

/// The connection's place in the memory of members that were told.
fn told_by((_, connection): &Name) -> u64 {
    let mut hasher = DefaultHasher::new();
    connection.hash(&mut hasher);
    // 0 is `/sync`.
    hasher.finish().max(1)
}
