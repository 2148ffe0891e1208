"""Items that filters are tested with."""

from hypothesis import strategies as st

CHAT = {
    "id": "private-1480000001h1360000000000000001",
    "hash": "h1360000000000000001",
    "type": "private",
    "phone": "70000000000",
    "username": "username_test",
    "name": "Test  Straße",
}
MESSAGE = {"id": 696, "fromMe": False, "type": "text", "message": {"text": "Test"}, "chat": CHAT}
STATUS = {"id": 696, "type": "delivered", "chat": {"id": "group-54911000655"}, "error": None}

_members = st.sampled_from(["chat", "message", "text", "caption", "fromMe", "side", "id", "name"])
_scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
ITEMS = st.recursive(
    _scalars, lambda inner: st.lists(inner) | st.dictionaries(_members, inner), max_leaves=20
)


def says(text: object, caption: object = "") -> dict[str, object]:
    """Return a message with a text and a caption."""
    return {"message": {"text": text, "caption": caption}}
