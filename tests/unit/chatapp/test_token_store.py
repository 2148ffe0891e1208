"""The file of logins: who may read it, what is in it, and that no change is ever half done."""

import os
import stat
import threading
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatapp_tail.chatapp import token_store
from chatapp_tail.chatapp.secret import Secret
from chatapp_tail.chatapp.token_store import Login, TokenStore
from chatapp_tail.errors import ApiError, CredentialsError
from tests.factories import login, token_pair


@pytest.fixture
def store(tmp_path: Path) -> TokenStore:
    return TokenStore(tmp_path / "state" / "chatapp-tail")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_nobody_is_logged_in_at_first(store: TokenStore) -> None:
    assert store.load("default") is None
    assert not store.remove("default")
    assert not store.path.parent.exists(), "asking makes nothing"


def test_what_is_saved_is_loaded(store: TokenStore) -> None:
    store.save("default", login(1))
    assert store.load("default") == login(1)
    assert TokenStore(store.path.parent).load("default") == login(1)
    assert store.load("other") is None


def test_profiles_do_not_disturb_one_another(store: TokenStore) -> None:
    store.save("one", login(1))
    store.save("two", login(2))
    store.save("one", login(3))
    assert (store.load("one"), store.load("two")) == (login(3), login(2))
    assert store.remove("one")
    assert (store.load("one"), store.load("two")) == (None, login(2))


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o777])
def test_only_the_owner_may_read_it_whatever_the_umask(store: TokenStore, umask: int) -> None:
    store.path.parent.parent.mkdir()
    before = os.umask(umask)
    try:
        with store.locked():
            store.save("default", login(1))
    finally:
        os.umask(before)
    assert mode(store.path.parent) & 0o077 == 0
    assert {mode(each) & 0o077 for each in store.path.parent.iterdir()} == {0}


def test_a_directory_that_was_there_is_used(store: TokenStore) -> None:
    store.path.parent.mkdir(parents=True, mode=0o755)
    store.save("default", login(1))
    assert mode(store.path) == 0o600


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o666])
def test_a_file_open_to_others_is_refused(store: TokenStore, bits: int) -> None:
    store.save("default", login(1))
    store.path.chmod(bits)
    for use in (
        lambda: store.load("default"),
        lambda: store.save("default", login(2)),
        lambda: store.remove("default"),
    ):
        with pytest.raises(CredentialsError, match=f"mode 0{bits:o}.*chmod 600") as raised:
            use()
        assert "made-up" not in str(raised.value)
    store.path.chmod(0o600)
    assert store.load("default") == login(1)


@pytest.mark.parametrize("bits", [0o600, 0o400])
def test_a_file_of_the_owner_alone_is_fine(store: TokenStore, bits: int) -> None:
    store.save("default", login(1))
    store.path.chmod(bits)
    assert store.load("default") == login(1)


