"""`python -m tests.soak --seconds 600 --seed 1`: the long run; non-zero on a broken promise."""

import argparse
import sys

from tests.interop.soketi import why_unavailable

from .faults import KINDS
from .journal import DEFAULTS, SHORT
from .proof import say, verdict
from .run import Plan, losses_in_silence, soak, table, violations


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--default-timings", action="store_true", help="leave the program's timings alone"
    )
    parser.add_argument(
        "--without", action="append", default=[], choices=KINDS, help="leave out a kind of fault"
    )
    asked = parser.parse_args()
    if reason := why_unavailable():
        print(f"cannot run: {reason}", file=sys.stderr)
        return 2
    timings = DEFAULTS if asked.default_timings else SHORT
    kinds = tuple(kind for kind in KINDS if kind not in asked.without)
    result = soak(Plan(asked.seconds, asked.seed, timings, kinds), say)
    say(table(result))
    silent = [f"lost in silence: {line}" for line in losses_in_silence(result)]
    return verdict(violations(result), silent)


if __name__ == "__main__":
    sys.exit(main())
