"""The answer that each proxy must deliver byte for byte, and the URLs that request it.

The body repeats the prompt, so the answer to another client's request counts as wrong. All prompts have one length,
so all answers have one size.
"""

from __future__ import annotations

BODY_SIZE = 707
"""An ordinary short completion; also the size used for the reference figures of the design."""

PROXIED_URLS = 1000
CACHED_URLS = 100

REQUEST_HEADERS = {
    "User-Agent": "inferway-bench/1 (wrk)",
    "Accept": "application/json",
    "Accept-Language": "en-GB,en;q=0.8",
}

_PROMPT = "Summarise-the-minutes-of-meeting-{:04d}"
_OPENING = '{"model":"sim-a","object":"completion","prompt":"'
_MIDDLE = '","text":"'
_ENDING = '"}'
_SENTENCE = "The gateway took the request, asked its limits, found its route and brought the answer back unchanged. "

_filler = BODY_SIZE - len(_OPENING) - len(_PROMPT.format(0)) - len(_MIDDLE) - len(_ENDING)

PREFIX = _OPENING
SUFFIX = _MIDDLE + (_SENTENCE * 10)[:_filler] + _ENDING


def prompt(number: int) -> str:
    return _PROMPT.format(number)


def path(number: int) -> str:
    """Return the request target. `number` must be below 10,000, or answers would differ in size."""
    return f"/infer?prompt={prompt(number)}"


def body(number: int) -> bytes:
    return f"{PREFIX}{prompt(number)}{SUFFIX}".encode()
