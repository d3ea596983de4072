"""A short run of every fuzzing target; `make fuzz` is the long one."""

import pytest
from fuzzing import by_hypothesis, targets
from fuzzing.targets import Target
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inferway_testing.examples import examples


@pytest.mark.parametrize("target", targets.ALL, ids=lambda target: target.name)
def test_fuzz_target_holds_for_generated_inputs(target: Target) -> None:
    @settings(max_examples=examples(400), deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(by_hypothesis.inputs_of(target) | st.binary(max_size=64))
    def check(data: bytes) -> None:
        target.check(data)

    check()
