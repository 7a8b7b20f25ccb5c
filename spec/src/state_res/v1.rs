//! State resolution of room version 1: by depth, and by SHA-1 of the event id where depths are equal.
//!
//! The specification leaves two things open that Synapse settled, and the network with it: memberships are checked
//! against the state before any membership was resolved, and where no candidate for other state passes, the one of
//! least depth stays.
//!
//! **Invariant:** neither auth chains nor auth events of events are looked at.

use super::{
    Fault, ResolveError, Resolved, Source,
    conflicts::{Key, Split},
    graph::{Graph, Node},
    iterative::Growing,
};
use crate::room_version::RoomRules;
use sha1::{Digest, Sha1};
use std::{cmp::Reverse, collections::BTreeMap};

pub(super) fn resolve<'a, Events: Source>(
    rules: &'static RoomRules,
    split: Split<'a>,
    source: &'a Events,
    fault: Option<Fault>,
) -> Result<Resolved<'a>, ResolveError> {
    let graph = &mut Graph::new(source);
    let mut passes: [Vec<Conflict>; 4] = Default::default();
    for conflict in conflicts(graph, &split, fault)? {
        let pass = conflict.pass;
        passes[pass as usize].push(conflict);
    }
    let mut state = Growing::v1(split);
    for conflicts in passes {
        // A pass sees what earlier passes decided, not what it decides itself.
        let mut decided = Vec::with_capacity(conflicts.len());
        for Conflict { key, pass, candidates } in conflicts {
            let node = match pass {
                Pass::Other => best_of(rules, graph, &state, &candidates)?,
                _ => last_of_chain(rules, graph, &mut state, key, &candidates)?,
            };
            decided.push((key, node));
        }
        for (key, node) in decided {
            state.set_key(key, Some(node));
        }
    }
    Ok(state.into_resolved(graph))
}

/// The passes, in their order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    PowerLevels,
    JoinRules,
    Member,
    Other,
}

struct Conflict {
    key: Key,
    pass: Pass,
    /// By ascending depth, then descending SHA-1 of the id.
    candidates: Vec<Node>,
}

fn conflicts<'a, Events: Source>(
    graph: &mut Graph<'a, Events>,
    split: &Split<'a>,
    fault: Option<Fault>,
) -> Result<Vec<Conflict>, ResolveError> {
    let mut by_key: BTreeMap<Key, Vec<Node>> = BTreeMap::new();
    for (key, id) in split.conflicted() {
        let (node, candidates) = (graph.node(id), by_key.entry(key).or_default());
        if !candidates.contains(&node) {
            candidates.push(node);
        }
        if graph.pdu(node).is_some_and(|pdu| pdu.state_key().is_none()) {
            return Err(ResolveError::NotState(id.to_owned()));
        }
    }
    graph.complete()?;
    let conflicts = by_key.into_iter().map(|(key, mut candidates)| {
        candidates.sort_by_cached_key(|&node| {
            let depth = graph.loaded(node).map_or(0, |pdu| pdu.depth());
            (if fault == Some(Fault::Depth) { 0 } else { depth }, Reverse(Sha1::digest(graph.id(node))))
        });
        let entry = split.entry(key, "");
        let pass = match (entry.kind, entry.state_key) {
            ("m.room.power_levels", "") => Pass::PowerLevels,
            ("m.room.join_rules", _) => Pass::JoinRules,
            ("m.room.member", _) => Pass::Member,
            _ => Pass::Other,
        };
        Conflict { key, pass, candidates }
    });
    Ok(conflicts.collect())
}

/// Power levels, join rules and memberships: from the least depth on, each that the one before it permits.
fn last_of_chain<'a, Events: Source>(
    rules: &'static RoomRules,
    graph: &mut Graph<'a, Events>,
    state: &mut Growing<'a>,
    key: Key,
    candidates: &[Node],
) -> Result<Node, ResolveError> {
    let mut current = candidates.first().copied().unwrap_or_default();
    for &node in candidates.iter().skip(1) {
        state.set_key(key, Some(current));
        let Some(pdu) = graph.loaded(node) else { continue };
        if !state.permits(rules, graph, node, pdu)? {
            break;
        }
        current = node;
    }
    state.set_key(key, None);
    Ok(current)
}

/// Other state: the greatest depth that passes, or the least depth if none does.
fn best_of<'a, Events: Source>(
    rules: &'static RoomRules,
    graph: &mut Graph<'a, Events>,
    state: &Growing<'a>,
    candidates: &[Node],
) -> Result<Node, ResolveError> {
    for &node in candidates.iter().rev() {
        let Some(pdu) = graph.loaded(node) else { continue };
        if state.permits(rules, graph, node, pdu)? {
            return Ok(node);
        }
    }
    Ok(candidates.first().copied().unwrap_or_default())
}
