"""Cache keys: which requests share a stored response."""

from typing import Any
from urllib.parse import unquote, unquote_to_bytes

import pytest
from cache_messages import SECRET, Fields, all_differ, forwarded, make_request, rules
from hypothesis import given
from hypothesis import strategies as st

from inferway_contract.document import (
    Cache,
)
from inferway_dataplane.core.caching.keys import CacheRules
from inferway_dataplane.core.messages import field_kinds, request_head, request_target
from inferway_dataplane.core.messages.client_claims import ClientClaims
from inferway_dataplane.core.messages.request_head import RequestHead
from inferway_dataplane.core.messages.sender import Sender


def key(head: RequestHead, cache_rules: CacheRules | None = None, prefix: bytes = b"/") -> bytes:
    return (cache_rules or rules()).key(head, prefix, SECRET)


def test_cache_key_of_equal_requests_is_equal() -> None:
    assert key(make_request((b"Accept", b"a"))) == key(make_request((b"User-Agent", b"b")))


def test_c10_cache_key_contains_path_query_host_and_rule() -> None:
    heads_ = [
        make_request(target=target)
        for target in (
            b"/a",
            b"/a/",
            b"/A",
            b"/a?",
            b"/a?x",
            b"/a?x=",
            b"/a?x=1",
            b"/a?x=1&y=2",
            b"/a?y=2&x=1",
            b"/a%3Fx",
        )
    ]
    keys = [key(head) for head in heads_]
    keys += [
        key(make_request(host=b"b.example")),
        key(make_request(), rules(b"another rule")),
    ]
    assert all_differ(keys)


def test_cache_key_contains_the_host_lower_cased_with_its_port() -> None:
    # The upstream sees the port and may return links that contain it.
    assert all_differ(key(make_request(host=host)) for host in (b"a.example", b"a.example:81", b"a.example:82"))
    assert key(make_request(host=b"A.example")) == key(make_request())


def test_cache_key_without_the_host_is_shared_by_all_hosts() -> None:
    cache_rules = rules(key_host=False)
    assert key(make_request(), cache_rules) == key(make_request(host=b"b.example:81"), cache_rules)


CREDENTIALS = [  # each of them separates responses
    b"Authorization", b"Proxy-Authorization", b"Cookie", b"X-Api-Key", b"Api-Key", b"apikey", b"x-goog-api-key",
    b"Ocp-Apim-Subscription-Key", b"X-Functions-Key", b"X-Amz-Security-Token", b"CF-Access-Client-Secret",
    b"CF-Access-Client-Id", b"X-Auth-Email", b"X-Auth-Key", b"cf-aig-authorization", b"X-Vault-Token", b"X-Vault-Namespace",
    b"xi-api-key", b"Private-Token", b"OpenAI-Organization", b"OpenAI-Project", b"Stripe-Account", b"X-Subscription-Token",
    b"Helicone-Auth", b"DPoP", b"X-User-Id",
    # by the words in their names
    b"X-Acme-Auth", b"X-ACME-TOKEN", b"Acme-Key", b"X-Client-Secret-2", b"X-Session", b"SessionId", b"x-my-credential",
    b"X-JWT", b"Signature-Input", b"X-Hub-Signature-256", b"x_acme_token",
]  # fmt: skip


def test_c2_cache_key_contains_all_credential_fields() -> None:
    keys = [key(make_request())]
    for name in CREDENTIALS:
        keys += [key(make_request((name, value))) for value in (b"", b"alice", b"bob")]
    keys.append(key(make_request((b"Authorization", b"alice"), (b"Cookie", b"alice"))))
    assert all_differ(keys)


def test_c2_cache_key_depends_on_the_secret() -> None:
    head = make_request((b"Authorization", b"x"))
    assert rules().key(head, b"/", b"a" * 32) != rules().key(head, b"/", b"b" * 32)


@pytest.mark.parametrize(
    "name", [b"Idempotency-Key", b"Sec-WebSocket-Key", b"Sec-Fetch-Site", b"Accept", b"User-Agent", b"X-Amzn-Trace-Id"]
)
def test_harmless_fields_share_a_cache_key(name: bytes) -> None:
    assert key(make_request((name, b"alice"))) == key(make_request())


def test_flood_of_field_names_keeps_their_classes() -> None:
    for number in range(10_000):
        make_request((b"X-%d" % number, b"a"))
        key(make_request((b"X-Token-%d" % number, b"a")))
    assert len(field_kinds.IDENTITY_KINDS) <= 4096
    assert key(make_request((b"X-Token-1", b"a"))) != key(make_request((b"X-Token-1", b"b")))


