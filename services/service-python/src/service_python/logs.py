"""Logs are JSON, one object per line: {time, level, event, ...}.

`json.dumps` with its defaults escapes control characters and everything outside ASCII, so no request can forge a
line, colour a terminal or break a reader of UTF-8.
"""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TextIO

_OWN = "service_python"

logger = logging.getLogger(_OWN)


class JsonFormatter(logging.Formatter):
    """Formats records: those of `write` with their fields, others (uvicorn's) as the event "message"."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line of JSON without the line break; `time` is RFC 3339 in UTC with milliseconds."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line: dict[str, object] = {"time": time, "level": record.levelname.lower()}
        if record.name == _OWN:
            line["event"] = record.msg
            line.update(getattr(record, "fields", {}))
        else:
            line |= {"event": "message", "logger": record.name, "message": record.getMessage()}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def configure(level: str, stream: TextIO | None = None) -> None:
    """Send all of the process's logs of `level` and above to `stream`, by default stdout."""
    handler = logging.StreamHandler(sys.stdout if stream is None else stream)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)


def write(level: int, event: str, **fields: object) -> None:
    """Log `event`, a short fixed word, with JSON-ready `fields`. Never log a prompt: it belongs to its author."""
    logger.log(level, event, extra={"fields": fields})
