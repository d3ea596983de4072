"""Filters: from Gateway API's union to the fields of a rule, one translator for each filter type."""

from collections.abc import Callable
from typing import Any, Final

from inferway_contract import document, paths
from inferway_contract.resources import filters as written
from inferway_operator.compiler import messages
from inferway_operator.compiler.draft import Draft, Path, RuleDraft


def translate(draft: Draft) -> None:
    """Translate the filters of every valid rule."""
    for _, rule in draft.new_rules():
        if rule.source.rule is None:
            continue
        for index, entry in enumerate(rule.source.rule.filters):
            member = written.MEMBERS[entry.type]
            _TRANSLATORS[entry.type](rule, entry, ("filters", index, member))


def _request_headers(rule: RuleDraft, entry: Any, at: Path) -> None:
    rule.parts["request_headers"] = _header_edit(rule, entry.request_header_modifier, at)


def _response_headers(rule: RuleDraft, entry: Any, at: Path) -> None:
    modifier: written.HeaderModifier = entry.response_header_modifier
    rule.parts["response_headers"] = _header_edit(rule, modifier, at)
    for operation in ("set", "add", "remove"):
        for index, item in enumerate(getattr(modifier, operation)):
            name = item if isinstance(item, str) else item.name
            objection = _objection_to_edit(rule, name.lower(), operation)
            if objection is not None:
                rule.add_error(f"{messages.quoted(name)}: {objection}", *at, operation, index)


def _objection_to_edit(rule: RuleDraft, name: str, operation: str) -> str | None:
    """Return why a filter cannot change a response field of this rule, which the gateway itself writes; None = it can."""
    source = rule.source.rule
    if source is None:
        return None
    if source.cache is not None and name == source.cache.status_header.lower():
        return "the cache of this rule writes this field: give cache.statusHeader another name"
    if any(entry.cors is not None for entry in source.filters):
        if name.startswith("access-control-"):
            return "the CORS filter of this rule writes this field: change that filter"
        if name == "vary" and operation == "remove":
            return "the CORS filter of this rule needs this field, or caches would mix up origins"
    return None


def _header_edit(rule: RuleDraft, modifier: written.HeaderModifier, at: Path) -> document.HeaderEdit:
    # A name twice in `add` is two fields; in `set` or `remove` it is an error.
    _check_unique(rule, [entry.name for entry in modifier.set], (*at, "set"))
    _check_unique(rule, list(modifier.remove), (*at, "remove"))
    return document.HeaderEdit(
        set=_header_values(modifier.set),
        add=_header_values(modifier.add),
        remove=tuple(name.lower() for name in modifier.remove),
    )


def _header_values(entries: tuple[written.Header, ...]) -> tuple[document.HeaderValue, ...]:
    return tuple(document.HeaderValue(name=entry.name, value=entry.value) for entry in entries)


def _check_unique(rule: RuleDraft, names: list[str], at: Path) -> None:
    previous: set[str] = set()
    for index, name in enumerate(names):
        if name.lower() in previous:
            rule.add_error(f"duplicate name {messages.quoted(name)} (names are compared without case)", *at, index)
        previous.add(name.lower())


def _rewrite(rule: RuleDraft, entry: Any, at: Path) -> None:
    rewrite: written.UrlRewrite = entry.url_rewrite
    path = _new_path(rule, rewrite.path, (*at, "path"))
    rule.parts["rewrite"] = document.Rewrite(hostname=rewrite.hostname, path=path)


def _redirect(rule: RuleDraft, entry: Any, at: Path) -> None:
    redirect: written.RequestRedirect = entry.request_redirect
    rule.redirect = document.Redirect(
        status=redirect.status_code,
        scheme=redirect.scheme,
        hostname=redirect.hostname,
        port=redirect.port,
        path=_new_path(rule, redirect.path, (*at, "path")),
    )


def _respond(rule: RuleDraft, entry: Any, at: Path) -> None:
    response: written.DirectResponse = entry.direct_response
    rule.respond = document.DirectResponse(
        status=response.status_code, content_type=response.content_type, body=response.body
    )


def _cors(rule: RuleDraft, entry: Any, at: Path) -> None:
    cors: written.Cors = entry.cors
    rule.parts["cors"] = document.Cors(
        allow_origins=cors.allow_origins,
        allow_methods=cors.allow_methods,
        allow_headers=cors.allow_headers,
        expose_headers=cors.expose_headers,
        allow_credentials=cors.allow_credentials,
        max_age_seconds=cors.max_age,
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
        rule.add_error(f"{messages.quoted(value)}: {error}: upstreams may read it in two ways", *at, field)
    return document.NewPath(full=value) if is_full else document.NewPath(prefix=value)
