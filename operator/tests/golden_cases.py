"""The golden cases: what they are, how they are compiled, and how their expected half is written again.

A case is one file: a comment on its subject, manifests, a divider, and the expected result. A first document with the key
`settings` has settings of the operator. `python operator/tests/golden_cases.py --write`
writes the expected half of every case; the difference is then for people to read.
"""

import json
import sys
from pathlib import Path
from typing import Any

import yaml

from inferway_contract import document
from inferway_contract.canonical import canonical
from inferway_operator import compiler
from inferway_operator.world.bounds import DEFAULT, OF_ALL, OF_NAMESPACE, Bounds, Usage
from inferway_operator.world.hostname_policy import HostnameRule
from inferway_operator.world.world import Settings, World, from_manifests

FOLDER = Path(__file__).parent / "golden"
DIVIDER = "\n--- # expected\n"


def case_files() -> list[Path]:
    return sorted(FOLDER.glob("*.yaml"))


def manifests_of(text: str) -> list[dict[str, Any]]:
    """The documents of a case's first half; the first may be its settings."""
    return [item for item in yaml.safe_load_all(text.partition(DIVIDER)[0]) if item is not None]


def world_of(text: str) -> World:
    """The world of a case's first half."""
    manifests = manifests_of(text)
    settings: dict[str, Any] = manifests.pop(0)["settings"] if "settings" in manifests[0] else {}
    standalone = settings.get("standalone", False)
    objects = from_manifests(manifests, standalone=standalone)
    published = [document.Policy.model_validate_json(json.dumps(item)) for item in settings.get("lastPublished", [])]
    policy = settings.get("hostnamePolicy")
    return World(
        settings=Settings(
            standalone=standalone,
            allowed_hosts=tuple(settings.get("allowedHosts", [])),
            bounds=_bounds(settings),
            hostname_policy=None if policy is None else tuple(map(HostnameRule.model_validate, policy)),
        ),
        routes=objects.routes,
        policies=objects.policies,
        services=objects.services,
        slices=objects.slices,
        grants=objects.grants,
        namespaces=objects.namespaces,
        last_published={policy.id: policy for policy in published},
        replicas=settings.get("replicas", 1),
    )


def _bounds(settings: dict[str, Any]) -> Bounds:
    """The bounds of a case: `route_patterns`, `namespace_matches`, `total_bytes` and so on."""
    of_namespace, of_all = (
        default._replace(
            **{name: settings[f"{scope}_{name}"] for name in Usage._fields if f"{scope}_{name}" in settings}
        )
        for scope, default in (("namespace", OF_NAMESPACE), ("total", OF_ALL))
    )
    return Bounds(settings.get("route_patterns", DEFAULT.route_patterns), of_namespace, of_all)


def expected(world: World) -> str:
    """The second half of a case: both documents, and each condition as a line."""
    compilation = compiler.compile(world)
    documents = {
        "config": json.loads(canonical(compilation.config)),
        "endpoints": json.loads(canonical(compilation.endpoints)),
    }
    conditions = {
        f"{verdict.meta.kind} {verdict.meta.id}": [
            f"{item.type}={item.status} ({item.reason}): {item.message}" for item in verdict.conditions
        ]
        for verdict in compilation.verdicts
    }
    return yaml.safe_dump(
        documents, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None
    ) + yaml.safe_dump({"conditions": conditions}, sort_keys=False, allow_unicode=True, width=10_000)


def rewrite(text: str) -> str:
    """The case with its expected half as the compiler has it now."""
    return text.partition(DIVIDER)[0].rstrip("\n") + DIVIDER + expected(world_of(text))


def main() -> None:
    changed = 0
    for file in case_files():
        old = file.read_text()
        new = rewrite(old)
        if new != old:
            changed += 1
            print(f"{file.name}: {'written' if '--write' in sys.argv else 'differs'}")
            if "--write" in sys.argv:
                file.write_text(new)
    print(f"{len(case_files())} cases, {changed} changed")
    sys.exit(1 if changed and "--write" not in sys.argv else 0)


if __name__ == "__main__":
    main()
