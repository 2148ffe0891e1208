"""The numbered list a Pusher client must conform to, and what of it does not apply here.

Each case is *given* → *what must be*. Gaps in the numbering belong to presence, encrypted and cache
channels, sign-in and client events, which this program does not have. A test is named after its
case, `test_hs_008_…`, or marked with it, `@pytest.mark.case(8)`; the latter are in `tests/unit`.
"""

import re
from collections.abc import Iterator
from pathlib import Path

CASES: dict[int, tuple[str, str]] = {
    1: ("HS", "Key empty or null → refuse before dialling"),
    2: ("HS", "No host and no cluster → refuse with a clear message"),
    3: ("HS", "Cluster eu, TLS → dial wss://ws-eu.pusher.com:443/app/KEY"),
    4: ("HS", "TLS off → dial ws://ws-eu.pusher.com:80"),
    5: ("HS", "Host and port given → use them, the TLS port for wss and the plain port for ws"),
    6: ("HS", "Path prefix given → put it before /app/"),
    7: ("HS", "URL → carry protocol, client, version, with the key percent-encoded"),
    8: ("HS", "connection_established with string data → set socket id and state connected"),
    9: ("HS", "Same with object data → do the same"),
    10: (
        "HS",
        "Without activity_timeout, or 0, negative, text, huge → connect with own default, clamped",
    ),
    11: ("HS", "Own 120 and server 30 → use 30; own 15 and server 30 → 15"),
    13: ("HS", "First frame is another event → close and retry with back-off, not hang"),
    15: ("HS", "First frame pusher:error 4001 → close the socket itself and stop"),
    16: ("HS", "First frame pusher:error 4000 → switch to TLS and retry"),
    17: ("HS", "4099 → stop; 4100, 4199 → wait; 4200, 4299 → at once"),
    18: ("HS", "In-band error with data as a JSON string → read the code"),
    19: ("HS", "TCP accepted, no HTTP answer → give up within the connect deadline and retry"),
    20: (
        "HS",
        "Upgraded, then silence, but WebSocket pings answered → give up within the "
        "handshake deadline",
    ),
    21: ("HS", "HTTP 4xx or 5xx to the upgrade → report the status and classify"),
    22: ("HS", "Closed by the peer before established with a code below 4000 → back off"),
    25: ("HS", "Initial connect fails → retry like any other loss, unless told otherwise"),
    26: (
        "AU",
        "Private channel → ask auth with socket_id and channel_name, then send exactly "
        "the returned auth",
    ),
    27: (
        "AU",
        "Static and computed parameters and headers → send both, the computed ones "
        "evaluated at each request",
    ),
    28: (
        "AU",
        "Auth answers 403 → report channel and status, not retry fast, keep the other channels",
    ),
    29: ("AU", "Auth answers 401 → refresh credentials once if it can, then as 403"),
    30: (
        "AU",
        "408, 429, 5xx, network error, status 0 → retry with back-off and honour Retry- "
        "After, without dropping the channel",
    ),
    31: ("AU", "200 but not JSON, or no auth → report as auth failure, channel stays wanted"),
    33: ("AU", "Auth never answers → time out (10 s) without delaying events or other channels"),
    34: (
        "AU",
        "Connection lost while auth is pending, answer arrives after reconnect → discard it",
    ),
    42: ("AU", "Secrets, bearer tokens and signatures → never be printed or logged"),
    43: (
        "AU",
        "200 private channels at connect → keep to N concurrent auth calls (say 8) over "
        "kept-alive connections",
    ),
    44: (
        "AU",
        "Re-subscribe on the same socket → may reuse the auth answer; on a new one must not",
    ),
    54: ("SU", "Subscribe before connected → be sent once established"),
    55: ("SU", "Public channel → send at once, without auth"),
    56: ("SU", "Subscribed already → send nothing"),
    57: (
        "SU",
        "Subscribe, subscribe → one message. Subscribe, unsubscribe, subscribe → ends "
        "subscribed. Subscribe, unsubscribe at once → ends not subscribed. Unsubscribe "
        "twice → nothing",
    ),
    58: (
        "SU",
        "Unsubscribe while pending → unsubscribe when the success arrives and announce nothing",
    ),
    59: ("SU", "Same, and the link drops first → not subscribe on the new link"),
    60: (
        "SU",
        "Name starting with #, over 164 characters or outside the alphabet → warn, and refuse #",
    ),
    62: ("SU", "Success without data, with '{}', with {} → accept each"),
    64: (
        "SU",
        "Second success for the same channel → not announce twice as new; presence list "
        "is replaced",
    ),
    65: ("SU", "No answer in 10 s → mark as unconfirmed, re-send with a new auth, report"),
    66: (
        "SU",
        "pusher:subscription_error with channel → mark failed and apply the retry class "
        "(401/403 slow, other back-off)",
    ),
    67: (
        "SU",
        "pusher:error without channel while one is pending → attribute by name, then by age",
    ),
    68: ("SU", "'Existing subscription to channel C' → count as subscribed"),
    69: ("SU", "'No current subscription' → count as unsubscribed"),
    70: ("SU", "One channel refused → leave the others alone"),
    71: ("SU", "Unsubscribe → treat as done when sent, and drop later events of that channel"),
    72: ("SU", "Public channels → be subscribed before waiting for any auth"),
    76: ("SU", "cache_miss with or without data → be reported, not an error"),
    77: ("EV", "data string holding JSON → parsed and raw both available"),
    78: ("EV", "data plain text → delivered as text"),
    79: ("EV", "data object, number, null, missing → delivered"),
    81: ("EV", "Event before subscription_succeeded → be delivered"),
    82: ("EV", "Event for another channel → not reach this channel's handlers"),
    83: ("EV", "Unknown pusher_internal: event → not reach users, must be visible in debug"),
    86: ("EV", "Order → be wire order, per connection, also when decryption waits for a key"),
    87: ("EV", "Handler raises → be reported once, other handlers and the reader go on"),
    88: ("EV", "Handler removes itself while being called → not skip or crash"),
    89: ("EV", "Slow handler or blocked stdout → not stop reading or pinging"),
    97: ("KA", "No inbound frame for the activity time → send pusher:ping"),
    98: (
        "KA",
        "Inbound events without pause for 5 minutes → still send pusher:ping at least every 30 s",
    ),
    99: (
        "KA",
        "No frame within the pong time → abandon the socket and reconnect, without "
        "waiting for a close handshake",
    ),
    100: ("KA", "Any frame within it → cancel"),
    101: ("KA", "pusher:ping with any data → answer pusher:pong at once"),
    102: ("KA", "WebSocket ping → be answered at once, also in the middle of a fragmented message"),
    103: ("KA", "Unsolicited pong of either kind → counts as life, nothing else"),
    104: ("KA", "Pongs come, then stop (once and for all) → be noticed in activity + pong"),
    108: ("KA", "Machine slept → probe on wake"),
    111: ("ER", "Close 1000, 1001, 1005, 1006, 1007–1015 → by their table"),
    112: ("ER", "Close 4001 after connected → stop, state 'disconnected', reason shown"),
    113: ("ER", "Close 4100 → wait at least 1 s, growing"),
    114: ("ER", "Close 4200 → at once the first time"),
    115: ("ER", "Close 4300 or above → report; treat as back-off, not as final, unless repeated"),
    116: ("ER", "Close reason → be shown; missing reason no crash"),
    117: (
        "ER",
        "In-band error after connected, any code → report and not by itself reconnect or stop",
    ),
    118: (
        "ER",
        "In-band 4201 then TCP end → class 42xx. In-band 4001 then TCP end → stop. In- "
        "band 4100 then close 1000 → back-off",
    ),
    122: ("RC", "First loss of a link that lived over 60 s → retry after a random 0–1 s"),
    123: ("RC", "Further failures → full jitter over base 1 s doubling, cap 30 s (60 s for 41xx)"),
    124: ("RC", "4200 again within 10 s of connecting, three times → fall into back-off"),
    125: (
        "RC",
        "Counter → be reset only after the link has been *subscribed and stable* (say 30 "
        "s), not at TCP open",
    ),
    126: (
        "RC",
        "Any close, any code, at any age → never average more than a few attempts a second",
    ),
    128: (
        "RC",
        "Number of attempts → unlimited by default, limit as an option with its own exit status",
    ),
    129: ("RC", "Only one attempt or connection at a time, unless overlapping on purpose"),
    130: (
        "RC",
        "After reconnect → use the new socket_id everywhere and re-subscribe every wanted "
        "channel, none unwanted",
    ),
    131: ("RC", "Re-subscription fails for one → others go on; it is retried"),
    133: (
        "RC",
        "State changes → announced in order, no duplicates: connecting, connected, "
        "waiting(n s), stopped(reason)",
    ),
    134: ("RC", "DNS → be resolved again for each attempt, all addresses tried"),
    135: (
        "RC",
        "Each reconnect → report a gap: from the last inbound frame to the new success, "
        "per channel",
    ),
    136: ("RC", "10 000 reconnects → memory, threads, descriptors and timers flat"),
    137: (
        "SD",
        "Disconnect while connected → send close 1000, wait briefly (2 s), then drop TCP; "
        "no reconnect; no further events",
    ),
    138: ("SD", "While connecting, waiting or in auth → abort at once"),
    140: ("SD", "Twice → no error"),
    141: ("SD", "After disconnect no ping, no timer fires"),
    142: ("SD", "Connect after disconnect → works again, channels kept"),
    143: (
        "SD",
        "SIGINT, SIGTERM → flush what was received, print the last position, exit "
        "quickly. SIGPIPE/EPIPE on stdout → quiet end",
    ),
    144: ("HI", "{}, [], 5, 'x', null, true as a frame → skipped with a count, connection kept"),
    145: ("HI", "event not a string, channel not a string → skipped"),
    147: (
        "HI",
        "Binary frame holding valid JSON → may be read, not drop the link; other binary → skipped",
    ),
    149: (
        "HI",
        "Message above the cap (default 16 MiB, option) → close 1009, back-off, say which size",
    ),
    151: (
        "HI",
        "Compressed frame without negotiation (RSV1) → 1002. Deflate bomb with "
        "negotiation → cap on the inflated size",
    ),
    153: (
        "HI",
        "50 000 frames a second → no unbounded queue: spool or count, never silently discard",
    ),
    154: ("HI", "Ping flood → answers limited, reader not starved"),
    156: (
        "HI",
        "Control characters and terminal escapes in names and data → escaped when printed "
        "to a terminal, untouched in NDJSON",
    ),
    160: (
        "HI",
        "Wrong certificate, expired, wrong name → stop-class failure with the reason; no "
        "silent downgrade",
    ),
}
"""Number → (section, what is given → what must be)."""

