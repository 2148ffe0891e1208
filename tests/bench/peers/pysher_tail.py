"""Pysher as a tail: WS_URL AUTH_URL CHANNEL...; one line an event."""

import json
import sys
import time
from functools import partial
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

Pusher: Any = import_module("pysher").Pusher


def show(channel: str, data: str) -> None:
    record = {"event": "message", "channel": channel, "data": json.loads(data)}
    print(json.dumps(record), flush=True)


def main() -> None:
    url, auth_url, *channels = sys.argv[1:]
    parts = urlsplit(url)
    pusher = Pusher(
        "key",
        secure=parts.scheme == "wss",
        custom_host=parts.hostname,
        port=parts.port,
        auth_endpoint=auth_url,
    )

    def subscribe(_: str) -> None:
        for channel in channels:
            pusher.subscribe(channel).bind("message", partial(show, channel))

    pusher.connection.bind("pusher:connection_established", subscribe)
    pusher.connect()
    while True:
        time.sleep(60)


main()
