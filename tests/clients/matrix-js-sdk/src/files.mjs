// Files on behalf of the driver, which may run in a page and has none.

import { readFileSync, writeFileSync } from "node:fs";
import { basename } from "node:path";

/** Puts a named file's name and bytes into the command. */
export function fromDisk(command) {
    if (command.do !== "send_image") return command;
    return { ...command, name: basename(command.path), data: readFileSync(command.path).toString("base64") };
}

/** Writes an answer's bytes where the command says. */
export function toDisk(command, answer) {
    if (command.do !== "download" || !answer.ok) return answer;
    const bytes = Buffer.from(answer.ok.data, "base64");
    writeFileSync(command.path, bytes);
    return { id: answer.id, ok: { bytes: bytes.length } };
}
