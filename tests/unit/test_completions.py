"""The completions: up to date, complete, and installed where shells look."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest

from chatapp_tail.cli.command import command
from chatapp_tail.cli.help import GroupedOption
from completions.generator import bash, fish, zsh
from completions.generator.__main__ import generate
from completions.generator.readme import END, START, with_options
from completions.generator.tree import (
    NAMED,
    Option,
    Values,
    describe,
    first_sentence,
    long_name,
)

ROOT = Path(__file__).parents[2]
COMPLETIONS = ROOT / "completions"
COMMANDS = describe(command)


@pytest.mark.parametrize("name", generate())
def test_the_committed_files_are_up_to_date(name: str) -> None:
    wanted = generate()[name]
    assert (ROOT / name).read_text(encoding="utf-8") == wanted, (
        "run: python -m completions.generator"
    )


def test_nothing_else_is_committed_beside_them() -> None:
    names = {f"completions/{path.name}" for path in COMPLETIONS.iterdir()}
    assert names - {"completions/generator"} == generate().keys() - {"README.md"}


def test_one_command_writes_them(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "completions.generator", str(tmp_path / "new")]
    subprocess.run(argv, check=True, cwd=ROOT)
    new = tmp_path / "new"
    paths = [path for path in new.rglob("*") if path.is_file()]
    assert {str(path.relative_to(new)): path.read_text() for path in paths} == generate()


def test_the_wheel_installs_them_where_shells_look() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["shared-data"] == {
        "completions/chatapp-tail.bash": "share/bash-completion/completions/chatapp-tail",
        "completions/_chatapp-tail": "share/zsh/site-functions/_chatapp-tail",
        "completions/chatapp-tail.fish": "share/fish/vendor_completions.d/chatapp-tail.fish",
        "completions/chatapp-tail.1": "share/man/man1/chatapp-tail.1",
    }


def test_every_command_and_option_is_described() -> None:
    assert [each.name for each in COMMANDS] == ["", *sorted(command.commands)]
    tail = {name for option in COMMANDS[0].options for name in option.names}
    assert {"-l", "--license", "-h", "--help", "--version", "--no-reconnect"} <= tail
    assert all(option.summary for each in COMMANDS for option in each.options)


def test_values_are_named_after_options_there_are() -> None:
    known = {long_name(each) for each in command.params if isinstance(each, click.Option)}
    assert NAMED.keys() <= known


def option(name: str, command_name: str = "") -> Option:
    options = next(each.options for each in COMMANDS if each.name == command_name)
    return next(each for each in options if name in each.names)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("--license", Values(cached="licences")),
        ("--channel", Values(cached="channels")),
        ("--token-file", Values(files=True)),
        ("--ca-file", Values(files=True)),
        ("--forward-secret-file", Values(files=True)),
        ("--forward-ca-file", Values(files=True)),
        ("--dead-letters", Values(files=True)),
        ("--forward-body", Values(("webhook", "record"))),
        ("--forward-to", Values()),
        ("--count", Values()),
        ("--log-format", Values(("text", "json"))),
        ("--json", None),
        ("--verbose", None),
    ],
)
def test_what_an_option_takes(name: str, values: Values | None) -> None:
    assert option(name).values == values


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("Stop after N lines.", "Stop after N lines"),
        ("Licence to tail; may be repeated.", "Licence to tail"),
        ("On 127.0.0.1; 0 takes a free one.", "On 127.0.0.1"),
        ("Names (a, ...); more.", "Names (a, ...)"),
        ("no stop", "no stop"),
        ("two\n   lines. More.", "two lines"),
        ("", ""),
    ],
)
def test_the_first_sentence(text: str, first: str) -> None:
    assert first_sentence(text) == first


ODD = 'it\'s [a] \\ "$(touch pwned)" `touch pwned` : 100%'


def odd_commands() -> click.Group:
    group = click.Group("chatapp-tail", help=ODD)
    group.params = [
        click.Option(["--messenger"], help=ODD, metavar="A:B]'"),
        click.Option(["--other", "-x"], help=ODD, is_flag=True),
        click.Option(["--secret"], hidden=True),
    ]
    group.add_command(click.Command("one", short_help=ODD, params=[click.Argument(["file"])]))
    group.add_command(click.Command("two", hidden=True))
    return group


SCRIPTS = {
    "bash": bash.script(describe(odd_commands()), "note"),
    "zsh": zsh.script(describe(odd_commands()), "note", ["telegram"]),
    "fish": fish.script(describe(odd_commands()), "note"),
}


@pytest.mark.parametrize("shell", SCRIPTS)
def test_odd_help_is_quoted(shell: str, tmp_path: Path) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")
    script = SCRIPTS[shell]
    if shell == "zsh":
        script = "compdef() { :; }\n" + script
    (tmp_path / "script").write_text(script)
    done = subprocess.run(
        [program, "script"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("shell", SCRIPTS)
def test_what_is_hidden_is_not_offered(shell: str) -> None:
    assert not re.search(r"\b(secret|two)\b", SCRIPTS[shell])


def test_the_table_of_options() -> None:
    choice = click.Choice(["a", "b"])
    group = click.Group("chatapp-tail", add_help_option=False)
    group.params = [
        click.Option(["--out", "-o"], type=choice, default="a", show_default=True, help="Say |."),
        click.Option(["--url"], metavar="URL", help="Like --out.  [default: http://a.b:1/c]"),
        click.Option(["--name"], metavar="N", multiple=True, help="One name; may be repeated."),
        GroupedOption(["--flag"], group="Filter", is_flag=True, help="Unless NO_COLOR is. More."),
    ]
    lines = with_options(f"before\n{START}\nold\n{END}\nafter\n", group).splitlines()
    assert lines[:2] + lines[-2:] == ["before", START, END, "after"]
    assert lines[5:-3] == [
        "| **Filter** | |",
        "| `--flag` | Unless `NO_COLOR` is |",
        "| **Logging** | |",
        r"| `-o`, `--out a\|b` | Say \|; default a |",
        "| `--url URL` | Like `--out` |",
        "| `--name N...` | One name |",
    ]


def test_a_readme_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match=START):
        with_options("no markers", click.Group("chatapp-tail"))


def test_no_place_is_left_unfilled() -> None:
    for text in generate().values():
        assert not re.search(r"@[A-Z_]+@", text)


def test_the_bash_script_is_clean() -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed")
    subprocess.run(["shellcheck", COMPLETIONS / "chatapp-tail.bash"], check=True)