SAME_CREDENTIALS: dict[str, tuple[Fields, Fields, bool]] = {
    "case of the scheme": (((b"Authorization", b"Bearer x"),), ((b"authorization", b"bearer x"),), True),
    "blanks after the scheme": (((b"Authorization", b"Bearer x"),), ((b"Authorization", b"BEARER \t x"),), True),
    "case of the credential": (((b"Authorization", b"Bearer x"),), ((b"Authorization", b"Bearer X"),), False),
    "a credential of two words": (((b"Authorization", b"Digest a, b"),), ((b"Authorization", b"Digest a,  b"),), False),
    "of the proxy": (((b"Proxy-Authorization", b"Basic x"),), ((b"Proxy-Authorization", b"basic  x"),), True),
    "blanks elsewhere": (((b"X-Api-Key", b"a b"),), ((b"X-Api-Key", b"a  b"),), False),
    "case elsewhere": (((b"X-Api-Key", b"a"),), ((b"X-Api-Key", b"A"),), False),
    "order of names": (((b"Cookie", b"a"), (b"X-Token", b"b")), ((b"X-Token", b"b"), (b"Cookie", b"a")), True),
    "order of lines": (((b"X-Token", b"a"), (b"X-Token", b"b")), ((b"X-Token", b"b"), (b"X-Token", b"a")), False),
    "lines and a list": (((b"X-Token", b"a"), (b"X-Token", b"b")), ((b"X-Token", b"a, b"),), False),
    "other names, same value": (((b"X-Token", b"a"),), ((b"X-Key", b"a"),), False),
    "empty scheme": (((b"Authorization", b""),), ((b"Authorization", b"Bearer"),), False),
}


@pytest.mark.parametrize(("one", "other", "is_same"), SAME_CREDENTIALS.values(), ids=SAME_CREDENTIALS)
def test_cache_key_compares_credentials_in_one_form(one: Fields, other: Fields, is_same: bool) -> None:
    assert (key(make_request(*one)) == key(make_request(*other))) is is_same


def test_cache_key_of_a_shared_identity_omits_credentials() -> None:
    cache_rules = rules(identity="Shared")
    for name in CREDENTIALS:
        assert key(make_request((name, b"x")), cache_rules) == key(make_request(), cache_rules)


CREDENTIAL_PARAMETERS = [
    b"key", b"api_key", b"apikey", b"API-Key", b"access_token", b"token", b"sig", b"code", b"X-Amz-Signature",
    b"X-Amz-Credential", b"X-Amz-Security-Token", b"X-Goog-Signature", b"session", b"jsessionid", b"PHPSESSID", b"jwt",
    b"password", b"client_secret", b"auth", b"%61uth", b"user_id",
]  # fmt: skip


@pytest.mark.parametrize("name", CREDENTIAL_PARAMETERS)
@pytest.mark.parametrize(
    "settings", [{"query_include": ("q",)}, {"query_exclude": ("%s",)}], ids=["include", "exclude"]
)
def test_c2_credential_in_the_query_never_crosses_users(name: bytes, settings: dict[str, tuple[str, ...]]) -> None:
    decoded = unquote(name.decode())
    named = {field: tuple(value.replace("%s", decoded) for value in values) for field, values in settings.items()}
    heads = [make_request(target=b"/a?q=1&%b=%b" % (name, value)) for value in (b"alice", b"bob")]
    keys = [key(head, rules(**named)) for head in (*heads, make_request(target=b"/a?q=1"))]
    assert all_differ(keys)
    shared = rules(identity="Shared", **named)
    assert key(heads[0], shared) == key(heads[1], shared)


@pytest.mark.parametrize("name", [b"utm_source", b"gclid", b"keyword", b"page", b"author"])
def test_harmless_parameters_are_left_out_of_the_key(name: bytes) -> None:
    cache_rules = rules(query_exclude=(name.decode(),))
    assert key(make_request(target=b"/a?q=1&%b=2" % name), cache_rules) == key(
        make_request(target=b"/a?q=1"), cache_rules
    )


