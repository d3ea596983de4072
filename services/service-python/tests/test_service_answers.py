"""Answers: the same for the same question, and of the promised size for any question."""

import json
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from service_python import answers
from service_python.questions import MAX_MODEL_CHARACTERS, MAX_PROMPT_CHARACTERS, Question, QuestionBody

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
    return answers.encode(answers.compose(Question(**fields)))


@given(question=QUESTIONS)
@example(question=Question(prompt=" ", model="m", max_tokens=1))
@example(question=Question(prompt="\x00" * MAX_PROMPT_CHARACTERS, model="m" * MAX_MODEL_CHARACTERS))
@example(question=Question(prompt="😀" * MAX_PROMPT_CHARACTERS, model="m" * MAX_MODEL_CHARACTERS, max_tokens=4096))
def test_any_answer_has_the_promised_size_and_repeats(question: Question) -> None:
    body = answers.encode(answers.compose(question))
    assert answers.MIN_ANSWER_BYTES <= len(body) <= answers.MAX_ANSWER_BYTES
    assert body == answers.encode(answers.compose(question.model_copy()))

    answer = json.loads(body)
    assert answer["prompt_sha256"] == sha256(question.prompt.encode()).hexdigest()
    assert answer["usage"]["completion_tokens"] == len(answer["answer"].split())
    assert answer["usage"]["completion_tokens"] <= (question.max_tokens or answers.MAX_WORDS)


def test_the_size_holds_at_both_ends_not_only_for_drawn_questions() -> None:
    # The property above cannot choose how many words are drawn, and which. Build the extremes by hand.
    drawn = answers.compose(Question(prompt="x", model="m" * MAX_MODEL_CHARACTERS))
    usage = answers.Usage(prompt_tokens=MAX_PROMPT_CHARACTERS, completion_tokens=999, total_tokens=9999)
    longest = " ".join([max(answers.WORDS, key=len)] * answers.MAX_WORDS) + "."
    largest = drawn.model_copy(update={"answer": longest, "usage": usage, "finish_reason": "length"})
    assert len(answers.encode(largest)) <= answers.MAX_ANSWER_BYTES

    usage = answers.Usage(prompt_tokens=1, completion_tokens=1, total_tokens=2)
    smallest = drawn.model_copy(update={"answer": "A.", "usage": usage, "finish_reason": "stop", "model": "m"})
    assert len(answers.encode(smallest)) >= answers.MIN_ANSWER_BYTES


def test_the_words_are_chosen_evenly() -> None:
    assert len(set(answers.WORDS)) == len(answers.WORDS)
    assert 256 % len(answers.WORDS) == 0


def test_the_bytes_stay_the_same_from_one_version_to_the_next() -> None:
    # Recorded answers and caches outlive a process. Change this only on purpose.
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
def test_every_part_of_the_question_matters(other: dict[str, Any]) -> None:
    assert _body(**{"prompt": "hello"} | other) != _body(prompt="hello")


def test_equal_numbers_are_the_same_temperature() -> None:
    assert _body(prompt="hello", temperature=-0.0) == _body(prompt="hello", temperature=0)


def test_max_tokens_cuts_short_and_says_so() -> None:
    cut = answers.compose(Question(prompt="hello", max_tokens=1))
    assert (cut.finish_reason, len(cut.answer.split())) == ("length", 1)
    assert answers.compose(Question(prompt="hello", max_tokens=4096)).finish_reason == "stop"


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
def test_a_body_that_is_not_a_question(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        QuestionBody.model_validate(wrong)
