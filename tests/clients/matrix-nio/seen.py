"""What this device has seen, reported line by line, in the order of the syncs.

Invariant: an event is reported once, and once more only when it turns from undecryptable to plain.
"""

from nio import MegolmEvent, RoomMessagesError
from nio.exceptions import EncryptionError

# Pages asked for in one gap before the rest of it is left out.
PAGES = 100


class Seen:
    def __init__(self, client, report):
        self.client = client
        self.report = report
        self.events = {}
        self.images = {}
        self.locked = {}

    async def add(self, response):
        """Everything that a sync brought, and whatever its room keys have unlocked."""
        for rooms in (response.rooms.join, response.rooms.leave):
            for room, update in rooms.items():
                if update.timeline.limited and self.knows(room):
                    for event in reversed(await self.gap(room, update.timeline.prev_batch)):
                        self.note(room, event)
                for event in update.timeline.events:
                    self.note(room, event)
        for room, event in list(self.locked.values()):
            try:
                self.note(room, self.client.decrypt_event(event))
            except EncryptionError:
                pass

    def note(self, room, event):
        """Reports one event unless it was; returns its report, or nothing for state."""
        if "state_key" in event.source:
            return None
        saw = describe(room, event)
        name = saw["event"]
        if saw["kind"] == "image":
            self.images[name] = event.source["content"]
        if isinstance(event, MegolmEvent):
            event.room_id = room
            self.locked[name] = (room, event)
        else:
            self.locked.pop(name, None)
        known = self.events.get(name)
        if known is None or (known["kind"] == "undecryptable" and saw["kind"] != "undecryptable"):
            self.events[name] = saw
            self.report({"saw": saw})
        return saw

    def knows(self, room):
        return any(saw["room"] == room for saw in self.events.values())

    async def gap(self, room, start):
        """The events between the last seen one and a limited timeline, newest first."""
        events = []
        for _ in range(PAGES):
            if not start:
                break
            page = await self.messages(room, start)
            for event in page.chunk:
                if event.source["event_id"] in self.events:
                    return events
                events.append(event)
            start = page.end
        return events

    async def messages(self, room, start=None):
        page = await self.client.room_messages(room, start=start, limit=100)
        if isinstance(page, RoomMessagesError):
            raise RuntimeError(f"messages: {page.message}")
        return page


def describe(room, event):
    """The report of an event."""
    source = event.source
    kind, body, of = words(source, source.get("content", {}), source.get("unsigned", {}))
    return {
        "room": room,
        "event": source["event_id"],
        "sender": source["sender"],
        "kind": kind,
        "body": body,
        "of": of,
        "encrypted": isinstance(event, MegolmEvent) or bool(getattr(event, "decrypted", False)),
    }


def words(source, content, unsigned):
    relation = content.get("m.relates_to") or {}
    match source["type"], content.get("msgtype"):
        case ("m.room.message" | "m.room.encrypted"), _ if "redacted_because" in unsigned:
            return "redacted", None, None
        case "m.room.message", _ if relation.get("rel_type") == "m.replace":
            return "edit", content.get("m.new_content", {}).get("body"), relation.get("event_id")
        case "m.room.message", "m.text":
            return "text", content.get("body"), None
        case "m.room.message", "m.image":
            return "image", content.get("body"), None
        case "m.reaction", _:
            return "reaction", relation.get("key"), relation.get("event_id")
        case "m.room.redaction", _:
            return "redaction", content.get("reason"), source.get("redacts") or content.get("redacts")
        case "m.room.encrypted", _:
            return "undecryptable", None, None
        case other, _:
            return other, content.get("body"), None
