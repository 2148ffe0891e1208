"""The contributors' guide names files that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / ".github" / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_the_files_it_names_exist() -> None:
    names = re.findall(r"`((?:chatapp_tail|completions|tests)/[\w./]+)`", GUIDE)
    assert len(names) > 20
    assert [name for name in names if not (ROOT / name).exists()] == []


def test_the_modules_it_names_by_their_package_exist() -> None:
    names = re.findall(r"`((?:pusher|history|tail|cli|chatapp)/\w+\.py)`", GUIDE)
    assert [name for name in names if not (ROOT / "chatapp_tail" / name).exists()] == []
