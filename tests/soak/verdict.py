"""What a soak says at its end, and its exit status."""

from collections.abc import Sequence


def say(text: str) -> None:
    print(text, flush=True)


def verdict(violations: Sequence[str], remarks: Sequence[str] = ()) -> int:
    """Say what was broken, and what else is worth a line; return 1 when anything was."""
    for violation in violations:
        say(f"VIOLATION  {violation}")
    for remark in remarks:
        say(remark)
    say("every promise was kept" if not violations else f"{len(violations)} promises broken")
    return 1 if violations else 0
