"""`python -m tests.conformance` prints each case with its tests, or why it has none."""

from .cases import CASES, NOT_APPLICABLE, mapping


def main() -> None:
    """Print the mapping."""
    found = mapping()
    for number, (section, title) in CASES.items():
        print(f"{section}-{number:03} {title}")
        for test in found.get(number, []):
            print(f"       {test}")
        if reason := NOT_APPLICABLE.get(number):
            print(f"       does not apply: {reason}")


if __name__ == "__main__":
    main()
