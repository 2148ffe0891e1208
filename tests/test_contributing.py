"""The contributors' guide names files, classes, threads and code that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "chatapp_tail"
GUIDE = (ROOT / ".github" / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_the_files_it_names_exist() -> None:
    names = re.findall(r"`((?:chatapp_tail|completions|tests)/[\w./]+)`", GUIDE)
    assert len(names) > 20
    assert [name for name in names if not (ROOT / name).exists()] == []


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the table below a heading."""
    section = GUIDE[GUIDE.index(f"## {heading}") :].split("\n## ")[0]
    lines = re.findall(r"^\| (.*) \|$", section, re.MULTILINE)
    return [line.split(" | ") for line in lines[1:]]


@pytest.mark.parametrize("row", rows("Where do I find"), ids=lambda row: row[0])
def test_what_it_says_is_in_a_file_is_there(row: list[str]) -> None:
    quoted = re.findall(r"`([^`]+)`", row[1])
    files = [ROOT / name for name in quoted if "/" in name]
    names = [name for name in quoted if "/" not in name]
    assert files
    assert names
    text = "".join(file.read_text(encoding="utf-8") for file in files)
    for name in names:
        assert re.search(rf"^(?:(?:class|def) {name}\b|{name}\b.* = )", text, re.MULTILINE), name


def test_the_test_it_runs_exists() -> None:
    ((file, name),) = re.findall(r"(tests/[\w/]+\.py)::(\w+)", GUIDE)
    assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8")


def test_every_thread_is_listed() -> None:
    sources = "".join(file.read_text(encoding="utf-8") for file in PACKAGE.rglob("*.py"))
    named = set(re.findall(r'"(chatapp-tail-[a-z]+)"', sources))
    assert set(re.findall(r"`(chatapp-tail-[a-z]+)`", GUIDE)) == named


def test_the_example_of_an_option_is_in_the_code() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    text = ""
    for line in example.splitlines():
        if found := re.match(r"# ([\w/.]+\.py): ", line):
            text = (ROOT / found[1]).read_text(encoding="utf-8")
        else:
            assert line in text.splitlines()


def test_the_modules_it_names_by_their_package_exist() -> None:
    names = re.findall(r"`((?:pusher|history|tail|cli|chatapp)/\w+\.py)`", GUIDE)
    assert [name for name in names if not (ROOT / "chatapp_tail" / name).exists()] == []
