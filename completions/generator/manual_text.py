"""What the manual page says beyond `--help`: one body of text per section and subsection."""

from collections.abc import Mapping, Sequence

from chatapp_tail.errors import ExitStatus

Block = str | tuple[str, ...] | Mapping[str, str]
"""Text of one or more paragraphs, a list of points, or terms with their explanations."""

Body = Sequence[Block]

Section = Mapping[str, Body]
"""Headings of subsections -> their bodies; what stands before the first has an empty heading."""

OPTIONS = """\
Different filters are combined with "and", several values of one filter with "or".
Whichever limit is reached first ends the program.

Messenger types are case-sensitive: telegram, telegramBot,
grWhatsApp, caWhatsApp, avito, vkontakte, instagram, email, max and others.

--where takes a JMESPath expression (https://jmespath.org). Pretty output highlights what --grep
matches. --channel takes any Pusher channel except presence channels. A SOCKS proxy needs the
package PySocks: pip install '.[socks]'.
"""

RECORD_MEMBERS = {
    "v": "1, the version of this format.",
    "type": "event; with --meta also status and gap.",
    "event": "What happened: message, messageStatus, chatTag, ... whatever the server sends.",
    "id": "What the record is about, the same on every machine and in every run. Compare it as a"
    " whole; its parts have no documented meaning.",
    "hash": "The first 12 hexadecimal digits of the SHA-256 of data as it stands in the line. An"
    " edited message has the same id and another hash: remove duplicates by both, keep the newest"
    " of a message by id. The same message from history may differ in hash from its live copy."
    " Tags, without an id of their own, may honestly repeat: look for their duplicates only"
    " around a restart.",
    "channel": "The Pusher channel it came through.",
    "license, messenger": "Licence number and messenger type, from the event or else from the"
    " name of the channel; null where neither has them.",
    "received": "When it came, UTC, as 2026-11-22T08:39:00.123456Z.",
    "source": "Where it came from: live, backfill (from history, to fill a gap) or replay (a saved"
    " record).",
    "queue": "ChatApp's name of its queue, or null.",
    "part, parts": "Which item of the event this is, of how many.",
    "encoding": "text, only where the event's data was not JSON; data is then that text.",
    "data": "The item byte for byte as it came: digits of numbers, order of members, escapes. An"
    " event without a list of items has all of its data here.",
}

CSV_COLUMNS = {
    "received, sent": "When it came; when the message was sent (UTC).",
    "event, id, channel, license, messenger": "As in a JSON record.",
    "direction": "in, out or empty.",
    "chat_id, chat_name, chat_phone, from_id, from_name, from_phone": "Of the item's chat and"
    " fromUser.",
    "type": "The type of the item: text, image, delivered, add, ...",
    "text": "Text and caption.",
    "status": "Of a messageStatus only.",
    "error, tag": "Why it failed; the name of the tag.",
    "file_name, file_link": "Several names are joined by a comma and a space, links by a space.",
    "data": "The item as JSON.",
    "hash": "As in a JSON record; a file begun by an earlier version keeps its columns.",
}

TEMPLATE_FIELDS = {
    "time": "When it came, as --time says.",
    "received, event, id, hash, channel, license, messenger, source": "Members of the record.",
    "queue, part, parts, data": "Members of the record, too.",
    "direction, arrow, sent": "in or out; the same as an arrow; when the message was sent (UTC).",
    "chat, chat.id, chat.type, chat.name, chat.phone, chat.username": "chat alone is the name, or"
    " else the username, phone or id.",
    "from, from.id, from.name, from.phone, from.username": "The sender; from alone as with chat.",
    "type, text, status, error, tag, file.name, file.link": "As the columns of CSV.",
}

STATES = {
    "connecting": "A connection attempt begins.",
    "connected": "The server accepted the connection; nothing is subscribed yet.",
    "subscribed": "The server confirmed one channel.",
    "ready": "Every channel is confirmed or refused.",
    "refused": "One channel was refused; the others go on.",
    "warning": "A problem that does not end the connection; channel may be null.",
    "idle": "No event for a minute, repeated every minute; the members are ages, last_pong is null"
    " before the first one.",
    "lost": "The connection ended, or an attempt failed; code may be null, and lasted is null where"
    " there was no connection.",
    "reconnecting": "The next attempt begins after delay.",
    "fetching": "History is being read; trouble is null unless a request is repeated. On stderr"
    " only.",
    "stopped": "The connection will not be tried again.",
    "delivery": "How deliveries to a destination go; message says it. On stderr only.",
    "frame": "A frame that was sent or received. With -vv, on stderr only.",
}

