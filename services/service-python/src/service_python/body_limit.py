"""Bounds the request body, with or without a Content-Length, before it is in memory."""

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 64 * 1024
"""The longest prompt takes 48 KiB if every character is written as two \\uXXXX escapes."""


class BodyLimit:
    """ASGI middleware: reading past MAX_BODY_BYTES raises an HTTPException 413 in the reader.

    FastAPI's own `max_body_size` is not used: it answers in plain text, and older versions ignore it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        received = 0

        async def receive_bounded() -> Message:
            nonlocal received
            message = await receive()
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                if received > MAX_BODY_BYTES:
                    raise HTTPException(413, f"The body is longer than {MAX_BODY_BYTES} bytes.")
            return message

        await self._app(scope, receive_bounded, send)
