"""What a client may ask.

Every field is bounded, so that the size of an answer (`answers`) and of a request (`bodies`) is bounded too.
"""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

MAX_PROMPT_CHARACTERS = 4096
"""A prompt of this many characters outside the BMP, percent-encoded, is 48 KiB: it still fits a request line, which
uvicorn bounds at 64 KiB."""

MAX_MODEL_CHARACTERS = 64
DEFAULT_MODEL = "inferway-demo-1"

# -0.0 equals 0.0 but prints otherwise, and answers are derived from what is printed.
Temperature = Annotated[float, Field(ge=0, le=2, allow_inf_nan=False), AfterValidator(lambda value: value + 0.0)]


class Question(BaseModel):
    """One prompt and how to answer it, as written in a query string: numbers arrive as text and are parsed.

    Query parameters that are not listed here are ignored, as everywhere on the web (`&_=1` to bypass a cache).
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
    """The same as a JSON body: types are exact ("5" is no number) and an unknown field is an error."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")
