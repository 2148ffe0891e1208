"""Whether to colour, by `--color`, the environment and the terminal, in this order."""

import pytest

from chatapp_tail.formats.colors import ColorMode, ColorSystem, color_system

TERM = {"TERM": "xterm"}
FORCE = {"FORCE_COLOR": "1"}
NO = {"NO_COLOR": "1"}


@pytest.mark.parametrize(
    ("when", "environment", "terminal", "colors"),
    [
        # --color
        pytest.param(ColorMode.NEVER, TERM, True, False, id="never"),
        pytest.param(ColorMode.NEVER, TERM | FORCE, True, False, id="never, FORCE_COLOR"),
        pytest.param(ColorMode.ALWAYS, {}, False, True, id="always, in a pipe"),
        pytest.param(ColorMode.ALWAYS, NO, False, True, id="always, NO_COLOR"),
        pytest.param(ColorMode.ALWAYS, {"TERM": "dumb"}, True, True, id="always, dumb terminal"),
        # NO_COLOR
        pytest.param(ColorMode.AUTO, TERM | NO, True, False, id="NO_COLOR"),
        pytest.param(ColorMode.AUTO, TERM | NO | FORCE, True, False, id="NO_COLOR, FORCE_COLOR"),
        pytest.param(ColorMode.AUTO, TERM | {"NO_COLOR": "0"}, True, False, id="NO_COLOR=0"),
        pytest.param(ColorMode.AUTO, TERM | {"NO_COLOR": ""}, True, True, id="NO_COLOR empty"),
        # FORCE_COLOR, CLICOLOR_FORCE
        pytest.param(ColorMode.AUTO, FORCE, False, True, id="FORCE_COLOR"),
        pytest.param(ColorMode.AUTO, {"FORCE_COLOR": "true"}, False, True, id="FORCE_COLOR=true"),
        pytest.param(ColorMode.AUTO, {"FORCE_COLOR": "0"}, False, False, id="FORCE_COLOR=0"),
        pytest.param(ColorMode.AUTO, {"FORCE_COLOR": ""}, False, False, id="FORCE_COLOR empty"),
        pytest.param(
            ColorMode.AUTO, TERM | {"FORCE_COLOR": "0"}, True, True, id="FORCE_COLOR=0, tty"
        ),
        pytest.param(ColorMode.AUTO, {"CLICOLOR_FORCE": "1"}, False, True, id="CLICOLOR_FORCE"),
        pytest.param(ColorMode.AUTO, {"CLICOLOR_FORCE": "0"}, False, False, id="CLICOLOR_FORCE=0"),
        pytest.param(
            ColorMode.AUTO,
            {"CLICOLOR_FORCE": "0"} | FORCE,
            False,
            True,
            id="one of the two is enough",
        ),
        pytest.param(ColorMode.AUTO, FORCE | {"TERM": "dumb"}, True, True, id="FORCE_COLOR, dumb"),
        # the terminal
        pytest.param(ColorMode.AUTO, TERM, True, True, id="a terminal"),
        pytest.param(ColorMode.AUTO, TERM, False, False, id="a pipe"),
        pytest.param(ColorMode.AUTO, {}, True, False, id="no TERM"),
        pytest.param(ColorMode.AUTO, {"TERM": ""}, True, False, id="TERM empty"),
        pytest.param(ColorMode.AUTO, {"TERM": "dumb"}, True, False, id="TERM=dumb"),
        pytest.param(ColorMode.AUTO, {"TERM": "unknown"}, True, False, id="TERM=unknown"),
    ],
)
def test_whether(
    when: ColorMode, environment: dict[str, str], terminal: bool, colors: bool
) -> None:
    assert (color_system(when, environment, terminal=terminal) is not None) == colors


@pytest.mark.parametrize(
    ("environment", "system"),
    [
        ({}, "standard"),
        ({"TERM": "xterm"}, "standard"),
        ({"TERM": "xterm-256color"}, "256"),
        ({"TERM": "screen.xterm-256color"}, "256"),
        ({"TERM": "xterm", "COLORTERM": "truecolor"}, "truecolor"),
        ({"TERM": "xterm-256color", "COLORTERM": "24bit"}, "truecolor"),
        ({"COLORTERM": "TrueColor"}, "truecolor"),
        ({"TERM": "xterm-256color", "COLORTERM": "yes"}, "256"),
        ({"COLORTERM": ""}, "standard"),
    ],
)
def test_how_many_colors(environment: dict[str, str], system: ColorSystem) -> None:
    for terminal in (False, True):
        assert color_system(ColorMode.ALWAYS, environment, terminal=terminal) == system
    forced = environment | {"FORCE_COLOR": "1"}
    assert color_system(ColorMode.AUTO, forced, terminal=False) == system