def test_cache_key_contains_the_configured_headers() -> None:
    cache_rules = rules(key_headers=("Accept-Language", "x-b"))
    values: list[Fields] = [
        (), ((b"accept-language", b""),), ((b"accept-language", b"de"),), ((b"Accept-Language", b"de, en"),),
        ((b"X-B", b"de"),), ((b"accept-language", b"de"), (b"x-b", b"de")),
    ]  # fmt: skip
    assert all_differ(key(make_request(*fields), cache_rules) for fields in values)
    two_lines = make_request((b"accept-language", b"de"), (b"accept-language", b"en"))
    assert key(two_lines, cache_rules) == key(make_request((b"accept-language", b"de, en")), cache_rules)


QUERIES: dict[str, tuple[dict[str, Any], bytes, bytes, bool]] = {  # settings, two targets -> one key?
    "as sent": ({}, b"/a?x=1&y=2", b"/a?y=2&x=1", False),
    "sorted": ({"query_sort": True}, b"/a?x=1&y=2", b"/a?y=2&x=1", True),
    "sorted, values of one name": ({"query_sort": True}, b"/a?x=1&x=2", b"/a?x=2&x=1", False),
    "sorted, other values": ({"query_sort": True}, b"/a?x=1&y=2", b"/a?x=2&y=1", False),
    "excluded": ({"query_exclude": ("utm",)}, b"/a?x=1&utm=2", b"/a?x=1", True),
    "excluded, but not what begins so": ({"query_exclude": ("utm",)}, b"/a?x=1&utm2=2", b"/a?x=1", False),
    "excluded, spelled with escapes": ({"query_exclude": ("utm",)}, b"/a?x=1&%75tm=2", b"/a?x=1", True),
    "excluded, not ASCII": ({"query_exclude": ("ü",)}, "/a?x=1&ü=2".encode(), b"/a?x=1&%C3%BC=3", True),
    "all excluded": ({"query_exclude": ("utm",)}, b"/a?utm=2", b"/a", True),
    "included": ({"query_include": ("x",)}, b"/a?x=1&y=2", b"/a?z&x=1", True),
    "included, other values": ({"query_include": ("x",)}, b"/a?x=1", b"/a?x=2", False),
    "included, absent": ({"query_include": ("x",)}, b"/a?y=1", b"/a", True),
    "included, empty is not absent": ({"query_include": ("x",)}, b"/a?x=", b"/a", False),
    "included and sorted": ({"query_include": ("x", "y"), "query_sort": True}, b"/a?y=1&z&x=2", b"/a?x=2&y=1", True),
    "a plus is a blank": ({"query_exclude": ("a b",)}, b"/a?a+b=1", b"/a", True),
    "excluded, the last that is looked at": (
        {"query_exclude": ("utm",)},
        b"/a?utm=1" + b"&x" * 127,
        b"/a?" + b"x&" * 126 + b"x",
        True,
    ),
    "excluded, of too many": (
        {"query_exclude": ("utm",)},
        b"/a?utm=1" + b"&x" * 128,
        b"/a?" + b"x&" * 127 + b"x",
        False,
    ),
    # What another reader of the query takes for something else stays in the key.
    "excluded, with a semicolon": ({"query_exclude": ("utm",)}, b"/a?q=1&utm=1;q=2", b"/a?q=1", False),
    "excluded, semicolon before it": ({"query_exclude": ("utm",)}, b"/a?q=2;utm=1", b"/a?q=1;utm=1", False),
    "excluded, with a question mark": ({"query_exclude": ("utm",)}, b"/a?q=1&utm=1?q=2", b"/a?q=1", False),
    "excluded, an escaped semicolon": ({"query_exclude": ("utm",)}, b"/a?q=1&utm=1%3Bq=2", b"/a?q=1", True),
    "excluded, in another case": ({"query_exclude": ("utm",)}, b"/a?q=1&UTM=2", b"/a?q=1", False),
    "excluded, an empty pair": ({"query_exclude": ("utm",)}, b"/a?q=1&&utm=2", b"/a?q=1&", True),
    "included, with a semicolon": ({"query_include": ("q",)}, b"/a?q=1&x=1;q=2", b"/a?q=1", False),
    "included, in another case": ({"query_include": ("q",)}, b"/a?q=1&Q=2", b"/a?q=1", False),
    "included, as a list": ({"query_include": ("q",)}, b"/a?q=1&q[]=2", b"/a?q=1", False),
    "included, as an escaped list": ({"query_include": ("q",)}, b"/a?q=1&q%5B0%5D=2", b"/a?q=1", False),
    "included, after a blank": ({"query_include": ("q",)}, b"/a?q=1&+q=2", b"/a?q=1", False),
    "included, with a null": ({"query_include": ("q",)}, b"/a?q=1&q%00x=2", b"/a?q=1", False),
    "included, with a dot": ({"query_include": ("a_b",)}, b"/a?a_b=1&a.b=2", b"/a?a_b=1", False),
    "included, with IIS's escape": ({"query_include": ("q",)}, b"/a?q=1&%u0071=2", b"/a?q=1", False),
    "sorted, with a semicolon": ({"query_sort": True}, b"/a?b=1&a=1;b=2", b"/a?a=1;b=2&b=1", False),
    "sorted, spelled with escapes": ({"query_sort": True}, b"/a?b=1&%62=2", b"/a?%62=2&b=1", False),
    "sorted, as lists": ({"query_sort": True}, b"/a?b[]=1&b=2", b"/a?b=2&b[]=1", False),
    "sorted, in another case": ({"query_sort": True}, b"/a?b=1&B=2", b"/a?B=2&b=1", False),
}


