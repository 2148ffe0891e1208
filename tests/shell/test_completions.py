"""TAB in real shells: what they offer, what they never do, and how fast they are."""

import os
import re
import shutil
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import clean_environment, wait_until
from tests.shell.conftest import Terminal, scaled

COMPLETIONS = Path(__file__).parents[2] / "completions"
INSTALLED = {
    "chatapp-tail.bash": "bash-completion/completions/chatapp-tail",
    "_chatapp-tail": "zsh/site-functions/_chatapp-tail",
    "chatapp-tail.fish": "fish/vendor_completions.d/chatapp-tail.fish",
}
"""File -> where the wheel puts it below `share`, and where each shell looks for it."""

BASH_COMPLETION = Path("/usr/share/bash-completion/bash_completion")
PROMPT = "ready> "
QUIET = 0.15
"""Seconds, before scaling, without output after which a shell is taken to be waiting."""

TOO_SLOW = 0.1
"""Seconds, before scaling, in which a completion stands there."""

# What the stub prints cannot be mistaken for what was typed. It also proves that TAB starts no
# program: it would be this one.
STUB = """\
#!/bin/sh
echo started >>"$HOME/log"
printf 'got'
[ $# -eq 0 ] || printf '<%s>' "$@"
printf '\\n'
"""
BASHRC = f"""\
stty rows 250 columns 180
PS1='{PROMPT}'
bind 'set show-all-if-ambiguous on' 'set page-completions off' 'set bell-style none'
bind 'set completion-query-items 0' 'set enable-bracketed-paste off'
. {BASH_COMPLETION}
"""
PLAIN_BASHRC = BASHRC.replace(f". {BASH_COMPLETION}", f". {COMPLETIONS}/chatapp-tail.bash")
ZSHRC = f"""\
stty rows 250 columns 180
PS1='{PROMPT}' LISTMAX=0 LINES=250 COLUMNS=180
unsetopt list_ambiguous prompt_cr prompt_sp beep
fpath=("$SHARE/zsh/site-functions" $fpath)
autoload -Uz compinit && compinit -D -u
"""
FISHRC = f"""\
stty rows 250 columns 180
function fish_prompt; printf '{PROMPT}'; end
function fish_greeting; end
set -g fish_autosuggestion_enabled 0
"""


class Shell:
    """An interactive shell, and the person who types in it."""

    def __init__(self, argv: list[str], env: dict[str, str], home: Path) -> None:
        self.home = home
        self.cache = home / "cache" / "chatapp-tail" / "lines"
        self.name = argv[0]
        self._terminal = Terminal(argv, env=env, cwd=home, columns=180)
        self._terminal.wait_for(re.escape(PROMPT.encode()))
        self._settle()

    def _seen_after(self, position: int) -> str:
        text = self._terminal.shown[position:].decode("utf-8", "replace")
        # Colours and cursor moves; a fish of today also sets titles.
        text = re.sub(r"\x1b\][^\x07\x1b]*(\x07|\x1b\\)", "", text)
        return re.sub(r"\x1b(\[[0-?]*[ -/]*[@-~]|[()][0-9A-B]|[=>])", "", text)

    def _settle(self) -> None:
        """Wait until nothing has been shown for a while."""
        before, since = -1, time.monotonic()
        while time.monotonic() < since + scaled(QUIET):
            if before != len(self._terminal.shown):
                before, since = len(self._terminal.shown), time.monotonic()
            time.sleep(0.01)

    def _type(self, keys: str) -> int:
        """Type, and return where what is shown in answer begins."""
        position = len(self._terminal.shown)
        self._terminal.type(keys.encode())
        return position

    def offered(self, line: str, *expected: str) -> set[str]:
        """Return the words shown with TAB; waits for those expected."""
        position = self._type(f"{line}\t")
        wait_until(
            lambda: set(expected) <= _words(self._seen_after(position)), f"{expected} after {line}"
        )
        self._settle()
        offered = _words(self._seen_after(position))
        self.enter()
        return offered

    def completed(self, line: str) -> list[str]:
        """Return the arguments that stand there after TAB and Enter."""
        self._type(f"{line}\t")
        return self.enter()

    def seconds(self, line: str, rest: str) -> float:
        """Return how long TAB takes to show the rest of a word."""
        self._type(line)
        self._settle()
        began = time.monotonic()
        position = self._type("\t")
        while rest not in self._seen_after(position):
            assert time.monotonic() < began + scaled(10), f"{line} was not completed with {rest}"
            time.sleep(0.001)
        took = time.monotonic() - began
        self.enter()
        return took

    def enter(self) -> list[str]:
        """Run the line; return the arguments the program got."""
        position = self._type("\r")
        answer = re.compile(rf"got((?:<[^>]*>)*)\r?\n.*{PROMPT}", re.DOTALL)
        wait_until(lambda: answer.search(self._seen_after(position)) is not None, "the program")
        found = answer.search(self._seen_after(position))
        assert found
        return re.findall(r"<([^>]*)>", found[1])

    def remember(self, content: bytes) -> None:
        self.cache.parent.mkdir(parents=True, exist_ok=True)
        self.cache.write_bytes(content)

    def starts(self) -> int:
        """How often the program was started."""
        log = self.home / "log"
        return log.read_text().count("started") if log.exists() else 0

    def close(self) -> None:
        self._terminal.close()
        print(f"{self.name} showed: {self._terminal.shown!r}")


