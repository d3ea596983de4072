"""How long to wait, and whether to fail: decided here, done elsewhere.

    distribution  `latency_ms` is     a waiting time is drawn from
    constant      the value           that one value
    uniform       the mean            [0, 2 * latency_ms]
    lognormal     the median          latency_ms * exp(sigma * N(0, 1)): the long right tail of real services
    exponential   the mean            Exp(1 / latency_ms): many short ones, a few very long ones

To each is added a jitter from [-jitter_ms, +jitter_ms]; the sum is kept within [0, max_ms].
"""

import math
import random
from dataclasses import dataclass
from typing import Literal

Distribution = Literal["constant", "uniform", "lognormal", "exponential"]
"""The shapes of latency; see the table at the top of this module."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What to simulate. Times in milliseconds, none negative; `error_rate` is a share in [0, 1]."""

    distribution: Distribution
    latency_ms: float
    sigma: float
    jitter_ms: float
    max_ms: float
    error_rate: float


@dataclass(frozen=True, slots=True)
class Decision:
    """What happens to one request: wait so many seconds, then answer or fail."""

    seconds: float
    fails: bool


def decide(profile: Profile, rng: random.Random) -> Decision:
    """Draw the fate of the next request from `rng`: a given seed gives the same fates in the same order.

    A failing request waits as long as any other: a service under load is late before it gives up.
    """
    # All three are drawn whatever the profile says, in this order: turning errors or jitter on
    # does not change the latencies that a seed stands for.
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
            # Not expovariate(1 / mean): a mean of zero is a legal wish.
            return profile.latency_ms * rng.expovariate(1.0)