@pytest.mark.parametrize(("settings", "one", "other", "is_one"), QUERIES.values(), ids=QUERIES)
def test_cache_key_contains_the_configured_query_parameters(
    settings: dict[str, Any], one: bytes, other: bytes, is_one: bool
) -> None:
    cache_rules = rules(**settings)
    assert (key(make_request(target=one), cache_rules) == key(make_request(target=other), cache_rules)) is is_one


# Small alphabets, so that equal requests, and those that differ in one part, come often.
values = st.sampled_from((b"", b"a", b"b", b"a, b", b"1:a", b"-"))
requests = st.fixed_dictionaries(
    {
        "method": st.sampled_from((b"GET", b"HEAD")),
        "path": st.sampled_from((b"/", b"/a", b"/a/", b"/A", b"/a;b")),
        "query": st.none() | st.lists(st.sampled_from((b"", b"a=1", b"a=2", b"b=1", b"b", b"a=1;b=1")), max_size=3).map(b"&".join),
        "host": st.sampled_from((b"a.example", b"a.example:81", b"b.example")),
        "scheme": st.sampled_from((b"http", b"https")),
        "fields": st.lists(
            st.tuples(st.sampled_from((b"X-A", b"X-B", b"Cookie", b"X-Token", b"Authorization")), values), max_size=3
        ),
    }
)  # fmt: skip


def seen(request: dict[str, Any]) -> tuple[object, ...]:
    """All of a request that decides its key, as the documents describe it."""
    fields: list[tuple[bytes, bytes]] = [(name.lower(), value) for name, value in request["fields"]]
    lines = {name: [value for other, value in fields if other == name] for name, _ in fields}
    header = lines.pop(b"x-a", None)
    lines.pop(b"x-b", None)
    return (
        request["path"], request["query"], request["host"], request["scheme"],
        None if header is None else b", ".join(header), tuple(sorted((name, tuple(of)) for name, of in lines.items())),
    )  # fmt: skip


def request_of(request: dict[str, Any]) -> RequestHead:
    sender = Sender(request["scheme"], ClientClaims(), is_trusted=False)
    fields = [(b"Host", request["host"]), *request["fields"]]
    head = request_head.read_request(request["method"], fields, is_http_1_1=True, sender=sender)
    assert isinstance(head, RequestHead)
    query = b"" if request["query"] is None else b"?" + request["query"]
    assert request_target.locate(head, request["path"] + query) is None
    return head


@given(requests, st.data())
def test_c10_requests_share_a_key_only_if_they_are_the_same(request: dict[str, Any], data: st.DataObject) -> None:
    changed = data.draw(st.sampled_from(sorted(request)))
    other = {**request, changed: data.draw(requests)[changed]}
    cache_rules = rules(key_headers=("x-a",))
    is_same = seen(request) == seen(other)
    assert (key(request_of(request), cache_rules) == key(request_of(other), cache_rules)) is is_same


