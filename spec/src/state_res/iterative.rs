//! The iterative auth checks: a state that grows by what it permits.
//!
//! **Invariant:** the only place that asks the authorization rules; what they see is the growing state and, where v2
//! says so, the event's own auth events.

use super::{
    ResolveError, Resolved, Source,
    conflicts::{Key, Split},
    graph::{Graph, Node},
};
use crate::{auth, event::Pdu, room_version::RoomRules};

/// A node plus one, or [`UNDECIDED`]: a list of zeros costs nothing, and there is one for every member.
type Decided = u32;
const UNDECIDED: Decided = 0;

/// A room state in the making: what was decided so far over what all states agree on.
pub(super) struct Growing<'a> {
    split: Split<'a>,
    /// By key.
    decided: Vec<Decided>,
    /// Whether the agreed state is looked at (not in v2.1).
    on_agreed: bool,
    /// Whether an event's own auth events stand in for what the state lacks (not in v1).
    falls_back: bool,
}

impl<'a> Growing<'a> {
    /// v1: over the agreed state, and nothing else counts.
    pub(super) fn v1(split: Split<'a>) -> Self {
        Self::new(split, true, false)
    }

    /// v2: over the agreed state. v2.1: over nothing.
    pub(super) fn v2(split: Split<'a>, on_agreed: bool) -> Self {
        Self::new(split, on_agreed, true)
    }

    fn new(split: Split<'a>, on_agreed: bool, falls_back: bool) -> Self {
        let decided = vec![UNDECIDED; split.len()];
        Self { split, decided, on_agreed, falls_back }
    }

    /// Puts an event into the state.
    pub(super) fn set(&mut self, pdu: &'a Pdu, node: Node) {
        let Some(state_key) = pdu.state_key() else { return };
        let key = self.split.key_or_new(pdu.kind(), state_key);
        self.set_key(key, Some(node));
    }

    /// Puts an event, or nothing, under a key.
    pub(super) fn set_key(&mut self, key: Key, node: Option<Node>) {
        if key as usize >= self.decided.len() {
            self.decided.resize(key as usize + 1, UNDECIDED);
        }
        self.decided[key as usize] = node.map_or(UNDECIDED, |node| node + 1);
    }

    /// The event of a type and state key.
    pub(super) fn node<E: Source>(&self, graph: &mut Graph<'a, E>, kind: &str, state_key: &str) -> Option<Node> {
        let key = self.split.key(kind, state_key)?;
        if let Some(node) = self.decided.get(key as usize).and_then(|decided| decided.checked_sub(1)) {
            return Some(node);
        }
        let agreed = self.on_agreed.then(|| self.split.agreed_event(key)).flatten()?;
        Some(graph.node(agreed))
    }

    /// Applies events in their order: each that the state so far permits becomes part of it.
    pub(super) fn apply<E: Source>(
        &mut self,
        rules: &'static RoomRules,
        graph: &mut Graph<'a, E>,
        events: &[Node],
    ) -> Result<(), ResolveError> {
        for &node in events {
            if let Some(pdu) = graph.pdu(node)
                && self.permits(rules, graph, node, pdu)?
            {
                self.set(pdu, node);
            }
        }
        graph.complete()
    }

    /// Whether the authorization rules allow an event in this state.
    pub(super) fn permits<E: Source>(
        &self,
        rules: &'static RoomRules,
        graph: &mut Graph<'a, E>,
        node: Node,
        pdu: &'a Pdu,
    ) -> Result<bool, ResolveError> {
        let mut view: Vec<&Pdu> = Vec::new();
        if rules.room_id_is_create_hash {
            view.extend(graph.create(rules, node));
        }
        for (kind, state_key) in auth::selection(rules, pdu.kind(), pdu.sender(), pdu.state_key(), pdu.content()) {
            let found = self.node(graph, kind, state_key).filter(|&node| self.counts(graph, node)).or_else(|| {
                let cited = self.falls_back.then(|| graph.auth_event(node, kind, state_key)).flatten();
                cited.filter(|&node| self.counts(graph, node))
            });
            view.extend(found.and_then(|node| graph.pdu(node)));
        }
        graph.complete()?;
        Ok(auth::check(rules, pdu, &view).is_ok())
    }

    /// Rejected events authorize nothing; in v1, they are not told apart.
    fn counts<E: Source>(&self, graph: &Graph<'a, E>, node: Node) -> bool {
        !self.falls_back || !graph.is_rejected(node)
    }

    /// What all agree on, and what was decided apart from that.
    pub(super) fn into_resolved<E: Source>(self, graph: &Graph<'a, E>) -> Resolved<'a> {
        let decided = (0..).zip(&self.decided).filter_map(|(key, decided)| {
            let node = decided.checked_sub(1)?;
            self.split.agreed_event(key).is_none().then(|| self.split.entry(key, graph.id(node)))
        });
        let decided = decided.collect();
        Resolved { split: self.split, decided }
    }
}
