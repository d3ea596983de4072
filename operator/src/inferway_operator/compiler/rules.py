"""Rules: their names, their bounds, and that each of them does something."""

from inferway_contract import document, values
from inferway_contract.resources import gateway_route as written
from inferway_operator.compiler import messages
from inferway_operator.compiler.draft import Draft


def check_names(draft: Draft) -> None:
    """A name belongs to one rule: policies and metrics speak of it. Of two, the first keeps it."""
    for route in draft.routes:
        owners: dict[str, int] = {}
        for rule in route.rules:
            name = rule.source.name
            owner = owners.setdefault(name, rule.source.index)
            if owner != rule.source.index:
                rule.complain(f"{messages.quoted(name)} is the name of rules[{owner}] too: give each its own", "name")


def translate_bounds(draft: Draft) -> None:
    """Give every rule its time limits, sizes and caching."""
    for _, rule in draft.rules():
        said = rule.source.rule
        if said is None:
            continue
        request = values.milliseconds(said.timeouts.request)
        rule.parts["timeouts"] = document.Timeouts(
            connect=values.milliseconds(said.timeouts.connect),
            # One try may take as long as the whole, when nothing else is said.
            backend_request=values.milliseconds(said.timeouts.backend_request or said.timeouts.request),
            request=request,
            stream_idle=values.milliseconds(said.timeouts.stream_idle),
        )
        rule.parts["max_request_body"] = values.size(said.limits.max_request_body)
        rule.parts["max_response_header"] = values.size(said.limits.max_response_header)
        if said.cache is not None:
            rule.parts["cache"] = _cache(said.cache)


def _cache(said: written.Cache) -> document.Cache:
    return document.Cache(
        ttl=None if said.ttl is None else values.milliseconds(said.ttl),
        max_ttl=values.milliseconds(said.max_ttl),
        statuses=said.status_codes,
        key_host=said.key.host,
        query_include=said.key.query.include,
        query_exclude=said.key.query.exclude,
        query_sort=said.key.query.sort,
        key_headers=tuple(dict.fromkeys(name.lower() for name in said.key.headers)),
        identity=said.identity,
        max_body=values.size(said.max_body),
        status_header=said.status_header,
    )


def require_action(draft: Draft) -> None:
    """A rule forwards, redirects or answers. One that does nothing would hand its requests to a broader rule."""
    for _, rule in draft.rules():
        said = rule.source.rule
        if said is not None and not said.backend_refs and rule.redirect is None and rule.respond is None:
            rule.complain("has nothing to do: add backendRefs, or a filter RequestRedirect or DirectResponse")
