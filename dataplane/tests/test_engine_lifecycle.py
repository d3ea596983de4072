"""Everything counted is given back, and each request has one response: a model of connections' lives (`lifecycle/`).

`python -m lifecycle.run` runs many more scenarios than these (docs/testing.md).
"""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lifecycle import scenario

from inferway_testing.examples import examples

CHOICES = st.one_of(st.binary(max_size=80), st.binary(min_size=80, max_size=240))


def run(count: int, *, has_fault: bool) -> None:
    @settings(max_examples=examples(count), deadline=None, suppress_health_check=list(HealthCheck))
    @given(CHOICES)
    def check(choices: bytes) -> None:
        scenario.run(choices, has_fault=has_fault)

    check()


def test_connections_give_back_everything_however_they_end() -> None:
    run(200, has_fault=False)


def test_unexpected_errors_at_any_seam_settle_the_exchange() -> None:
    run(200, has_fault=True)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("has_fault", [False, True], ids=["", "with an error"])
def test_connections_give_back_everything_at_length(has_fault: bool) -> None:
    run(2_000, has_fault=has_fault)
