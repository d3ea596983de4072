"""Answers: the same for the same question, and of bounded size for any question."""

import json
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from service_python import completions
from service_python.prompts import MAX_MODEL_CHARACTERS, MAX_PROMPT_CHARACTERS, Question, QuestionBody

# Every character that UTF-8 can carry: all but lone surrogates.
PROMPTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=MAX_PROMPT_CHARACTERS)
QUESTIONS = st.builds(
    Question,
    prompt=PROMPTS,
    model=st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._:/-]{0,63}\Z"),
    max_tokens=st.none() | st.integers(1, 4096),
    temperature=st.none() | st.floats(0, 2),
)


def _body(**fields: Any) -> bytes:
    return completions.encode(completions.compose(Question(**fields)))


@given(question=QUESTIONS)
@example(question=Question(prompt=" ", model="m", max_tokens=1))
@example(question=Question(prompt="\x00" * MAX_PROMPT_CHARACTERS, model="m" * MAX_MODEL_CHARACTERS))
@example(question=Question(prompt="😀" * MAX_PROMPT_CHARACTERS, model="m" * MAX_MODEL_CHARACTERS, max_tokens=4096))
def test_completion_has_the_documented_size_and_repeats(question: Question) -> None:
    body = completions.encode(completions.compose(question))
    assert completions.MIN_ANSWER_BYTES <= len(body) <= completions.MAX_ANSWER_BYTES
    assert body == completions.encode(completions.compose(question.model_copy()))

    answer = json.loads(body)
    assert answer["prompt_sha256"] == sha256(question.prompt.encode()).hexdigest()
    assert answer["usage"]["completion_tokens"] == len(answer["answer"].split())
    assert answer["usage"]["completion_tokens"] <= (question.max_tokens or completions.MAX_WORDS)


def test_completion_size_holds_for_extreme_prompts() -> None:
    # The property above cannot choose the number of words and the words. Build the extremes by hand.
    drawn = completions.compose(Question(prompt="x", model="m" * MAX_MODEL_CHARACTERS))
    usage = completions.Usage(prompt_tokens=MAX_PROMPT_CHARACTERS, completion_tokens=999, total_tokens=9999)
    longest = " ".join([max(completions.WORDS, key=len)] * completions.MAX_WORDS) + "."
    largest = drawn.model_copy(update={"answer": longest, "usage": usage, "finish_reason": "length"})
    assert len(completions.encode(largest)) <= completions.MAX_ANSWER_BYTES

    usage = completions.Usage(prompt_tokens=1, completion_tokens=1, total_tokens=2)
    smallest = drawn.model_copy(update={"answer": "A.", "usage": usage, "finish_reason": "stop", "model": "m"})
    assert len(completions.encode(smallest)) >= completions.MIN_ANSWER_BYTES


def test_completion_words_are_chosen_evenly() -> None:
    assert len(set(completions.WORDS)) == len(completions.WORDS)
    assert 256 % len(completions.WORDS) == 0


def test_completion_bytes_are_stable_across_versions() -> None:
    # Recorded answers and caches outlive a process. Change this only deliberately.
    assert (
        sha256(_body(prompt="hello")).hexdigest() == "69b1a768a57823d8c55ade4084c855d013764fb7a5b27d16cb9bc62b575026e2"
    )


@pytest.mark.parametrize(
    "other",
    [
        {"prompt": "hello "},
        {"model": "another"},
        {"max_tokens": 5},
        {"temperature": 0.0},
        {"temperature": 1.0},
    ],
    ids=str,
)
def test_every_field_of_the_prompt_changes_the_completion(other: dict[str, Any]) -> None:
    assert _body(**{"prompt": "hello"} | other) != _body(prompt="hello")


def test_equal_temperatures_give_the_same_completion() -> None:
    assert _body(prompt="hello", temperature=-0.0) == _body(prompt="hello", temperature=0)


def test_max_tokens_truncates_with_finish_reason_length() -> None:
    cut = completions.compose(Question(prompt="hello", max_tokens=1))
    assert (cut.finish_reason, len(cut.answer.split())) == ("length", 1)
    assert completions.compose(Question(prompt="hello", max_tokens=4096)).finish_reason == "stop"


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"prompt": ""},
        {"prompt": "x" * (MAX_PROMPT_CHARACTERS + 1)},
        {"prompt": 5},
        {"prompt": "\ud800"},
        {"prompt": "x", "max_tokens": "5"},
        {"prompt": "x", "max_tokens": True},
        {"prompt": "x", "max_tokens": 0},
        {"prompt": "x", "temperature": 2.1},
        {"prompt": "x", "temperature": float("nan")},
        {"prompt": "x", "model": "two words"},
        {"prompt": "x", "model": "m\n"},
        {"prompt": "x", "model": "m" * (MAX_MODEL_CHARACTERS + 1)},
        {"prompt": "x", "stream": True},
    ],
    ids=lambda wrong: ascii(wrong)[:60],
)
def test_invalid_prompt_body_is_rejected(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        QuestionBody.model_validate(wrong)
