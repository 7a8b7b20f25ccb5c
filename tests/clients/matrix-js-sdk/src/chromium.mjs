// Headless Chromium, driven by its DevTools protocol over a pipe: it ends when this process does.

import { spawn } from "node:child_process";

const FLAGS = [
    "--headless=new",
    "--remote-debugging-pipe",
    // The tests may run as root; the page is our own.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--no-default-browser-check",
    "--no-first-run",
];
/** How long the browser may take to show the page. */
const PATIENCE = 60_000;

export class Chromium {
    #process;
    #next = 1;
    #waiting = new Map();
    #listeners = new Map();
    #rest = "";

    /** `profile` is the folder where it keeps everything. */
    constructor(profile) {
        const program = process.env.ROOST_CHROMIUM ?? "chromium";
        this.#process = spawn(program, [...FLAGS, `--user-data-dir=${profile}`, "about:blank"], {
            stdio: ["ignore", process.stderr, process.stderr, "pipe", "pipe"],
        });
        this.#process.on("error", (error) => this.#end(`${program}: ${error.message}`));
        this.#process.on("exit", (code) => this.#end(`the browser ended with ${code}`));
        this.#process.stdio[3].on("error", () => undefined);
        this.#process.stdio[4].setEncoding("utf8").on("data", (text) => this.#hear(text));
    }

    /** Opens a page; `hear` gets what it says through `roostSays`. */
    async open(url, hear) {
        const { targetId } = await this.#ask("Target.createTarget", { url: "about:blank" });
        const { sessionId } = await this.#ask("Target.attachToTarget", { targetId, flatten: true });
        this.#listeners.set("Runtime.bindingCalled", ({ payload }) => hear(payload));
        this.#listeners.set("Runtime.exceptionThrown", ({ exceptionDetails: it }) =>
            console.error("page:", it.exception?.description ?? it.text),
        );
        this.#listeners.set("Runtime.consoleAPICalled", ({ type, args }) => {
            if (type !== "warning" && type !== "error") return;
            console.error(`page ${type}:`, ...args.map((it) => it.value ?? it.description ?? it.type));
        });
        await this.#ask("Runtime.enable", {}, sessionId);
        await this.#ask("Runtime.addBinding", { name: "roostSays" }, sessionId);
        await this.#ask("Page.navigate", { url }, sessionId);
        const page = { run: (code) => this.#evaluate(code, sessionId) };
        const end = Date.now() + PATIENCE;
        while ((await page.run("typeof roostHears")) !== "function") {
            if (Date.now() > end) throw new Error(`the page does not come: ${url}`);
            await new Promise((resolve) => setTimeout(resolve, 50));
        }
        return page;
    }

    async close() {
        if (this.#process.exitCode !== null) return;
        const ended = new Promise((resolve) => this.#process.once("exit", resolve));
        this.#ask("Browser.close").catch(() => undefined);
        await ended;
    }

    async #evaluate(expression, sessionId) {
        const { result, exceptionDetails } = await this.#ask("Runtime.evaluate", { expression }, sessionId);
        if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
        return result.value;
    }

    #ask(method, params = {}, sessionId = undefined) {
        const id = this.#next++;
        const answer = new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
        this.#process.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
        return answer;
    }

    #hear(text) {
        const messages = (this.#rest + text).split("\0");
        this.#rest = messages.pop();
        for (const message of messages.map((it) => JSON.parse(it))) {
            if (message.id === undefined) {
                this.#listeners.get(message.method)?.(message.params);
                continue;
            }
            const waiting = this.#waiting.get(message.id);
            this.#waiting.delete(message.id);
            if (message.error) waiting?.reject(new Error(message.error.message));
            else waiting?.resolve(message.result);
        }
    }

    #end(why) {
        for (const { reject } of this.#waiting.values()) reject(new Error(why));
        this.#waiting.clear();
    }
}
