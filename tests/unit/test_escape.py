import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatapp_tail.escape import escape_line, escape_text

SHOWN = [
    ("escape", "\x1b[2J", r"\x1b[2J"),
    ("nul", "a\0b", r"a\x00b"),
    ("bell and backspace", "\x07\x08", r"\x07\x08"),
    ("carriage return", "a\rb", r"a\rb"),
    ("line feed", "a\nb", r"a\nb"),
    ("tab", "a\tb", r"a\tb"),
    ("delete", "\x7f", r"\x7f"),
    ("CSI in one character", "\x9b31m", r"\x9b31m"),
    ("next line", "a\x85b", r"a\x85b"),
    ("OSC 8 link", "\x1b]8;;x\x07y", r"\x1b]8;;x\x07y"),
    ("control among other scripts", "привет\x1b", r"привет\x1b"),
    ("override", "\u202egnp.exe\u202c", r"\u202egnp.exe\u202c"),
    ("isolates", "\u2066a\u2069", r"\u2066a\u2069"),
    ("override in Hebrew", "שלום\u202e", r"שלום\u202e"),
    ("direction mark without need", "abc\u200f", r"abc\u200f"),
    ("line and paragraph separator", "a\u2028b\u2029", r"a\u2028b\u2029"),
    ("byte order mark", "\ufeffa", r"\ufeffa"),
    ("zero width space", "z\u200bw", r"z\u200bw"),
    ("soft hyphen", "a\xadb", r"a\xadb"),
    ("word joiner", "a\u2060b", r"a\u2060b"),
    ("blank letter", "\u3164", r"\u3164"),
    ("tag characters", "a\U000e0041", r"a\U000e0041"),
    ("tag characters after a flag, no end", "🏴\U000e0067", r"🏴\U000e0067"),
    ("lone surrogate", "a\ud83d", r"a\ud83d"),
    ("joiner at the start", "\u200da", r"\u200da"),
    ("joiner after ASCII", "a\u200cb", r"a\u200cb"),
    ("joiners in a row", "ن\u200c\u200cن", "ن\u200c\\u200cن"),
    ("joiner before ASCII", "👩\u200dx", r"👩\u200dx"),
    ("a tower of marks", "H" + "\u0301" * 8, "H" + "\u0301" * 6 + r"\u0301\u0301"),
]

KEPT = [
    ("nothing", ""),
    ("plain", "Hello, [red]world[/red] :smile: ~"),
    ("backslash", r"C:\new \x1b ¯\_(ツ)_/¯"),
    ("Latin, Cyrillic, Greek", "Grüße, привет, γειά"),
    ("no-break space", "10\xa0000\u202f₸"),
    ("combining marks", "e\u0301 й ḗ̱"),
    ("Hebrew with points", "שָׁלוֹם"),
    ("Hebrew with a mark", "שלום (1)\u200f"),
    ("Arabic", "السلام عليكم"),
    ("Persian", "می\u200cخواهم"),
    ("Persian, joiner before a space", "خانه\u200c ها"),
    ("Hindi", "नमस्ते क्\u200dष"),
    ("Thai", "น้ำ ที่นี่"),
    ("Chinese, Japanese, Korean", "订单 葛\U000e0100城 주문"),
    ("emoji", "😀 ❤️ 👍🏽 1️⃣ 🇰🇿"),
    ("joined emoji", "👨\u200d👩\u200d👧\u200d👦 ❤️\u200d🔥 🏃🏽\u200d♀️"),
    ("flag of Wales", "🏴\U000e0067\U000e0062\U000e0077\U000e006c\U000e0073\U000e007f"),
    ("private use and not yet assigned", "\ue0b0 \U0001fae8 \U0001faff"),
]


@pytest.mark.parametrize(
    ("text", "expected"), [row[1:] for row in SHOWN], ids=[row[0] for row in SHOWN]
)
def test_shows_what_acts_or_hides(text: str, expected: str) -> None:
    assert escape_line(text) == expected


@pytest.mark.parametrize("text", [row[1] for row in KEPT], ids=[row[0] for row in KEPT])
def test_keeps_what_people_write(text: str) -> None:
    assert escape_line(text) == text
    assert escape_text(text) == text


def test_every_control_and_format_character_is_shown_or_known() -> None:
    kept = {
        chr(code)
        for code in range(0x110000)
        if unicodedata.category(chr(code)) in ("Cc", "Cf", "Cs", "Zl", "Zp")
        and escape_line(f"é{chr(code)}é") == f"é{chr(code)}é"
    }
    joiners = {"\u200c", "\u200d"}
    # Visible signs, such as the Arabic one that encloses a number, and hieroglyphic quadrats.
    visible = set("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2")
    visible |= {"\U000110bd", "\U000110cd", *map(chr, range(0x13430, 0x13440))}
    # In Arabic and Syriac, so in right-to-left text.
    assert kept - joiners <= visible


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\nb", "a\nb"),
        ("a\r\nb", "a\nb"),
        ("a\rb", r"a\rb"),
        ("a\n\n\tb", "a\n\n    b"),
        ("\x1b\n\x9b", "\\x1b\n\\x9b"),
        ("a\u2028b", r"a\u2028b"),
    ],
)
def test_text_keeps_its_lines(text: str, expected: str) -> None:
    assert escape_text(text) == expected


@given(st.text(st.characters()))
def test_is_total_and_leaves_nothing_that_acts(text: str) -> None:
    escaped = escape_line(text)
    assert not [c for c in escaped if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")]
    assert escape_line(escaped) == escaped
