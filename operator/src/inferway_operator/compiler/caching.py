"""Caching: how responses of a rule are stored, and by which key."""

from inferway_contract import document, values
from inferway_operator.compiler.draft import Draft


def translate(draft: Draft) -> None:
    """Translate the cache settings of every valid rule."""
    for _, rule in draft.rules():
        cache = rule.source.rule.cache if rule.source.rule is not None else None
        if cache is None:
            continue
        rule.parts["cache"] = document.Cache(
            ttl=None if cache.ttl is None else values.milliseconds(cache.ttl),
            max_ttl=values.milliseconds(cache.max_ttl),
            statuses=cache.status_codes,
            key_host=cache.key.host,
            query_include=cache.key.query.include,
            query_exclude=cache.key.query.exclude,
            query_sort=cache.key.query.sort,
            key_headers=tuple(dict.fromkeys(name.lower() for name in cache.key.headers)),
            identity=cache.identity,
            max_body=values.size(cache.max_body),
            status_header=cache.status_header,
        )
