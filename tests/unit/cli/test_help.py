"""Options in groups, and choices that know what was meant."""

import click
import pytest
from click.testing import CliRunner

from chatapp_tail.cli.command import command
from chatapp_tail.cli.help import GROUPS, OTHERS, GroupedHelp, grouped, long_name
from chatapp_tail.cli.params import Choice


def test_every_option_of_the_tail_is_in_one_group() -> None:
    names = [name for group in GROUPS.values() for name in group]
    assert len(names) == len(set(names))
    with click.Context(command) as context:
        options = [each for each in command.get_params(context) if isinstance(each, click.Option)]
    assert sorted(names) == sorted(map(long_name, options))


def small() -> GroupedHelp:
    group = GroupedHelp("small", help="Small.")
    group.params = [
        click.Option(["-n", "--count"], help="Count.", metavar="N"),
        click.Option(["--unknown"], help="Unknown.", is_flag=True),
        click.Option(["-l", "--license"], help="Licence.", metavar="N"),
        click.Option(["--secret"], hidden=True),
    ]
    group.add_command(click.Command("lines", short_help="List."))
    return group


def test_groups_come_in_their_order_and_what_is_in_none_last() -> None:
    found = [
        (heading, list(map(long_name, options))) for heading, options in grouped(small().params)
    ]
    assert found == [
        ("Select", ["license"]),
        ("Limit", ["count"]),
        (OTHERS, ["unknown", "secret"]),
    ]


def test_help_in_groups() -> None:
    shown = CliRunner().invoke(small(), ["--help"]).output
    assert shown.endswith(
        """
Select:
  -l, --license N  Licence.

Limit:
  -n, --count N    Count.

Logging:
  --help           Show this message and exit.

Options:
  --unknown        Unknown.

Commands:
  lines  List.
"""
    )


@pytest.mark.parametrize(
    ("typed", "meant"), [("jsn", "json"), ("JSON", "json"), ("prety", "pretty"), ("tsv", "csv")]
)
def test_the_closest_choice_is_named(typed: str, meant: str) -> None:
    with pytest.raises(click.BadParameter, match=f"Did you mean '{meant}'"):
        Choice(["json", "pretty", "csv"]).convert(typed, None, None)


def test_nothing_is_named_when_nothing_is_close() -> None:
    with pytest.raises(click.BadParameter) as error:
        Choice(["json", "pretty"]).convert("xml", None, None)
    assert "Did you mean" not in error.value.message
