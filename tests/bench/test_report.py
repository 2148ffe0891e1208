"""One small report, as it is written, read again, told as tables and drawn."""

from datetime import date
from xml.etree import ElementTree

import pytest

from .chart import PANELS, THEMES, chart
from .machine import machine, processor, sentence
from .measure import Sizes
from .plan import LIMIT
from .report import Report, read
from .table import Results, markdown, medians, render

OURS = "chatapp-tail"
PEERS = [OURS, "slow & co", "a | b"]
WHY = "it <cannot>"
RESULTS: Results = {
    "ws: events/s": {OURS: [9e4, 50_612.0, 1.0], "slow & co": [WHY, 25306.0], LIMIT: [5e6, 5e6]},
    "ws: CPU µs/event": {OURS: [12.34], "slow & co": [99.96], "a | b": [WHY]},
    "RSS growth: MiB": {OURS: [0.0], "slow & co": [-39.31], "a | b": [0.01234]},
    "reconnect: s": {OURS: [WHY], "slow & co": [3.0], "a | b": ["no room"]},
    "latency, p99: ms": {OURS: [2.0], "slow & co": [612.0], "a | b": [0.612]},
}
MACHINE = {"date": "2026-11-22", "cores": "2", "processor": "X", "system": "Linux 6", "Python": "3"}
REPORT = Report(MACHINE, PEERS, ["slow & co"], Sizes(), 3, RESULTS)
SVG = "{http://www.w3.org/2000/svg}"


def test_the_report_is_read_as_it_was_written_and_says_what_was_done() -> None:
    assert read(REPORT.json()) == REPORT
    for told in (REPORT.text(), REPORT.markdown()):
        assert "200,000 for throughput" in told
        assert "slow & co, being slow, get a tenth of them." in told
        assert "The load server alone sends 5,000,000 events/s over ws." in told
        assert "2026-11-22, 2 cores of X, Linux 6, Python 3." in told
    assert LIMIT in REPORT.text()
    assert LIMIT not in REPORT.markdown()


def test_the_tables() -> None:
    """Medians of three digits, ratios of two; dashes with a note for what has no figure."""
    assert medians(RESULTS)["ws: events/s"] == {OURS: 50612.0, "slow & co": 25306.0, LIMIT: 5e6}
    assert markdown(RESULTS, PEERS).splitlines() == [
        "| median (times chatapp-tail's) | chatapp-tail | slow & co | a \\| b |",
        "| --- | ---: | ---: | ---: |",
        "| ws: events/s | 50,600 | 25,300 (0.5×) | – |",
        "| ws: CPU µs/event | 12.3 | 100 (8.1×) | – [1] |",
        "| RSS growth: MiB | 0 | -39.3 | 0.0123 |",
        "| reconnect: s | – [1] | 3 | – [2] |",
        "| latency, p99: ms | 2 | 612 (310×) | 0.612 (0.31×) |",
        "",
        "1. it <cannot>",
        "2. no room",
    ]
    _, first, *_, note, last = render(RESULTS, [*PEERS, LIMIT]).splitlines()
    assert first.split() == [
        "ws:",
        "events/s",
        "50,600",
        "25,300",
        "(0.5×)",
        "–",
        "5,000,000",
        "(99×)",
    ]
    assert (note, last) == ("[1] it <cannot>", "[2] no room")


@pytest.mark.parametrize("theme", THEMES)
def test_the_chart(theme: str) -> None:
    """A panel for each figure that was measured, a bar for each peer, all within the picture."""
    text = chart(medians(RESULTS), PEERS, theme)
    assert "url(" not in text
    assert "href" not in text
    picture = ElementTree.fromstring(text)
    spoken = picture.findtext(f"{SVG}title") or ""
    assert spoken.startswith("Events a second: chatapp-tail 50,600, slow & co 25,300, a | b –; CPU")
    _, _, width, height = map(float, picture.attrib["viewBox"].split())
    panels = list(picture.iter(f"{SVG}g"))
    drawn = [panel for panel in PANELS if panel[0] in RESULTS]
    assert len(panels) == len(drawn) == 3
    for panel, (_, title, good) in zip(panels, drawn, strict=True):
        texts = list(panel.iter(f"{SVG}text"))
        assert [text.text for text in texts[:2]] == [title, good]
        assert len(list(panel.iter(f"{SVG}rect"))) == len(PEERS)
        left, top = map(float, panel.attrib["transform"][len("translate(") : -1].split())
        assert left + 400 <= width
        assert max(top + float(text.attrib["y"]) for text in texts) < height
    bars = [float(bar.attrib["width"]) for bar in panels[0].iter(f"{SVG}rect")]
    assert bars == [pytest.approx(2 * bars[1]), bars[1], 0]
    values = [text.text for text in panels[0].iter(f"{SVG}text")][3::2]
    assert values == ["50,600", "25,300 (0.5×)", "–"]


def test_a_processor_has_a_name() -> None:
    assert processor("vendor_id\t: AMD\nmodel name\t: EPYC: 7\nmodel name\t: Y\n") == "EPYC: 7"
    assert processor("CPU implementer : 0x41\n") == "an unknown processor"


def test_this_machine_is_known() -> None:
    known = machine(date(2026, 11, 22))
    assert known["date"] == "2026-11-22"
    assert int(known["cores"]) > 0
    assert f"Python {known['Python']}" in sentence(known)
