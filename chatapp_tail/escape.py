"""Makes untrusted text safe to show on a terminal.

Characters that act on the terminal or cannot be seen become escapes in Python's notation, such as
`\\x1b` or `\\u202e`: controls (C0, DEL, C1), lone surrogates, direction overrides and isolates, and
invisible characters. Those that writing systems and emoji need are kept, and so are backslashes.
"""

import re

# Most text, and ten times faster to recognise than the rules are to apply: ASCII, Latin, Greek,
# Cyrillic, dashes and quotes, kana, ideographs, Hangul.
_ORDINARY = (
    "[ -~\xa0-\xac\xae-\u02ff\u0370-\u0482\u048a-\u058f\u2010-\u2027"
    "\u3001-\u3020\u3041-\u3096\u30a0-\u30ff\u4e00-\u9fff\uac00-\ud7a3]*"
)

# Not compiled at import, which takes 3 ms: most runs have only ordinary text. `re` caches patterns.

_CONTROLS = "\x00-\x1f\x7f-\x9f"
_SURROGATES = "\ud800-\udfff"
_DIRECTION_CHANGES = "\u202a-\u202e\u2066-\u2069"
_INVISIBLE = (
    "\xad\u034f\u115f\u1160\u17b4\u17b5\u180e\u200b\u2028\u2029\u2060-\u2065\u206a-\u206f\u3164"
    "\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e00ff\U000e01f0-\U000e0fff"
)
_STACKING_MARKS = (
    "\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u0610-\u061a\u064b-\u065f\u0e31\u0e34-\u0e3a"
    "\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc\u0ec8-\u0ece\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20f0"
    "\ufe00-\ufe0f\ufe20-\ufe2f\U000e0100-\U000e01ef"
)
_RIGHT_TO_LEFT = (
    "[\u0590-\u05ff\u0620-\u08ff\ufb1d-\ufdff\ufe70-\ufefc"
    "\U00010800-\U00010fff\U0001e800-\U0001efff]"
)
_DIRECTION_MARKS = "\u061c\u200e\u200f"

_RULES = (
    # The flags of England, Scotland and Wales are the only legitimate use of tag characters.
    "(?P<flag>\U0001f3f4[\U000e0020-\U000e007e]{1,7}\U000e007f)",
    # Persian and Indic words and joined emoji need joiners, but never after ASCII or one another.
    "(?<![^\x00-\x7f\u200c\u200d])[\u200c\u200d]",
    "\u200d(?![^\x00-\x7f])",
    # No language stacks more than six marks on a letter; more of them would cover other lines.
    f"(?<=[{_STACKING_MARKS}]{{6}})[{_STACKING_MARKS}]",
)
_UNSAFE = f"{_CONTROLS}{_SURROGATES}{_DIRECTION_CHANGES}{_INVISIBLE}"
_IN_RIGHT_TO_LEFT = "|".join((*_RULES, f"[{_UNSAFE}]"))
_IN_LEFT_TO_RIGHT = "|".join((*_RULES, f"[{_UNSAFE}{_DIRECTION_MARKS}]"))


def escape_line(text: str) -> str:
    """Return `text` on one line, without a character that acts on a terminal or cannot be seen."""
    if (text.isascii() and text.isprintable()) or re.fullmatch(_ORDINARY, text):
        return text
    # Phones put direction marks into right-to-left text; elsewhere they are escaped.
    right_to_left = re.search(_RIGHT_TO_LEFT, text)
    return re.sub(_IN_RIGHT_TO_LEFT if right_to_left else _IN_LEFT_TO_RIGHT, _visible, text)


def escape_text(text: str) -> str:
    """Return `text` safe like `escape_line`, but keep its line breaks, and tabs as four spaces."""
    lines = text.replace("\r\n", "\n").replace("\t", "    ").split("\n")
    return "\n".join(map(escape_line, lines))


def _visible(match: re.Match[str]) -> str:
    return match[0] if match["flag"] else ascii(match[0])[1:-1]
