// What this device has seen, reported line by line, in the order of the syncs.
//
// Invariant: an event is reported once, and once more only when it turns from undecryptable to plain.

import { Direction, MatrixEventEvent, RoomEvent } from "matrix-js-sdk";

/** Pages asked for in one gap before the rest of it is left out. */
const PAGES = 100;

export class Seen {
    #client;
    #report;
    /** Event id to its report. */
    #events = new Map();
    /** Event id to an image's decrypted content. */
    #images = new Map();
    /** Rooms of which anything was seen. */
    #rooms = new Set();
    /** Decryption waits: one thing after the other keeps the order. */
    #queue = Promise.resolve();

    constructor(client, report) {
        this.#client = client;
        this.#report = report;
        client.on(RoomEvent.Timeline, (event, _room, toStart) => toStart || this.#soon(() => this.#take(event)));
        // One's own events, when a sync brings them back.
        client.on(RoomEvent.LocalEchoUpdated, (event) => this.#soon(() => this.#take(event)));
        client.on(RoomEvent.TimelineReset, (room, set) => {
            if (room && set === room.getUnfilteredTimelineSet() && this.#rooms.has(room.roomId)) {
                const timeline = set.getLiveTimeline();
                this.#soon(() => this.#fill(room.roomId, timeline.getPaginationToken(Direction.Backward)));
            }
        });
        client.on(MatrixEventEvent.Decrypted, (event) => {
            if (this.#events.get(event.getId())?.kind === "undecryptable") this.#soon(() => this.#take(event));
        });
    }

    image(event) {
        return this.#images.get(event);
    }

    /** The newest events of a room by `/messages`, oldest first. */
    async page(room, limit) {
        const events = [];
        let from = null;
        do {
            const page = await this.#messages(room, from);
            for (const event of page.events) {
                const saw = await this.#take(event);
                if (saw) events.push(saw);
            }
            from = page.end;
        } while (from && events.length < limit);
        return events.slice(0, limit).reverse();
    }

    #soon(what) {
        this.#queue = this.#queue.then(what).catch((error) => this.#report({ sync_error: `${error.message}` }));
    }

    /** Reports one event unless it was; returns its report, or nothing for state and for what is still being sent. */
    async #take(event) {
        const id = event.getId();
        if (event.status !== null || !id?.startsWith("$") || event.isState()) return undefined;
        await this.#client.decryptEventIfNeeded(event).catch(() => undefined);
        const saw = describe(event);
        if (saw.kind === "image") this.#images.set(id, event.getContent());
        this.#rooms.add(saw.room);
        const known = this.#events.get(id);
        if (!known || (known.kind === "undecryptable" && saw.kind !== "undecryptable")) {
            this.#events.set(id, saw);
            this.#report({ saw });
        }
        return saw;
    }

    /** The events between the last seen one and a limited timeline. */
    async #fill(room, from) {
        const missed = [];
        for (let pages = 0; from && pages < PAGES; pages++) {
            const page = await this.#messages(room, from);
            const known = page.events.findIndex((event) => this.#events.has(event.getId()));
            missed.push(...(known < 0 ? page.events : page.events.slice(0, known)));
            if (known >= 0) break;
            from = page.end;
        }
        for (const event of missed.reverse()) await this.#take(event);
    }

    async #messages(room, from) {
        const page = await this.#client.createMessagesRequest(room, from, 100, Direction.Backward);
        const toEvent = this.#client.getEventMapper({ preventReEmit: true });
        return { events: page.chunk.map(toEvent), end: page.end };
    }
}

/** The report of an event. */
function describe(event) {
    // As it was sent: the library shows an edited message with its new words.
    const content = event.getOriginalContent();
    const relation = event.getWireContent()["m.relates_to"] ?? content["m.relates_to"] ?? {};
    const [kind, body, of] = words(event, content, relation);
    return {
        room: event.getRoomId(),
        event: event.getId(),
        sender: event.getSender(),
        kind,
        body: body ?? null,
        of: of ?? null,
        encrypted: event.isEncrypted(),
        ...(kind === "undecryptable" ? { why: event.decryptionFailureReason } : {}),
    };
}

function words(event, content, relation) {
    if (event.isDecryptionFailure()) return ["undecryptable"];
    switch (event.getType()) {
        case "m.room.message":
            if (relation.rel_type === "m.replace") return ["edit", content["m.new_content"]?.body, relation.event_id];
            if (content.msgtype === "m.text") return ["text", content.body];
            if (content.msgtype === "m.image") return ["image", content.body];
            return Object.keys(content).length === 0 ? ["redacted"] : ["m.room.message", content.body];
        case "m.room.encrypted":
            return Object.keys(content).length === 0 ? ["redacted"] : ["undecryptable"];
        case "m.reaction":
            return ["reaction", relation.key, relation.event_id];
        case "m.room.redaction":
            return ["redaction", content.reason, event.getAssociatedId()];
        default:
            return [event.getType(), content.body];
    }
}
