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
let browser, page;

for await (const line of createInterface({ input: process.stdin })) {
    const command = JSON.parse(line);
    if (command.do === "shutdown") {
        await browser?.close();
        write({ id: command.id, ok: {} });
        process.exit(0);
    }
    try {
        await hand(command);
    } catch (error) {
        write({ id: command.id, error: `${error.message}` });
    }
}
await browser?.close();
process.exit(0);

/** Hands a command to the page, which answers when it is done; the first one says where the browser keeps its files. */
async function hand(command) {
    if (!browser) {
        if (!command.store) throw new Error("log in first");
        browser = new Chromium(command.store);
        page = await browser.open(`http://localhost:${pages.address().port}/`, hear);
    }
    const whole = fromDisk(command);
    commands.set(command.id, command);
    await page.run(`roostHears(${JSON.stringify(whole)})`);
}

/** Passes on what the page says. */
function hear(line) {
    const said = JSON.parse(line);
    const command = commands.get(said.id);
    commands.delete(said.id);
    write(command ? toDisk(command, said) : said);
}
