"""Keys: what several hosts publish, the stream has once, and nothing is missing in it."""

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatapp_tail.chatapp.records import Record, Source
from chatapp_tail.sinks.chain import Chain, Publication, Verdict
from tests.factories import record
from tests.stream_hosts import CHANNELS, Account, Host, Stream

MESSAGE = record()
TAG = record(event="chatTag", id="chatTag:1", data=b'{"tag":1}')


def linked(start: int) -> Chain:
    """Return the chain of a host that links its channel for the first time."""
    chain = Chain(start=start)
    chain.relink(TAG.channel or "")
    return chain


def offered(chain: Chain, item: Record) -> Publication:
    """Offer a record that may be published."""
    publication = Publication(item)
    assert chain.offer(publication) in (Verdict.PUBLISH, Verdict.PUBLISH_ALONE)
    return publication


def published(chain: Chain, item: Record, sequence: int, *, duplicate: bool = False) -> Publication:
    publication = offered(chain, item)
    assert chain.acknowledge(publication, sequence, duplicate=duplicate)
    return publication


def test_the_first_occurrence_has_the_id_and_the_hash_as_its_key() -> None:
    assert offered(Chain(), MESSAGE).key == f"{MESSAGE.id}@{MESSAGE.hash}"


def test_an_edit_has_another_key() -> None:
    edit = record(data=b'{"id":696,"text":"new"}')

    assert offered(Chain(), edit).key == f"{MESSAGE.id}@{edit.hash}"


@pytest.mark.parametrize("duplicate", [False, True])
@pytest.mark.parametrize("item", [MESSAGE, TAG])
def test_a_repeat_is_chained_to_the_previous_occurrence(item: Record, duplicate: bool) -> None:
    chain = Chain()
    published(chain, item, 7, duplicate=duplicate)

    assert offered(chain, item).key == f"{item.id}@{item.hash}@7"


def test_a_repeat_waits_for_the_previous_acknowledgement() -> None:
    chain = Chain()
    first = offered(chain, TAG)

    assert chain.offer(Publication(TAG)) is Verdict.WAIT
    assert chain.acknowledge(first, 3, duplicate=False)
    assert offered(chain, TAG).key.endswith("@3")


def test_a_record_that_is_given_up_is_not_waited_for() -> None:
    chain = Chain()
    chain.withdraw(offered(chain, TAG))

    assert offered(chain, TAG).key == f"{TAG.id}@{TAG.hash}"


def test_what_is_older_than_the_link_is_passed() -> None:
    chain = linked(10)
    tag = Publication(TAG)

    assert chain.offer(tag) is Verdict.PUBLISH_ALONE
    assert not chain.acknowledge(tag, 4, duplicate=True)
    assert tag.key.endswith("@4")
    assert not chain.acknowledge(tag, 9, duplicate=True)
    assert tag.key.endswith("@9")
    assert chain.acknowledge(tag, 12, duplicate=True)


def test_the_first_message_of_a_link_settles_the_floor() -> None:
    chain = linked(10)
    published(chain, MESSAGE, 20, duplicate=True)
    tag = offered(chain, TAG)

    assert not chain.acknowledge(tag, 19, duplicate=True)
    assert chain.floor(MESSAGE.channel or "") == 19


def test_a_floor_that_was_read_too_late_is_lowered() -> None:
    chain = linked(50)
    published(chain, MESSAGE, 20, duplicate=True)

    published(chain, TAG, 21, duplicate=True)


def test_each_link_of_a_channel_has_its_own_floor() -> None:
    chain = Chain()
    published(chain, MESSAGE, 5)
    published(chain, TAG, 6)
    chain.relink(TAG.channel or "")
    published(chain, record(id="message:2"), 30, duplicate=True)
    tag = offered(chain, TAG)

    assert tag.key.endswith("@6")
    assert not chain.acknowledge(tag, 29, duplicate=True)
    assert chain.acknowledge(tag, 31, duplicate=True)


def test_records_of_before_do_not_settle_the_floor_of_a_new_link() -> None:
    chain = Chain()
    before = offered(chain, MESSAGE)
    chain.relink(MESSAGE.channel or "")
    assert chain.acknowledge(before, 8, duplicate=True)

    assert chain.floor(MESSAGE.channel or "") == 8
    published(chain, record(id="message:2"), 20, duplicate=True)
    assert chain.floor(MESSAGE.channel or "") == 19


def test_a_later_run_begins_where_the_earlier_one_ended() -> None:
    chain = Chain()
    published(chain, TAG, 6)
    later = Chain(chain.floors(), start=100)
    tag = offered(later, TAG)

    assert not later.acknowledge(tag, 6, duplicate=True)
    assert later.acknowledge(tag, 7, duplicate=True)


def test_sequences_of_a_stream_that_was_deleted_are_forgotten() -> None:
    chain = Chain({TAG.channel or "": 50})
    tag = offered(chain, TAG)
    chain.note_end(3)

    assert chain.floors() == {}
    assert chain.acknowledge(tag, 51, duplicate=False)
    assert offered(Chain(), TAG).key == f"{TAG.id}@{TAG.hash}"


