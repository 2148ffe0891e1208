import pytest

from .table import Results, add, markdown, medians, number, ratio, render


def results_of(**figures: tuple[float | str, float | str]) -> Results:
    results: Results = {}
    for name, (ours, theirs) in figures.items():
        add(results, "chatapp-tail", {name: ours})
        add(results, "other", {name: theirs})
    return results


def test_a_median_stands_beside_its_ratio() -> None:
    results: Results = {}
    for ours, theirs in ((1.0, 5.0), (2.0, 4.0), (9.0, 3.0)):
        add(results, "chatapp-tail", {"x": ours})
        add(results, "other", {"x": theirs})
    lines = render(results, ["chatapp-tail", "other"]).splitlines()
    assert lines[1].split() == ["x", "2", "4", "(2×)"]


def test_a_reason_becomes_a_dash_and_a_note() -> None:
    results = results_of(x=(2.0, "it cannot"), y=(3.0, "it cannot"))
    lines = render(results, ["chatapp-tail", "other", "nobody"]).splitlines()
    assert lines[1].split() == ["x", "2", "–", "[1]", "–"]
    assert lines[2].split() == ["y", "3", "–", "[1]", "–"]
    assert lines[3:] == ["[1] it cannot"]


def test_figures_win_over_reasons() -> None:
    results: Results = {}
    add(results, "other", {"x": "it failed once"})
    add(results, "other", {"x": 3.0})
    assert medians(results) == {"x": {"other": 3.0}}


def test_the_same_in_markdown() -> None:
    results = results_of(x=(2.0, 4.0), y=(3.0, "it cannot"))
    results["x"]["a | b"] = [1.0]
    assert markdown(results, ["chatapp-tail", "other", "a | b"]).splitlines() == [
        "| median (times chatapp-tail's) | chatapp-tail | other | a \\| b |",
        "| --- | ---: | ---: | ---: |",
        "| x | 2 | 4 (2×) | 1 (0.5×) |",
        "| y | 3 | – [1] | – |",
        "",
        "1. it cannot",
    ]


@pytest.mark.parametrize(
    ("value", "ours"), [(0.0, 1.0), (1.0, 0.0), ("no", 1.0), (1.0, None), (-2.0, 1.0)]
)
def test_no_ratio_of_nothing(value: float | str, ours: float | None) -> None:
    assert ratio(value, ours) is None


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0"),
        (0.01234, "0.0123"),
        (12.0, "12"),
        (12.34, "12.3"),
        (99.96, "100"),
        (123.4, "123"),
        (50612.0, "50,600"),
        (2e6, "2,000,000"),
        (-39.31, "-39.3"),
    ],
)
def test_three_digits_count(value: float, shown: str) -> None:
    assert number(value) == shown


def test_a_ratio_has_two() -> None:
    assert [number(value, 2) for value in (0.306, 3.06, 30.6, 306.0)] == [
        "0.31",
        "3.1",
        "31",
        "310",
    ]
