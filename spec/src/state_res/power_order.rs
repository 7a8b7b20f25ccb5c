//! The reverse topological power ordering.
//!
//! **Invariant:** the order depends on the events alone: power of the sender by the event's own auth events, then time,
//! then id; an event always comes after its auth events.

use super::{
    Fault, ResolveError, Source,
    conflicted_set::NodeSet,
    graph::{Graph, Node},
};
use crate::{
    auth::{Power, PowerLevel},
    event::{Pdu, content::Membership},
    room_version::RoomRules,
};
use std::{cmp::Reverse, collections::BinaryHeap};

/// Whether this is a power event: power levels, join rules, or someone removing someone else.
///
/// Like Synapse and ruma, this counts the create event too; it only matters where states disagree about it.
pub(super) fn is_power_event(pdu: &Pdu) -> bool {
    match (pdu.kind(), pdu.state_key()) {
        ("m.room.power_levels" | "m.room.join_rules" | "m.room.create", Some("")) => true,
        ("m.room.member", Some(target)) if target != pdu.sender() => {
            let membership = pdu.member().and_then(|member| member.membership.present());
            matches!(membership, Some(Membership::Leave | Membership::Ban))
        }
        _ => false,
    }
}

/// The power events of the full conflicted set, and what of the set is in their auth chains.
///
/// The walk stays inside the set, as in Synapse and ruma, so that all servers agree: the specification's "events in the
/// auth chain of P which also belong to the full conflicted set" would also reach events behind one that is outside.
pub(super) fn with_chains<Events: Source>(graph: &mut Graph<'_, Events>, full: &NodeSet) -> NodeSet {
    let mut members = NodeSet::default();
    let mut stack: Vec<Node> = Vec::new();
    for &node in full.as_slice() {
        if graph.pdu(node).is_some_and(is_power_event) {
            stack.push(node);
        }
    }
    while let Some(node) = stack.pop() {
        if members.insert(node) {
            let auth = graph.auth(node).map(|edge| graph.edge(edge));
            stack.extend(auth.filter(|&auth| full.contains(auth)));
        }
    }
    members
}

/// What decides among events whose auth events are all placed; the smallest goes first.
type Rank<'a> = (Reverse<PowerLevel>, i64, &'a str);

/// Sorts a set of events.
pub(super) fn sort<'a, Events: Source>(
    rules: &'static RoomRules,
    graph: &mut Graph<'a, Events>,
    members: &NodeSet,
    fault: Option<Fault>,
) -> Result<Vec<Node>, ResolveError> {
    let nodes = members.as_slice();
    let ranks = ranks(rules, graph, nodes)?;
    if fault == Some(Fault::PowerOrder) {
        let mut order: Vec<usize> = (0..nodes.len()).collect();
        order.sort_by_key(|&index| (ranks[index].1, ranks[index].2));
        return Ok(order.into_iter().map(|index| nodes[index]).collect());
    }

    // Kahn's algorithm over positions in `nodes`.
    let mut position = vec![u32::MAX; graph.len()];
    for (index, &node) in (0..).zip(nodes) {
        position[node as usize] = index;
    }
    let mut waits_for = vec![0_u32; nodes.len()];
    let mut cited_by: Vec<Vec<u32>> = vec![Vec::new(); nodes.len()];
    for (index, &node) in nodes.iter().enumerate() {
        for edge in graph.auth(node) {
            let auth = graph.edge(edge);
            if members.contains(auth) {
                waits_for[index] += 1;
                cited_by[position[auth as usize] as usize].push(index as u32);
            }
        }
    }
    let mut heap: BinaryHeap<Reverse<(Candidate<'a>, u32)>> = BinaryHeap::new();
    let candidate = |index: u32| {
        let rank = ranks[index as usize];
        Reverse((Candidate { rank, reversed_id: fault == Some(Fault::TieBreak) }, index))
    };
    heap.extend((0..nodes.len() as u32).filter(|&index| waits_for[index as usize] == 0).map(candidate));
    let mut sorted = Vec::with_capacity(nodes.len());
    while let Some(Reverse((_, index))) = heap.pop() {
        sorted.push(nodes[index as usize]);
        for &waiting in &cited_by[index as usize] {
            waits_for[waiting as usize] -= 1;
            if waits_for[waiting as usize] == 0 {
                heap.push(candidate(waiting));
            }
        }
    }
    let stuck = (0..nodes.len()).filter(|&index| waits_for[index] > 0).map(|index| graph.id(nodes[index])).min();
    stuck.map_or(Ok(sorted), |id| Err(ResolveError::Circle(id.to_owned())))
}

#[derive(PartialEq, Eq)]
struct Candidate<'a> {
    rank: Rank<'a>,
    reversed_id: bool,
}

impl Ord for Candidate<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let (power, time, id) = &self.rank;
        let (other_power, other_time, other_id) = &other.rank;
        let by_id = if self.reversed_id { other_id.cmp(id) } else { id.cmp(other_id) };
        power.cmp(other_power).then(time.cmp(other_time)).then(by_id)
    }
}

impl PartialOrd for Candidate<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

fn ranks<'a, Events: Source>(
    rules: &'static RoomRules,
    graph: &mut Graph<'a, Events>,
    nodes: &[Node],
) -> Result<Vec<Rank<'a>>, ResolveError> {
    // A room has one create event; the first that is found serves for all.
    let create = nodes.iter().find_map(|&node| match graph.pdu(node) {
        Some(pdu) if pdu.kind() == "m.room.create" => Some(pdu),
        _ => graph.create(rules, node),
    });
    let mut ranks = Vec::with_capacity(nodes.len());
    for &node in nodes {
        let Some(pdu) = graph.pdu(node) else { continue };
        let levels = graph.auth_event(node, "m.room.power_levels", "").and_then(|levels| graph.pdu(levels));
        let cited: Vec<&Pdu> = create.into_iter().chain(levels).collect();
        // Where nothing says what power the sender has, it is none.
        let power = Power::of(rules, &cited).and_then(|power| power.of_user(pdu.sender()));
        let power = power.unwrap_or(PowerLevel::Finite(0));
        ranks.push((Reverse(power), pdu.origin_server_ts(), pdu.event_id()));
    }
    graph.complete()?;
    Ok(ranks)
}
