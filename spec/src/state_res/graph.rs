//! The events that a resolution touches, as numbers, with their auth edges.
//!
//! **Invariant:** an event is loaded at most once, and only when something asks for more than its id. What is missing
//! is collected, and no result is given while anything is.

use super::{
    ResolveError, Source,
    intern::{Interner, hash, same},
};
use crate::{event::Pdu, ident, room_version::RoomRules};
use std::ops::Range;

/// An event's number.
pub(super) type Node = u32;

pub(super) struct Graph<'a, Events> {
    source: &'a Events,
    nodes: Vec<Row<'a>>,
    interner: Interner,
    edges: Vec<Node>,
    missing: Vec<String>,
}

struct Row<'a> {
    id: &'a str,
    /// `None` before the first look.
    pdu: Option<Option<&'a Pdu>>,
    auth: Option<Range<u32>>,
}

impl<'a, Events: Source> Graph<'a, Events> {
    pub(super) fn new(source: &'a Events) -> Self {
        Self {
            source,
            nodes: Vec::new(),
            interner: Interner::with_capacity(64),
            edges: Vec::new(),
            missing: Vec::new(),
        }
    }

    /// How many events have a number; the numbers are below.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn id(&self, node: Node) -> &'a str {
        self.nodes[node as usize].id
    }

    /// The number of an event.
    pub(super) fn node(&mut self, id: &'a str) -> Node {
        let Self { nodes, interner, .. } = self;
        let is_same = |node: Node| same(nodes[node as usize].id, id);
        let node = interner.find_or_insert(hash(id), is_same, |node| hash(nodes[node as usize].id));
        if node as usize == nodes.len() {
            nodes.push(Row { id, pdu: None, auth: None });
        }
        node
    }

    /// The event; `None`, and noted as missing, if the source does not have it.
    pub(super) fn pdu(&mut self, node: Node) -> Option<&'a Pdu> {
        let row = &mut self.nodes[node as usize];
        if let Some(pdu) = row.pdu {
            return pdu;
        }
        let pdu = self.source.event(row.id);
        row.pdu = Some(pdu);
        if pdu.is_none() {
            self.missing.push(row.id.to_owned());
        }
        pdu
    }

    /// The event if it was loaded before.
    pub(super) fn loaded(&self, node: Node) -> Option<&'a Pdu> {
        self.nodes[node as usize].pdu.flatten()
    }

    /// The auth events of an event, as a range for [`Self::edge`]; empty if the event is missing.
    pub(super) fn auth(&mut self, node: Node) -> Range<u32> {
        if let Some(auth) = &self.nodes[node as usize].auth {
            return auth.clone();
        }
        let Some(pdu) = self.pdu(node) else { return 0..0 };
        let start = self.edges.len() as u32;
        for id in pdu.auth_events() {
            let node = self.node(id);
            self.edges.push(node);
        }
        let auth = start..self.edges.len() as u32;
        self.nodes[node as usize].auth = Some(auth.clone());
        auth
    }

    pub(super) fn edge(&self, edge: u32) -> Node {
        self.edges[edge as usize]
    }

    /// The auth event of this type and state key among those of `node`.
    pub(super) fn auth_event(&mut self, node: Node, kind: &str, state_key: &str) -> Option<Node> {
        for edge in self.auth(node) {
            let auth = self.edge(edge);
            if self.pdu(auth).is_some_and(|pdu| pdu.is_state(kind, state_key)) {
                return Some(auth);
            }
        }
        None
    }

    pub(super) fn is_rejected(&self, node: Node) -> bool {
        self.source.is_rejected(self.id(node))
    }

    pub(super) fn in_every_auth_chain(&self, node: Node) -> bool {
        self.source.in_every_auth_chain(self.id(node))
    }

    /// The create event of the room that `node` is in: named by the room's id since room version 12, before that by
    /// the event itself.
    pub(super) fn create(&mut self, rules: &RoomRules, node: Node) -> Option<&'a Pdu> {
        if rules.room_id_is_create_hash {
            let id = ident::create_event_id(self.pdu(node)?.room_id())?;
            let create = self.source.event(&id);
            if create.is_none() {
                self.missing.push(id);
            }
            return create;
        }
        let create = self.auth_event(node, "m.room.create", "")?;
        self.pdu(create)
    }

    /// Fails if anything was missing so far.
    pub(super) fn complete(&self) -> Result<(), ResolveError> {
        if self.missing.is_empty() {
            return Ok(());
        }
        let mut missing = self.missing.clone();
        missing.sort_unstable();
        missing.dedup();
        Err(ResolveError::Missing(missing))
    }
}