_STATUS_RECORDS = """\
With --meta, status and gap records are on standard output between the events, in their order.
With --log-format json they are on standard error, with a message for people. Moments (at, from, to)
are UTC, as in received; durations are in seconds. chatapp-tail schema prints the JSON Schema.

A status record has the members v, type ("status"), state, at, and those of its state:
"""
OTHER_RECORDS = {
    "gap": "Events of a channel between two moments may be missing. recovered counts the messages"
    " read from history; missing says why others may be missing, and is null if all were read.",
    "dead": "A record that was not delivered, see FORWARDING; in the file of dead letters only.",
    "error": "What ends the program, usage errors included; with --log-format json only.",
    "summary": "What was shown, filtered out and lost, see SIGNALS; with --log-format json only."
    " With a destination also: destination, delivered, retried, dead (letters), waiting.",
}

_STREAMS: Body = [
    """\
Standard output holds records and nothing else, each line whole and written at once. Standard
error holds notices: trouble always (a lost connection, a refused channel, a gap), progress when it
is a terminal or with --verbose. So the standard error of a script stays empty while all is well.

Receiving never waits for standard output. What a slow reader does not take is kept in memory, then
in an unnamed file in the directory for temporary files, up to --spool-limit; beyond that the
program ends with status 7 rather than drop an event. It never waits for standard error either:
up to 256 KiB of notices are kept, then the oldest are dropped and their number is reported.

If output is appended to a file that ends within a line, a newline is written first.
"""
]

_RECORDS: Body = [
    """\
In a pipe, or with -o json, each item of an event is one line: an event with three messages
becomes three records. A record is a JSON object with these members, in this order. Later versions
only add some.
""",
    RECORD_MEMBERS,
    """\
With -o raw each frame is one line, with its data as ChatApp documents it:
{"queue":...,"payload":{"data":[...],"meta":{...}}}.
""",
]

_CSV: Body = [
    """\
-o csv writes a header and one row per record (RFC 4180, UTF-8). A cell that a spreadsheet would run
as a formula gets an apostrophe in front. Later versions add columns only at the end. A file has one
header: nothing is added to a file that begins with one, and a cell within which an earlier run was
killed is closed first. In a pipe every run writes a header, with --resume too. The columns are:
""",
    CSV_COLUMNS,
]

_TEMPLATES: Body = [
    r"""
--format takes text with fields in braces and writes one line per record; newlines, carriage returns
and tabs within a field are written as \n, \r and \t. {text:.40} cuts a field, {event:<14} pads it;
{{ and }} are braces, \t, \n and \\ a tab, a newline and a backslash. The fields are:
""",
    TEMPLATE_FIELDS,
]

_SAVED: Body = [
    """\
chatapp-tail replay reads what -o json and -o raw wrote, through the same filters and formats. Files
may be compressed with gzip or zstd (pip install '.[zstd]'). Of each file the first five lines that
cannot be read are named, and the others are counted.
"""
]

ANSWERS = {
    "2xx": "Delivered.",
    "no answer, 1xx, 408, 425, 429, 5xx": "Trouble: no connection, a reset, a certificate that is"
    " not trusted, no complete answer within --forward-timeout. Sent again until it is delivered,"
    " first within half a second, then after a time chosen at random up to a limit that doubles to"
    " 60 seconds. Retry-After is obeyed, up to an hour.",
    "3xx, 401, 402, 403, 404, 405, 407": "The address or the credentials are wrong. Reported at"
    " once, with the address that a redirect names; redirects are not followed. Sent again after 5"
    " to 60 seconds, and never given up, whatever --forward-retry-for says.",
    "other 4xx": "This delivery is refused: a dead letter. After 20 in a row without a success it"
    " is the endpoint that is wrong, and deliveries are held as above.",
    "410": "Gone: the program ends with status 7, and nothing more is acknowledged.",
}