def _words(shown: str) -> set[str]:
    return set(re.split(r"[\s(),]+", shown))


def start(kind: str, program: str, home: Path) -> Shell:
    share = home / "share"
    for name, place in INSTALLED.items():
        (share / place).parent.mkdir(parents=True)
        shutil.copy(COMPLETIONS / name, share / place)
    stub = home / "bin" / "chatapp-tail"
    stub.parent.mkdir()
    stub.write_text(STUB)
    stub.chmod(0o755)
    (home / ".zshrc").write_text(ZSHRC)
    (home / ".bashrc").write_text(PLAIN_BASHRC if kind == "plain bash" else BASHRC)
    (home / "config" / "fish").mkdir(parents=True)
    (home / "config" / "fish" / "config.fish").write_text(FISHRC)
    env = clean_environment(home) | {
        "PATH": f"{stub.parent}:{os.environ['PATH']}",
        "TERM": "xterm",
        "SHARE": str(share),
        "XDG_CACHE_HOME": str(home / "cache"),
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_DATA_HOME": str(home / "data"),
        "XDG_DATA_DIRS": f"{share}:/usr/share",
    }
    return Shell([program, *COMMANDS[kind][1:]], env, home)


COMMANDS = {
    "bash": ["bash", "--noprofile", "-i"],
    "plain bash": ["bash", "--noprofile", "-i"],
    "zsh": ["zsh", "-d", "-i"],
    "fish": ["fish", "-i"],
}


@pytest.fixture(params=COMMANDS, scope="module")
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shell]:
    """One shell for all tests; each leaves it at an empty prompt."""
    kind: str = request.param
    program = shutil.which(COMMANDS[kind][0])
    if program is None:
        pytest.skip(f"{COMMANDS[kind][0]} is not installed")
    if kind == "bash" and not BASH_COMPLETION.exists():
        pytest.skip("bash-completion is not installed")
    shell = start(kind, program, tmp_path_factory.mktemp("home"))
    yield shell
    shell.close()


@pytest.fixture
def shell(running: Shell) -> Shell:
    """The shell, with an account of two licences."""
    running.remember(b"1229 telegram\n1229 grWhatsApp\n1230 telegram\n1230 brandNew\n")
    return running


def test_options(shell: Shell) -> None:
    offered = shell.offered("chatapp-tail --", "--license", "--help", "--no-reconnect", "--for")
    assert not offered & {"--speed", "--email", "doctor"}


def test_short_options(shell: Shell) -> None:
    assert shell.offered("chatapp-tail -", "-l", "-m", "-h") >= {"-c", "-e", "-E", "-o", "-n", "-q"}


def test_a_long_option(shell: Shell) -> None:
    assert shell.completed("chatapp-tail --excl") == ["--exclude-event"]