NOT_APPLICABLE: dict[int, str] = {
    3: "addresses are given by URL; there are no Pusher clusters",
    4: "addresses are given by URL; there are no Pusher clusters",
    27: "the auth request has fixed parameters; users configure none",
    58: "channels are chosen at the start; nothing is unsubscribed at run time",
    59: "channels are chosen at the start; nothing is unsubscribed at run time",
    71: "channels are chosen at the start; nothing is unsubscribed at run time",
}
"""Number → why the case has no test."""

_MARK_OR_TEST = re.compile(r"mark\.case\(([^)]*)\)|^def (test_\w+)", re.MULTILINE)
_NUMBERED = re.compile(r"test_([a-z]{2})_(\d{3})_")
_TESTS = Path(__file__).parents[1]


def mapping() -> dict[int, list[str]]:
    """Return the tests of each number, as `path::name`; AssertionError on a wrong section."""
    found: dict[int, list[str]] = {}
    for folder in ("conformance", "unit"):
        for path in sorted((_TESTS / folder).rglob("test_*.py")):
            for number, name in _numbered(path.read_text()):
                found.setdefault(number, []).append(f"{path.relative_to(_TESTS)}::{name}")
    return found


def _numbered(source: str) -> Iterator[tuple[int, str]]:
    """Yield (number, test) for each number in the name of a test or in the marks before it."""
    marked: list[int] = []
    for numbers, name in _MARK_OR_TEST.findall(source):
        marked += map(int, re.findall(r"\d+", numbers))
        if not name:
            continue
        if named := _NUMBERED.match(name):
            section, number = named[1].upper(), int(named[2])
            case = CASES.get(number)
            assert case is None or case[0] == section, f"{name}: {number} is of {case}"
            marked.append(number)
        yield from ((number, name) for number in marked)
        marked = []
