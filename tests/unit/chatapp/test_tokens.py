"""Where the access token comes from, and how it is kept out of sight."""

from pathlib import Path

import pytest

from chatapp_tail.chatapp.secret import Secret
from chatapp_tail.chatapp.token_store import TokenPair
from chatapp_tail.chatapp.tokens import GivenToken, TokenFile, TokenSource, choose_source
from chatapp_tail.errors import CredentialsError

LOOKS_RIGHT = "$2y$10$" + "a/B.9" * 10 + "xyz"
API = "https://api.example.invalid"


def refuse(_: Secret) -> TokenPair:
    raise CredentialsError("nothing to refresh here")


def choose(file: Path | None = None, **environment: str) -> TokenSource:
    return choose_source(file, environment, profile="default", api_url=API, refresh=refuse)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("from-the-file\n")
    return path


def test_a_secret_never_prints() -> None:
    secret = Secret("made-up")
    for text in (str(secret), repr(secret), f"{secret}", repr([secret]), f"{secret!r:>20}"):
        assert "made-up" not in text
    assert secret.reveal() == "made-up"
    assert secret == Secret("made-up")
    assert secret != Secret("other")
    assert secret != "made-up"


def test_the_file_wins_over_the_environment(file: Path) -> None:
    assert choose(file, CHATAPP_TOKEN="from-the-shell").current() == Secret("from-the-file")
    assert choose(CHATAPP_TOKEN="from-the-shell").current() == Secret("from-the-shell")


@pytest.mark.parametrize("text", [f" {LOOKS_RIGHT}\n", f"{LOOKS_RIGHT}\r\n", f"\t{LOOKS_RIGHT}"])
def test_space_around_a_token_is_not_part_of_it(text: str) -> None:
    assert choose(CHATAPP_TOKEN=text).current() == Secret(LOOKS_RIGHT)


BAD = {
    "empty": "",
    "blank": " \n",
    "two words": "made up",
    "two lines": "made\nup",
    "NUL": "made\0up",
    "header injection": "made\r\nX: up",
    "not ASCII": "mäde-up",
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD.keys())
def test_what_no_token_can_be_is_refused_without_being_shown(text: str, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_bytes(text.encode())
    for chosen in (path, None):
        with pytest.raises(CredentialsError) as raised:
            choose(chosen, CHATAPP_TOKEN=text)
        assert not text.strip() or text.strip() not in str(raised.value)
        assert "\n" not in str(raised.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match="No such file"):
        choose(tmp_path / "nowhere")
    with pytest.raises(CredentialsError, match="directory"):
        choose(tmp_path)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(CredentialsError, match="not text"):
        choose(tmp_path / "binary")


def test_none_at_all_says_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with pytest.raises(CredentialsError) as raised:
        choose()
    for way in ("chatapp-tail login", "CHATAPP_TOKEN", "--token-file", "--sandbox"):
        assert way in str(raised.value)


def test_a_file_is_read_again_when_its_token_is_refused(file: Path) -> None:
    source = TokenFile(file)
    with pytest.raises(CredentialsError, match="still holds it"):
        source.renew(source.current())
    file.write_text("another\n")
    assert source.renew(Secret("from-the-file")) == Secret("another")
    assert source.current() == Secret("another")


@pytest.mark.parametrize(
    ("token", "advice"), [(LOOKS_RIGHT, "24 hours"), ("y0", "single quotes")], ids=["good", "cut"]
)
def test_a_refused_token_of_the_environment_gets_the_next_step(token: str, advice: str) -> None:
    source = GivenToken(Secret(token))
    with pytest.raises(CredentialsError, match=advice) as raised:
        source.renew(source.current())
    assert token not in str(raised.value)
