"""The manual page: what is in it, and that roff has nothing to complain about."""

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import click
import pytest

from chatapp_tail.chatapp.licenses import License
from chatapp_tail.cli.check_result import CheckResult
from chatapp_tail.cli.command import command
from chatapp_tail.cli.doctor import _show_json
from chatapp_tail.cli.help import load
from chatapp_tail.cli.lines import format_json
from chatapp_tail.errors import ExitStatus
from chatapp_tail.formats.csv import COLUMNS
from chatapp_tail.formats.schema import schema
from chatapp_tail.formats.template import NAMES
from completions.generator.manual import manual
from completions.generator.manual_text import (
    CSV_COLUMNS,
    OTHER_COMMANDS,
    OTHER_RECORDS,
    RECORD_MEMBERS,
    STATES,
    STATUSES,
    TEMPLATE_FIELDS,
)

PAGE = Path(__file__).parents[2] / "completions" / "chatapp-tail.1"
SECTIONS = ["NAME", "SYNOPSIS", "DESCRIPTION", "EXAMPLES", "OPTIONS", "COMMANDS", "OUTPUT"]
SECTIONS += ["FORWARDING", "HISTORY", "CONNECTION", "CREDENTIALS", "SIGNALS"]
SECTIONS += ["EXIT STATUS", "ENVIRONMENT", "FILES", "SEE ALSO"]


def need(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed")
    return found


def read(page: str) -> str:
    """The page as a person sees it, in lines of any length."""
    argv = [need("groff"), "-man", "-ww", "-Tascii", "-P-cbou", "-rLL=2000n"]
    done = subprocess.run(argv, input=page, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout


@pytest.fixture(scope="module")
def shown() -> str:
    return read(PAGE.read_text(encoding="utf-8"))


def test_the_sections() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert re.findall(r"^\.SH (.*)", page, re.MULTILINE) == SECTIONS


def test_groff_has_nothing_to_complain_about() -> None:
    argv = [need("groff"), "-man", "-ww", "-z", str(PAGE)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""


def test_man_has_nothing_to_complain_about() -> None:
    argv = [need("man"), "--warnings", "-l", str(PAGE)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert "chatapp-tail" in done.stdout


def test_the_groups_of_options(shown: str) -> None:
    headings = re.findall(r"^   (\w+)$", shown, re.MULTILINE)
    assert headings[:9] == [
        "Select",
        "Filter",
        "Output",
        "Forward",
        "History",
        "Limit",
        "Connection",
        "Credentials",
        "Logging",
    ]


def test_every_option_of_the_tail(shown: str) -> None:
    for each in command.params:
        assert isinstance(each, click.Option)
        assert ", ".join(sorted(each.opts, key=len)) in shown
        assert " ".join((each.help or "").split()).replace("  ", " ") in " ".join(shown.split())


@pytest.mark.parametrize("name", sorted(command.commands))
def test_every_command_and_its_options(name: str, shown: str) -> None:
    part = shown[shown.index("\nCOMMANDS") : shown.index("\nOUTPUT")]
    own = part[part.index(f"chatapp-tail {name}") :]
    for each in load(command.commands[name]).params:
        if isinstance(each, click.Option):
            assert max(each.opts, key=len) in own


def test_every_exit_status(shown: str) -> None:
    assert list(STATUSES) == list(ExitStatus)
    part = shown[shown.index("\nEXIT STATUS") : shown.index("\nENVIRONMENT")]
    listed = re.findall(r"^ {7}(\d+)\b", part, re.MULTILINE)
    assert listed == [*(str(int(each)) for each in ExitStatus), "130"]


def test_examples_can_be_copied(shown: str) -> None:
    assert "CHATAPP_TOKEN='$2y$10$...' chatapp-tail -l 1229 -m telegram\n" in shown
    assert "| jq -r .data.message.text\n" in shown


def test_variables(shown: str) -> None:
    part = shown[shown.index("\nENVIRONMENT") : shown.index("\nFILES")]
    for name in ("CHATAPP_TOKEN", "CHATAPP_WS_URL", "CHATAPP_API_URL", "CHATAPP_APP_KEY"):
        assert name in part


def test_odd_text_is_shown_as_it_is() -> None:
    odd = r".it's \fB a \ 'b' `c` ^ ~ \"d\" -- \n"
    group = click.Group("chatapp-tail", help=f"{odd}\n\n.br\n\n'quoted")
    group.params = [click.Option(["--odd"], help=f"Odd: {odd}", metavar="'X'")]
    shown = " ".join(read(manual(group, "note")).split())
    assert odd in shown
    assert "--odd 'X'" in shown
    assert ".br" in shown
    assert "'quoted" in shown


def terms(entries: Mapping[str, str]) -> list[str]:
    return ", ".join(entries).split(", ")


def test_every_member_of_a_record() -> None:
    assert set(terms(RECORD_MEMBERS)) == set(schema()["$defs"]["event"]["properties"])


def test_every_column_in_order() -> None:
    assert terms(CSV_COLUMNS) == list(COLUMNS)


def test_every_field_of_a_template() -> None:
    assert sorted(terms(TEMPLATE_FIELDS)) == sorted(NAMES)


def test_every_kind_of_record() -> None:
    kinds = {*OTHER_RECORDS, *(f"status_{state}" for state in STATES), "event"}
    assert kinds == set(schema()["$defs"])


def test_the_members_of_a_state(shown: str) -> None:
    assert "Members: channel, from, to, reason, recovered, missing." in shown
    assert re.search(r"^ {7}lost {3}.* Members: reason, code, lasted\.$", shown, re.MULTILINE)


def test_the_members_of_other_commands(capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = format_json([License(1229, "Shop", True, None, ())])
    _show_json(CheckResult("ping", True, "answered", 0.0))
    check = capsys.readouterr().out
    for name, record in (("lines", line), ("doctor", check)):
        described = re.sub(r" \([^)]*\)|\..*", "", OTHER_COMMANDS[name])
        assert described.split(", ") == list(json.loads(record))


@pytest.mark.defect("U15")
def test_how_variables_are_divided(shown: str) -> None:
    """As the program does, see test_options, and as the README says."""
    assert (
        "separated by spaces (of --chat, --grep, --grep-not, --where, --header: by newlines)"
        in shown
    )
