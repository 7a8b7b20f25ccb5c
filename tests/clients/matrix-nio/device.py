"""One logged-in device: its client, its session on disk, its sync loop.

Invariant: every sync is the library's own; the driver only listens.
"""

import asyncio
import json
from pathlib import Path

from nio import AsyncClient, AsyncClientConfig, ErrorResponse, SyncError, SyncResponse

from seen import Seen

# The long-poll of the sync loop, in milliseconds.
POLL = 10_000


def good(response):
    """The library returns its errors: here they are raised."""
    if isinstance(response, ErrorResponse):
        raise RuntimeError(f"{response.status_code} {response.message}")
    return response


class Device:
    def __init__(self, client, report, store):
        self.client = client
        self.report = report
        self.store = store
        self.seen = Seen(client, report)
        self.task = None
        client.add_response_callback(self.seen.add, SyncResponse)
        client.add_response_callback(self.failed, SyncError)

    @classmethod
    async def open(cls, command, report):
        """`register`, `login` or `restore`."""
        store = Path(command["store"])
        store.mkdir(parents=True, exist_ok=True)
        saved = store / "session.json"
        session = json.loads(saved.read_text()) if command["do"] == "restore" else command
        config = AsyncClientConfig(store_sync_tokens=True, max_timeouts=3)
        client = AsyncClient(session["server"], session["user"], store_path=str(store), config=config)
        if command["do"] == "restore":
            client.restore_login(session["user"], session["device"], session["access_token"])
        elif command["do"] == "register":
            await register(client, command)
        else:
            good(await client.login(command["password"]))
        device = cls(client, report, store)
        saved.write_text(json.dumps({**device.describe(), "server": session["server"]}))
        return device

    def describe(self):
        return {
            "user": self.client.user_id,
            "device": self.client.device_id,
            "access_token": self.client.access_token,
        }

    async def sync_once(self, timeout):
        response = good(await self.client.sync(timeout))
        await self.client.run_response_callbacks([response])
        await self.tend()
        return {"token": response.next_batch}

    async def tend(self):
        """What the library's loop does beside each sync."""
        if self.client.should_upload_keys:
            good(await self.client.keys_upload())
        if self.client.should_query_keys:
            good(await self.client.keys_query())
        await self.client.send_to_device_messages()

    async def start_sync(self):
        await self.stop_sync()
        self.task = asyncio.create_task(self.loop())

    async def loop(self):
        while True:
            try:
                await self.client.sync_forever(POLL)
            except Exception as error:
                self.report({"sync_error": f"{type(error).__name__}: {error}"})
                await asyncio.sleep(0.5)

    async def stop_sync(self):
        if self.task:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)
            self.task = None

    async def close(self):
        await self.stop_sync()
        await self.client.close()

    async def failed(self, response):
        self.report({"sync_error": f"{response.status_code} {response.message}"})
        await asyncio.sleep(0.5)


async def register(client, command):
    if token := command.get("token"):
        good(await client.register_with_token(command["user"], command["password"], token))
    else:
        good(await client.register(command["user"], command["password"]))