def test_descriptions(shell: Shell) -> None:
    if shell.name.endswith("bash"):
        pytest.skip("bash shows no descriptions")
    assert "Licence" in shell.offered("chatapp-tail --", "--license", "Licence")


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("chatapp-tail -o js", ["-o", "json"]),
        ("chatapp-tail --output js", ["--output", "json"]),
        ("chatapp-tail --output=js", ["--output=json"]),
        ("chatapp-tail -ojs", ["-ojson"]),
        ("chatapp-tail --log-format j", ["--log-format", "json"]),
        ("chatapp-tail -e chatT", ["-e", "chatTag"]),
        ("chatapp-tail -E emp", ["-E", "employeeStatus"]),
        ("chatapp-tail -m ins", ["-m", "instagram"]),
        ("chatapp-tail -l 1229 -m telegramB", ["-l", "1229", "-m", "telegramBot"]),
        ("chatapp-tail --ws-url wss://h:1/p -o js", ["--ws-url", "wss://h:1/p", "-o", "json"]),
        ("chatapp-tail -v -o js", ["-v", "-o", "json"]),
        ("bin/chatapp-tail -o js", ["-o", "json"]),
        ("FOO=bar chatapp-tail -o js", ["-o", "json"]),
        ("chatapp-tail --forward-body rec", ["--forward-body", "record"]),
        ("chatapp-tail replay --forward-body rec", ["replay", "--forward-body", "record"]),
        (
            "chatapp-tail --forward-to h -H 'a: b' -o js",
            ["--forward-to", "h", "-H", "a: b", "-o", "json"],
        ),
    ],
)
def test_values(line: str, completed: list[str], shell: Shell) -> None:
    assert shell.completed(line) == completed


def test_every_choice_is_offered(shell: Shell) -> None:
    shell.offered("chatapp-tail -o ", "auto", "pretty", "json", "raw")
    shell.offered("chatapp-tail --color ", "auto", "always", "never")
    shell.offered("chatapp-tail --forward-body ", "webhook", "record")
    shell.offered("chatapp-tail -e ", "message", "messageStatus", "chatTag", "chatConversation")
    offered = shell.offered("chatapp-tail -m ", "telegramBot", "grWhatsApp", "caWhatsApp", "max")
    assert {"avito", "vkontakte", "email", "whatsApp"} <= offered


def test_commands(shell: Shell) -> None:
    offered = shell.offered("chatapp-tail ", "doctor", "lines", "login", "logout", "sandbox")
    assert "--license" not in offered
    assert shell.completed("chatapp-tail doc") == ["doctor"]


def test_a_command_has_its_own_options(shell: Shell) -> None:
    offered = shell.offered("chatapp-tail sandbox --", "--port", "--tls", "--seed")
    assert "--license" not in offered
    offered = shell.offered("chatapp-tail lines -o ", "table", "json")
    assert not offered & {"raw", "pretty"}


def test_no_command_after_an_option(shell: Shell) -> None:
    assert "doctor" not in shell.offered("chatapp-tail -l 1229 ")


def test_files(shell: Shell) -> None:
    (shell.home / "a token.txt").touch()
    name = "a token.txt"
    for line in ("--token-file a", "--token-file=a", "--ca-file a", "login --password-file a"):
        assert shell.completed(f"chatapp-tail {line}")[-1].removeprefix("--token-file=") == name
    for option in ("--forward-secret-file", "--forward-ca-file", "--dead-letters"):
        assert shell.completed(f"chatapp-tail {option} a") == [option, name]
    option = "--forward-secret-file"
    assert shell.completed(f"chatapp-tail doctor {option} a") == ["doctor", option, name]
    assert shell.completed("chatapp-tail replay a") == ["replay", name]
    assert shell.completed("chatapp-tail replay -n 3 a") == ["replay", "-n", "3", name]


def test_no_files_where_none_are_meant(shell: Shell) -> None:
    (shell.home / "zzz").touch()
    for line in ("-l z", "-c z", "-n z", "--for z", "-g z", "-o z", "--forward-to z", "-H z"):
        assert shell.completed(f"chatapp-tail {line}")[-1] == "z"


def test_redirection(shell: Shell) -> None:
    (shell.home / "errors.log").touch()
    assert shell.completed("chatapp-tail -o json 2> errors.l") == ["-o", "json"]
    assert not (shell.home / "errors.l").exists()


# --- the lines of the account


