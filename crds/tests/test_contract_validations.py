"""Validations: CEL in the API server and Python in the planes give the same results.

Each row is an object and the messages (their beginnings) of the rules that it breaks. The CEL side sees it as the API
server does: without defaults, by the rules of the CRD, and with names that CEL keeps for itself written with underscores.
"""

import functools
from typing import Any

import celpy
import pytest
from celpy.celtypes import StringType

from inferway_contract.generate import stored_schema, structural_schema
from inferway_contract.resources import (
    GatewayRouteSpec,
    RateLimitPolicySpec,
    backends,
    cache,
    filters,
    health,
    load_balancer,
    matches,
    rate_limit_policy,
    retry,
)
from inferway_contract.resources.gateway_route import RouteRule
from inferway_contract.resources.model import SpecModel, Validation

LIMIT = {"name": "a", "rate": {"requests": 1}, "burst": 1, "scope": "Pod"}
LONG = "a" * 513
GUARDED = "must not name hop-by-hop fields"
OWN = "responseHeaderModifier must not name Age, Date or X-Request-Id"


def named(*names: str) -> list[dict[str, str]]:
    return [{"name": name, "value": "1"} for name in names]


def filter_of(kind: str, member: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, filters.MEMBERS[kind]: member}


HEADERS = filter_of("RequestHeaderModifier", {"set": named("x-a")})
REWRITE = filter_of("URLRewrite", {"hostname": "a.example"})
NEW_PREFIX = filter_of("URLRewrite", {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/b"}})
REDIRECT = filter_of("RequestRedirect", {"scheme": "https"})
REDIRECT_PREFIX = filter_of("RequestRedirect", {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/b"}})
RESPOND = filter_of("DirectResponse", {"statusCode": 503})
BACKEND = {"name": "service-python", "port": 8000}
AUTH = {"header": "Authorization", "prefix": "Bearer ", "file": "models-key"}

TWICE = "filters may contain each type once"
BESIDE = "filters RequestRedirect and DirectResponse exclude backendRefs"
ONE_OF = "filters may contain only one of"
PREFIX = "ReplacePrefixMatch needs every path"
SLASH = "path.value must start"
QUERY = "path.value must not contain '?'"
DOTS = "path.value must not contain the segments"
CHARACTERS = "path.value of type RegularExpression"

TABLE: list[tuple[type[SpecModel], dict[str, Any], list[str]]] = [
    (matches.PathMatch, {}, []),
    (matches.PathMatch, {"value": "/infer"}, []),
    (matches.PathMatch, {"value": "infer"}, [SLASH]),
    (matches.PathMatch, {"type": "Exact", "value": "infer"}, [SLASH]),
    (matches.PathMatch, {"type": "RegularExpression", "value": "infer"}, []),
    (matches.PathMatch, {"value": "/a?b"}, [QUERY]),
    (matches.PathMatch, {"type": "Exact", "value": "/a#b"}, [QUERY]),
    (matches.PathMatch, {"type": "RegularExpression", "value": "/a?#"}, []),
    (matches.PathMatch, {"value": "/."}, [DOTS]),
    (matches.PathMatch, {"value": "/a/../b"}, [DOTS]),
    (matches.PathMatch, {"value": ".."}, [SLASH, DOTS]),
    (matches.PathMatch, {"value": "/..."}, []),
    (matches.PathMatch, {"value": "/a./.b/..c"}, []),
    (matches.PathMatch, {"value": "/a/..\n"}, []),
    (matches.PathMatch, {"type": "RegularExpression", "value": "/a/./b"}, []),
    (matches.PathMatch, {"type": "RegularExpression", "value": LONG[:512]}, []),
    (matches.PathMatch, {"type": "RegularExpression", "value": LONG}, [CHARACTERS]),
    (matches.PathMatch, {"type": "RegularExpression", "value": "ä" * 512}, []),
    (matches.PathMatch, {"value": "/" + LONG}, []),
    (matches.HeaderMatch, {"name": "x-a", "value": LONG}, []),
    (matches.HeaderMatch, {"name": "x-a", "value": LONG, "type": "RegularExpression"}, ["headers.value of type"]),
    (matches.HeaderMatch, {"name": "x-a", "value": "a", "type": "RegularExpression"}, []),
    (matches.QueryParamMatch, {"name": "a", "value": LONG}, []),
    (matches.QueryParamMatch, {"name": "a", "value": LONG, "type": "RegularExpression"}, ["queryParams.value of type"]),
    (filters.HeaderModifier, {}, []),
    (filters.HeaderModifier, {"set": named("x-a"), "add": named("x-b"), "remove": ["x-c"]}, []),
    (filters.HeaderModifier, {"set": named("x-a", "Host")}, [f"set {GUARDED}"]),
    (filters.HeaderModifier, {"add": named("X-Forwarded-For")}, [f"add {GUARDED}"]),
    (filters.HeaderModifier, {"remove": ["Transfer-Encoding"]}, [f"remove {GUARDED}"]),
    (
        filters.HeaderModifier,
        {"set": named("te"), "add": named("TE"), "remove": ["Te", "x-te"]},
        [f"set {GUARDED}", f"add {GUARDED}", f"remove {GUARDED}"],
    ),
    (filters.HeaderModifier, {"set": named("Expect", "X-Forwarded-Port")}, [f"set {GUARDED}"]),
    (filters.HeaderModifier, {"set": named("Via", "X-Request-Id", "traceparent"), "remove": ["via", "server"]}, []),
    (filters.HeaderModifier, {"add": named("Via", "RateLimit", "x-a")}, []),
    (filters.HeaderModifier, {"add": named("X-Request-ID")}, ["add must not name"]),
    (filters.HeaderModifier, {"add": named("x-a", "Server")}, ["add must not name"]),
    (filters.HeaderModifier, {"add": named("Authorization")}, ["add must not name"]),
    *[(filters.Filter, {"type": "ResponseHeaderModifier", "responseHeaderModifier": edit}, [OWN] * is_own)
      for edit, is_own in [
          ({}, False),
          ({"set": named("x-a", "Server"), "remove": ["x-b", "Via", "RateLimit"]}, False),
          ({"set": named("x-a", "DATE")}, True),
          ({"add": named("age")}, True),
          ({"remove": ["x-a", "X-Request-Id"]}, True),
          ({"set": named("x-a"), "add": named("x-b"), "remove": ["date"]}, True),
      ]],
    (filters.Filter, {"type": "RequestHeaderModifier", "requestHeaderModifier": {"remove": ["x-request-id"]}}, []),
    (filters.PathModifier, {"type": "ReplaceFullPath", "replaceFullPath": "/a"}, []),
    (filters.PathModifier, {"type": "ReplacePrefixMatch", "replacePrefixMatch": ""}, []),
    (filters.PathModifier, {"type": "ReplaceFullPath"}, ["path needs exactly"]),
    (filters.PathModifier, {"type": "ReplaceFullPath", "replacePrefixMatch": "/a"}, ["path needs exactly"]),
    (
        filters.PathModifier,
        {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/a", "replaceFullPath": "/a"},
        ["path needs exactly"],
    ),
    (filters.DirectResponse, {"statusCode": 200}, []),
    (filters.DirectResponse, {"statusCode": 200, "body": "a"}, []),
    (filters.DirectResponse, {"statusCode": 204}, []),
    (filters.DirectResponse, {"statusCode": 204, "body": ""}, []),
    (filters.DirectResponse, {"statusCode": 205, "body": "a"}, ["body must be absent"]),
    (filters.DirectResponse, {"statusCode": 304, "body": "a"}, ["body must be absent"]),
    *[(filters.Filter, filter_of(kind, {"statusCode": 200} if kind == "DirectResponse" else {}), [])
      for kind in filters.MEMBERS if kind != "CORS"],
    (filters.Filter, filter_of("CORS", {"allowOrigins": ["*"]}), []),
    *[(filters.Filter, {"type": kind}, [f"{member} must be set with"]) for kind, member in filters.MEMBERS.items()],
    (
        filters.Filter,
        {"type": "CORS", "urlRewrite": {}},
        ["urlRewrite must be set with", "cors must be set with"],
    ),
    (backends.BackendRef, BACKEND, []),
    (backends.BackendRef, {**BACKEND, "namespace": "other", "weight": 0}, []),
    (backends.BackendRef, {"url": "https://a.example"}, []),
    (backends.BackendRef, {}, ["a backendRef has either"]),
    (backends.BackendRef, {"name": "a"}, ["port is required"]),
    (backends.BackendRef, {**BACKEND, "url": "http://a"}, ["a backendRef has either", "url excludes"]),
    (backends.BackendRef, {"url": "http://a", "port": 80}, ["url excludes"]),
    (backends.BackendRef, {"url": "http://a", "namespace": "other"}, ["url excludes"]),
    (backends.BackendRef, {"namespace": "other", "port": 80}, ["a backendRef has either"]),
    (backends.BackendRef, {"url": "https://a.example", "auth": AUTH, "priority": 9}, []),
    (backends.BackendRef, {**BACKEND, "auth": AUTH}, ["auth needs a url"]),
    (backends.BackendRef, {"auth": AUTH}, ["a backendRef has either", "auth needs a url"]),
    (backends.Auth, AUTH, []),
    (backends.Auth, {"header": "x-api-key", "file": "a"}, []),
    (backends.Auth, {"header": "Host", "file": "a"}, ["header must not be a hop-by-hop field"]),
    (backends.Auth, {"header": "X-Forwarded-For", "file": "a"}, ["header must not be a hop-by-hop field"]),
    (backends.Auth, {"header": "tE", "file": "a"}, ["header must not be a hop-by-hop field"]),
    (backends.Auth, {"header": "Via", "file": "a"}, ["header must not be Via"]),
    (backends.BackendRef, {"url": "https://a.example", "forwardedHeaders": "Omit"}, []),
    (load_balancer.HashOn, {"header": "x-a"}, []),
    (load_balancer.HashOn, {"clientIP": True}, []),
    (load_balancer.HashOn, {}, ["hashOn must have exactly one"]),
    (load_balancer.HashOn, {"header": "x-a", "clientIP": True}, ["hashOn must have exactly one"]),
    (load_balancer.LoadBalancer, {}, []),
    (load_balancer.LoadBalancer, {"type": "RoundRobin", "slowStart": "10s"}, []),
    (load_balancer.LoadBalancer, {"type": "ConsistentHash", "hashOn": {"clientIP": True}}, []),
    (load_balancer.LoadBalancer, {"type": "ConsistentHash"}, ["hashOn must be set with"]),
    (load_balancer.LoadBalancer, {"hashOn": {"clientIP": True}}, ["hashOn must be set with"]),
    (load_balancer.LoadBalancer, {"type": "PeakEWMA", "hashOn": {"header": "x-a"}}, ["hashOn must be set with"]),
    (
        load_balancer.LoadBalancer,
        {"type": "ConsistentHash", "hashOn": {"header": "x-a"}, "slowStart": "1s"},
        ["slowStart must be absent"],
    ),
    (retry.Retry, {}, []),
    (retry.Retry, {"backoff": "1h"}, []),
    (retry.Retry, {"maxBackoff": "25ms"}, []),
    (retry.Retry, {"maxBackoff": "24ms"}, ["backoff must not be longer"]),
    (retry.Retry, {"backoff": "1001ms", "maxBackoff": "1s"}, ["backoff must not be longer"]),
    (retry.Retry, {"backoff": "0s", "maxBackoff": "0s"}, []),
    (health.CircuitBreaker, {}, []),
    (health.CircuitBreaker, {"openFor": "1ms"}, []),
    (health.CircuitBreaker, {"openFor": "4m60s"}, []),
    (health.CircuitBreaker, {"openFor": "0s"}, ["openFor must be longer"]),
    (health.CircuitBreaker, {"openFor": "5m1ms"}, ["openFor must be longer"]),
    (health.HealthCheck, {"path": "/"}, []),
    (health.HealthCheck, {"path": "/", "interval": "100ms", "timeout": "100ms"}, []),
    (health.HealthCheck, {"path": "/", "interval": "99ms", "timeout": "1ms"}, ["interval must be"]),
    (health.HealthCheck, {"path": "/", "interval": "500ms"}, ["timeout must be"]),
    (health.HealthCheck, {"path": "/", "timeout": "0s"}, ["timeout must be"]),
    (health.HealthCheck, {"path": "/", "interval": "0s"}, ["interval must be", "timeout must be"]),
    (backends.Timeouts, {}, []),
    (backends.Timeouts, {"request": "5s"}, []),
    (backends.Timeouts, {"backendRequest": "1h"}, []),
    (backends.Timeouts, {"backendRequest": "0s"}, []),
    (backends.Timeouts, {"backendRequest": "5s", "request": "5000ms"}, []),
    (backends.Timeouts, {"backendRequest": "1m", "request": "0s"}, []),
    (backends.Timeouts, {"backendRequest": "0s", "request": "1s"}, []),
    (backends.Timeouts, {"backendRequest": "5001ms", "request": "5s"}, ["backendRequest must not"]),
    (backends.Timeouts, {"backendRequest": "1h1ms", "request": "59m60s"}, ["backendRequest must not"]),
    (cache.QueryKey, {}, []),
    (cache.QueryKey, {"include": ["a"], "exclude": []}, []),
    (cache.QueryKey, {"exclude": ["a"]}, []),
    (cache.QueryKey, {"include": ["a"], "exclude": ["b"]}, ["query takes include or exclude"]),
    (cache.Cache, {}, []),
    (cache.Cache, {"statusCodes": [200, 404]}, []),
    (cache.Cache, {"statusCodes": [206]}, ["statusCodes must not contain"]),
    (cache.Cache, {"statusCodes": [200, 304]}, ["statusCodes must not contain"]),
    *((cache.Cache, {"statusCodes": [code]}, ["statusCodes must not contain"]) for code in (428, 429, 431, 511)),
    (cache.Cache, {"storePrivate": True}, []),
    (cache.Cache, {"storePrivate": True, "identity": "Isolate"}, []),
    (cache.Cache, {"storePrivate": False, "identity": "Shared"}, []),
    (cache.Cache, {"storePrivate": True, "identity": "Shared"}, ["storePrivate needs identity Isolate"]),
    *((cache.Cache, {"statusHeader": name}, []) for name in ("X-Cache", "x-cache-status", "X-Inferway-Cache", "Outcome")),
    *(
        (cache.Cache, {"statusHeader": name}, ["statusHeader must not name"])
        for name in (
            "Content-Length", "transfer-encoding", "CONNECTION", "Date", "Set-Cookie", "Age", "Via", "Server", "Vary",
            "X-Request-Id", "Cache-Control", "Content-Type", "Content-Encoding", "RateLimit", "X-RateLimit-Reset", "Location",
            "Access-Control-Allow-Origin", "Trailer", "Proxy-Authenticate", "Retry-After", "ETag", "Keep-Alive", "Upgrade",
        )
    ),
    (RouteRule, {}, []),
    (RouteRule, {"filters": [], "backendRefs": [BACKEND]}, []),
    (RouteRule, {"filters": [HEADERS, REWRITE], "backendRefs": [BACKEND]}, []),
    (RouteRule, {"filters": [HEADERS, REWRITE, HEADERS]}, [TWICE]),
    (RouteRule, {"filters": [REWRITE, REWRITE]}, [TWICE]),
    (RouteRule, {"filters": [REDIRECT]}, []),
    (RouteRule, {"filters": [REDIRECT], "backendRefs": []}, []),
    (RouteRule, {"filters": [REDIRECT, HEADERS], "backendRefs": [BACKEND]}, [BESIDE]),
    (RouteRule, {"filters": [RESPOND], "backendRefs": [BACKEND]}, [BESIDE]),
    (RouteRule, {"filters": [RESPOND, REDIRECT]}, [ONE_OF]),
    (RouteRule, {"filters": [REWRITE, REDIRECT]}, [ONE_OF]),
    (RouteRule, {"filters": [NEW_PREFIX]}, []),
    (RouteRule, {"filters": [NEW_PREFIX], "matches": []}, []),
    (RouteRule, {"filters": [NEW_PREFIX], "matches": [{"method": "GET"}, {"path": {"value": "/a"}}]}, []),
    (RouteRule, {"filters": [NEW_PREFIX], "matches": [{"path": {"type": "Exact", "value": "/a"}}]}, [PREFIX]),
    (
        RouteRule,
        {
            "filters": [HEADERS, REDIRECT_PREFIX],
            "matches": [{"path": {"value": "/a"}}, {"path": {"type": "RegularExpression", "value": "/b"}}],
        },
        [PREFIX],
    ),
    (RouteRule, {"filters": [REWRITE], "matches": [{"path": {"type": "Exact", "value": "/a"}}]}, []),
    (
        RouteRule,
        {"filters": [NEW_PREFIX, REDIRECT_PREFIX, REDIRECT], "backendRefs": [BACKEND],
         "matches": [{"path": {"type": "Exact", "value": "/a"}}]},
        [TWICE, BESIDE, ONE_OF, PREFIX],
    ),
    (GatewayRouteSpec, {"rules": [{}]}, []),
    (GatewayRouteSpec, {"rules": [{}, {}, {"name": "a"}, {"name": "b"}]}, []),
    (GatewayRouteSpec, {"rules": [{"name": "a"}, {}, {"name": "a"}]}, ["rules must have different names"]),
    (rate_limit_policy.Rate, {"requests": 0}, []),
    (rate_limit_policy.Rate, {"requests": 1, "per": "1ms"}, []),
    (rate_limit_policy.Rate, {"requests": 1, "per": "0s"}, ["rate.per must be longer"]),
    (rate_limit_policy.Rate, {"requests": 1, "per": "0h0ms"}, ["rate.per must be longer"]),
    *[(rate_limit_policy.KeyPart, part, []) for part in (
        {"clientIP": {}}, {"header": "x-a"}, {"query": "a"}, {"host": True}, {"route": True}, {"rule": True})],
    (rate_limit_policy.KeyPart, {}, ["a part of key must have exactly one"]),
    (rate_limit_policy.KeyPart, {"clientIP": {"prefixV6": 56}, "rule": True}, ["a part of key must have exactly one"]),
    (rate_limit_policy.KeyPart, {"header": "x-a", "query": "a", "host": True}, ["a part of key must have exactly one"]),
    (RateLimitPolicySpec, {"limits": [LIMIT]}, []),
    (RateLimitPolicySpec, {"limits": [LIMIT, {**LIMIT, "name": "b"}]}, []),
    (RateLimitPolicySpec, {"limits": [LIMIT, {**LIMIT, "burst": 2}]}, ["limits must have different names"]),
]  # fmt: skip


def models(model: type[SpecModel] = SpecModel) -> set[type[SpecModel]]:
    return {model}.union(*map(models, model.__subclasses__()))


RULES = [(model, rule) for model in models() for rule in model.validations]


def as_stored(value: Any, node: dict[str, Any]) -> Any:
    """The value as a rule finds it in the API server: as written, reserved names escaped."""
    if isinstance(value, dict):
        fields = node["properties"]
        return {
            "__namespace__" if name == "namespace" else name: as_stored(field, fields[name])
            for name, field in value.items()
        }
    return [as_stored(item, node["items"]) for item in value] if isinstance(value, list) else value


def lower_ascii(text: StringType) -> StringType:
    # One of Kubernetes' extensions of CEL.
    return StringType("".join(char.lower() if char.isascii() else char for char in text))


ENVIRONMENT = celpy.Environment()


@functools.cache
def structure(model: type[SpecModel]) -> dict[str, Any]:
    return stored_schema.of(structural_schema.of(model))


@functools.cache
def program(model: type[SpecModel], position: int) -> celpy.Runner:
    text = structure(model)["x-kubernetes-validations"][position]["rule"]
    return ENVIRONMENT.program(ENVIRONMENT.compile(text), functions={"lowerAscii": lower_ascii})


def holds_in_cel(position: int, model: type[SpecModel], written: dict[str, Any]) -> bool:
    kept = as_stored(written, structure(model))
    return bool(program(model, position).evaluate({"self": celpy.json_to_cel(kept)}))


@pytest.mark.parametrize(("model", "written", "broken"), TABLE)
def test_validations_in_cel_and_python_agree(
    model: type[SpecModel], written: dict[str, Any], broken: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = model.validations
    monkeypatch.setattr(model, "validations", ())  # to ask them one by one
    parsed = model.model_validate(written)
    monkeypatch.undo()
    in_python = [rule.message for rule in rules if not rule.holds(parsed)]
    in_cel = [rule.message for position, rule in enumerate(rules) if not holds_in_cel(position, model, written)]
    assert in_python == in_cel
    assert len(in_cel) == len(broken)
    assert all(message.startswith(beginning) for message, beginning in zip(in_cel, broken, strict=True))


@pytest.mark.parametrize(
    ("model", "rule"), [pytest.param(*pair, id=f"{pair[0].__name__}: {pair[1].message}") for pair in RULES]
)
def test_table_has_a_valid_and_an_invalid_case_for_each_rule(model: type[SpecModel], rule: Validation) -> None:
    outcomes = {any(rule.message.startswith(text) for text in broken) for kind, _, broken in TABLE if kind is model}
    assert outcomes == {True, False}
