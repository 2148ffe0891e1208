"""Whatever the service is like, each message of a gap comes once, or else the gap says so."""

from collections import Counter
from random import Random

from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st

from chatapp_tail.chatapp.channels import of_license
from chatapp_tail.items import NOT_RUNNING, Gap
from tests.unit.history.history_service import READABLE, UNREADABLE, Choices, World, shown

SECOND = 10**9
HOUR = 3600
CHANNEL = of_license(1229, "telegram")

many = settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@st.composite
def choices(draw: st.DrawFn) -> Choices:
    """A service that is odd in some ways, and in most ways is not."""
    chosen = Choices()
    for name, values in ODDITIES.items():
        if draw(st.integers(0, 3)) == 0:
            setattr(chosen, name, draw(values))
    chosen.pinned = min(chosen.pinned, chosen.chats_per_page // 5)
    # A page of nothing but hidden chats is empty, and so the end.
    chosen.hidden_chats = min(chosen.hidden_chats, chosen.chats_per_page - chosen.pinned - 1)
    tells_order = chosen.chats_next_page == "cursor" and chosen.chats_per_page >= 25
    if chosen.chats_shuffled == "all" and not tells_order:
        chosen.chats_shuffled = "page"
    return chosen


ODDITIES: dict[str, st.SearchStrategy[object]] = {
    "chats_per_page": st.integers(1, 100),
    "chats_next_page": st.sampled_from(("null", "cursor")),
    "chats_shuffled": st.sampled_from(("page", "all")),
    "pinned": st.integers(1, 5),
    "pinned_at_end": st.just(True),
    "hidden_chats": st.integers(1, 3),
    "form_of_last_time": st.sampled_from((*READABLE, *UNREADABLE)),
    "odd_last_times": st.integers(1, 3),
    "messages_per_page": st.integers(1, 100),
    "messages_next_page": st.just("absent"),
    "messages_shuffled": st.just(True),
    "removed": st.frozensets(st.integers(0, 4), max_size=3),
    "includes_last_time": st.just(True),
    "date": st.none() | st.sampled_from((-45, 45, -7 * HOUR, 5 * HOUR)),
}


MILD: dict[str, st.SearchStrategy[object]] = {
    "chats_per_page": st.integers(30, 100),
    "chats_next_page": st.sampled_from(("null", "cursor")),
    "pinned": st.integers(1, 3),
    "pinned_at_end": st.just(True),
    "hidden_chats": st.integers(1, 3),
    "messages_per_page": st.integers(20, 100),
    "removed": st.frozensets(st.integers(0, 4), max_size=3),
    "includes_last_time": st.just(True),
    "date": st.sampled_from((-45, 45, -7 * HOUR, 5 * HOUR)),
}
"""What real services do; none of it may cost anything."""


@st.composite
def mild_choices(draw: st.DrawFn) -> Choices:
    """A service that is a little odd."""
    chosen = Choices()
    for name, values in MILD.items():
        if draw(st.booleans()):
            setattr(chosen, name, draw(values))
    return chosen


@st.composite
def worlds(draw: st.DrawFn, kinds: st.SearchStrategy[Choices]) -> tuple[World, int, int]:
    """A service, and when the gap began and ended, in true time."""
    chosen = draw(kinds)
    world = World(chosen, seed=draw(st.integers(0, 99)))
    world.off = draw(st.sampled_from((0, 0, 0, -40, 40, -3 * HOUR, 3 * HOUR)))
    length = draw(st.sampled_from((1, 20, 300, 5000)))
    until = int(world.now) - draw(st.integers(0, 3))
    since = until - length
    names = [f"c{number}" for number in range(draw(st.integers(0, 130)))]
    names += [f"pinned {number}" for number in range(chosen.pinned)]
    names += [f"hidden {number}" for number in range(chosen.hidden_chats)]
    names += ["odd" + "." * number for number in range(chosen.odd_last_times)]
    random = Random(draw(st.integers(0, 10**6)))
    crowd = draw(st.booleans()) and length < 300
    for name in names:
        world.say(name, 1, since - random.randrange(5000, 10**6))
        if random.random() < 0.7 and not name.startswith("hidden"):
            fill(world, name, since, until, random, crowd=crowd)
    # So that no list ends with the gap: what nothing shows nobody can know.
    world.say("old", 1, since - 10**7)
    for _ in range(draw(st.integers(0, 4))):
        world.arrivals[random.randrange(1, 40)] = random.choice([*names, "new"])
    return world, since, until


def fill(world: World, name: str, since: int, until: int, random: Random, *, crowd: bool) -> None:
    """Let messages arrive in a chat in the gap, a few of them with an odd time."""
    count = random.choice((1, 1, 1, 2, 5, 30, 120 if len(world.chats) < 8 else 3))
    places = range(since, until + 1)
    if world.choices.messages_next_page == "absent":
        count = min(count, len(places))
        sent = random.sample(places, count)
    elif crowd:
        sent = [until] * count
    else:
        sent = [random.choice(places) for _ in range(count)]
    odd = random.random() < 0.3
    for number, moment in enumerate(sorted(sent), 2):
        time: object = moment
        if odd and number % 6 == 0:
            time = random.choice((moment + 10**8, *(shown(moment, form) for form in UNREADABLE)))
        world.say(name, number, moment, time)


def is_told(world: World, newest: bool) -> bool:
    """Whether something tells the clock of the messages, or that nothing does."""
    date = world.choices.date
    return newest or date is None or min(world.off, date) <= 25


def wanted(world: World, since: int, until: int) -> set[tuple[str, object]]:
    return {
        (name, said.id)
        for name, chat in world.chats.items()
        for said in chat
        if since <= said.sent <= until and not str(said.id).startswith("live")
    }


def read(
    world: World, gap: Gap, began: int, newest: int | None
) -> tuple[Counter[tuple[str, object]], Gap]:
    found, end = world.recover(gap, began, newest)
    return Counter((item["chat"]["id"], item["id"]) for item in found), end


@given(
    worlds(choices()),
    st.sampled_from(("the link was lost", NOT_RUNNING)),
    st.booleans(),
    st.sampled_from((0, 0, 0, 80, 2 * HOUR)),
    st.integers(0, 10**6),
)
@many
def test_each_message_of_a_gap_comes_once_or_the_gap_says_so(
    drawn: tuple[World, int, int], reason: str, has_newest: bool, set_back: int, age: int
) -> None:
    world, since, until = drawn
    assume(is_told(world, has_newest))
    begin = since + world.off + set_back
    gap = Gap(CHANNEL, begin * SECOND, (until + world.off) * SECOND, reason)
    before = [said.sent for chat in world.chats.values() for said in chat if said.sent < since]
    # Noted by the clock before it was set back, too.
    assume(set_back == 0 or begin > until + world.off or has_newest)
    messages = wanted(world, since, until)
    found, end = read(world, gap, (begin - age) * SECOND, max(before) if has_newest else None)
    assert not [each for each, times in found.items() if times > 1]
    event(f"missing: {end.missing}")
    assert end.missing or messages <= found.keys(), sorted(messages - found.keys(), key=str)
    assert world.requests <= 120 + 8 * len(world.chats) + 4 * world.added


@given(worlds(mild_choices()), st.booleans())
@settings(many, max_examples=100)
def test_of_a_service_that_is_a_little_odd_nothing_is_missing(
    drawn: tuple[World, int, int], has_newest: bool
) -> None:
    """Every message of a gap is read from any service within the tolerated deviations."""
    world, since, until = drawn
    assume(has_newest or min(world.off, world.choices.date or 0) <= 25)
    assume(until - since >= 300)  # else a page of chats may move in one second
    gap = Gap(CHANNEL, (since + world.off) * SECOND, (until + world.off) * SECOND, "lost")
    before = [said.sent for chat in world.chats.values() for said in chat if said.sent < since]
    messages = wanted(world, since, until)
    found, end = read(world, gap, 0, max(before) if has_newest else None)
    assert (set(messages) - set(found), end.missing, end.given_up) == (set(), None, False)
    assert world.requests <= 60 + 4 * len(world.chats) + world.added