def test_lines(shell: Shell) -> None:
    assert not shell.offered("chatapp-tail -l ", "1229", "1230") & {"telegram"}
    offered = shell.offered("chatapp-tail -c 1", "1229/telegram", "1229/grWhatsApp")
    assert {"1230/telegram", "1230/brandNew"} <= offered
    assert shell.completed("chatapp-tail -m bra") == ["-m", "brandNew"]
    assert shell.completed("chatapp-tail -c 1230/b") == ["-c", "1230/brandNew"]
    assert shell.completed("chatapp-tail doctor -m bra") == ["doctor", "-m", "brandNew"]


def test_what_is_remembered_later(shell: Shell) -> None:
    shell.remember(b"777 max\n")
    assert shell.completed("chatapp-tail -c ") == ["-c", "777/max"]


def test_nothing_is_remembered(shell: Shell) -> None:
    shell.cache.unlink()
    assert shell.completed("chatapp-tail -l ") == ["-l"]
    assert shell.completed("chatapp-tail -c ") == ["-c"]
    assert shell.completed("chatapp-tail -m ins") == ["-m", "instagram"]


@pytest.mark.parametrize("what", ["directory", "fifo", "unreadable", "empty"])
def test_a_cache_that_is_no_such_file(what: str, shell: Shell) -> None:
    shell.cache.unlink()
    if what == "directory":
        shell.cache.mkdir()
    elif what == "fifo":
        os.mkfifo(shell.cache)
    else:
        shell.cache.touch(mode=0o000 if what == "unreadable" else 0o600)
    try:
        assert shell.completed("chatapp-tail -l ") == ["-l"]
        assert shell.completed("chatapp-tail -m ins") == ["-m", "instagram"]
    finally:
        shell.cache.rmdir() if what == "directory" else shell.cache.unlink()


HOSTILE = rb"""$(touch "$HOME/pwned") telegram
1 $(touch $HOME/pwned)
2 `touch $HOME/pwned`
3 x;touch $HOME/pwned
4 (touch $HOME/pwned)
5 evil'"$(touch $HOME/pwned)
6 ${(e):-$(touch $HOME/pwned)}
a[$(touch $HOME/pwned)] telegram
--help telegram
7 tele gram
8	tab
 9 space
*
10 *
11 ~root
12 --evil
13 carriage
""".replace(b"carriage", b"carriage\r")
HOSTILE += b"14 \x1b[31mred\x1b[0m\n15 \xff\xfe\n16 n-\0ul\n17 \xc3\xa9t\xc3\xa9\n"
HOSTILE += b"1" * 5000 + b" " + b"x" * 5000 + b"\n\n\n99 good"


def test_hostile_lines_do_nothing(shell: Shell) -> None:
    shell.remember(HOSTILE)
    assert shell.completed("chatapp-tail -l ") == ["-l", "99"]
    assert shell.completed("chatapp-tail -c ") == ["-c", "99/good"]
    shell.offered("chatapp-tail -m ", "good", "telegram")
    assert shell.completed("chatapp-tail -m ev") == ["-m", "ev"]
    assert not (shell.home / "pwned").exists()


def test_tab_starts_no_program(shell: Shell) -> None:
    before = shell.starts()
    for line in ("chatapp-tail ", "chatapp-tail -l ", "chatapp-tail -o "):
        shell.offered(line)
    assert shell.starts() == before + 3  # one for each Enter


def test_many_lines(shell: Shell) -> None:
    shell.remember(b"".join(b"%d telegram\n" % number for number in range(10_000, 10_900)))
    assert shell.completed("chatapp-tail -c 10777/") == ["-c", "10777/telegram"]
    times = [shell.seconds("chatapp-tail -c 10888/tele", "gram") for _ in range(5)]
    assert statistics.median(times) < scaled(TOO_SLOW)


@pytest.mark.parametrize(
    ("line", "rest"),
    [
        ("chatapp-tail --log-fo", "rmat"),
        ("chatapp-tail -o tem", "plate"),
        ("chatapp-tail -c 1229/grW", "hatsApp"),
        ("chatapp-tail sandb", "ox"),
    ],
)
def test_speed(line: str, rest: str, shell: Shell) -> None:
    times = [shell.seconds(line, rest) for _ in range(7)]
    assert statistics.median(times) < scaled(TOO_SLOW), times
