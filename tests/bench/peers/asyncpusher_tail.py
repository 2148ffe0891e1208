"""asyncpusher as a tail: WS_URL AUTH_URL CHANNEL...; one line an event. Trust in SSL_CERT_FILE."""

import asyncio
import json
import sys
from functools import partial
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

Pusher: Any = import_module("asyncpusher").Pusher
aiohttp: Any = import_module("aiohttp")


async def show(data: Any, channel: str) -> None:
    record = {"event": "message", "channel": channel, "data": data}
    print(json.dumps(record), flush=True)


async def authorise(session: Any, url: str, data: dict[str, str]) -> Any:
    async with session.post(url, data=data) as answer:
        return await answer.json()


async def main() -> None:
    url, auth_url, *channels = sys.argv[1:]
    parts = urlsplit(url)
    async with aiohttp.ClientSession() as session:
        pusher = Pusher(
            "key",
            secure=parts.scheme == "wss",
            custom_host=parts.hostname,
            custom_port=parts.port,
            channel_authenticator=partial(authorise, session, auth_url),
        )
        await pusher.connect()
        for name in channels:
            channel = await pusher.subscribe(name)
            channel.bind("message", show, name)
        await asyncio.Event().wait()


asyncio.run(main())
