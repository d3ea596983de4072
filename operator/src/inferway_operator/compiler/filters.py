"""Filters: from Gateway API's union to the fields of a rule, one entry for each type."""

from collections.abc import Callable
from typing import Any, Final

from inferway_contract import document, paths
from inferway_contract.resources import filters as written
from inferway_operator.compiler import edits, messages
from inferway_operator.compiler.draft import Draft, Path, RuleDraft


def translate(draft: Draft) -> None:
    """Give every rule what its filters say."""
    for _, rule in draft.rules():
        if rule.source.rule is None:
            continue
        for index, entry in enumerate(rule.source.rule.filters):
            member = written.MEMBERS[entry.type]
            _TRANSLATORS[entry.type](rule, entry, ("filters", index, member))


def _request_headers(rule: RuleDraft, entry: Any, at: Path) -> None:
    rule.parts["request_headers"] = edits.translate(rule, entry.request_header_modifier, at)


def _response_headers(rule: RuleDraft, entry: Any, at: Path) -> None:
    rule.parts["response_headers"] = edits.translate(rule, entry.response_header_modifier, at)


def _rewrite(rule: RuleDraft, entry: Any, at: Path) -> None:
    said: written.UrlRewrite = entry.url_rewrite
    rule.parts["rewrite"] = document.Rewrite(hostname=said.hostname, path=_new_path(rule, said.path, (*at, "path")))


def _redirect(rule: RuleDraft, entry: Any, at: Path) -> None:
    said: written.RequestRedirect = entry.request_redirect
    rule.redirect = document.Redirect(
        status=said.status_code,
        scheme=said.scheme,
        hostname=said.hostname,
        port=said.port,
        path=_new_path(rule, said.path, (*at, "path")),
    )


def _respond(rule: RuleDraft, entry: Any, at: Path) -> None:
    said: written.DirectResponse = entry.direct_response
    rule.respond = document.DirectResponse(status=said.status_code, content_type=said.content_type, body=said.body)


def _cors(rule: RuleDraft, entry: Any, at: Path) -> None:
    said: written.Cors = entry.cors
    rule.parts["cors"] = document.Cors(
        allow_origins=said.allow_origins,
        allow_methods=said.allow_methods,
        allow_headers=said.allow_headers,
        expose_headers=said.expose_headers,
        allow_credentials=said.allow_credentials,
        max_age_seconds=said.max_age,
    )


_TRANSLATORS: Final[dict[str, Callable[[RuleDraft, Any, Path], None]]] = {
    "RequestHeaderModifier": _request_headers,
    "ResponseHeaderModifier": _response_headers,
    "URLRewrite": _rewrite,
    "RequestRedirect": _redirect,
    "DirectResponse": _respond,
    "CORS": _cors,
}


def _new_path(rule: RuleDraft, path: written.PathModifier | None, at: Path) -> document.NewPath | None:
    if path is None:
        return None
    is_full = path.type == "ReplaceFullPath"
    value = (path.replace_full_path if is_full else path.replace_prefix_match) or ""
    try:
        paths.match_path(value.encode())
    except paths.AmbiguousPath as error:
        field = "replaceFullPath" if is_full else "replacePrefixMatch"
        rule.complain(f"{messages.quoted(value)}: {error}: upstreams may read it in two ways", *at, field)
    return document.NewPath(full=value) if is_full else document.NewPath(prefix=value)
