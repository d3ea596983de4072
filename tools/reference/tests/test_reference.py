"""The reference pages are complete and in step with the code: problem codes, metrics, log fields, admin pages, settings."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from inferway_cli.directory_source import DirectorySource
from inferway_contract import log_fields
from inferway_dataplane.admin import metric_families, metrics
from inferway_dataplane.core.caching import freshness
from inferway_dataplane.core.messages import problems
from inferway_dataplane.engine.downstream import eviction
from inferway_dataplane.gateway import Gateway
from inferway_dataplane.observability.access_log import AccessLog
from inferway_dataplane.settings import ClusterSettings, Settings
from inferway_operator.metrics import OperatorMetrics
from inferway_operator.settings import HttpSettings, OperatorSettings
from inferway_reference import admin_pages
from inferway_reference.__main__ import PAGES
from inferway_reference.log_fields import UnreadableFieldsError, fields_of_calls, fields_of_file
from inferway_reference.metrics import families
from inferway_reference.problems import all_problems
from inferway_reference.table import docstrings

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
PRODUCT = [
    path for plane in ("crds", "kube", "operator", "dataplane", "cli") for path in (ROOT / plane).glob("src/**/*.py")
]
FAMILY_OF = {
    "bypasses": metric_families.CACHE_BYPASS,
    "cut": metric_families.CONNECTIONS_CUT,
    "retries": metric_families.RETRIES,
    "shed": metric_families.REQUESTS_SHED,
}
"""The metric of each counter in `stats` whose labels are words."""


@pytest.mark.parametrize(("name", "text"), PAGES.items(), ids=PAGES)
def test_page_matches_the_code(name: str, text: Callable[[], str]) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == text(), "the code changed: run `make reference`"


# --- problem codes -------------------------------------------------------------------------------------------------------


def test_every_problem_has_its_fix() -> None:
    remedies = docstrings(Path(problems.__file__))
    missing = [name for name in all_problems() if not remedies.get(name, "").endswith(".")]
    assert missing == [], "add a docstring below the constant: what to do about it"


# --- metrics -------------------------------------------------------------------------------------------------------------


def test_exported_metrics_of_the_data_plane_are_those_listed() -> None:
    gateway = Gateway(Settings(), AccessLog(0, enabled=False), 1024)
    collectors = (metrics.GatewayCollector(gateway), metrics.SourceCollector(DirectorySource("demo")))
    exported = [(family.name, family.type) for collector in collectors for family in collector.collect()]
    assert sorted(exported) == sorted((family.name, family.kind) for family in families()), "list it in metric_families"


def test_exported_metrics_of_the_operator_are_those_listed() -> None:
    operator = OperatorMetrics()
    exported = {family.name for family in operator.registry.collect()}
    assert {name for name in exported if not name.startswith(("process_", "python_"))} == operator.labels.keys()


def reasons_in(source: str) -> Iterator[tuple[str, str]]:
    """Yield counters and the words that a module counts in them: of `x.cut("word")` and `count_in(x.counter, "word")`."""
    for call in ast.walk(ast.parse(source)):
        if not isinstance(call, ast.Call):
            continue
        if isinstance(call.func, ast.Attribute) and call.func.attr == "cut":
            yield from (("cut", word) for argument in call.args for word in words(argument))
        elif isinstance(call.func, ast.Name) and call.func.id == "count_in" and isinstance(call.args[0], ast.Attribute):
            counter = call.args[0].attr
            yield from ((counter, word) for word in words(call.args[1]))


def words(value: ast.expr) -> Iterator[str]:
    return (node.value for node in ast.walk(value) if isinstance(node, ast.Constant) and isinstance(node.value, str))


def counted_reasons() -> set[tuple[str, str]]:
    """Return the words of all counters of the data plane, those in tables of a module included."""
    counted = {pair for path in PRODUCT for pair in reasons_in(path.read_text(encoding="utf-8"))}
    counted |= {("cut", name) for name in eviction.EVICTED}
    uses = [value for value in vars(freshness).values() if isinstance(value, freshness.CacheUse)]
    return counted | {("bypasses", use.bypass) for use in uses if use.bypass}


def test_every_reason_of_a_metric_is_listed() -> None:
    listed = {(counter, reason) for counter, family in FAMILY_OF.items() for reason in family.reasons}
    assert counted_reasons() == listed


# --- log fields ------------------------------------------------------------------------------------------------------------


def test_fields_of_log_calls_are_those_listed() -> None:
    calls = [call for path in PRODUCT for call in fields_of_file(path)]
    unlisted = {
        place: sorted(names - log_fields.FIELDS.keys()) for place, names in calls if names - log_fields.FIELDS.keys()
    }
    assert unlisted == {}, "list them in inferway_contract.log_fields"
    unused = log_fields.FIELDS.keys() - {name for _, names in calls for name in names}
    assert unused == set(), "no log call has these fields"


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ("log.info('a')", set()),
        ("log.info('a', extra={'one': 1, 'two': 2})", {"one", "two"}),
        ("self._log.exception('a', extra={**{'one': 1}, 'two': 2})", {"one", "two"}),
        ("data = {'one': 1}\n    log.info('a', extra=data)", {"one"}),
        ("data = {'one': 1} if a else {}\n    logger.log(3, 'a', extra={**data, 'two': 2})", {"one", "two"}),
        ("self._problem.report(3, 'a', one=1, **{'two': 2})", {"one", "two"}),
        ("report.report(one=1)", set()),
    ],
)
def test_fields_of_a_log_call_are_read(body: str, fields: set[str]) -> None:
    names = {name for _, each in fields_of_calls(f"def function(a):\n    {body}\n") for name in each}
    assert names == fields


@pytest.mark.parametrize(
    "body",
    [
        "log.info('a', extra=a)",
        "log.info('a', extra={a: 1})",
        "log.info('a', extra=a())",
        "log.info('a', extra={**a.b})",
    ],
)
def test_fields_of_a_log_call_that_hides_them_are_an_error(body: str) -> None:
    with pytest.raises(UnreadableFieldsError, match="line 2"):
        list(fields_of_calls(f"def function(a):\n    {body}\n"))


# --- admin pages and settings ------------------------------------------------------------------------------------------------


def test_every_admin_page_is_described() -> None:
    described = {route.path for route in admin_pages.routes() if (route.endpoint.__doc__ or "").endswith(".")}
    assert described == {route.path for route in admin_pages.routes()}
    assert {"/healthz", "/readyz", "/metrics", "/debug/config", "/debug/backends"} <= described


@pytest.mark.parametrize("model", [Settings, ClusterSettings, OperatorSettings, HttpSettings])
def test_every_setting_is_described(model: type) -> None:
    assert [name for name, field in model.model_fields.items() if not field.description] == []
