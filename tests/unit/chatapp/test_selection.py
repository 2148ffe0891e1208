"""What a user asks for → channels."""

import pytest

from chatapp_tail.chatapp.selection import Selection
from tests.factories import license_of

ACCOUNT = [
    license_of(1, "a", "b"),
    license_of(2, "b", "c", active=None),
    license_of(3, "a", active=False),
    license_of(4),
]

SELECTIONS: dict[str, tuple[Selection, list[str], list[str]]] = {
    "a licence and a messenger": (Selection((1,), ("a",)), ["1/a"], ["1/a"]),
    "every combination": (
        Selection((1, 2), ("a", "b")),
        ["1/a", "1/b", "2/a", "2/b"],
        ["1/a", "1/b", "2/a", "2/b"],
    ),
    "each once": (Selection((1, 1), ("a", "a")), ["1/a"], ["1/a"]),
    "one the account does not list is asked for all the same": (
        Selection((9,), ("z",)),
        ["9/z"],
        ["9/z"],
    ),
    "a licence alone": (Selection(licenses=(1,)), [], ["1/a", "1/b"]),
    "a messenger alone": (Selection(messengers=("b",)), [], ["1/b", "2/b"]),
    "an inactive licence": (Selection(licenses=(3,)), [], []),
    "everything that is active": (Selection(everything=True), [], ["1/a", "1/b", "2/b", "2/c"]),
    "nothing": (Selection(), [], []),
}


def full(names: list[str]) -> tuple[str, ...]:
    pairs = (name.split("/") for name in names)
    return tuple(f"private-v1.licenses.{number}.messengers.{kind}" for number, kind in pairs)


@pytest.mark.parametrize(
    ("selection", "known", "asked"),
    [case for name, case in SELECTIONS.items() if name != "nothing"],
    ids=[name for name in SELECTIONS if name != "nothing"],
)
def test_channels(selection: Selection, known: list[str], asked: list[str]) -> None:
    assert selection.known_channels() == full(known)
    assert selection.channels(ACCOUNT) == full(asked)
    assert not selection.is_empty


def test_names_come_last_and_once() -> None:
    name = "private-v1.users.5"
    selection = Selection((1,), ("a",), (name, *full(["1/a"]), name))
    assert selection.known_channels() == (*full(["1/a"]), name)
    assert Selection(names=(name,)).channels(ACCOUNT) == (name,)


def test_a_pair_that_was_named_does_not_widen_the_rest() -> None:
    assert not Selection((1,), ("a",)).needs_licenses
    assert Selection((1,)).needs_licenses
    assert not Selection(names=("news",)).needs_licenses
    assert Selection(everything=True).needs_licenses


def test_nothing_is_empty() -> None:
    assert Selection().is_empty
    assert not Selection(names=("news",)).is_empty
    assert not Selection(everything=True).is_empty


def test_what_is_not_found_is_explained_with_what_there_is() -> None:
    said = Selection(licenses=(9,)).explain_nothing(ACCOUNT)
    assert "9" in said
    assert "1 (a, b)" in said


MISSING: dict[str, tuple[Selection, list[str]]] = {
    "nothing": (Selection((1,)), []),
    "all is there": (Selection(everything=True, names=full(["1/a"])), []),
    "channels of other kinds": (Selection((1,), names=("news", "private-v1.users.5")), []),
    "a licence": (Selection((1, 9)), ["this account has no licence 9; it has: 1, 2, 3, 4"]),
    "an inactive licence": (Selection((1, 3)), ["licence 3 is not active"]),
    "a licence that may be active": (Selection((2,)), []),
    "a messenger": (
        Selection(messengers=("b", "z")),
        ["no active licence of this account has the messenger z; there are: a, b, c"],
    ),
    "a pair": (
        Selection((4, 9), ("a", "b"), everything=True),
        [
            "licence 4 has: none; you asked for a",
            "licence 4 has: none; you asked for b",
            "this account has no licence 9; it has: 1, 2, 3, 4",
        ],
    ),
    "a channel": (
        Selection((1,), names=full(["2/a", "3/a"])),
        ["licence 2 has: b, c; you asked for a", "licence 3 is not active"],
    ),
}


@pytest.mark.defect("U1")
@pytest.mark.parametrize(("selection", "said"), MISSING.values(), ids=MISSING)
def test_what_is_missing_is_one_sentence_each(selection: Selection, said: list[str]) -> None:
    assert list(selection.explain_missing(ACCOUNT)) == said