@given(
    st.lists(st.sampled_from((b"a=1", b"a=2", b"utm=1", b"utm=2", b"b", b"", b"utm=1;a=2", b"%61=2")), max_size=5),
    st.data(),
)
def test_left_out_parameters_never_hide_another(pairs: list[bytes], data: st.DataObject) -> None:
    """Readers that end parameters at `&`, or at `;` too, agree on all but what the rule leaves out."""
    other = data.draw(st.permutations(pairs))
    cache_rules = rules(query_exclude=("utm",))
    targets = [
        b"/a?" + b"&".join(of)
        for of in (pairs, [pair for pair in pairs if not pair.startswith(b"utm=") or b";" in pair], other)
    ]
    keys = [key(make_request(target=target), cache_rules) for target in targets]

    def read(target: bytes, ends: bytes) -> list[tuple[bytes, bytes]]:
        query = target.partition(b"?")[2].replace(ends, b"&")
        split = (pair.partition(b"=") for pair in query.split(b"&"))
        return [(unquote_to_bytes(name), value) for name, _, value in split if name != b"utm"]

    for one, target in zip(keys[1:], targets[1:], strict=True):
        if one == keys[0]:
            for ends in (b"&", b";"):
                assert [pair for pair in read(target, ends) if any(pair)] == [
                    pair for pair in read(targets[0], ends) if any(pair)
                ]


def test_head_and_get_share_a_key_and_other_methods_do_not() -> None:
    heads = {method: make_request() for method in (b"GET", b"HEAD", b"QUERY", b"POST")}
    for method, head in heads.items():
        head.method = method
    assert key(heads[b"GET"]) == key(heads[b"HEAD"])
    assert all_differ(key(heads[method]) for method in (b"GET", b"QUERY", b"POST"))


def test_cache_key_contains_the_prefix_that_is_rewritten() -> None:
    rewriting = CacheRules(Cache(), b"r", has_prefix=True)
    assert all_differ(key(make_request(), rewriting, prefix) for prefix in (b"/", b"/a"))
    assert key(make_request(), prefix=b"/") == key(make_request(), prefix=b"/a")


# --- what trusted proxies forward -----------------------------------------------------------------------------------------------


FORWARDED = [
    (b"X-Forwarded-Proto", b"https"), (b"X-Forwarded-Host", b"b.example"), (b"X-Forwarded-Port", b"81"),
    (b"X-Forwarded-Prefix", b"/x"), (b"X-Forwarded-Scheme", b"https"), (b"X-Forwarded-Ssl", b"on"),
    (b"Front-End-Https", b"on"), (b"X-Original-Url", b"/x"), (b"X-Rewrite-Url", b"/x"), (b"Forwarded", b"proto=https"),
    (b"Forwarded", b"for=192.0.2.1;host=b.example"), (b"X-HTTP-Method-Override", b"POST"), (b"X-Url-Scheme", b"https"),
    (b"X-Forwarded-Path", b"/x"), (b"X-Forwarded-Anything", b"x"), (b"X-Original-Host", b"b.example"),
    (b"X-Forwarded-User", b"alice"), (b"X-Client-Cert", b"alice"), (b"X-SSL-Client-Verify", b"SUCCESS"),
    (b"Remote-User", b"alice"), (b"X-Forwarded-Groups", b"admins"), (b"X-Amzn-Oidc-Identity", b"alice"),
    (b"X-MS-Client-Principal", b"alice"), (b"SSL_CLIENT_CERT", b"alice"),
]  # fmt: skip


def test_cache_key_contains_what_trusted_proxies_forward() -> None:
    assert all_differ([key(forwarded()), *(key(forwarded(field)) for field in FORWARDED)])
    # With X-Forwarded-Host, the Host that the upstream receives is a second one.
    both = [forwarded((b"X-Forwarded-Host", b"c.example"), host=host) for host in (b"a.example", b"b.example")]
    assert all_differ(map(key, both))


@pytest.mark.parametrize("field", FORWARDED, ids=[name.decode() for name, _ in FORWARDED])
def test_claims_of_other_peers_are_not_in_the_key(field: tuple[bytes, bytes]) -> None:
    assert key(make_request(field)) == key(make_request())


ADDRESSES = [
    (b"X-Forwarded-For", b"192.0.2.1"), (b"X-Real-IP", b"192.0.2.1"), (b"CF-Connecting-IP", b"192.0.2.1"),
    (b"True-Client-IP", b"192.0.2.1"), (b"X-Original-Forwarded-For", b"192.0.2.1"),
    (b"X-Original-Remote-Addr", b"192.0.2.1"), (b"Forwarded", b'for="[2001:db8::1]:4711"; by=203.0.113.43'),
]  # fmt: skip


def test_addresses_of_clients_share_a_key() -> None:
    without = {key(forwarded()), key(forwarded((b"Forwarded", b"for=192.0.2.9")))}
    assert {key(forwarded(field)) for field in ADDRESSES} <= without
