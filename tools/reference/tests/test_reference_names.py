"""What the documentation for users names exists: settings, metrics, codes, fields, pages, commands. Examples are valid."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from pydantic_core import PydanticUndefined
from typer.testing import CliRunner

from inferway_cli.main import app
from inferway_contract import log_fields, resources, values
from inferway_contract.generate import crds
from inferway_contract.resources.backends import Limits, Timeouts
from inferway_contract.resources.retry import Retry
from inferway_dataplane.core.caching.keys import MOST_PARAMETERS
from inferway_dataplane.core.limits.key_values import LIST_FIELDS
from inferway_dataplane.core.messages import client_claims
from inferway_dataplane.core.upstreams import retry
from inferway_dataplane.core.upstreams.balancing import consistent_hash
from inferway_dataplane.engine.clock import TICK
from inferway_dataplane.engine.downstream import eviction, listener, timeouts
from inferway_dataplane.engine.exchange.exchange import CACHE_STATUS
from inferway_dataplane.engine.upstream.connection import HIGH_WATER
from inferway_dataplane.observability import access_log
from inferway_dataplane.settings import ClusterSettings, Settings
from inferway_dataplane.system import resource_monitor
from inferway_operator.http_server import server
from inferway_operator.metrics import OperatorMetrics
from inferway_operator.settings import HttpSettings, OperatorSettings
from inferway_reference import admin_pages
from inferway_reference.__main__ import PAGES
from inferway_reference.metrics import families
from inferway_reference.pages import blocks, commands, prose, spans, tables
from inferway_reference.problems import all_problems
from inferway_reference.settings import names_of

ROOT = Path(__file__).parents[3]
FOR_DEVELOPERS = {"architecture", "control-plane", "data-plane", "glossary", "releasing", "testing"}
GENERATED = {name.removesuffix(".md") for name in PAGES}
EVERY_PAGE = {
    path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))
}
USER_PAGES = {name: text for name, text in EVERY_PAGE.items() if name not in FOR_DEVELOPERS | GENERATED}
PROBLEMS = {problem.code: problem for problem in all_problems().values()}
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
SETTINGS = {
    name: field.default
    for model in (Settings, ClusterSettings, OperatorSettings, HttpSettings)
    for setting, field in model.model_fields.items()
    for name in (*names_of(model, setting, field), *((setting,) if model is Settings else ()))
}
"""Defaults by variable, for the data plane's own settings also by name."""


