"""The webhook behind a real API server: what people read when they run kubectl."""

import asyncio
import base64
import json
import re
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import operator_http
import pytest
import trustme
import yaml
from admission_reviews import answering, policy, route, service
from operator_http import RunningServer, write_pair

from inferway_envtest import ApiServer
from inferway_envtest.client import Refused
from inferway_operator.world.world import from_manifests
from inferway_testing.until import until

Manifest = dict[str, Any]

DOCUMENTED = Path(__file__).parents[2] / "docs" / "operations.md"
CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"


def documented() -> Manifest:
    """The manifest that docs/operations.md shows."""
    _, _, rest = DOCUMENTED.read_text().partition("## Admission webhook")
    blocks = [part.partition("```")[0] for part in rest.split("```yaml\n")[1:]]
    items = [item for block in blocks for item in yaml.safe_load_all(block)]
    (found,) = [item for item in items if item["kind"] == "ValidatingWebhookConfiguration"]
    assert isinstance(found, dict)
    return found


@pytest.fixture
def running(api_server: ApiServer, namespace: str, tmp_path: Path) -> Iterator[RunningServer]:
    """The webhook, and the API server asks it about objects of the test's namespace."""
    with asked(api_server, namespace, tmp_path) as made:
        yield made


@contextmanager
def asked(api_server: ApiServer, namespace: str, folder: Path, **settings: Path) -> Iterator[RunningServer]:
    """Run the webhook with these settings; the API server asks it about objects of the namespace."""
    authority = trustme.CA()
    with operator_http.running(write_pair(authority, folder), **settings) as made:
        manifest = documented()
        manifest["metadata"] = {"name": namespace}
        (hook,) = manifest["webhooks"]
        hook["namespaceSelector"] = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
        bundle = base64.b64encode(authority.cert_pem.bytes()).decode()
        hook["clientConfig"] = {"url": made.webhook_url, "caBundle": bundle}
        api_server.ask("POST", CONFIGURATIONS, manifest)
        try:
            # The API server hears of it a moment later; a dry run has no effect.
            probe = json.dumps(in_namespace(route("probe", invalid_rule()), namespace))
            until(lambda: apply(api_server, probe, "--dry-run=server").code != 0, "the API server asks the webhook")
            yield made
        finally:
            api_server.ask("DELETE", f"{CONFIGURATIONS}/{namespace}")


def in_namespace(manifest: Manifest, namespace: str) -> Manifest:
    """The manifest as people write it, for the test's namespace."""
    return {**manifest, "metadata": {"name": manifest["metadata"]["name"], "namespace": namespace}}


def invalid_rule() -> Manifest:
    """A rule that the schema lets pass and the compiler does not."""
    return answering("/a", headers=[{"name": "x-tenant", "type": "RegularExpression", "value": "("}])


def apply(api_server: ApiServer, text: str, *flags: str) -> Any:
    return api_server.kubectl("apply", "-f", "-", *flags, input=text, check=False)


def test_kubectl_prints_each_error_of_a_denied_route_on_a_line(
    api_server: ApiServer, namespace: str, running: RunningServer
) -> None:
    result = apply(
        api_server,
        json.dumps(in_namespace(route("shop", invalid_rule(), {"matches": [{"path": {"value": "/b"}}]}), namespace)),
    )
    assert result.code == 1
    assert result.stderr.splitlines() == [
        'The GatewayRoute "shop" is invalid: ',
        "* spec.rules[0].matches[0].headers[0].value: '(': missing ): ( (RE2)",
        "* spec.rules[1]: no action: add backendRefs, or a filter RequestRedirect or DirectResponse",
    ]
    assert api_server.kubectl("get", "gatewayroutes", "-n", namespace).stdout == ""


def test_denial_message_names_the_webhook(api_server: ApiServer, namespace: str, running: RunningServer) -> None:
    path = f"/apis/inferway.dev/v1alpha1/namespaces/{namespace}/gatewayroutes"
    with pytest.raises(Refused) as refused:
        api_server.ask("POST", path, in_namespace(route("shop", invalid_rule()), namespace))
    assert 'admission webhook "validate.inferway.dev" denied the request: spec.rules[0].matches[0]' in str(
        refused.value
    )


