"""The charts are pictures that any reader of SVG takes, with bars as long as they should be."""

from xml.etree import ElementTree

import pytest

from .chart import PANELS, THEMES, Medians, chart

PEERS = ["chatapp-tail", "other & co", "a | b"]
FIGURES: Medians = {
    name: {"chatapp-tail": 50.0, "other & co": 100.0, "a | b": "it <cannot>"}
    for name, _, _ in PANELS
}
SVG = "{http://www.w3.org/2000/svg}"


def drawn(theme: str = "dark", figures: Medians = FIGURES) -> ElementTree.Element:
    return ElementTree.fromstring(chart(figures, PEERS, theme))


def texts(picture: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in picture.iter(f"{SVG}text")]


@pytest.mark.parametrize("theme", THEMES)
def test_every_panel_has_a_bar_for_everybody(theme: str) -> None:
    panels = list(drawn(theme).iter(f"{SVG}g"))
    assert len(panels) == len(PANELS)
    for panel, (_, title, good) in zip(panels, PANELS, strict=True):
        assert texts(panel)[:2] == [title, good]
        widths = [float(bar.attrib["width"]) for bar in panel.iter(f"{SVG}rect")]
        assert widths[0] * 2 == widths[1]
        assert widths[2] == 0
        assert texts(panel)[3::2] == ["50", "100 (2×)", "–"]


def test_what_was_not_measured_has_no_panel() -> None:
    name = PANELS[0][0]
    assert len(list(drawn(figures={name: FIGURES[name]}).iter(f"{SVG}g"))) == 1


def test_figures_of_nobody_draw_no_bars() -> None:
    nothing: Medians = {PANELS[0][0]: {"chatapp-tail": "it failed"}}
    assert texts(drawn(figures=nothing))[3::2] == ["–", "–", "–"]


def test_all_of_it_lies_inside_the_picture() -> None:
    picture = drawn()
    _, _, width, height = map(float, picture.attrib["viewBox"].split())
    for panel in picture.iter(f"{SVG}g"):
        left, top = map(float, panel.attrib["transform"][len("translate(") : -1].split())
        assert left + 400 <= width
        assert max(top + float(text.attrib["y"]) for text in panel.iter(f"{SVG}text")) < height


def test_it_needs_nothing_from_elsewhere_and_can_be_read_aloud() -> None:
    text = chart(FIGURES, PEERS, "light")
    assert "url(" not in text
    assert "href" not in text
    title = drawn("light").findtext(f"{SVG}title")
    assert title is not None
    assert title.startswith("Events a second: chatapp-tail 50, other & co 100, a | b –; CPU")
