//! The full conflicted set: conflicted state events, the auth difference and, in v2.1, the conflicted state subgraph.
//!
//! **Invariant:** events that are in every state's auth chain are passed over together with everything behind them,
//! except for the subgraph, which the specification defines over whole chains.

use super::{
    ResolveError, Source,
    graph::{Graph, Node},
};

/// A set of nodes that remembers them in order.
#[derive(Clone, Debug, Default)]
pub(super) struct NodeSet {
    list: Vec<Node>,
    bits: Vec<u64>,
}

impl NodeSet {
    /// Whether the node is new.
    pub(super) fn insert(&mut self, node: Node) -> bool {
        let word = node as usize / 64;
        if word >= self.bits.len() {
            self.bits.resize(word + 1, 0);
        }
        let bit = 1 << (node % 64);
        let is_new = self.bits[word] & bit == 0;
        if is_new {
            self.bits[word] |= bit;
            self.list.push(node);
        }
        is_new
    }

    pub(super) fn contains(&self, node: Node) -> bool {
        self.bits.get(node as usize / 64).is_some_and(|word| word & (1 << (node % 64)) != 0)
    }

    pub(super) fn as_slice(&self) -> &[Node] {
        &self.list
    }
}

/// The auth difference: events in the auth chain of some of the states but not of all.
///
/// Such an event is behind a conflicted one, for an agreed event and what is behind it are in every chain. And behind an
/// event that all chains have, nothing is in the difference. So the walk begins at the conflicted events and turns
/// back at the first event that is common.
pub(super) fn add_auth_difference<Events: Source>(
    graph: &mut Graph<'_, Events>,
    conflicted: &NodeSet,
    set: &mut NodeSet,
) {
    let mut seen = NodeSet::default();
    let mut stack = conflicted.as_slice().to_vec();
    while let Some(node) = stack.pop() {
        for edge in graph.auth(node) {
            let auth = graph.edge(edge);
            if seen.insert(auth) && !graph.in_every_auth_chain(auth) {
                set.insert(auth);
                stack.push(auth);
            }
        }
    }
}

/// The conflicted state subgraph: every event on a path of auth events between two conflicted ones.
pub(super) fn add_subgraph<Events: Source>(
    graph: &mut Graph<'_, Events>,
    conflicted: &NodeSet,
    set: &mut NodeSet,
) -> Result<(), ResolveError> {
    // Depth first; an event is finished when all that is behind it is. Then it is known whether it leads to a
    // conflicted one.
    let mut entered = NodeSet::default();
    let mut finished = NodeSet::default();
    let mut leads = NodeSet::default();
    let mut stack: Vec<(Node, std::ops::Range<u32>)> = Vec::new();
    for &start in conflicted.as_slice() {
        if entered.insert(start) {
            let auth = graph.auth(start);
            stack.push((start, auth));
        }
        while let Some((node, rest)) = stack.last_mut() {
            let node = *node;
            if let Some(edge) = rest.next() {
                let auth = graph.edge(edge);
                if entered.insert(auth) {
                    let behind = graph.auth(auth);
                    stack.push((auth, behind));
                } else if !finished.contains(auth) {
                    return Err(ResolveError::Circle(graph.id(auth).to_owned()));
                }
                continue;
            }
            let mut behind = graph.auth(node).map(|edge| graph.edge(edge));
            if conflicted.contains(node) || behind.any(|auth| leads.contains(auth)) {
                leads.insert(node);
                set.insert(node);
            }
            finished.insert(node);
            stack.pop();
        }
    }
    Ok(())
}
