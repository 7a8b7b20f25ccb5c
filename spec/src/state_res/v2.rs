//! State resolution v2 and v2.1, step by step as the specification numbers them.
//!
//! **Invariant:** v2.1 differs in two places, both named here: the conflicted state subgraph joins the full conflicted
//! set, and the first checks begin with an empty state.

use super::{
    Fault, ResolveError, Resolved, Source,
    conflicted_set::{NodeSet, add_auth_difference, add_subgraph},
    conflicts::Split,
    graph::{Graph, Node},
    iterative::Growing,
    mainline, power_order,
};
use crate::room_version::{RoomRules, StateResolution};

pub(super) fn resolve<'a, Events: Source>(
    rules: &'static RoomRules,
    split: Split<'a>,
    source: &'a Events,
    fault: Option<Fault>,
) -> Result<Resolved<'a>, ResolveError> {
    let conflicted = split.conflicted();
    if conflicted.is_empty() {
        return Ok(Resolved { split, decided: Vec::new() });
    }
    let is_v2_1 = rules.state_resolution == StateResolution::V2_1;
    let graph = &mut Graph::new(source);
    let full = full_conflicted_set(graph, conflicted.into_iter().map(|(_, id)| id), is_v2_1, fault)?;

    // 1. Select the set X of all power events that appear in the full conflicted set. For each such power event P,
    // enlarge X by adding the events in the auth chain of P which also belong to the full conflicted set. Sort X into a
    // list using the reverse topological power ordering.
    let power_events = power_order::with_chains(graph, &full);
    let sorted = power_order::sort(rules, graph, &power_events, fault)?;

    // 2. Apply the iterative auth checks algorithm, starting from the unconflicted state map (v2.1: an empty one), to
    // the list of events from the previous step to get a partially resolved state.
    let mut state = Growing::v2(split, !is_v2_1);
    state.apply(rules, graph, &sorted)?;

    // 3. Take all remaining events that weren't picked in step 1 and order them by the mainline ordering based on the
    // power level in the partially resolved state obtained in step 2.
    let rest: Vec<Node> = full.as_slice().iter().copied().filter(|&node| !power_events.contains(node)).collect();
    let power_levels = state.node(graph, "m.room.power_levels", "");
    let sorted = mainline::sort(graph, power_levels, &rest, fault)?;

    // 4. Apply the iterative auth checks algorithm on the partial resolved state and the list of events from the
    // previous step.
    state.apply(rules, graph, &sorted)?;

    // 5. Update the result by replacing any event with the event with the same key from the unconflicted state map, if
    // such an event exists, to get the final resolved state.
    Ok(state.into_resolved(graph))
}

fn full_conflicted_set<'a, Events: Source>(
    graph: &mut Graph<'a, Events>,
    conflicted: impl Iterator<Item = &'a str>,
    with_subgraph: bool,
    fault: Option<Fault>,
) -> Result<NodeSet, ResolveError> {
    let mut set = NodeSet::default();
    for id in conflicted {
        let node = graph.node(id);
        if set.insert(node) && graph.pdu(node).is_some_and(|pdu| pdu.state_key().is_none()) {
            return Err(ResolveError::NotState(id.to_owned()));
        }
    }
    let conflicted = set.clone();
    if with_subgraph {
        add_subgraph(graph, &conflicted, &mut set)?;
    }
    if fault != Some(Fault::AuthDifference) {
        add_auth_difference(graph, &conflicted, &mut set);
    }
    graph.complete()?;
    Ok(set)
}