def test_route_with_warnings_is_stored_and_warned_of(
    api_server: ApiServer, namespace: str, running: RunningServer
) -> None:
    older = in_namespace(route("older", answering("/a")), namespace)
    running.operator.newest_world = from_manifests(
        [{**older, "metadata": {**older["metadata"], "creationTimestamp": "2026-01-01T00:00:00Z"}}, *service("web")],
        standalone=False,
    )
    younger = route("shop", answering("/a/"), {"name": "web", "backendRefs": [{"name": "nowhere", "port": 80}]})
    result = apply(api_server, json.dumps(in_namespace(younger, namespace)))
    assert result.code == 0
    assert result.stdout == "gatewayroute.inferway.dev/shop created\n"
    assert result.stderr.splitlines() == [
        f"Warning: spec.rules[1].backendRefs[0]: Service {namespace}/nowhere not found",
        f"Warning: rule rule-0: PathPrefix /a on any host belongs to the older {namespace}/older rule rule-0",
    ]
    aimless = in_namespace(policy(targetRefs=[{"kind": "GatewayRoute", "name": "gone"}]), namespace)
    result = apply(api_server, json.dumps(aimless))
    assert result.stderr == (f"Warning: spec.targetRefs[0].name: GatewayRoute {namespace}/gone not found\n")


def test_valid_route_with_a_generated_name_passes_silently(
    api_server: ApiServer, namespace: str, running: RunningServer
) -> None:
    made = in_namespace(route(), namespace)
    made["metadata"] = {"generateName": "shop-", "namespace": namespace}
    result = api_server.kubectl("create", "-f", "-", input=json.dumps(made), check=False)
    assert (result.code, result.stderr) == (0, "")
    assert running.metric("admission_reviews_total", kind="GatewayRoute", decision="allowed") == 1


def test_stored_invalid_route_may_be_labelled_and_deleted(
    api_server: ApiServer, namespace: str, running: RunningServer
) -> None:
    hook = f"{CONFIGURATIONS}/{namespace}"
    stored = api_server.ask("GET", hook)
    text = json.dumps(in_namespace(route("shop", invalid_rule()), namespace))
    api_server.ask("DELETE", hook)
    until(lambda: apply(api_server, text).code == 0, "nobody asks the webhook")
    del stored["metadata"]["resourceVersion"], stored["metadata"]["uid"]
    api_server.ask("POST", CONFIGURATIONS, stored)
    worse = json.dumps(in_namespace(route("shop", invalid_rule(), invalid_rule()), namespace))
    until(lambda: apply(api_server, worse, "--dry-run=server").code != 0, "the API server asks the webhook")

    result = api_server.kubectl("label", "gatewayroute", "shop", "team=shop", "-n", namespace, check=False)
    assert result.code == 0
    assert "Warning: spec.rules[0].matches[0].headers[0].value: '('" in result.stderr
    counted = running.metric("admission_reviews_total", kind="GatewayRoute", decision="warned")
    status = '{"status": {"observedGeneration": 1}}'
    api_server.kubectl(
        *("patch", "gatewayroute", "shop", "-n", namespace, "--subresource=status", "--type=merge", "-p", status)
    )
    api_server.kubectl("delete", "gatewayroute", "shop", "-n", namespace)
    # The API server did not even ask: neither is among the rules.
    assert running.metric("admission_reviews_total", kind="GatewayRoute", decision="warned") == counted
    assert running.metric("admission_reviews_total", kind="other", decision="unseen") == 0


def test_api_server_with_a_certificate_is_let_in(api_server: ApiServer, namespace: str, tmp_path: Path) -> None:
    # `asked` returns once an invalid object was denied.
    with asked(api_server, namespace, tmp_path, webhook_client_ca=api_server.ca_file) as running:
        assert running.metric("admission_reviews_total", kind="GatewayRoute", decision="denied") >= 1


def test_documented_admission_configuration_names_the_service() -> None:
    blocks = [
        textwrap.dedent(block)
        for block in re.findall(r"^ *```yaml\n(.*?)^ *```$", DOCUMENTED.read_text(), re.MULTILINE | re.DOTALL)
    ]
    items = {item["kind"]: item for block in blocks for item in yaml.safe_load_all(block) if "kind" in item}
    service = documented()["webhooks"][0]["clientConfig"]["service"]
    # The rule of Kubernetes: the DNS name of the Service, without the port if that is 443.
    assert items["Config"]["users"][0]["name"] == f"{service['name']}.{service['namespace']}.svc"
    assert service["port"] == 443
    (plugin,) = items["AdmissionConfiguration"]["plugins"]
    assert plugin["name"] == "ValidatingAdmissionWebhook"
    assert plugin["configuration"]["kind"] == "WebhookAdmissionConfiguration"


def test_objects_are_admitted_while_the_webhook_is_down(
    api_server: ApiServer, namespace: str, running: RunningServer
) -> None:
    assert running.server.reviews is not None
    asyncio.run_coroutine_threadsafe(running.server.reviews.stop(), running.loop).result(10)
    result = apply(api_server, json.dumps(in_namespace(route("shop", invalid_rule()), namespace)))
    assert (result.code, result.stdout) == (0, "gatewayroute.inferway.dev/shop created\n")
