"""Where each channel begins, which have history, and what is shown while it is read."""

import time
from collections.abc import Iterator
from contextlib import closing
from math import inf
from pathlib import Path

import pytest

from chatapp_tail.chatapp.channels import of_license, parse_channel
from chatapp_tail.history.checkpoint import Checkpoint
from chatapp_tail.history.setup import (
    HistoryReader,
    first_seen,
    has_history,
    start_positions,
)
from chatapp_tail.items import ASKED, NOT_RUNNING, ChannelEvent, Gap
from chatapp_tail.sandbox import Sandbox
from tests.unit.history.conftest import api

T = 1_700_000_000 * 10**9
A, B, C = (of_license(number, "telegram") for number in (1, 2, 3))
GAP = Gap(of_license(1229, "telegram"), T, T + 10**9, "lost")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Iterator[Checkpoint]:
    """A tailed from T until T + 50, B until T + 40."""
    with closing(Checkpoint("default", tmp_path)) as made:
        for channel, until in ((A, T + 50), (B, T + 40)):
            made.begin(channel, T)
            made.advance({channel: until})
        yield made


# --- where each channel begins


@pytest.mark.parametrize("everything", [True, False])
def test_without_a_past_nothing_is_uncovered(everything: bool, tmp_path: Path) -> None:
    assert start_positions([A, B], None, None, everything=everything) == {}
    with closing(Checkpoint("new", tmp_path)) as empty:
        assert start_positions([A, B], empty, None, everything=everything) == {}
        assert first_seen({}, empty) == {}
    assert first_seen({}, None) == {}


@pytest.mark.parametrize("everything", [True, False])
def test_all_channels_begin_at_the_moment_that_is_asked_for(everything: bool) -> None:
    places = start_positions([A, B], None, T, everything=everything)
    assert places == {A: (T, ASKED), B: (T, ASKED)}
    assert first_seen(places, None) == {A: T, B: T}


def test_the_begin_of_time_is_a_moment_too() -> None:
    assert start_positions([A], None, 0, everything=False) == {A: (0, ASKED)}


def test_a_channel_goes_on_where_its_own_mark_is(checkpoint: Checkpoint) -> None:
    places = start_positions([A, B], checkpoint, None, everything=False)
    assert places == {A: (T + 50, NOT_RUNNING), B: (T + 40, NOT_RUNNING)}
    assert first_seen(places, checkpoint) == {A: T, B: T}


def test_a_channel_of_an_earlier_run_that_is_not_wanted_is_left_alone(
    checkpoint: Checkpoint,
) -> None:
    assert set(start_positions([B], checkpoint, None, everything=False)) == {B}


def test_a_channel_that_is_named_for_the_first_time_begins_now(checkpoint: Checkpoint) -> None:
    assert C not in start_positions([A, C], checkpoint, None, everything=False)


def test_a_line_that_came_to_the_account_meanwhile_begins_where_the_others_do(
    checkpoint: Checkpoint,
) -> None:
    places = start_positions([A, B, C], checkpoint, None, everything=True)
    assert places[C] == (T + 50, NOT_RUNNING)
    assert first_seen(places, checkpoint) == {A: T, B: T, C: T + 50}


@pytest.mark.parametrize("everything", [True, False])
def test_a_mark_goes_before_a_moment_and_a_moment_before_the_other_marks(
    checkpoint: Checkpoint, everything: bool
) -> None:
    places = start_positions([A, C], checkpoint, T + 7, everything=everything)
    assert places == {A: (T + 50, NOT_RUNNING), C: (T + 7, ASKED)}
    assert first_seen(places, checkpoint) == {A: T, C: T + 7}


@pytest.mark.parametrize("text", ["1229/telegram", "1/x_Y9"])
def test_lines_have_history(text: str) -> None:
    assert has_history(parse_channel(text))


@pytest.mark.parametrize(
    "text", ["company/2224", "user/685", "company/2224/user/685", "news", "private-v1.licenses.1"]
)
def test_other_channels_have_none(text: str) -> None:
    assert not has_history(parse_channel(text))


# --- what reads


def said_of(reader: HistoryReader) -> tuple[int, int, int]:
    state = reader.state()
    return state.chats, state.chats_read, state.messages


def test_a_reader_tells_how_far_it_is_and_since_when(sandbox: Sandbox) -> None:
    data = '{"payload":{"data":[{"id":%d,"time":1700000000,"chat":{"id":"c%d"}}]}}'
    for number in range(3):
        sandbox.publish(GAP.channel, "message", data % (number, number % 2))
    reader = HistoryReader(api(sandbox.api_url, sandbox.token))
    assert reader.since == inf
    assert said_of(reader) == (0, 0, 0)
    before = time.monotonic()
    for _ in range(2):
        found = list[ChannelEvent | Gap]()
        for each in reader([GAP], {}, {}):
            found.append(each)
            assert before <= reader.since <= time.monotonic()
            assert said_of(reader) == (2, 2, min(len(found), 3))
        assert [type(each) for each in found] == [ChannelEvent] * 3 + [Gap]
        assert reader.since == inf
