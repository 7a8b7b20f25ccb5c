// The language's commands, the same in Node and in a page.
//
// Invariant: nothing here knows where it runs: files come in and go out as base64 (`files.mjs`).

import * as crypto from "./crypto.mjs";
import { Device } from "./device.mjs";
import * as rooms from "./rooms.mjs";
import * as verify from "./verify.mjs";

const COMMANDS = {
    sync_once: (device) => device.syncOnce(),
    sync_start: (device) => device.startSync(),
    sync_stop: (device) => device.stopSync(),
    create_room: rooms.create,
    invite: rooms.invite,
    join: rooms.join,
    leave: rooms.leave,
    members: rooms.members,
    send_text: rooms.sendText,
    send_image: rooms.sendImage,
    download: rooms.download,
    show_image: rooms.showImage,
    edit: rooms.edit,
    react: rooms.react,
    redact: rooms.redact,
    timeline: rooms.timeline,
    bootstrap: crypto.bootstrap,
    backup_enable: crypto.backupEnable,
    recover: crypto.recover,
    status: crypto.status,
    devices: crypto.devices,
    trust: crypto.trust,
    verify_request: verify.request,
    verify_accept: verify.accept,
    verify_start: verify.start,
    verify_state: verify.state,
    verify_confirm: verify.confirm,
};

export class Driver {
    #report;
    #options;
    #device;

    /** `report` takes one object for a line; `indexedDb` says whether keys are kept there, or in memory. */
    constructor(report, { indexedDb }) {
        this.#report = report;
        this.#options = { indexedDb };
    }

    /** The line that answers a command; never rejects. */
    async answer(command) {
        try {
            return { id: command.id, ok: (await this.#run(command)) ?? {} };
        } catch (error) {
            return { id: command.id, error: `${error?.message ?? error}` };
        }
    }

    async #run(command) {
        if (command.do === "register" || command.do === "login") {
            this.#device = await Device.open(command, this.#report, this.#options);
            return this.#device.describe();
        }
        if (command.do === "shutdown") {
            this.#device?.stopSync();
            return {};
        }
        const run = COMMANDS[command.do];
        if (!run) throw new Error(`this driver has no command "${command.do}"`);
        if (!this.#device) throw new Error("log in first");
        return await run(this.#device, command);
    }
}
