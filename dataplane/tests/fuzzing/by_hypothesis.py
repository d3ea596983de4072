"""One target under hypothesis, which shrinks what fails: `python -m fuzzing.by_hypothesis NAME INPUTS`."""

import sys
from random import SystemRandom

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from fuzzing import targets
from fuzzing.run import TICK
from fuzzing.targets import Target

_EVERY = 500
_BATCH = 20_000  # a run of its own, so that hypothesis does not keep all it has seen


def inputs_of(target: Target) -> st.SearchStrategy[bytes]:
    """Words that mean something to the parser, and noise."""
    pieces = st.one_of(st.sampled_from(target.words), st.binary(min_size=1, max_size=4))
    return st.lists(pieces, max_size=16).map(b"".join)


def main(name: str, inputs: int) -> None:
    """Raises when an invariant does not hold."""
    target = targets.by_name(name)
    done = 0

    def check(data: bytes) -> None:
        nonlocal done
        done += 1
        if done % _EVERY == 0:
            sys.stdout.write(f"{TICK}{done}\n")
            sys.stdout.flush()
        target.check(data)

    while done < inputs:
        run = settings(
            max_examples=min(_BATCH, inputs - done),
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        before = done
        seed(SystemRandom().getrandbits(64))(run(given(inputs_of(target))(check)))()
        if done == before:
            return


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
