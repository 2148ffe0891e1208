"""A text that never prints."""

from ..redaction import register


class Secret:
    """A token or a password; `reveal` is called where it is sent or stored, nowhere else.

    Where a server repeats it, `redaction` removes it from output.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text
        register(text)

    def reveal(self) -> str:
        """Return the text itself."""
        return self._text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return "[secret]"
