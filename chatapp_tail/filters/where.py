"""`--where`: JMESPath expressions on a record, checked for what can never be true."""

import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ..chatapp.records import Record
from ..errors import UsageError, error_at, suggest
from ..formats.fields import parse_item
from ..formats.timestamps import timestamp


def by_where(expressions: Iterable[str]) -> Callable[[Record], bool]:
    """Keep records for which one of these JMESPath expressions is true, by JMESPath's rules.

    An expression is evaluated on the record as `-o json` writes it. It is false if it fails, such
    as by a function with an argument of the wrong type. UsageError shows an error's position.
    """
    parsed = [_compile_expression(expression) for expression in expressions]
    from jmespath.visitor import TreeInterpreter

    # search() of jmespath makes an interpreter per call, which costs more than most searches.
    visit = TreeInterpreter().visit
    with_hash = any(map(_may_see_hash, parsed))

    def keep(record: Record) -> bool:
        members = _members(record, with_hash=with_hash)
        return any(_is_true(visit, expression, members) for expression in parsed)

    return keep


def _members(record: Record, *, with_hash: bool) -> dict[str, object]:
    members = {
        "v": 1,
        "type": "event",
        "event": record.event,
        "id": record.id,
        "hash": record.hash if with_hash else None,  # a digest takes a microsecond
        "channel": record.channel,
        "license": record.license,
        "messenger": record.messenger,
        "received": timestamp(record.received).decode(),
        "source": str(record.source),
        "queue": record.queue,
        "part": record.part,
        "parts": record.parts,
        "data": parse_item(record.data),
    }
    return members if record.encoding is None else members | {"encoding": record.encoding}


_MEMBERS = (
    *("v", "type", "event", "id", "hash", "channel", "license", "messenger", "received"),
    *("source", "queue", "part", "parts", "data", "encoding"),
)

_ITEM_MEMBERS = {"message", "chat", "fromUser", "fromMe", "text", "error", "tag"}
"""Members of items that users look for in the record."""

_FAILURES = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""Exceptions that jmespath raises for unexpected values, besides its own."""

_Node = Any
"""jmespath's {"type", "children", "value"}."""


def _is_true(visit: Callable[..., object], expression: _Node, members: dict[str, object]) -> bool:
    try:
        result = visit(expression, members)
    except _FAILURES:
        return False
    # 0 is true in JMESPath, and equal to False in Python.
    return not (result is None or result is False or result in ("", [], {}))


def _compile_expression(expression: str) -> _Node:
    import jmespath
    from jmespath import exceptions

    try:
        with warnings.catch_warnings(action="ignore"):
            parsed: Any = jmespath.compile(expression).parsed
    except exceptions.LexerError as error:
        raise error_at("--where", error.message, expression, error.lexer_position) from None
    except exceptions.ParseError as error:
        raise error_at("--where", _unexpected(error), expression, error.lex_position) from None
    except exceptions.EmptyExpressionError:
        raise error_at("--where", "it is empty", expression, 0) from None
    except RecursionError:
        raise _nested_too_deeply() from None
    except _FAILURES:
        raise error_at("--where", "not a JMESPath expression", expression, 0) from None
    if _is_deeper(parsed, _DEEPEST):
        raise _nested_too_deeply()
    _check_negations(expression, parsed)
    _check_members(expression, parsed)
    _check_functions(expression, parsed)
    return parsed


def _unexpected(error: Any) -> str:
    """Return the reason of a ParseError of jmespath."""
    if error.token_type == "NUMBER":
        return f"numbers are written in backticks: `{error.token_value}` (in single shell quotes)"
    return f"unexpected {error.token_value!r}" if error.token_value else "it ends too early"


_DEEPEST = 300
"""Levels of an expression; jmespath makes two calls per level, and Python allows 1,000."""


