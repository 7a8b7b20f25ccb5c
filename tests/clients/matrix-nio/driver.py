"""Driver: matrix-nio behind JSON lines. The language stands in `../README.md`.

Invariant: standard output carries whole lines of the language and nothing else.
"""

import asyncio
import json
import logging
import sys

from device import Device
from rooms import COMMANDS


def write(line):
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


class Driver:
    def __init__(self):
        self.device = None

    async def answer(self, command):
        """Runs one command and writes its answer, whatever becomes of it."""
        try:
            write({"id": command["id"], "ok": await self.run(command) or {}})
        except Exception as error:
            logging.exception("%s", command["do"])
            write({"id": command["id"], "error": f"{type(error).__name__}: {error}"})

    async def run(self, command):
        what = command["do"]
        if what in ("register", "login", "restore"):
            self.device = await Device.open(command, write)
            return self.device.describe()
        if what == "shutdown":
            return await self.device.close() if self.device else None
        if what not in COMMANDS:
            raise ValueError(f"this driver has no command {what!r}")
        if self.device is None:
            raise ValueError("log in first")
        return await COMMANDS[what](self.device, command)


async def main():
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    driver, running, loop = Driver(), set(), asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        command = json.loads(line)
        task = asyncio.create_task(driver.answer(command))
        running.add(task)
        task.add_done_callback(running.discard)
        if command["do"] == "shutdown":
            await task
            break


asyncio.run(main())
