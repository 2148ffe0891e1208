"""Which output is meant, and how variables with several values are divided."""

from collections.abc import Mapping

import click
import pytest

from chatapp_tail.cli.command import command
from chatapp_tail.cli.options import output_options, resolve_output
from chatapp_tail.formats import Output


@click.command()
@output_options
@click.pass_context
def wanted(
    ctx: click.Context, /, output: Output, as_json: bool, template: str | None, **_: object
) -> Output:
    return resolve_output(ctx, output, as_json, template)


def of(arguments: str, environment: Mapping[str, str], patch: pytest.MonkeyPatch) -> Output:
    for name, value in environment.items():
        patch.setenv(f"CHATAPP_TAIL_{name}", value)
    with wanted.make_context("wanted", arguments.split()) as ctx:
        found = wanted.invoke(ctx)
        assert isinstance(found, Output)
        return found


@pytest.mark.parametrize(
    ("arguments", "environment", "output"),
    [
        ("", {}, Output.AUTO),
        ("--json", {}, Output.JSON),
        ("-f x", {}, Output.TEMPLATE),
        ("-o auto -f x", {}, Output.TEMPLATE),
        ("-o json --json", {}, Output.JSON),
        ("-o csv", {"JSON": "1"}, Output.CSV),
        ("-o csv", {"FORMAT": "x"}, Output.CSV),
        ("--json", {"FORMAT": "x"}, Output.JSON),
        ("--json", {"FORMAT": "x", "OUTPUT": "csv"}, Output.JSON),
        ("-f x", {"JSON": "1"}, Output.TEMPLATE),
        ("", {"JSON": "1", "OUTPUT": "csv"}, Output.JSON),
        ("-o template", {"FORMAT": "x"}, Output.TEMPLATE),
    ],
)
def test_what_was_typed_wins(
    arguments: str, environment: Mapping[str, str], output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert of(arguments, environment, monkeypatch) is output


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        pytest.param("-f x --json", {}, marks=pytest.mark.defect("U6")),
        pytest.param("-f x --json -o json", {}, marks=pytest.mark.defect("U6")),
        pytest.param("", {"JSON": "1", "FORMAT": "x"}, marks=pytest.mark.defect("U6")),
        ("-f x -o json", {}),
        ("--json -o csv", {}),
    ],
)
def test_two_outputs_contradict_each_other(
    arguments: str, environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(click.UsageError, match="contradict each other"):
        of(arguments, environment, monkeypatch)


def test_a_template_is_needed_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(click.UsageError, match="needs a --format"):
        of("-o template", {}, monkeypatch)


def by_lines() -> set[str]:
    """The options of which a variable with a space is one value."""
    return {
        each.opts[-1]
        for each in command.params
        if each.multiple and each.type.split_envvar_value("a b") == ["a b"]
    }


def test_variables_of_texts_are_divided_by_newlines() -> None:
    assert by_lines() == {"--chat", "--grep", "--grep-not", "--where", "--header"}