def _nested_too_deeply() -> UsageError:
    """Return the error, without the expression, which may have thousands of characters."""
    return UsageError(f"--where: nested too deeply; at most {_DEEPEST} levels are possible")


def _is_deeper(parsed: _Node, levels: int) -> bool:
    """Return whether an expression has more than so many levels, without recursion."""
    level = [parsed]
    for _ in range(levels):
        # The children of a slice are numbers.
        level = [child for node in level if isinstance(node, dict) for child in node["children"]]
    return bool(level)


def _check_negations(expression: str, parsed: _Node) -> None:
    """Refuse `!a.b`: in JMESPath that is `(!a).b`, which is null whatever `b` is."""
    for node in _nodes(parsed):
        if node["type"] == "subexpression" and node["children"][0]["type"] == "not_expression":
            negated = node["children"][0]["children"][0].get("value", "what is next to it")
            reason = f"! applies to {negated} only; write !(…) around the whole"
            raise error_at("--where", reason, expression, expression.find("!"))


def _check_members(expression: str, parsed: _Node) -> None:
    """Refuse members that no record has: they are always null."""
    for name in _first_names(parsed):
        if name not in _MEMBERS:
            position, quoted = _find(expression, name)
            reason = f"a record has no member {name!r}; {_instead_of(name, quoted)}"
            raise error_at("--where", reason, expression, position)


def _instead_of(name: str, quoted: bool) -> str:
    if quoted:
        return f"text stands in single quotes: '{name}'"
    close = suggest(name, _MEMBERS)
    if close and name not in _ITEM_MEMBERS:
        return f"did you mean {close}?"
    return f"members of the item are under data: data.{name}"


# The number of children evaluated on the record; the others are evaluated on their results.
_SEE_RECORD = {
    **dict.fromkeys(("subexpression", "index_expression", "pipe", "flatten"), 1),
    **dict.fromkeys(("projection", "value_projection", "filter_projection"), 1),
    "expref": 0,
}


def _first_names(node: _Node) -> Iterator[str]:
    if node["type"] == "field":
        yield node["value"]
    for child in node["children"][: _SEE_RECORD.get(node["type"])]:
        yield from _first_names(child)


def _check_functions(expression: str, parsed: _Node) -> None:
    for node in _nodes(parsed):
        if node["type"] != "function_expression":
            continue
        if reason := _wrong_call(node["value"], len(node["children"])):
            raise error_at("--where", reason, expression, _find(expression, node["value"])[0])


def _wrong_call(name: str, count: int) -> str:
    from jmespath.functions import Functions

    table: dict[str, dict[str, Any]] = Functions.FUNCTION_TABLE
    if name not in table:
        close = suggest(name, table)
        return f"there is no function {name}" + (f"; did you mean {close}?" if close else "")
    wanted = table[name]["signature"]
    variadic = bool(wanted) and wanted[-1].get("variadic")
    if count == len(wanted) or (variadic and count > len(wanted)):
        return ""
    more = " or more" if variadic else ""
    return f"{name} takes {len(wanted)}{more} arguments, not {count}"


def _may_see_hash(parsed: _Node) -> bool:
    """Return whether an expression names `hash` or may see all members of the record."""
    seeing = ("current", "value_projection")
    return any(node["type"] in seeing or node.get("value") == "hash" for node in _nodes(parsed))


def _nodes(node: _Node) -> Iterator[_Node]:
    # The children of a slice are numbers.
    if isinstance(node, dict):
        yield node
        for child in node["children"]:
            yield from _nodes(child)


def _find(expression: str, name: str) -> tuple[int, bool]:
    """Return the position of a name in an expression, and whether it is in double quotes.

    jmespath keeps the positions of tokens, but not of nodes.
    """
    from jmespath.lexer import Lexer

    for token in Lexer().tokenize(expression):
        if token["value"] == name and token["type"].endswith("quoted_identifier"):
            return token["start"], token["type"] == "quoted_identifier"
    return 0, False
