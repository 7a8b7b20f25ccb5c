// The driver in a page. `browser.mjs` outside it carries the lines.
//
// Invariant: everything goes through what a browser grants a page: fetch with CORS, IndexedDB, blobs.

import { Driver } from "./driver.mjs";

const write = (line) => globalThis.roostSays(JSON.stringify(line));
const driver = new Driver(write, { indexedDb: true });
globalThis.roostHears = (command) => void driver.answer(command).then(write);
