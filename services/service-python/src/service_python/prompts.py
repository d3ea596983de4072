"""The parameters of a question.

Every field is bounded, so the sizes of answers (`completions`) and requests (`body_limit`) are bounded too.
"""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

MAX_PROMPT_CHARACTERS = 4096
"""A prompt of this many characters outside the BMP, percent-encoded, is 48 KiB: it still fits a request line, which
uvicorn bounds at 64 KiB."""

MAX_MODEL_CHARACTERS = 64
DEFAULT_MODEL = "inferway-demo-1"

# -0.0 equals 0.0 but is printed differently, and answers are derived from the printed form.
Temperature = Annotated[float, Field(ge=0, le=2, allow_inf_nan=False), AfterValidator(lambda value: value + 0.0)]


class Question(BaseModel):
    """One prompt and its parameters, from a query string: numbers arrive as text and are parsed.

    Unknown query parameters are ignored, as usual on the web (`&_=1` to bypass a cache).
    """

    model_config = ConfigDict(frozen=True)

    prompt: str = Field(min_length=1, max_length=MAX_PROMPT_CHARACTERS, description="What to answer, in characters.")
    model: str = Field(
        default=DEFAULT_MODEL,
        max_length=MAX_MODEL_CHARACTERS,
        # ASCII that JSON never escapes: the model is repeated in the answer, whose size is promised.
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]*$",
        description="Any name; it changes the answer and is repeated in it.",
    )
    max_tokens: int | None = Field(
        default=None, ge=1, le=4096, description="The most words in the answer; null: as many as it takes."
    )
    temperature: Temperature | None = Field(
        default=None, description="Changes the answer, never its repeatability; null: not given."
    )


class QuestionBody(Question):
    """The same as a JSON body: types are exact ("5" is not a number) and an unknown field is an error."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")