@given(content=st.binary(max_size=200))
def test_any_content_is_no_login_or_said_to_be_damaged(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    store = TokenStore(tmp_path_factory.mktemp("state"))
    store.path.touch(mode=0o600)
    store.path.write_bytes(content)
    with suppress(CredentialsError):
        assert store.load("default") is None
    assert store.path.read_bytes() == content


NOT_OURS = {
    "nested without end": b"[" * 100_000,
    "nested in an unknown member": b'{"x":' + b"[" * 100_000,
    "a future version": b'{"version":2,"profiles":{"default":"elsewhere"}}',
    "a pair without tokens": b'{"profiles":{"d":{"email":"","app_id":"","api_url":"","pair":{}}}}',
}


@pytest.mark.parametrize("content", NOT_OURS.values(), ids=NOT_OURS)
def test_what_cannot_be_read_is_said_and_kept(store: TokenStore, content: bytes) -> None:
    store.path.parent.mkdir(parents=True)
    store.path.touch(mode=0o600)
    store.path.write_bytes(content)
    with pytest.raises(CredentialsError, match="chatapp-tail login"):
        store.load("default")
    with pytest.raises(CredentialsError):
        store.save("default", login(1))
    assert store.path.read_bytes() == content


def test_a_newer_version_is_not_overwritten(store: TokenStore) -> None:
    store.save("default", login(1))
    newer = store.path.read_bytes().replace(b'"version":1', b'"version":2')
    store.path.write_bytes(newer)
    with pytest.raises(CredentialsError):
        store.save("other", login(1))
    assert store.path.read_bytes() == newer


def test_a_directory_in_place_of_the_file(store: TokenStore) -> None:
    store.path.mkdir(parents=True, mode=0o700)
    with pytest.raises(CredentialsError, match="directory"):
        store.load("default")


@pytest.mark.parametrize("path", ["/proc/nobody", "/dev/null/x"])
def test_a_directory_that_cannot_be_made(path: str) -> None:
    store = TokenStore(Path(path))
    with pytest.raises(CredentialsError, match=path), store.locked():
        raise AssertionError("locked what is not there")
    with pytest.raises(CredentialsError, match=path):
        store.save("default", login(1))


def test_a_lock_that_cannot_be_made(store: TokenStore) -> None:
    (store.path.parent / "tokens.json.lock").mkdir(parents=True)
    with pytest.raises(CredentialsError, match=r"tokens\.json"), store.locked():
        raise AssertionError("locked a directory")


def test_a_lock_that_is_held(store: TokenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_store, "_LOCK_TIMEOUT", 0.05)
    again = TokenStore(store.path.parent)
    # Another process that is slow is no refusal: whoever waits may try again.
    refused = pytest.raises(ApiError, match="another process")
    with store.locked(), refused, again.locked():
        raise AssertionError("locked twice")
    with TokenStore(store.path.parent).locked():
        assert True


def test_a_lock_is_given_back_after_a_failure(store: TokenStore) -> None:
    with pytest.raises(ZeroDivisionError), store.locked():
        raise ZeroDivisionError
    with store.locked():
        assert True


def test_a_write_that_fails_leaves_what_was_there(
    store: TokenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.save("default", login(1))

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ApiError, match="No space left"):
        store.save("default", login(2))
    assert store.load("default") == login(1)
    assert [each.name for each in store.path.parent.iterdir()] == ["tokens.json"]


def test_readers_never_see_half_a_file(store: TokenStore) -> None:
    store.save("default", login(0))
    seen: list[Login | None] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            seen.append(store.load("default"))

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(50):
        with store.locked():
            store.save("default", login(number))
    stop.set()
    reader.join()
    assert None not in seen
    assert store.load("default") == login(49)


def test_writers_under_the_lock_lose_nothing(store: TokenStore) -> None:
    def write(number: int) -> None:
        for each in range(5):
            with store.locked():
                store.save(f"{number}-{each}", login(number))

    writers = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    kept = msgspec.json.decode(store.path.read_bytes())["profiles"]
    assert len(kept) == 30


@pytest.mark.parametrize("profile", ["", "a b", "тест", "../x", 'quote"', "x" * 1000])
def test_any_name_is_a_profile(store: TokenStore, profile: str) -> None:
    store.save(profile, login(1))
    assert store.load(profile) == login(1)
    assert [each.name for each in store.path.parent.iterdir()] == ["tokens.json"]


def test_a_name_that_is_no_text_is_refused(store: TokenStore) -> None:
    with pytest.raises(CredentialsError):
        store.save("half \udcff", login(1))
    assert store.load("half \udcff") is None


# --- out of sight


def test_tokens_never_print() -> None:
    for holder in (token_pair(1), login(1), [login(1)], {"a": token_pair(1)}):
        for text in (repr(holder), str(holder), f"{holder}"):
            assert "made-up" not in text
    assert token_pair(1).access == Secret("access-made-up-1")
    assert token_pair(1).refresh == Secret("refresh-made-up-1")
    assert "made-up" not in repr(token_pair(1).access)


def test_where_it_is_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert TokenStore().path == tmp_path / "chatapp-tail" / "tokens.json"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert TokenStore().path == tmp_path / ".local/state/chatapp-tail/tokens.json"
