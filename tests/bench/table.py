"""Figures of many runs -> medians and ratios -> one table."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from .measure import Figures

OURS = "chatapp-tail"
Results = dict[str, dict[str, list[float | str]]]
"""Figure -> who -> the values of all rounds, or the reason why there are none."""

_CORNER = "median (times chatapp-tail's)"


def add(results: Results, who: str, figures: Figures) -> None:
    for name, value in figures.items():
        results.setdefault(name, {}).setdefault(who, []).append(value)


def summary(values: Iterable[float | str]) -> float | str:
    """Return the median of the figures, or the first reason why there is none."""
    known = list(values)
    numbers = [value for value in known if not isinstance(value, str)]
    return median(numbers) if numbers else str(known[0])


def medians(results: Results) -> dict[str, dict[str, float | str]]:
    return {
        name: {who: summary(values) for who, values in row.items()} for name, row in results.items()
    }


def ratio(value: float | str, ours: float | str | None) -> float | None:
    """Return how many times ours a figure is, where both are figures other than zero."""
    if isinstance(value, str) or isinstance(ours, str) or not ours or not value:
        return None
    return value / ours


def render(results: Results, columns: Sequence[str]) -> str:
    """Return the table and, below it, what its dashes mean."""
    reasons: list[str] = []
    rows = [[_CORNER, *columns]]
    for name, row in medians(results).items():
        rows.append([name, *(_cell(row, column, reasons) for column in columns)])
    notes = [f"[{number}] {reason}" for number, reason in enumerate(reasons, 1)]
    return "\n".join([*_aligned(rows), *notes])


def _cell(row: Mapping[str, float | str], column: str, reasons: list[str]) -> str:
    if column not in row:
        return "–"
    value = row[column]
    if isinstance(value, str):
        if value not in reasons:
            reasons.append(value)
        return f"– [{reasons.index(value) + 1}]"
    times = None if column == OURS else ratio(value, row.get(OURS))
    return number(value) if times is None else f"{number(value)} ({times:.2g}×)"


def number(value: float) -> str:
    """Return three digits or all before the point, whichever are more."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return lines
