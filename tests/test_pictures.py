"""The pictures in the README show what the program shows."""

import re

import pytest

from tests.pictures import THEMES, lines, path, picture
from tests.test_readme import README


@pytest.mark.parametrize("theme", THEMES)
def test_a_picture_is_what_the_program_shows(theme: str) -> None:
    assert path(theme).read_text(encoding="utf-8") == picture(theme), (
        "python -m tests.pictures makes the pictures anew"
    )


@pytest.mark.parametrize("theme", THEMES)
def test_the_readme_shows_it(theme: str) -> None:
    assert f".github/{path(theme).name}" in README


def test_the_story_has_every_kind_of_event() -> None:
    plain = re.sub(r"\x1b\[[0-9;]*m", "", lines())
    for word in ("Test Test", "invoice 1045.pdf", "viewed", "tag", "failed", "chatConversation"):
        assert word in plain
