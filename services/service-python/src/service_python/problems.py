"""Problems: each answer that is not a 2xx is `application/problem+json` (RFC 9457).

Fields: {type, title, status, detail[, errors]}. Of the request, only the names of invalid fields are repeated.
"""

import json
from collections.abc import Mapping
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

MEDIA_TYPE = "application/problem+json"

# A body may contain thousands of unknown fields with names of any length. The first few are enough.
MAX_ERRORS = 10
MAX_FIELD_CHARACTERS = 80


def problem(
    status: int,
    detail: str,
    *,
    errors: list[dict[str, str]] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return an error response. `errors` lists the invalid fields: [{"field": "body.prompt", "message": ...}]."""
    document: dict[str, object] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if errors is not None:
        document["errors"] = errors
    # ASCII only: the name of a field can hold a lone surrogate, which JSON can write and UTF-8 cannot.
    return Response(json.dumps(document), status_code=status, headers=headers, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Make `app` answer its own errors, the framework's and unexpected ones in this shape."""

    @app.exception_handler(HTTPException)
    async def on_http_exception(_request: Request, error: HTTPException) -> Response:
        return problem(error.status_code, str(error.detail), headers=error.headers)

    @app.exception_handler(RequestValidationError)
    async def on_validation_error(_request: Request, error: RequestValidationError) -> Response:
        errors = [
            {"field": ".".join(map(str, each["loc"]))[:MAX_FIELD_CHARACTERS], "message": each["msg"]}
            for each in error.errors()[:MAX_ERRORS]
        ]
        return problem(422, "The request is not valid.", errors=errors)

    @app.exception_handler(Exception)
    async def on_exception(_request: Request, _error: Exception) -> Response:
        # Starlette raises it again after this answer, and uvicorn logs the traceback.
        return problem(500, "The service failed.")
