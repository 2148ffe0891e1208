"""The pictures in the README, made by the program's own pretty output.

`python -m tests.pictures` writes them anew; a test checks that they are what it would write.
"""

from datetime import UTC
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import DEFAULT_TERMINAL_THEME, TerminalTheme
from rich.text import Text

from chatapp_tail.chatapp.records import decode
from chatapp_tail.formats.pretty import Pretty
from chatapp_tail.formats.times import TimeStyle, make_clock
from chatapp_tail.items import ChannelEvent

FOLDER = Path(__file__).parent.parent / ".github"
WIDTH = 84
_BEGAN = 1_637_319_282
_DARK = TerminalTheme(
    (22, 24, 29),
    (220, 223, 228),
    [
        *[(40, 44, 52), (224, 108, 117), (152, 195, 121), (229, 192, 123)],
        *[(97, 175, 239), (198, 120, 221), (86, 182, 194), (220, 223, 228)],
    ],
)
THEMES = {"dark": _DARK, "light": DEFAULT_TERMINAL_THEME}

_CHAT = (
    '"chat":{"id":"private-1480000001h1360000000000000001","hash":"h1360000000000000001",'
    '"type":"private","phone":"7000000000","username":"username_test","name":"Test Test"}'
)
_FROM = '"fromUser":{"id":1480000001,"username":"username_test","name":"Test Test"}'
_GROUP = '"chat":{"id":"group-54911000655","type":"group","name":"Delivery team"}'
_ANNA = '"fromUser":{"id":1480000002,"name":"Anna Example"}'
_STORY = (
    (
        "telegram",
        "message",
        '{"id":696,"fromMe":false,"type":"text","message":{"text":"Test","caption":"",'
        f'"file":null}},{_FROM},{_CHAT}}}',
    ),
    (
        "telegram",
        "message",
        '{"id":42213,"fromMe":true,"type":"text","message":{"text":"Hello! Your order is on its'
        f' way, here is the invoice."}},{_CHAT}}}',
    ),
    (
        "telegram",
        "message",
        '{"id":42214,"fromMe":true,"type":"file","message":{"text":"","caption":"Thank you!",'
        '"file":{"link":"https://example.invalid/1","name":"invoice 1045.pdf","size":48128,'
        f'"mimeType":"application/pdf"}}}},{_CHAT}}}',
    ),
    ("telegram", "messageStatus", f'{{"id":42213,"type":"delivered",{_CHAT},"error":null}}'),
    ("telegram", "messageStatus", f'{{"id":42213,"type":"viewed",{_CHAT},"error":null}}'),
    (
        "telegram",
        "chatTag",
        '{"type":"add","tag":{"id":29,"name":"test 1","color":"#123df55","sort":100,'
        '"category":{"id":9,"name":"test 1","sort":100}},"chat":{"id":"group-54911000655"}}',
    ),
    (
        "grWhatsApp",
        "message",
        '{"id":"A1","fromMe":false,"type":"image","message":{"text":"","caption":"Is this the'
        ' right door?","file":{"link":"https://example.invalid/2","name":"door.jpg"}},'
        f"{_ANNA},{_GROUP}}}",
    ),
    (
        "grWhatsApp",
        "messageStatus",
        '{"id":"A0","type":"failed","chat":{"id":"7000000009","phone":"7000000009"},'
        '"error":{"code":131026,"message":"this number has no WhatsApp"}}',
    ),
    ("grWhatsApp", "chatConversation", '{"chat":{"id":"7000000009"},"open":true}'),
)


def lines() -> str:
    """The story as a terminal with 16 colours shows it."""
    pretty = Pretty(
        width=lambda: WIDTH,
        color_system="standard",
        clock=make_clock(TimeStyle.LOCAL, UTC),
        timezone=UTC,
    )
    shown = []
    for number, (messenger, event, item) in enumerate(_STORY):
        channel = f"private-v1.licenses.1229.messengers.{messenger}"
        data = f'{{"payload":{{"data":[{item}]}}}}'.encode()
        decoded = decode(ChannelEvent((_BEGAN + number) * 10**9, event, channel, data))
        shown += pretty(decoded, decoded.records)
    return b"".join(shown).decode()


def picture(theme: str) -> str:
    """The same as an SVG."""
    console = Console(record=True, width=WIDTH, file=StringIO(), force_terminal=True)
    console.print(Text.from_ansi(lines()), soft_wrap=True)
    title = "chatapp-tail --license 1229"
    return console.export_svg(title=title, theme=THEMES[theme], unique_id=f"pretty-{theme}")


def path(theme: str) -> Path:
    """Where a picture is kept."""
    return FOLDER / f"pretty-{theme}.svg"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for each in THEMES:
        path(each).write_text(picture(each), encoding="utf-8")
