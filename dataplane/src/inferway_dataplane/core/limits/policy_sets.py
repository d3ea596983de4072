"""The policies of rules. Rules with the same policies share buckets, readers of keys and header fields.

A namespace may have hundreds of policies and thousands of rules: what each rule had of each policy would be their product.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from inferway_contract.document import KeyPart, Limit, Policy
from inferway_dataplane.core.limits.keys import KeyOf, key_of, values_of
from inferway_dataplane.core.limits.ratelimit_headers import RateLimitHeaders
from inferway_dataplane.core.limits.token_bucket import Bucket
from inferway_dataplane.core.steps import Steps

RuleLimit = tuple[Bucket, KeyOf | None]
"""A bucket and the reader of its key; None = one bucket for all requests."""

BucketName = tuple[str, str, tuple[KeyPart, ...]]
"""Policy, limit and key: levels by client do not convert to levels by tenant."""


class PolicySet:
    """The policies of some rules, the oldest first."""

    __slots__ = ("_headers", "_styles", "limits", "policies")

    def __init__(self, policies: tuple[Policy, ...], buckets: Sequence[Bucket]) -> None:
        """`buckets`: of all limits, in their order."""
        self.policies = policies
        limits = list(_limits_of(policies))
        values = values_of(limit.key for _, limit in limits)
        self.limits: tuple[RuleLimit, ...] = tuple(
            (bucket, key_of(limit.key, values)) for bucket, (_, limit) in zip(buckets, limits, strict=True)
        )
        self._styles = [(bucket, policy.headers) for bucket, (policy, _) in zip(buckets, limits, strict=True)]
        self._headers: dict[tuple[bytes, ...], RateLimitHeaders | None] = {}

    def headers(self, omitted: Iterable[bytes]) -> RateLimitHeaders | None:
        """Return the header fields of the limits; None = there are none. `omitted`: fields that the rule's filters drop."""
        key = tuple(omitted)
        if key not in self._headers:
            has_any = any(style != "Off" for _, style in self._styles)
            self._headers[key] = RateLimitHeaders(self._styles, omitted=key) if has_any else None
        return self._headers[key]


class PolicySets:
    """The policy sets and buckets of one runtime. Those that stay the same are taken from the older one."""

    def __init__(self, older: "PolicySets | None" = None) -> None:
        self.buckets: dict[BucketName, Bucket] = {}
        self.changed: list[tuple[Bucket, Bucket]] = []
        """Buckets with other terms than in the older runtime, and the older ones, whose levels they inherit."""
        self._older_buckets: Mapping[BucketName, Bucket] = older.buckets if older is not None else {}
        self._older_sets: Mapping[tuple[int, ...], PolicySet] = older.sets if older is not None else {}
        self._older_policies: Mapping[str, Policy] = older.policies if older is not None else {}
        self.sets: dict[tuple[int, ...], PolicySet] = {}
        """By the identities of the policies, which the set keeps alive."""
        self.policies: dict[str, Policy] = {}
        self._by_tuple: dict[int, tuple[tuple[Policy, ...], PolicySet]] = {}
        self._of_policy: dict[int, list[Bucket]] = {}

    def known(self, policy: Policy) -> Policy:
        """Return the older object of an equal policy, so that identity is enough to compare sets."""
        older = self._older_policies.get(policy.id)
        same = older if older is not None and older == policy else policy
        self.policies[policy.id] = same
        return same

    def set_of(self, policies: tuple[Policy, ...]) -> Steps[PolicySet]:
        """Return the set of these policies, each as `known` returns it. Equal policies have one set."""
        by_tuple = self._by_tuple.get(id(policies))
        if by_tuple is not None:
            return by_tuple[1]
        key = tuple(map(id, policies))
        buckets: list[Bucket] = []
        for policy in policies:
            buckets += self._buckets_of(policy)
            yield
        policy_set = self.sets.get(key) or self._older_sets.get(key) or PolicySet(policies, buckets)
        self.sets[key] = policy_set
        self._by_tuple[id(policies)] = policies, policy_set
        return policy_set

    def forget_older(self) -> None:
        """Let go of the older runtime's objects, at the end of the build; `changed` stays for `inherit`."""
        self._older_buckets, self._older_sets, self._older_policies = {}, {}, {}
        self._by_tuple, self._of_policy = {}, {}

    def inherit(self, now: float) -> None:
        """Take over the levels of older buckets in the moment of the swap: no admission before or after it is lost."""
        for bucket, older in self.changed:
            bucket.inherit(older, now)

    def converting(self) -> Steps[None]:
        """Convert the levels that were taken over, step by step."""
        for bucket, _ in self.changed:
            yield from bucket.converting()
        self.changed = []

    def _buckets_of(self, policy: Policy) -> list[Bucket]:
        buckets = self._of_policy.get(id(policy))
        if buckets is None:
            buckets = self._of_policy[id(policy)] = [self._bucket(policy, limit) for limit in policy.limits]
        return buckets

    def _bucket(self, policy: Policy, limit: Limit) -> Bucket:
        name = (policy.id, limit.name, limit.key)
        bucket = self.buckets.get(name)
        if bucket is None:
            bucket = Bucket(policy.id, limit.name, limit.requests, limit.per / 1000, limit.burst, limit.max_keys)
            older = self._older_buckets.get(name)
            if older is not None and older.has_terms_of(bucket):
                bucket = older
            elif older is not None:
                self.changed.append((bucket, older))
            self.buckets[name] = bucket
        return bucket


def _limits_of(policies: Iterable[Policy]) -> Iterator[tuple[Policy, Limit]]:
    return ((policy, limit) for policy in policies for limit in policy.limits)
