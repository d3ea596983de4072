"""Answers that depend on the question only.

The same question gives the same bytes at any time, in every process, by GET and by POST: no clock, no randomness, no
request id. So a gateway's cache and its retries can be checked by comparing bodies.

    seed     SHA-256 over the prompt, model, max_tokens and temperature
    octets   SHA-256(seed, 0), SHA-256(seed, 1), ...     as many as are needed
    answer   words chosen by octets, a fixed-size "embedding" made of octets

The size of the body is always between MIN_ANSWER_BYTES and MAX_ANSWER_BYTES, for two reasons. The answer contains the
prompt's hash only (the prompt itself could be long, or escaped to six times its length). And the embedding alone is
longer than the difference between the smallest answer and MIN_ANSWER_BYTES.
"""

import hashlib
import json
from base64 import b64encode
from collections.abc import Iterator
from typing import Literal

from pydantic import BaseModel

from service_python.prompts import Question

MIN_ANSWER_BYTES = 512
MAX_ANSWER_BYTES = 2048

# 210 octets are 280 characters of base64; with the two hashes, the field names and one word, more than 512 bytes.
EMBEDDING_OCTETS = 210

MIN_WORDS = 8
MAX_WORDS = 135  # of at most 8 characters and a space each: 1,215 bytes, which leave room for all the rest

# 64 words, a divisor of 256: `octet % 64` prefers none of them.
WORDS = (
    *("a", "after", "again", "all", "and", "answer", "any", "are", "as", "at", "because", "before", "between", "both"),
    *("by", "can", "careful", "carries", "cold", "deep", "each", "far", "few", "follows", "for", "from", "gate", "had"),
    *("if", "in", "is", "it", "keeps", "known", "later", "light", "little", "many", "may", "model", "more", "never"),
    *("not", "of", "often", "one", "only", "or", "other", "path", "question", "quiet", "rather", "river", "same"),
    *("simple", "so", "than", "that", "the", "then", "to", "water", "with"),
)


class Usage(BaseModel):
    """The cost of the question, in simulated tokens."""

    prompt_tokens: int
    """One token per four octets of UTF-8, rounded up."""
    completion_tokens: int
    """One token per word of the answer."""
    total_tokens: int


class Answer(BaseModel):
    """The body of a 200 from `/infer`. The order of the fields is the order in the JSON text."""

    id: str
    """The same for the same question: "ans-" and 24 hexadecimal digits."""
    model: str
    prompt_sha256: str
    """SHA-256 of the prompt in UTF-8, 64 hexadecimal digits."""
    answer: str
    """Lower-case words separated by single spaces, beginning with a capital and ending with a full stop."""
    finish_reason: Literal["stop", "length"]
    """"length" if `max_tokens` cut the answer short."""
    embedding: str
    """EMBEDDING_OCTETS octets in base64, to be read as signed 8-bit numbers."""
    usage: Usage


def _seed(question: Question) -> bytes:
    # A JSON list, not a concatenation: ("ab", "c") and ("a", "bc") are two questions.
    parts = [question.prompt, question.model, question.max_tokens, question.temperature]
    return hashlib.sha256(json.dumps(parts).encode("ascii")).digest()


def _octets(seed: bytes) -> Iterator[int]:
    block = 0
    while True:
        yield from hashlib.sha256(seed + block.to_bytes(8, "big")).digest()
        block += 1


def compose(question: Question) -> Answer:
    """Return the answer to `question`. Pure."""
    prompt = question.prompt.encode()
    seed = _seed(question)
    octets = _octets(seed)
    embedding = bytes(next(octets) for _ in range(EMBEDDING_OCTETS))
    wanted = MIN_WORDS + next(octets) % (MAX_WORDS - MIN_WORDS + 1)
    given = min(wanted, question.max_tokens or wanted)
    text = " ".join(WORDS[next(octets) % len(WORDS)] for _ in range(given))
    prompt_tokens = -(-len(prompt) // 4)
    return Answer(
        id=f"ans-{seed.hex()[:24]}",
        model=question.model,
        prompt_sha256=hashlib.sha256(prompt).hexdigest(),
        answer=f"{text.capitalize()}.",
        finish_reason="length" if given < wanted else "stop",
        embedding=b64encode(embedding).decode("ascii"),
        usage=Usage(prompt_tokens=prompt_tokens, completion_tokens=given, total_tokens=prompt_tokens + given),
    )


def encode(answer: Answer) -> bytes:
    """Return the body: JSON in ASCII, MIN_ANSWER_BYTES to MAX_ANSWER_BYTES octets long."""
    return answer.model_dump_json().encode("ascii")
