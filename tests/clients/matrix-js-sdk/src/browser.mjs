// Driver: matrix-js-sdk in a page in headless Chromium, behind JSON lines.
//
// The page comes from an origin of its own, so that the homeserver is a foreign one to it. This program serves the page,
// starts the browser, and carries lines between standard input and output and the page.
//
// Invariant: standard output carries whole lines of the language and nothing else.

import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createInterface } from "node:readline";

import { Chromium } from "./chromium.mjs";
import { fromDisk, toDisk } from "./files.mjs";

const FILES = {
    "/": ["text/html; charset=utf-8", () => PAGE],
    "/page.js": ["text/javascript; charset=utf-8", () => readFileSync(new URL("../page/page.js", import.meta.url))],
    "/pkg/matrix_sdk_crypto_wasm_bg.wasm": [
        "application/wasm",
        () => readFileSync(new URL("../page/pkg/matrix_sdk_crypto_wasm_bg.wasm", import.meta.url)),
    ],
};
const PAGE = '<!doctype html><html lang="en"><title>Roost</title><script type="module" src="/page.js"></script></html>';

const pages = createServer((request, response) => {
    const [type, read] = FILES[request.url] ?? [];
    if (!read) return response.writeHead(404).end();
    response.writeHead(200, { "content-type": type }).end(read());
});
await new Promise((resolve) => pages.listen(0, "127.0.0.1", resolve));

const write = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const commands = new Map();
const chromium = new Chromium();
const page = await chromium.open(`http://localhost:${pages.address().port}/`, (line) => {
    const said = JSON.parse(line);
    const command = commands.get(said.id);
    commands.delete(said.id);
    write(command ? toDisk(command, said) : said);
});

for await (const line of createInterface({ input: process.stdin })) {
    const command = JSON.parse(line);
    if (command.do === "shutdown") {
        await chromium.close();
        write({ id: command.id, ok: {} });
        break;
    }
    commands.set(command.id, command);
    await page.run(`roostHears(${JSON.stringify(fromDisk(command))})`);
}
await chromium.close();
process.exit(0);
