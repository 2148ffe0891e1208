"""Where and with what the figures were made: what a reader needs to judge them."""

import json
import os
import platform
import subprocess
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from chatapp_tail import __version__

from .peers import PUSHER_JS, program

_UNKNOWN = "an unknown processor"


def machine(today: date) -> dict[str, str]:
    """Return what there is, each as text; tools that are missing are left out."""
    known = {
        "date": today.isoformat(),
        "cores": str(len(os.sched_getaffinity(0))),
        "processor": processor(Path("/proc/cpuinfo").read_text()),
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "Node": said(["node", "--version"]).removeprefix("v"),
        "chatapp-tail": __version__,
        "pusher-js": _pusher_js(),
        "Pysher": _package("pysher"),
        "asyncpusher": _package("asyncpusher"),
        "websocat": said(["websocat", "--version"]).removeprefix("websocat "),
        "jq": said(["jq", "--version"]).removeprefix("jq-"),
    }
    return {name: text for name, text in known.items() if text}


def processor(cpuinfo: str) -> str:
    """Return the model's name in the text of /proc/cpuinfo."""
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return _UNKNOWN


def sentence(known: dict[str, str]) -> str:
    """Return the same for people: where first, then with what."""
    where = (
        f"{known['date']}, {known['cores']} cores of {known['processor']}, {known['system']},"
        f" Python {known['Python']}"
    )
    tools = ("Node", "chatapp-tail", "pusher-js", "Pysher", "asyncpusher", "websocat", "jq")
    return ", ".join([where, *(f"{name} {known[name]}" for name in tools if name in known)])


def said(words: list[str]) -> str:
    """Return the first line a program prints; empty when there is no such program."""
    path = program(words[0])
    if not path:
        return ""
    done = subprocess.run([path, *words[1:]], capture_output=True, text=True, check=False)
    return (done.stdout.splitlines() or [""])[0].strip()


def _pusher_js() -> str:
    try:
        found: str = json.loads((PUSHER_JS / "package.json").read_text())["version"]
    except OSError:
        return ""
    return found


def _package(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