HEADERS = {
    "content-type": "application/json, unless --header says otherwise.",
    "user-agent": "chatapp-tail/ and the version.",
    "webhook-id": "The id of the first record, + and the number of further records if there are"
    " any, a colon and 12 hexadecimal digits of the SHA-256 of the body. Everything in the id but"
    " letters, digits, colons, hyphens and underscores is percent-encoded. All attempts of a"
    " delivery have the same one, also those of a later run; an edited message has another one."
    " replay sends each record by itself.",
    "webhook-timestamp": "When this attempt was made, in seconds since 1970.",
    "webhook-signature": "With --forward-secret-file only: v1, and the HMAC-SHA-256 of webhook-id,"
    " webhook-timestamp and body, joined by full stops, in base64. With several secrets there are"
    " several signatures, separated by spaces, so that a secret can be replaced without a break.",
}

COMMAND_VARIABLES = {
    "CHATAPP_ID, CHATAPP_HASH, CHATAPP_EVENT, CHATAPP_LICENSE, CHATAPP_MESSENGER,"
    " CHATAPP_CHANNEL, CHATAPP_SOURCE": "Members of the record, empty where they are null.",
    "CHATAPP_CHAT": "The id of the chat, empty where the event has none.",
}

COMMAND_STATUSES = {
    "0": "Delivered.",
    "75, death by SIGTERM": "Trouble (EX_TEMPFAIL of sysexits.h): run again, after the same times"
    " as with HTTP.",
    "126, 127": "The command cannot be executed or was not found: the program ends with status 2.",
    "another status or signal, --exec-timeout": "This record is refused: a dead letter. A command"
    " that takes too long gets SIGTERM, with its process group, and SIGKILL five seconds later.",
}

FORWARDING: Section = {
    "": [
        """\
With --forward-to each event is sent to a URL, with --exec a command is run for each record, until
the destination acknowledges it. Filters apply as to standard output. A run has one destination; for
two, run two tails with two --resume names.

With --forward-to, standard output shows events on a terminal, and is silent otherwise unless
--output, --json or --format is given. With --exec it belongs to the commands.

Notices say where events go, trouble once and again when its reason changes, and when deliveries
succeed again; with --verbose there is a line for each delivery. User info and query of the URL,
headers and secrets are never shown.
"""
    ],
    "What holds": [
        (
            "Every event that was received is delivered at least once, or is a dead letter. It is"
            " delivered twice only if this program, the machine or the link died between the"
            " handling of an event and the noting of its acknowledgement. webhook-id tells such"
            " duplicates, and in records id and hash together do.",
            "With --resume this holds across kill -9, restarts and outages of the destination, for"
            " statuses and tags too: what comes is in the journal of the checkpoint before it is"
            " sent, and leaves it when it is acknowledged. Without --resume, what is not"
            " acknowledged at the end is lost, and the last notice says how many events that is.",
            "Deliveries of one chat are made one after the other, in the order in which its events"
            " came, and messages of a gap come before the live events that waited for them."
            " Different chats overtake each other, up to --jobs at once.",
            "At most 4,096 deliveries or 16 MiB are under way. What comes meanwhile is kept in"
            " memory and then on disk up to --spool-limit; beyond that the program ends with status"
            " 7 rather than drop an event.",
            "A destination that cannot be reached does not keep the tail from subscribing, and for"
            " --idle, waiting for it is not idleness. --count counts deliveries that were"
            " acknowledged or are dead letters.",
        )
    ],
    "Requests": [
        """\
The URL is http:// or https://. A port alone, or localhost without a scheme, means http on this
machine: 3000/webhook is http://localhost:3000/webhook, tried at ::1 and 127.0.0.1. For a URL with a
password use the variable CHATAPP_TAIL_FORWARD_TO, since other users can read command lines.
Loopback addresses are never reached through a proxy, others as the API is.

Each request is a POST over a connection that is kept alive. With --forward-body webhook, the
default, its body is what ChatApp's own webhooks send, {"data":[...],"meta":{...}}: the part
"payload" of the event byte for byte, without the items that filters excluded. An event with items
of several chats is one request per chat. With --forward-body record the body is one record, as -o
json writes it. The headers are, besides those of --header:
""",
        HEADERS,
        "What follows from an answer:",
        ANSWERS,
        """\
A chat whose delivery fails waits, others go on. If five of the connections fail, or all, one of
them tries and the others wait.
""",
    ],
    "NATS JetStream": [
        """\
With nats://HOST[:PORT],HOST2/PREFIX (or tls://) records are published to a stream, each under the
subject PREFIX.LICENCE.MESSENGER.EVENT, and are settled when the stream acknowledges them. It needs
a package more: pip install 'chatapp-tail[nats]'. Without a stream that takes the subjects the
program ends with status 2 and the command that makes one; --create-stream makes it, with a window
for duplicates of a day.

Two machines may publish the same events into one stream, each with its own --resume and its own
login, since each renewal of a shared one voids the other's. The stream takes each message and each
status once, as long as one of them is linked; while both are down, messages come from history and
the rest does not. Tags have no id of their own: around the restart of a machine some may be
missing, or there twice.
""",
    ],
    "Commands": [
        """\
--exec runs sh -c COMMAND for each record, in a process group of its own, so that Ctrl-C does not
reach it. The record is its standard input, one line as -o json writes it; a command need not read
it. In its environment are these variables, and none of CHATAPP_TOKEN, CHATAPP_PASSWORD and
CHATAPP_TAIL_...:
""",
        COMMAND_VARIABLES,
        "What follows from its exit status:",
        COMMAND_STATUSES,
    ],
    "Dead letters": [
        """\
A record that was refused, or given up after --forward-retry-for, is appended to the file
--dead-letters as a line of JSON with time, destination, attempts, status, reason and record. It is
on disk before it counts as settled. With --resume there is such a file by default, see FILES;
without either, refused records are reported and not kept.

replay reads dead letters as it reads records. To send them again once the destination is repaired,
move the file away first:
""",
        {
            "mv ~/.local/state/chatapp-tail/dead-letters/crm.ndjson .": "",
            "chatapp-tail replay crm.ndjson --forward-to https://crm.example/webhook": "",
        },
        """\
replay delivers only if --forward-to or --exec is on its command
line; their variables alone do not make it send anything.
""",
    ],
    "As a service": [
        """\
With systemd use KillMode=mixed, so that commands of --exec are not ended before their time,
TimeoutStopSec= of more than 10 seconds, and LoadCredential= for the file of secrets, or
EnvironmentFile= with CHATAPP_TAIL_FORWARD_SECRET. The service is ready without waiting for the
destination.
"""
    ],
}

