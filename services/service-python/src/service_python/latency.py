"""Decides the waiting time and the failure of each request; the application applies them.

    distribution  `latency_ms` is     a waiting time is drawn from
    constant      the value           that one value
    uniform       the mean            [0, 2 * latency_ms]
    lognormal     the median          latency_ms * exp(sigma * N(0, 1)): the long right tail of real services
    exponential   the mean            Exp(1 / latency_ms): many short times, a few very long ones

A jitter from [-jitter_ms, +jitter_ms] is added; the sum is limited to [0, max_ms].
"""

import math
import random
from dataclasses import dataclass
from typing import Literal

Distribution = Literal["constant", "uniform", "lognormal", "exponential"]
"""The shapes of latency; see the table at the top of this module."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The simulated behaviour. Times in milliseconds, none negative; `error_rate` is a share in [0, 1]."""

    distribution: Distribution
    latency_ms: float
    sigma: float
    jitter_ms: float
    max_ms: float
    error_rate: float


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision for one request: wait `seconds`, then answer or fail."""

    seconds: float
    fails: bool


def decide(profile: Profile, rng: random.Random) -> Decision:
    """Draw the decision for the next request from `rng`; a seed gives the same decisions in the same order.

    A failing request waits as long as any other, because a service under load is slow before it fails.
    """
    # All three are always drawn, in this order, so that errors or jitter do not change the latencies of a seed.
    fails = rng.random() < profile.error_rate
    jitter = rng.uniform(-profile.jitter_ms, profile.jitter_ms)
    wait = _draw(profile, rng) + jitter
    return Decision(seconds=min(max(wait, 0.0), profile.max_ms) / 1000, fails=fails)


def _draw(profile: Profile, rng: random.Random) -> float:
    match profile.distribution:
        case "constant":
            return profile.latency_ms
        case "uniform":
            return rng.uniform(0.0, 2 * profile.latency_ms)
        case "lognormal":
            return profile.latency_ms * math.exp(profile.sigma * rng.gauss(0.0, 1.0))
        case "exponential":
            # Not expovariate(1 / mean), because a mean of zero is valid.
            return profile.latency_ms * rng.expovariate(1.0)
