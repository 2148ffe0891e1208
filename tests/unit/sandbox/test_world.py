import re
import unicodedata

from chatapp_tail.sandbox.world import EMPLOYEES, PEOPLE, PLACES, ROOMS, TAGS, TEXTS


def scripts(text: str) -> set[str]:
    return {unicodedata.name(letter, "?").split(" ")[0] for letter in text}


def test_phones_are_made_up() -> None:
    phones = [person.phone for person in (*PEOPLE, *EMPLOYEES) if person.phone]
    assert phones
    assert all(re.fullmatch(r"7000000\d{3}", phone) for phone in phones)


def test_links_lead_nowhere() -> None:
    texts = " ".join(text for texts in TEXTS.values() for text in texts)
    hosts = re.findall(r"https?://([^/\s]+)", texts)
    assert hosts
    assert set(hosts) == {"example.invalid"}


def test_everyone_has_something_to_say() -> None:
    members = {member for room in ROOMS for member in room.members}
    assert all(TEXTS[person.language] for person in {*PEOPLE, *EMPLOYEES, *members})


def test_many_scripts_are_spoken() -> None:
    spoken = scripts("".join(text for texts in TEXTS.values() for text in texts))
    wanted = {"LATIN", "CYRILLIC", "ARABIC", "HEBREW", "CJK", "HIRAGANA", "DEVANAGARI", "COMBINING"}
    assert wanted <= spoken
    assert "👍" in TEXTS["emoji"][0]


def test_ids_are_unique() -> None:
    for ids in ([p.id for p in PEOPLE], [r.id for r in ROOMS], [t.id for t in TAGS]):
        assert len(set(ids)) == len(ids)
    assert PLACES
