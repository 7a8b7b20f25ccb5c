//! The mainline ordering.
//!
//! **Invariant:** every power levels event is walked through once, however many events cite it.

use super::{
    Fault, ResolveError, Source,
    graph::{Graph, Node},
};
use std::cmp::Reverse;

/// The position of events that lead to no event of the mainline: behind all others.
const INFINITY: u32 = u32::MAX;

/// Sorts `events` by the mainline of `power_levels`: what is based on older power levels goes first, then what is
/// older, then the smaller id.
pub(super) fn sort<Events: Source>(
    graph: &mut Graph<'_, Events>,
    power_levels: Option<Node>,
    events: &[Node],
    fault: Option<Fault>,
) -> Result<Vec<Node>, ResolveError> {
    let mut positions = Positions { known: Vec::new() };
    let mut next = power_levels;
    let mut index = 0;
    while let Some(node) = next.filter(|&node| positions.get(node).is_none()) {
        positions.set(node, index);
        index += 1;
        next = levels_before(graph, node);
    }

    let mut ranked = Vec::with_capacity(events.len());
    for &node in events {
        let Some(pdu) = graph.pdu(node) else { continue };
        let position = if fault == Some(Fault::Mainline) { 0 } else { positions.of(graph, node) };
        ranked.push(((Reverse(position), pdu.origin_server_ts(), pdu.event_id()), node));
    }
    graph.complete()?;
    if fault == Some(Fault::TieBreak) {
        ranked.sort_unstable_by_key(|((position, time, id), _)| (*position, *time, Reverse(*id)));
    } else {
        ranked.sort_unstable_by_key(|(rank, _)| *rank);
    }
    Ok(ranked.into_iter().map(|(_, node)| node).collect())
}

fn levels_before<Events: Source>(graph: &mut Graph<'_, Events>, node: Node) -> Option<Node> {
    graph.auth_event(node, "m.room.power_levels", "")
}

/// Mainline positions of power levels events, by node.
struct Positions {
    known: Vec<Option<u32>>,
}

impl Positions {
    fn get(&self, node: Node) -> Option<u32> {
        self.known.get(node as usize).copied().flatten()
    }

    fn set(&mut self, node: Node, position: u32) {
        if node as usize >= self.known.len() {
            self.known.resize(node as usize + 1, None);
        }
        self.known[node as usize] = Some(position);
    }

    /// The position of an event: of the first power levels event behind it that has one.
    fn of<Events: Source>(&mut self, graph: &mut Graph<'_, Events>, event: Node) -> u32 {
        let mut path = Vec::new();
        let mut next = levels_before(graph, event);
        let position = loop {
            let Some(node) = next else { break INFINITY };
            if let Some(position) = self.get(node) {
                break position;
            }
            // Marked on the way, so that a circle ends.
            self.set(node, INFINITY);
            path.push(node);
            next = levels_before(graph, node);
        };
        for node in path {
            self.set(node, position);
        }
        position
    }
}
