"""Figures of many runs -> medians and ratios -> one table, as text or as Markdown."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from .peers import OURS
from .run import Figures

Results = dict[str, dict[str, list[float | str]]]
"""Figure -> who -> the values of all rounds, or the reason why there are none."""

CORNER = "median (times chatapp-tail's)"


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


def ratio(value: float | str | None, ours: float | str | None) -> float | None:
    """Return how many times ours a figure is, where both are figures over zero."""
    if not isinstance(value, float | int) or not isinstance(ours, float | int):
        return None
    return value / ours if value > 0 and ours > 0 else None


def render(results: Results, columns: Sequence[str]) -> str:
    """Return the table and, below it, what its dashes mean."""
    rows, reasons = _rows(results, columns)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join([*lines, *(f"[{at}] {reason}" for at, reason in enumerate(reasons, 1))])


def markdown(results: Results, columns: Sequence[str]) -> str:
    """Return the same for the README."""
    rows, reasons = _rows(results, columns)
    rows = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    ruler = ["---", *["---:"] * len(columns)]
    lines = [f"| {' | '.join(row)} |" for row in [rows[0], ruler, *rows[1:]]]
    if reasons:
        lines += ["", *(f"{at}. {reason}" for at, reason in enumerate(reasons, 1))]
    return "\n".join(lines)


def _rows(results: Results, columns: Sequence[str]) -> tuple[list[list[str]], list[str]]:
    """Return the cells, and the reasons that their dashes have the numbers of."""
    reasons: list[str] = []
    rows = [[CORNER, *columns]]
    for name, row in medians(results).items():
        rows.append([name, *(_cell(row, column, reasons) for column in columns)])
    return rows, reasons


def _cell(row: Mapping[str, float | str], column: str, reasons: list[str]) -> str:
    if column not in row:
        return "–"
    value = row[column]
    if isinstance(value, str):
        if value not in reasons:
            reasons.append(value)
        return f"– [{reasons.index(value) + 1}]"
    times = None if column == OURS else ratio(value, row.get(OURS))
    return number(value) if times is None else f"{number(value)} ({number(times, 2)}×)"


def number(value: float, digits: int = 3) -> str:
    """Return so many digits that count, without an exponent."""
    rounded = float(f"{value:.{digits}g}")
    return f"{rounded:,.0f}" if abs(rounded) >= 10 ** (digits - 1) else f"{rounded:g}"
