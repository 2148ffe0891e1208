"""Options in groups, and choices that know what was meant."""

import click
import pytest
from click.testing import CliRunner

from chatapp_tail.cli.help import GroupedHelp, GroupedOption, grouped
from chatapp_tail.cli.params import Choice, EnumChoice
from chatapp_tail.formats import Output


def small() -> GroupedHelp:
    group = GroupedHelp("small", help="Small.")
    group.params = [
        GroupedOption(["-n", "--count"], group="Limit", help="Count.", metavar="N"),
        GroupedOption(["--quiet"], help="Quiet.", is_flag=True),
        GroupedOption(["-l", "--license"], group="Select", help="Licence.", metavar="N"),
        GroupedOption(["--for"], group="Limit", help="Time.", metavar="N"),
        click.Option(["--secret"], hidden=True),
    ]
    group.add_command(click.Command("lines", short_help="List."))
    return group


def test_groups_come_in_their_order_and_options_of_click_in_the_last() -> None:
    groups = [
        (heading, [option.opts[-1] for option in options])
        for heading, options in grouped(small().params)
    ]
    assert groups == [
        ("Select", ["--license"]),
        ("Limit", ["--count", "--for"]),
        ("Logging", ["--quiet", "--secret"]),
    ]


def test_help_in_groups() -> None:
    shown = CliRunner().invoke(small(), ["--help"]).output
    assert shown.endswith(
        """
Select:
  -l, --license N  Licence.

Limit:
  -n, --count N    Count.
  --for N          Time.

Logging:
  --quiet          Quiet.
  --help           Show this message and exit.

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


def test_a_value_of_an_enumeration_is_its_member() -> None:
    kind = EnumChoice(Output)
    assert kind.convert("raw", None, None) is Output.RAW
    assert "template" in kind.choices
    with pytest.raises(click.BadParameter, match="Did you mean 'json'"):
        kind.convert("jsn", None, None)