def of_users(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("page", names or USER_PAGES)


# --- names ---------------------------------------------------------------------------------------------------------------

OF_OTHERS = frozenset(
    {
        *("http_req_failed", "dropped_iterations"),  # k6
        *("grafana_dashboard", "trust_env"),  # Grafana, aiohttp
    }
)
KUBERNETES = frozenset(
    {
        *("appProtocol", "ipFamilies", "publishNotReadyAddresses", "targetRef", "trafficDistribution"),
        *(
            "automountServiceAccountToken",
            "caBundle",
            "externalTrafficPolicy",
            "failurePolicy",
            "maxUnavailable",
            "namePrefix",
            "nameSuffix",
        ),
        "gatewayName",  # of the chart's values
        *("readOnlyRootFilesystem", "targetPort", "terminationGracePeriodSeconds", "timeoutSeconds"),
    }
)
OF_PAGES = frozenset({"lastGoodSince", "namespaceLabels", "hostnamePolicy", "backendRef", "requestId"})
"""Of /debug/config, of the hostname policy and its messages, of a problem; a kind of object in messages."""


def snake_case_names() -> set[str]:
    operator = OperatorMetrics().labels
    names = {*PROBLEMS, *log_fields.FIELDS, *access_log.FIELDS, *access_log.LEFT_OUT_FIELDS, *map(str.lower, SETTINGS)}
    names |= {problem for model in (ClusterSettings, OperatorSettings, HttpSettings) for problem in model.model_fields}
    for name, labels in (*((each.name, (*each.labels, *each.reasons)) for each in families()), *operator.items()):
        short = name.removeprefix("inferway_operator_")
        names |= {name, f"{name}_total", f"{name}_bucket", short, f"{short}_total", *labels}
    return names | {path.parent.name for path in ROOT.glob("*/src/inferway_*/__init__.py")} | {"inferway_live"}


def field_names(node: dict[str, Any]) -> Iterator[str]:
    for name, child in node.get("properties", {}).items():
        yield name
        yield from field_names(child.get("items") or child)


FIELDS = {
    name
    for kind in resources.SPECS
    for version in crds.crd(kind)["spec"]["versions"]
    for name in field_names(version["schema"]["openAPIV3Schema"])
}


@of_users()
def test_settings_metrics_codes_and_log_fields_exist(page: str) -> None:
    named = {
        name
        for span in spans(USER_PAGES[page])
        for name in re.findall(r"(?<![\w./-])[a-z]+(?:_[a-z0-9]+)+(?![\w./(-])", span)
    }
    assert named - snake_case_names() - OF_OTHERS == set()


@of_users()
def test_variables_exist(page: str) -> None:
    named = set(re.findall(r"\bINFERWAY_[A-Z_]*[A-Z](?![A-Z_])", USER_PAGES[page]))
    assert named - SETTINGS.keys() == set()


@of_users()
def test_resource_fields_exist(page: str) -> None:
    named = {
        name
        for span in spans(USER_PAGES[page])
        for name in re.findall(r"(?<![\w./-])[a-z]+(?:[A-Z][a-zA-Z0-9]*)+\b", span)
    }
    assert named - FIELDS - KUBERNETES - OF_PAGES == set()


@of_users()
def test_admin_pages_exist(page: str) -> None:
    named = set(re.findall(r"(?<![\w>*])/(?:healthz|readyz|metrics|debug/\w+)\b", USER_PAGES[page]))
    assert named - {route.path for route in admin_pages.routes()} - server.PAGES.keys() == set()


def test_every_page_is_linked_from_the_readme() -> None:
    linked = set(re.findall(r"\]\(docs/([\w-]+)\.md", EVERY_PAGE["README"]))
    assert EVERY_PAGE.keys() - {"README"} - linked == set()


# --- values --------------------------------------------------------------------------------------------------------------


@of_users()
def test_status_before_a_problem_code_is_its_status(page: str) -> None:
    text = USER_PAGES[page].replace("\n", " ")
    for status, codes in re.findall(r"\b([45]\d\d) ((?:`[a-z_]+`(?:, )?)+)", text):
        for code in re.findall(r"`([a-z_]+)`", codes):
            if code in PROBLEMS:
                assert PROBLEMS[code].status == int(status), code


UNITS = {"": 1, "s": 1, "KiB/s": 1024, "KiB": 1 << 10, "MiB": 1 << 20, "MB": 1 << 20, "minutes": 60}


def value_of(text: str) -> object:
    """Return the number of a text like `10 s` or `1 KiB/s`, else the text; None for one that stands for no value."""
    text = text.strip().strip("`").replace(",", "")
    if text in ("", "none", "empty = all", "all allowed"):
        return None
    number = re.fullmatch(r"([\d.]+) ?(\S*)", text)
    return float(number[1]) * UNITS[number[2]] if number and number[2] in UNITS else text


def documented_defaults(text: str) -> Iterator[tuple[str, str]]:
    """Yield settings and the defaults that a page gives, in tables and in brackets: "`max_in_flight` requests (4,096)"."""
    for header, rows in tables(text):
        if "default" not in header:
            continue
        prefix = (re.findall(r"`(INFERWAY_\w*)\.\.\.`", header[0]) or [""])[0]
        column = next((i for i, name in enumerate(header) if name.startswith(("setting", "variable"))), 0)
        for row in rows:
            names = [f"{prefix}{name}" for name in re.findall(r"`([\w]+)`", row[column])]
            names = [name for name in names if name in SETTINGS]
            defaults = row[header.index("default")].split(", ")
            if len(names) == len(defaults):
                yield from zip(names, defaults, strict=True)
            elif names:
                yield names[0], row[header.index("default")]
    yield from re.findall(r"`([A-Za-z_]+)`(?: requests)? \((`?[\d][\d.:,]*`?(?: (?:s|KiB|MiB)\b)?)", prose(text))


def settings_of(page: str) -> dict[str, object]:
    """Return the defaults that a page documents: those of the code, on the page about installing those of the manifests."""
    text = (ROOT / "manifests/base/gateway/settings.env").read_text(encoding="utf-8") if page == "install" else ""
    given = dict(re.findall(r"^(INFERWAY_\w+)=(.*)$", text, re.MULTILINE))
    return SETTINGS | {name: value_of(value) for name, value in given.items()}


@of_users()
def test_defaults_of_settings_are_those_documented(page: str) -> None:
    defaults = settings_of(page)
    for name, documented in documented_defaults(USER_PAGES[page]):
        if name in SETTINGS:
            default = defaults[name]
            is_absent = default in ("", (), None, PydanticUndefined)
            assert value_of(documented) == (None if is_absent else default), (name, documented, default)


def test_documented_defaults_are_found() -> None:
    found = {name for text in USER_PAGES.values() for name, _ in documented_defaults(text) if name in SETTINGS}
    assert {"head_timeout", "body_rate", "max_connections", "max_in_flight", "INFERWAY_GATEWAY"} <= found
    assert len(found) > 12


def row_of(field: str) -> str:
    return next(row for row in EVERY_PAGE["api"].splitlines() if row.startswith(f"| `{field}`"))


def test_defaults_in_descriptions_are_those_of_the_models() -> None:
    described = [row for row in EVERY_PAGE["api"].splitlines() if re.search(r"Default: \d", row)]
    assert described == [row_of("rules[].timeouts.request"), row_of("rules[].retry.maxBackoff")]
    assert f"Default: {Timeouts().request}, or" in described[0]
    assert f"Default: {Retry().max_backoff}, or" in described[1]


CONSTANTS: list[tuple[str, str, float]] = [
    ("http", r"FIN \(decision 0005\) \| \| ([\d.]+) s", timeouts.GRACE),
    ("http", r"after a response that closes \| \| (\d+) s", timeouts.LINGER),
    ("http", r"timer turns every (\d+) ms", TICK * 1000),
    ("http", r"`RLIMIT_NOFILE` minus (\d+)", eviction.RESERVE),
    ("http", r"memory at (\d+) % of the", resource_monitor.TIGHT * 100),
    ("http", r"memory at (\d+) % \| 503", resource_monitor.FULL * 100),
    ("http", r"about (\d+) KiB of each wait", HIGH_WATER / 1024),
    ("http", r"the new one waits for (a) second", listener.PATIENCE),
    (
        "upstreams",
        r"kept for (\d+) s \(`upstream_idle_timeout`\)",
        Settings.model_fields["upstream_idle_timeout"].default,
    ),
    ("caching", r"A query with more than (\d+) parameters", MOST_PARAMETERS),
    ("upstreams", r"No endpoint takes more than ([\d.]+) times", consistent_hash.FACTOR),
    ("upstreams", r"requests in flight, or fewer than (\d+)", retry.MIN_RETRIES),
    ("data-plane", r"One timer \(the wheel, (\d+) ms\)", TICK * 1000),
]


@pytest.mark.parametrize(("page", "pattern", "value"), CONSTANTS, ids=[pattern for _, pattern, _ in CONSTANTS])
def test_constants_in_pages_are_those_of_the_code(page: str, pattern: str, value: float) -> None:
    found = re.findall(pattern, " ".join(EVERY_PAGE[page].split()))
    assert [1.0 if number == "a" else float(number) for number in found] == [value]


def test_default_sizes_in_pages_are_those_of_the_models() -> None:
    found = re.findall(r"`limits\.maxRequestBody`\s+\((\d+) MiB by default\)", EVERY_PAGE["http"])
    assert [int(number) << 20 for number in found] == [values.size(Limits().max_request_body)]


def names_after(page: str, beginning: str) -> list[str]:
    """Return the code spans of the list that follows some words."""
    listed = EVERY_PAGE[page].partition(beginning)[2].partition(".\n")[0]
    return re.findall(r"`([^`]+)`", listed)


def test_claims_of_http_md_are_those_of_the_code() -> None:
    assert names_after("http", "limits and cache, in any spelling:") == list(client_claims.FAMILIES)


def test_list_fields_of_http_md_are_those_of_the_code() -> None:
    listed = names_after("http", "Header fields that are lists by definition are joined instead:")
    assert sorted(name.lower().encode() for name in listed) == sorted(LIST_FIELDS)


def test_outcomes_of_the_status_header_are_those_that_exist() -> None:
    assert set(re.findall(r"\b[A-Z]{3,}\b", row_of("rules[].cache.statusHeader"))) == {
        status.decode() for status in CACHE_STATUS if status
    }


def test_readme_compares_with_envoy_by_the_measured_figures() -> None:
    text = EVERY_PAGE["performance"]
    ratios = next(rows for header, rows in tables(text) if header[0] == "ratio")
    (envoy,) = (row for row in ratios if row[0] == "proxied, requests/s of Envoy")
    medians = sorted(float(re.findall(r"[\d.]+", cell)[0]) for cell in envoy[1:])
    figures = next(rows for header, rows in tables(text) if header[0] == "32 connections")
    cpu = {row[0]: float(row[2]) for row in figures}
    known, unique = map(int, re.findall(r"\((\d+) us with repetition, (\d+) us without\)", text)[0])
    calculated = cpu["Envoy, proxied"] / (cpu["Inferway, proxied"] + unique - known)
    readme = " ".join(EVERY_PAGE["README"].split())
    first, low, high = re.findall(
        r"serves about ([\d.]+) times the requests of Envoy when no request repeats, by calculation\."
        r" When clients repeat requests it serves ([\d.]+) to ([\d.]+) times",
        readme,
    )[0]
    assert (float(low), float(high)) == (round(medians[0], 1), round(medians[-1], 1))
    assert float(first) == round(calculated, 1)
    assert f"the ratio is about {first} of Envoy's speed" in " ".join(text.split())


# --- commands and examples -----------------------------------------------------------------------------------------------


def test_commands_of_make_and_their_variables_exist() -> None:
    named = [line for text in EVERY_PAGE.values() for line in commands(text) if line.startswith("make ")]
    assert len(named) > 30
    targets = set(re.findall(r"^([a-z0-9-]+):", MAKEFILE, re.MULTILINE))
    for line in named:
        for word in shlex.split(line.partition("|")[0].replace("...", ""))[1:]:
            name, is_variable, _ = word.partition("=")
            assert f"$({name})" in MAKEFILE if is_variable else word in targets, line


def test_commands_of_inferway_and_their_flags_exist() -> None:
    group = typer.main.get_command(app)
    context = typer.Context(group)
    named = [line for text in EVERY_PAGE.values() for line in commands(text) if line.startswith("inferway ")]
    assert len(named) > 15
    for line in named:
        _, *words = line.split()
        if words[0].startswith("-"):
            continue
        for name in words[0].split("|"):
            command = group.get_command(context, name)  # type: ignore[attr-defined]
            assert command is not None, line
            options = {option for each in command.params for option in (*each.opts, *each.secondary_opts)} | {"--help"}
            assert {word.partition("=")[0] for word in words if word.startswith("-") and word != "-"} <= options, line


def test_folders_of_kubectl_commands_exist() -> None:
    named = {
        match
        for text in EVERY_PAGE.values()
        for line in commands(text)
        if line.startswith("kubectl ")
        for match in re.findall(r" -[kf] ([\w./-]+)", line)
    }
    assert len(named) > 3
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def resource_examples() -> Iterator[tuple[str, str]]:
    for page, text in EVERY_PAGE.items():
        for index, block in enumerate(blocks(text, "yaml")):
            if f"apiVersion: {resources.API_GROUP}/" in block:
                yield f"{page}-{index}", block


@pytest.mark.parametrize(
    "example", [each for _, each in resource_examples()], ids=[name for name, _ in resource_examples()]
)
def test_resources_in_pages_are_valid(example: str, tmp_path: Path) -> None:
    path = tmp_path / "example.yaml"
    path.write_text(example)
    result = CliRunner().invoke(app, ["validate", str(path)])
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("language", ["yaml", "json"])
def test_yaml_and_json_in_pages_can_be_read(language: str) -> None:
    found = [block for text in EVERY_PAGE.values() for block in blocks(text, language)]
    assert found
    for block in found:
        assert list(yaml.safe_load_all(block))


# --- fields and their tests ------------------------------------------------------------------------------------------------

TEXTS = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "e2e/features").glob("*.py"))
WITHOUT_A_TEST = {"spec", "status", "group"}
"""Every test has a spec; the status is the operator's; a group has one value."""


def test_every_resource_field_is_used_by_a_feature_test() -> None:
    specs = [
        crds.crd(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
        for kind in resources.SPECS
    ]
    names = {name for spec in specs for name in field_names(spec)} - WITHOUT_A_TEST
    assert len(names) > 80
    builders = (ROOT / "services/fakes/src/inferway_fakes/yaml_builders.py").read_text(encoding="utf-8")
    assert [name for name in sorted(names) if not re.search(rf"\b{name}\b", TEXTS + builders)] == []
