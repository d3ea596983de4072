"""Bounds the request body, declared or not, before anything holds it in memory."""

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 64 * 1024
"""The longest prompt takes 48 KiB when every character is written as two \\uXXXX escapes."""


class BodyLimit:
    """ASGI middleware: reading past MAX_BODY_BYTES raises an HTTPException 413 in whoever reads.

    Not FastAPI's own `max_body_size`: that one answers in plain text, and versions that do not know it ignore it.
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