HISTORY: Section = {
    "": [
        """\
The Pusher protocol keeps no history; what is sent while there is no connection is lost. ChatApp's
API keeps messages, and chatapp-tail reads those that it missed. It does not keep statuses, tags,
former texts of edited messages, or the events of company and user channels.
"""
    ],
    "Gaps": [
        """\
When a connection is lost, each of its channels has a gap. It begins at the last moment for which
the connection is known to have worked: when the last ping was sent that the server answered. It
ends when the server confirms the channel again. Its length is measured by a clock that cannot be
set.

After each reconnect the messages of the gap are fetched and written in the order of their times,
with the source backfill. Live events wait for them, for --backfill-wait at most; messages that
take longer are written later. If the reader of standard output is slow, messages that were fetched
by the time the gap is reached are written before the live events in any case. A message that comes
both ways is written once, and again if it was edited in between. The notice of the gap comes after
its messages and says what may be missing.

An answered ping proves that the connection works, not that the server still has the subscription.
So history is read from the last event of the channel or the last confirmed request for it, mostly
up to six minutes before the gap.
"""
    ],
    "Subscriptions that a server forgets": [
        """\
Some servers drop a subscription of a working connection and do not say so. So each subscription is
requested again every three minutes, with the same signature, which restores it. If the server does
not tell whether it still had the subscription, history is asked three minutes later for messages
of the time in between: one request per channel, at most one every two seconds, and one per chat
that changed. Only if there are messages that did not come is it a gap, and reported. Statuses and
tags of such a time are lost without a notice, and with --no-backfill messages are too.
"""
    ],
    "Continuing after a stop": [
        """\
With --resume the tail notes what it has written to standard output, under a name, and the next run
with that name begins with what is missing, after a crash, an upgrade or a holiday. Every message
that ChatApp's history has is written at least once; it is written twice only if the process was
killed between writing it and noting that, which it does about every 16 lines. Id and hash
together identify such duplicates. A name is for one process at a time; a second one is refused.
""",
        (
            "The first run with a name begins at --since, or now: messages sent before are not"
            " written. If no message comes in its first minute, only your clock tells when it"
            " began, and messages of up to ten seconds before may be written.",
            "Written means handed to standard output: what the reader of a pipe loses is lost. To"
            " stop after some lines use --count, not head.",
            "A line longer than 4 KiB, which a pipe does not take at once, may be cut if the"
            " process is killed, and so may the last line of a file if the process is killed or the"
            " disk is full. The next run then begins a new line (at times an empty one) and writes"
            " the message again. All other lines are whole or absent.",
            "After a loss of power the file system decides what is left of the output and of the"
            " notes.",
            "If your clock was set back since the last run, history is read from the newest message"
            " on. This is reported, and messages may come twice.",
        ),
    ],
    "Limits of history": [
        (
            "History is read by the messages' own times, from 30 seconds before the gap (5 minutes"
            " before the end of an earlier run): by your clock, by the server's clock or by the"
            " last message seen before, whichever is earliest. A message that reached ChatApp"
            " during the gap with an older time is not found.",
            "What ChatApp refuses (403) is missing. What cannot be read for one minute while other"
            " requests succeed, or for ten minutes while none does, is given up for now, and read"
            " again with the next gap of its channel or by the next run with --resume. The notice"
            " of the gap says so.",
            "Where answers of the service may hide messages (a list of chats without an end, a"
            " hundred chats that changed in the same second), the notice says so too.",
            "With --all, new licences and messengers are found within five minutes; what was said"
            " in them since the check before is a gap.",
            "At most 10 requests per second are made, for pages of 100, and pauses that the server"
            " asks for are kept: a few requests per messenger and one per chat that changed. What"
            " is read waits on disk, not in memory.",
        )
    ],
}

