"""What shells complete from: where it is, what is in it, and that it fails in silence."""

import stat
from pathlib import Path

import pytest

from chatapp_tail.chatapp.licenses import License, cache_path, write_completion_cache
from tests.factories import license_of


@pytest.mark.parametrize(
    ("environment", "path"),
    [
        ({"HOME": "/h"}, "/h/.cache/chatapp-tail/lines"),
        ({"HOME": "/h", "XDG_CACHE_HOME": ""}, "/h/.cache/chatapp-tail/lines"),
        ({"HOME": "/h", "XDG_CACHE_HOME": "/c"}, "/c/chatapp-tail/lines"),
        ({"XDG_CACHE_HOME": "/c"}, "/c/chatapp-tail/lines"),
        ({"HOME": "/h", "XDG_CACHE_HOME": "c"}, None),
        ({"HOME": ""}, None),
        ({}, None),
    ],
)
def test_where_it_is(environment: dict[str, str], path: str | None) -> None:
    assert cache_path(environment) == (Path(path) if path else None)


TWO = [license_of(1229, "telegram", "grWhatsApp", "telegram"), license_of(1230, "max")]


@pytest.mark.parametrize(
    ("licenses", "lines"),
    [
        (TWO, "1229 telegram\n1229 grWhatsApp\n1230 max\n"),
        ([license_of(1)], ""),
        # What cannot be typed is left out.
        *(
            ([license_of(1, kind, "max")], "1 max\n")
            for kind in ("$(touch x)", "a b", "a\n2 b", "", "\x1b[31m", "été", "-x", "a;b")
        ),
    ],
)
def test_one_pair_a_line(licenses: list[License], lines: str, tmp_path: Path) -> None:
    write_completion_cache(licenses, {"XDG_CACHE_HOME": str(tmp_path)})
    assert (tmp_path / "chatapp-tail" / "lines").read_text() == lines


def test_only_its_owner_reads_it(tmp_path: Path) -> None:
    write_completion_cache([license_of(1, "max")], {"XDG_CACHE_HOME": str(tmp_path / "new")})
    directory = tmp_path / "new" / "chatapp-tail"
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((directory / "lines").stat().st_mode) == 0o600


def test_it_is_replaced_as_a_whole(tmp_path: Path) -> None:
    environment = {"XDG_CACHE_HOME": str(tmp_path)}
    write_completion_cache([license_of(1, "max", "telegram")], environment)
    with (tmp_path / "chatapp-tail" / "lines").open() as reader:
        write_completion_cache([license_of(2, "email")], environment)
        assert reader.read() == "1 max\n1 telegram\n"
    assert [each.name for each in (tmp_path / "chatapp-tail").iterdir()] == ["lines"]
    assert (tmp_path / "chatapp-tail" / "lines").read_text() == "2 email\n"


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "chatapp-tail").mkdir()
    (tmp_path / "chatapp-tail" / "lines").symlink_to(victim)
    write_completion_cache([license_of(1, "max")], {"XDG_CACHE_HOME": str(tmp_path)})
    assert victim.read_text() == "mine"


@pytest.mark.parametrize("directory", ["/proc", "/dev/null", "relative"])
def test_a_place_that_cannot_be_written_is_no_failure(directory: str) -> None:
    write_completion_cache([license_of(1, "max")], {"XDG_CACHE_HOME": directory})


def test_nothing_is_left_when_replacing_fails(tmp_path: Path) -> None:
    (tmp_path / "chatapp-tail" / "lines").mkdir(parents=True)
    write_completion_cache([license_of(1, "max")], {"XDG_CACHE_HOME": str(tmp_path)})
    assert [each.name for each in (tmp_path / "chatapp-tail").iterdir()] == ["lines"]
