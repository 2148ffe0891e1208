"""Imports go downwards only, and what is slow to import is imported late."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import chatapp_tail

PACKAGE = Path(chatapp_tail.__file__).parent
NAMES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
    for path in sorted(PACKAGE.rglob("*.py"))
}

LAYERS = (
    ("cli",),
    ("tail", "replay"),
    ("sinks", "history", "filters", "reporting"),
    ("formats",),
    ("chatapp", "spool"),
    ("pusher",),
    ("net", "threads", "files"),
    ("items", "raw_json"),
    ("errors",),
    ("escape", "redaction"),
)
"""From the top down: a place may import itself and every place on a lower row."""

PURE = {
    f"pusher.{name}"
    for name in (
        *("frames", "backoff", "protocol", "gaps", "close_codes", "answers"),
        *("moments", "redaction", "refusals", "renewals", "subscription"),
        *("subscriptions", "error_correlation"),
        "messages",
        "events",
        "keepalive",
        "timing",
    )
}
IMPURE = {"socket", "threading", "time", "ssl", "select", "selectors", "asyncio", "os", "queue"}
ONLY_IN: dict[str, tuple[str, ...]] = {
    "websocket": ("pusher.dialer", "pusher.transport"),
    "socks": ("pusher.dialer", "chatapp.sockets"),
    "ssl": (
        *("pusher.dialer", "pusher.tcp", "pusher.transport", "chatapp", "cli.endpoint_checks"),
        *("sinks.http_connection", "sinks.http_answers", "sinks.nats_publisher"),
    ),
    "nats": ("sinks.nats_publisher", "sinks.nats_stream"),
    "http": (
        *("chatapp.auth_connections", "chatapp.proxied"),
        *("sinks.http_connection", "sinks.http_answers"),
    ),
    "requests": ("chatapp.proxied",),
    "urllib3": ("chatapp.proxied",),
    "rich": (
        *("formats.pretty", "formats.pieces", "formats.description"),
        *("reporting.progress", "cli"),
    ),
    "click": ("cli",),
    "websockets": (),
    "trustme": (),
}
LATE = {"websocket", "socks", "requests", "rich"}
REQUESTS_ALLOWED = {"chatapp.proxied"}
"""Loaded late itself."""
RICH_ALLOWED = {"formats.pretty", "formats.pieces", "formats.description"}


@dataclass(frozen=True)
class Import:
    """One import; `inside` when it does not happen as the module is loaded."""

    module: str
    inside: bool


def imports(name: str) -> Iterator[Import]:
    tree = ast.parse(NAMES[name].read_text(encoding="utf-8"))
    yield from walk(tree, name, inside=False)


def walk(node: ast.AST, name: str, *, inside: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, inside) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            yield from (Import(module, inside) for module in imported_from(child, name))
        else:
            late = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from walk(child, name, inside=inside or late or is_type_checking(child))


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def imported_from(node: ast.ImportFrom, name: str) -> list[str]:
    """The modules of `from … import …`; of this package as `chatapp_tail.<name in NAMES>`."""
    if node.level == 0:
        return [node.module or ""]
    base = f"chatapp_tail.{name}".split(".")[: -node.level]
    where = ".".join([*base, *([node.module] if node.module else [])])
    return [known(f"{where}.{alias.name}") or known(where) or where for alias in node.names]


def known(module: str) -> str | None:
    short = module.removeprefix("chatapp_tail").removeprefix(".")
    for candidate in (short, f"{short}.__init__" if short else "__init__"):
        if candidate in NAMES:
            return f"chatapp_tail.{candidate}"
    return None


def own(name: str) -> set[str]:
    found = {each.module for each in imports(name)}
    return {each.removeprefix("chatapp_tail.") for each in found if each.startswith("chatapp_tail")}


def foreign(name: str) -> dict[str, bool]:
    """Top-level name of each import from elsewhere -> whether it always happens late."""
    found: dict[str, bool] = {}
    for each in imports(name):
        if not each.module.startswith("chatapp_tail"):
            top = each.module.partition(".")[0]
            found[top] = found.get(top, True) and each.inside
    return found


def client_modules() -> list[str]:
    return [name for name in NAMES if not name.startswith("sandbox")]


def within(name: str, places: tuple[str, ...]) -> bool:
    return any(place in ("", name) or name.startswith(f"{place}.") for place in places)


PLACES = {place: row for row, places in enumerate(LAYERS) for place in places}
APART = {"__init__", "__main__", "sandbox"}


@pytest.mark.parametrize("name", [n for n in NAMES if n.partition(".")[0] in PLACES])
def test_a_module_imports_only_what_is_below_it(name: str) -> None:
    place = name.partition(".")[0]
    imported = {module.partition(".")[0] for module in own(name)} - {place, "__init__"}
    allowed = {other for other, row in PLACES.items() if row > PLACES[place]}
    if name == "cli.sandbox":
        allowed |= {"sandbox"}
    assert imported - allowed == set()


def test_every_place_has_a_row_and_every_row_a_place() -> None:
    assert {name.partition(".")[0] for name in NAMES} - APART == PLACES.keys()


def test_no_modules_import_one_another() -> None:
    # Commands import one another late, because what they need is slow to import.
    below = [name for name in NAMES if not name.startswith("cli.")]
    TopologicalSorter({name: own(name) - {name} for name in below}).prepare()


def test_no_modules_load_one_another() -> None:
    loads = {
        name: {known(each.module) for each in imports(name) if not each.inside} for name in NAMES
    }
    names = {f"chatapp_tail.{name}": loads[name] - {None} for name in NAMES}
    TopologicalSorter({name: each - {name} for name, each in names.items()}).prepare()


def test_nothing_imports_the_command_line_or_the_sandbox() -> None:
    for name in client_modules():
        wanted = {each for each in own(name) if each.startswith(("cli", "sandbox"))}
        assert name.startswith("cli.") or name == "__main__" or not wanted, name


def test_the_sandbox_is_only_opened_by_its_command() -> None:
    users = {n for n in client_modules() if any(o.startswith("sandbox") for o in own(n))}
    assert users == {"cli.sandbox"}


@pytest.mark.parametrize("name", [n for n in NAMES if n.startswith("sandbox")])
def test_the_sandbox_shares_nothing_with_the_client(name: str) -> None:
    assert all(each.startswith("sandbox") for each in own(name))


@pytest.mark.parametrize("name", sorted(PURE))
def test_the_machine_is_pure(name: str) -> None:
    assert not foreign(name).keys() & IMPURE
    assert not {each for each in own(name) if not each.startswith("pusher.")} - {
        "items",
        "raw_json",
    }


@pytest.mark.parametrize("name", ["sinks.chain", "sinks.publish_window"])
def test_keys_are_made_without_clocks(name: str) -> None:
    assert not foreign(name).keys() & IMPURE


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_library_is_known_in_its_place_only(library: str) -> None:
    users = {name for name in client_modules() if library in foreign(name)}
    assert {name for name in users if not within(name, ONLY_IN[library])} == set()


DISTRIBUTIONS = {"websocket": "websocket-client", "nats": "nats-py"}
"""Import name -> name of the package, where they differ."""
OPTIONAL = {
    "PySocks": "socks",
    "nats-py": "nats",
    "zstandard": "zstd",
    "trustme": "sandbox",
    "websockets": "sandbox",
}


@pytest.mark.defect("A2.24f")
def test_what_is_imported_is_declared_and_what_is_declared_was_not_withdrawn() -> None:
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text("utf-8"))["project"]
    declared = {re.match(r"[\w-]+", each)[0]: each for each in project["dependencies"]}  # type: ignore[index]
    imported = {top for name in NAMES for top in foreign(name)} - sys.stdlib_module_names
    named = {DISTRIBUTIONS.get(top, top) for top in imported - {""}}
    assert named - {"socks", *OPTIONAL} == declared.keys()
    assert declared["requests"] == "requests>=2.32.2", "2.32.0 and 2.32.1 are yanked"


@pytest.mark.parametrize("name", client_modules())
def test_slow_imports_come_late(name: str) -> None:
    at_start = {library for library, late in foreign(name).items() if not late} & LATE
    allowed = {"rich": RICH_ALLOWED, "requests": REQUESTS_ALLOWED}
    assert {library for library in at_start if name not in allowed.get(library, set())} == set()


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("formats.p")])
def test_pretty_is_loaded_late(name: str) -> None:
    eager = {each.module for each in imports(name) if not each.inside}
    loaded = {f"chatapp_tail.{module}" for module in RICH_ALLOWED | REQUESTS_ALLOWED}
    assert not eager & loaded or name in RICH_ALLOWED


@pytest.mark.parametrize("name", NAMES)
def test_every_module_says_in_a_sentence_what_it_is(name: str) -> None:
    docstring = ast.get_docstring(ast.parse(NAMES[name].read_text(encoding="utf-8")))
    assert docstring
    assert docstring.splitlines()[0].rstrip().endswith((".", ":", "…")), docstring.splitlines()[0]