CONNECTION: Section = {
    "": [
        (
            "A ping is sent every --ping-interval, also while events come, and must be answered"
            " within --pong-timeout. A dead connection is noticed within 25 seconds.",
            "After the loss of a connection that was stable the next attempt follows within one"
            " second. The delay then doubles, up to 30 seconds, and is chosen at random below"
            " that. There are never more than five attempts in ten seconds, whatever the server"
            " says.",
            "What does not get better by itself (a wrong key, a dead token, a refused channel) ends"
            " the program with its own status. Everything else is retried, also reading the list"
            " of licences at the start while there is no network.",
            "A licence or messenger that is not in the account, and a licence that is not active,"
            " is reported where that list is read: with --all, and with --license or --messenger"
            " alone.",
            "Only a refusal by ChatApp itself counts; an error page of a gateway is reported and"
            " the request is repeated. A first refusal counts at once, unless another --ws-url is"
            " left to try. A channel that was subscribed before is requested at least three times"
            " in half a minute before its refusal counts, and a server that accepted a connection"
            " before is tried for five minutes, or without limit if it answers with an HTTP"
            " status.",
            "A server, or an address of its name, whose connection did not stay subscribed for half"
            " a minute is left for the next one.",
            "Looking up a name may take 30 seconds besides --connect-timeout. An HTTP response may"
            " take 30 seconds from its request to its last byte, and have 16 MiB.",
        )
    ],
}

CREDENTIALS: Section = {
    "": [
        """\
The access token is read from --token-file, from CHATAPP_TOKEN, or from the login that chatapp-tail
login stored, in this order. Tokens of the service live for 24 hours.

A stored login is renewed when the service refuses its token, once for all processes that share it;
only if the new one can be saved, and at most once in five minutes. It lasts as long as the program
runs at least every 14 days. A token file is read again when its token is refused, so that another
program may renew it. A CHATAPP_TOKEN that has expired ends the program with status 3.

Warnings are shown if others can read a file with a token, password or secret, if the command line
has a --forward-to with a password, and if a token or events would go to another machine by http://
or ws://. A token, password or signature that a server or a proxy
repeats is not shown.
"""
    ],
}

SIGNALS: Section = {
    "": [
        {
            "SIGINT, SIGTERM": "Nothing more is received. What was received is written for as long"
            " as the reader of standard output takes some of it: SIGTERM gives up after 10 seconds"
            " without a byte taken, SIGINT after one, and the last notice says how many events"
            " were not written. The process then dies by that signal; as process 1 of a container"
            " it exits with 130 or 143. A second signal ends it at once. If the reader may be"
            " slow, a supervisor should allow more than 10 seconds (docker stop -t 60,"
            " TimeoutStopSec=).",
            "SIGUSR1": "A summary of what was shown, filtered out and lost so far is written to"
            " standard error. At the end it is written if standard error is a terminal, or with"
            " --verbose.",
        },
        """\
With a destination, the same times apply to acknowledgements: SIGTERM gives up after 10 seconds
without one, SIGINT after one second. With --resume the next run delivers the rest.

Under systemd (Type=notify) the service is ready once every channel is confirmed or refused, and its
watchdog is served.
""",
    ],
}

