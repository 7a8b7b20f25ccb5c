// The library logs to the console; standard output is for the language alone.

import { Console } from "node:console";

const errors = new Console(process.stderr, process.stderr);
for (const level of ["trace", "debug", "log", "info"]) errors[level] = () => undefined;
globalThis.console = errors;