def test_equal_messages_of_before_the_start_are_one() -> None:
    published(linked(10), MESSAGE, 4, duplicate=True)


def test_history_is_published_unless_the_stream_has_the_message() -> None:
    chain = Chain()
    other = record(id="message:2", source=Source.BACKFILL)
    chain.note_stored(MESSAGE.channel or "", [MESSAGE.id], 1)

    assert chain.offer(Publication(record(source=Source.BACKFILL))) is Verdict.DROP
    assert offered(chain, other).key == f"{other.id}@{other.hash}"


def test_history_does_not_move_the_floor() -> None:
    chain = Chain()
    published(chain, record(source=Source.BACKFILL), 40)

    assert chain.floors() == {}


def test_memory_is_bounded_and_what_is_forgotten_is_passed() -> None:
    chain = Chain(remembered=10)
    published(chain, TAG, 1)
    for number in range(2, 500):
        published(chain, record(id=f"message:{number}"), number)
        assert len(chain._young.last) + len(chain._old.last) <= 20
    tag = offered(chain, TAG)

    assert not chain.acknowledge(tag, 1, duplicate=True)


# --- several hosts

KINDS = ("message", "message", "status", "edit", "tag", "tag")
Step = tuple[str, int, str, int]
"""(action, host, channel, a number)."""


def steps(*actions: str, hosts: int) -> st.SearchStrategy[list[Step]]:
    step = st.tuples(
        st.sampled_from(actions),
        st.integers(0, hosts - 1),
        st.sampled_from(CHANNELS),
        st.integers(0, 5),
    )
    return st.lists(step, max_size=60)


def made(count: int) -> tuple[Stream, Account]:
    stream = Stream()
    hosts = [Host(stream) for _ in range(count)]
    for host in hosts:
        for channel in CHANNELS:
            host.link(channel)
    return stream, Account(hosts)


def take_step(account: Account, action: str, host: Host, channel: str, number: int) -> None:
    if action == "emit":
        account.emit(KINDS[number], channel, tag=number % 2)
    elif action in ("link", "cut"):
        getattr(host, action)(channel)
    elif action == "turn":
        host.send()
        host.serve()
        host.hear()
    else:
        getattr(host, action)()


def recover(account: Account) -> None:
    """Start and link everything, and publish what is left."""
    for host in account.hosts:
        host.restart()
        for channel in CHANNELS:
            host.link(channel)
    for host in account.hosts:
        host.drain()


def without_tags(items: list[bytes]) -> list[bytes]:
    return [item for item in items if not item.startswith(b'"tag')]


ANY = (
    *("emit", "emit", "emit", "send", "serve", "serve", "hear", "turn"),
    *("lose_connection", "kill", "restart", "link", "link", "cut"),
)


@settings(max_examples=200, deadline=None)
@given(st.data(), st.sampled_from([2, 3]))
def test_whatever_happens_each_message_edit_and_status_is_there_once(
    data: st.DataObject, count: int
) -> None:
    stream, account = made(count)
    for action, host, channel, number in data.draw(steps(*ANY, hosts=count)):
        take_step(account, action, account.hosts[host], channel, number)
    recover(account)

    for channel in CHANNELS:
        unheard = [item for item in account.unheard[channel] if item not in account.edited]
        stored = without_tags(stream.contents(channel))
        superseded = [item for item in account.unheard[channel] if item in account.edited]
        required = without_tags(account.expected[channel]) + unheard
        extra = Counter(stored) - Counter(required)
        assert not Counter(required) - Counter(stored)
        assert not extra - Counter(superseded)


UNDISTURBED = ("emit", "emit", "emit", "send", "serve", "hear", "turn", "lose_connection")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), st.sampled_from([2, 3]))
def test_one_disturbance_after_another_costs_nothing_and_keeps_the_order(
    data: st.DataObject, count: int
) -> None:
    """Hosts are killed or cut in turn, tags repeat all the time, acknowledgements are lost."""
    stream, account = made(count)
    for disturbance in data.draw(st.lists(st.sampled_from(["kill", "cut"]), max_size=3)):
        victim = account.hosts[data.draw(st.integers(0, count - 1))]
        channel = data.draw(st.sampled_from(CHANNELS))
        for phase in ("before", "away", "back"):
            run_undisturbed(data, account)
            if phase == "before":
                take_step(account, disturbance, victim, channel, 0)
            elif phase == "away":
                link_caught_up(account, victim)
    recover(account)

    for channel in CHANNELS:
        assert stream.contents(channel) == account.expected[channel]


def run_undisturbed(data: st.DataObject, account: Account) -> None:
    for action, host, channel, number in data.draw(steps(*UNDISTURBED, hosts=len(account.hosts))):
        take_step(account, action, account.hosts[host], channel, number)


def link_caught_up(account: Account, victim: Host) -> None:
    """Have a host back while the others have published all; the first message settles its floor."""
    for host in account.hosts:
        if host is not victim:
            host.drain()
    victim.restart()
    for channel in CHANNELS:
        victim.link(channel)
        account.emit("message", channel)
    for host in account.hosts:
        host.drain()