STATUSES = {
    ExitStatus.DONE: "Done: the count was reached, the time was over and there was no count, or"
    " the reader of standard output is gone.",
    ExitStatus.BUG: "A bug, with a traceback.",
    ExitStatus.USAGE: "Usage error in the command line or the environment.",
    ExitStatus.CREDENTIALS: "Credentials are missing or were refused.",
    ExitStatus.UNREACHABLE: "The server cannot be reached, with --no-reconnect or --max-retries, or"
    " when its certificate is not trusted; or the time of --for or --idle was over before every"
    " channel was confirmed or refused for the first time; or there are too few file descriptors.",
    ExitStatus.CHANNELS_REFUSED: "Every wanted channel was refused; with --strict, any, or a"
    " licence or messenger that is not in the account.",
    ExitStatus.REFUSED_BY_SERVER: "The server refused the app key or the protocol.",
    ExitStatus.OUTPUT_FAILED: "Standard output failed: the disk is full, it is closed, or its"
    " reader fell too far behind or took nothing for 10 seconds at the end. Or the destination did:"
    " it answered 410, it acknowledged nothing for 10 seconds at the end, or dead letters cannot be"
    " written.",
    ExitStatus.COUNT_NOT_REACHED: "--count was not reached in time.",
}
DEATH_BY_SIGNAL = "Death by SIGINT or SIGTERM, as a shell shows it; see SIGNALS."

VARIABLES = {
    "CHATAPP_TOKEN": "The access token, unless --token-file names a file. Quote it: it contains"
    " dollar signs.",
    "CHATAPP_PASSWORD": "The password for login, unless --password-file names a file.",
    "REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE, SSL_CERT_FILE": "Certificate authorities to trust for the"
    " API without --ca-file; otherwise those of the package certifi.",
    "HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY": "The proxy to go through, and the hosts that"
    " bypass it, unless --proxy is given.",
    "NO_COLOR, FORCE_COLOR, CLICOLOR_FORCE, TERM": "Whether there are colours, unless --color says"
    " so. There are none if TERM is dumb.",
    "TMPDIR": "Directory of the unnamed file that buffers output for a slow reader.",
    "NOTIFY_SOCKET, WATCHDOG_USEC": "Set by systemd, which is notified once every channel is"
    " confirmed or refused. Its watchdog is reset regularly.",
}

FILES = {
    "${XDG_STATE_HOME:-~/.local/state}/chatapp-tail/tokens.json": "The logins, readable by you"
    " only. On macOS the default is ~/Library/Application Support/chatapp-tail, here and for"
    " checkpoints.",
    "${XDG_STATE_HOME:-~/.local/state}/chatapp-tail/resume/NAME.sqlite": "The checkpoint: what the"
    " tail with --resume=NAME has written. Without it the next run starts over.",
    "${XDG_STATE_HOME:-~/.local/state}/chatapp-tail/dead-letters/NAME.ndjson": "What the"
    " destination of the tail with --resume=NAME refused.",
    "${XDG_CACHE_HOME:-~/.cache}/chatapp-tail/lines": "Licences and messengers seen last, one pair"
    " per line, for the completion of shells, which never starts the program or uses the network."
    " May be removed at any time.",
    "share/bash-completion/completions/chatapp-tail": "Completions for bash, below the environment"
    " in which chatapp-tail is installed. Where bash does not look there: source FILE.",
    "share/zsh/site-functions/_chatapp-tail": "Completions for zsh. Before compinit:"
    " fpath=(DIRECTORY $fpath).",
    "share/fish/vendor_completions.d/chatapp-tail.fish": "Completions for fish: source FILE.",
}


OTHER_COMMANDS = {
    "lines": "license, messenger, name, messenger_name, phone, active, until (UTC or null).",
    "doctor": "check, ok, found, milliseconds, advice (or null), exit_status. Where ok is false and"
    " exit_status is 0, it is a warning.",
}


def output(states: Mapping[str, str], others: Mapping[str, str]) -> Section:
    """Return the section on output; `states` and `others` name the members of their records."""
    return {
        "": _STREAMS,
        "Records": _RECORDS,
        "CSV": _CSV,
        "Templates": _TEMPLATES,
        "Saved records": _SAVED,
        "Status and gap records": [_STATUS_RECORDS, states, "The other records are:", others],
        "Other commands": ["The members of their JSON objects are:", OTHER_COMMANDS],
    }
