"""Saved output through a filter: `chatapp-tail replay` beside jq, from one file into a pipe."""

import json
import shutil
import time
from hashlib import sha256
from pathlib import Path

from .peers import OURS, PROGRAM, Command, Peer, environment, program
from .run import Bench, Failed, Figures, PeerProcess, read_lines
from .server import CHANNEL, QUEUE, item_of

_PAIRS = 1000
"""So many pairs of records differ; the file has them again and again."""
_LONG = 600.0
_NO_REPLAY = "it reads no files"


def backlog(bench: Bench, size: int, peer: Peer) -> Figures:
    """Time a file of so many bytes, half of whose records the filter keeps."""
    names = ("replay, --where: MB/s", "replay, --where: CPU s/GB")
    file = bench.directory / "backlog.ndjson"
    words = _words(file, peer)
    if not words:
        return dict.fromkeys(names, _NO_REPLAY)
    kept = _saved(file, size)
    env = environment(bench.directory, bench.ca_file)
    begin = time.monotonic()
    process = PeerProcess(Command((words,)), env, bench.directory / "backlog.log")
    seen = read_lines(process.output, kept + 1, begin + _LONG)
    seconds = time.monotonic() - begin
    cpu = process.end().cpu
    if seen != kept:
        raise Failed(f"{seen} of {kept} lines came: {process.last_words()}")
    size = file.stat().st_size
    return dict(zip(names, (size / 1e6 / seconds, cpu / size * 1e9), strict=True))


def _words(file: Path, peer: Peer) -> list[str]:
    if peer.name == OURS:
        return [*PROGRAM, "replay", str(file), "--json", "--where", "data.type=='text'"]
    if peer.name == "websocat | jq":
        return [program("jq") or "", "-c", 'select(.data.type=="text")', str(file)]
    return []


def _record(event: str, kind: str, number: int) -> bytes:
    """Return a line as the tail writes it with --json, version 1."""
    identity = f"{event}:1229:telegram:{number}"
    item = item_of(kind, number)
    digest = sha256(_json(item)).hexdigest()[:12]
    head = {"v": 1, "type": "event", "event": event, "id": identity, "hash": digest}
    where = {"channel": CHANNEL, "license": 1229, "messenger": "telegram"}
    how = {"received": "2021-11-19T10:54:43.123456Z", "source": "live", "queue": QUEUE}
    record = {**head, **where, **how, "part": 1, "parts": 1, "data": item}
    return _json(record) + b"\n"


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _saved(file: Path, size: int) -> int:
    """Write the file unless an earlier run did; return how many of its records are kept."""
    pairs = [
        _record("message", "text", number) + _record("messageStatus", "viewed", number)
        for number in range(_PAIRS, 2 * _PAIRS)
    ]
    block = b"".join(pairs)
    blocks = max(1, size // len(block))
    if not file.exists():
        if shutil.disk_usage(file.parent).free < 2 * size:
            raise Failed(f"no room for {size} bytes in {file.parent}")
        with file.open("wb") as stream:
            for _ in range(blocks):
                stream.write(block)
    return blocks * _PAIRS
