// One logged-in device: its client, its keys, its sync loop.
//
// Invariant: every sync is the library's own; the driver only listens.

import { ClientEvent, createClient, SyncState } from "matrix-js-sdk";
import { CryptoEvent } from "matrix-js-sdk/lib/crypto-api/index.js";

import { Seen } from "./seen.mjs";

/** The long-poll of the sync loop, in milliseconds. */
const POLL = 10_000;
/** How long a sync may take to come. */
const PATIENCE = 30_000;

export class Device {
    client;
    seen;
    /** Verifications under way or done, by flow. */
    flows = new Map();
    /** The secret storage key that the library asks for, and its id where it is known. */
    secret = {};
    #syncing = false;

    /** `register` or `login`. */
    static async open(command, report, { indexedDb }) {
        const anonymous = createClient({ baseUrl: command.server });
        const session = await (command.do === "register" ? register : login)(anonymous, command);
        const device = new Device();
        device.client = createClient({
            baseUrl: command.server,
            userId: session.user_id,
            deviceId: session.device_id,
            accessToken: session.access_token,
            timelineSupport: true,
            verificationMethods: ["m.sas.v1"],
            cryptoCallbacks: {
                getSecretStorageKey: async ({ keys }) => [device.secret.id ?? Object.keys(keys)[0], device.secret.key],
                cacheSecretStorageKey: (id, _info, key) => (device.secret = { id, key }),
            },
        });
        await device.client.initRustCrypto({ useIndexedDB: indexedDb });
        device.seen = new Seen(device.client, report);
        device.client.on(ClientEvent.Sync, (state, _old, data) => {
            if (state === SyncState.Error) report({ sync_error: `${data?.error?.message ?? "unknown"}` });
        });
        device.client.on(CryptoEvent.VerificationRequestReceived, (request) => {
            device.flows.set(request.transactionId, { request });
            const flow = request.transactionId;
            report({ verification: { user: request.otherUserId, device: request.otherDeviceId, flow } });
        });
        return device;
    }

    describe() {
        return {
            user: this.client.getUserId(),
            device: this.client.getDeviceId(),
            access_token: this.client.getAccessToken(),
        };
    }

    async startSync() {
        if (this.#syncing) return;
        this.#syncing = true;
        await this.client.startClient({
            initialSyncLimit: 20,
            lazyLoadMembers: true,
            pendingEventOrdering: "detached",
            pollTimeout: POLL,
        });
    }

    /** For good. */
    stopSync() {
        this.client.stopClient();
    }

    /** The library has no single sync, and a client that was stopped is of no use any more: the loop goes on. */
    async syncOnce() {
        const synced = new Promise((resolve, reject) => {
            const timer = setTimeout(() => reject(new Error("no sync came")), PATIENCE);
            const listen = (state) => {
                if (state !== SyncState.Prepared && state !== SyncState.Syncing) return;
                clearTimeout(timer);
                this.client.off(ClientEvent.Sync, listen);
                resolve();
            };
            this.client.on(ClientEvent.Sync, listen);
        });
        await this.startSync();
        await synced;
        return { token: this.client.store.getSyncToken() };
    }

    /** A room that syncs have told of, or an error: the library would send to an unknown room in plain text. */
    room(command) {
        const room = this.client.getRoom(command.room);
        if (!room) throw new Error(`this device does not know the room ${command.room}`);
        return room;
    }

    /** Waits until syncs have told that this user is in the room. */
    async isIn(room) {
        const end = Date.now() + PATIENCE;
        while (this.client.getRoom(room)?.getMyMembership() !== "join") {
            if (Date.now() > end) throw new Error(`no sync told of the room ${room}`);
            await new Promise((resolve) => setTimeout(resolve, 20));
        }
    }
}

async function login(client, { user, password }) {
    return await client.loginRequest({
        type: "m.login.password",
        identifier: { type: "m.id.user", user },
        password,
    });
}

async function register(client, { user, password, token }) {
    const request = { username: user, password };
    try {
        return await client.registerRequest(request);
    } catch (error) {
        const session = error.data?.session;
        if (error.httpStatus !== 401 || !session) throw error;
        const auth = token ? { type: "m.login.registration_token", token, session } : { type: "m.login.dummy", session };
        return await client.registerRequest({ ...request, auth });
    }
}
