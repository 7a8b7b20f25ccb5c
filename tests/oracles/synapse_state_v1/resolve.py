"""Resolves room states with Synapse's own code for room version 1.

One JSON object a line on standard input:  {"room_id": "!…", "events": [PDU, …], "states": [[[type, state_key, id], …], …]}
One JSON object a line on standard output: {"state": [[type, state_key, id], …]}
"""

import json
import sys

# First: it and synapse.state import each other, and only this order works.
import synapse.event_auth  # noqa: F401
from synapse.api.room_versions import RoomVersions
from synapse.events import make_event_from_dict
from synapse.state import v1


def resolve(room):
    pdus = {pdu["event_id"]: pdu for pdu in room["events"]}

    async def fetch(event_ids):
        return {event_id: make_event_from_dict(pdus[event_id], RoomVersions.V1) for event_id in event_ids}

    states = [{(kind, state_key): event_id for kind, state_key, event_id in state} for state in room["states"]]
    coroutine = v1.resolve_events_with_store(room["room_id"], RoomVersions.V1, states, None, fetch)
    try:
        # Nothing in it waits, so that one step runs it to its end.
        coroutine.send(None)
    except StopIteration as result:
        return [[kind, state_key, event_id] for (kind, state_key), event_id in result.value.items()]
    raise RuntimeError("Synapse's state resolution waits for something")


for line in sys.stdin:
    print(json.dumps({"state": resolve(json.loads(line))}), flush=True)
