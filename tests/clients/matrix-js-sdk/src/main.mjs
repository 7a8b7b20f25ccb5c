// Driver: matrix-js-sdk in Node behind JSON lines. The language stands in `../../README.md`.
//
// Invariant: standard output carries whole lines of the language and nothing else.

import "./quiet.mjs";

import { createInterface } from "node:readline";

import { Driver } from "./driver.mjs";
import { fromDisk, toDisk } from "./files.mjs";

const write = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const driver = new Driver(write, { indexedDb: false });

// The library leaves promises of its own behind when a client is stopped.
process.on("unhandledRejection", (error) => console.warn("unhandled:", error));

for await (const line of createInterface({ input: process.stdin })) {
    const command = JSON.parse(line);
    const answered = driver.answer(fromDisk(command)).then((answer) => write(toDisk(command, answer)));
    if (command.do === "shutdown") {
        await answered;
        break;
    }
}
process.exit(0);
