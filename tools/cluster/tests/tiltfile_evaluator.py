"""The Tiltfile evaluated by a Starlark interpreter. Tilt's functions record their calls; those that read files do so."""

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any, ClassVar

import starlark
import yaml

from inferway_cluster.images import ROOT

NOTED = ("docker_build", "k8s_yaml", "k8s_resource", "local_resource")
STEPS = ("sync", "run", "link", "port_forward")


class Tiltfile:
    """The calls by function: each as its named arguments; positional ones get the names of PARAMETERS."""

    PARAMETERS: ClassVar = {
        "docker_build": ("ref", "context"),
        "k8s_yaml": ("yaml",),
        "k8s_resource": ("workload",),
        "local_resource": ("name", "cmd"),
        "sync": ("local_path", "remote_path"),
        "run": ("cmd",),
        "link": ("url", "name"),
        "port_forward": ("local_port", "container_port"),
    }

    def __init__(self, context: str = "kind-inferway") -> None:
        self.calls: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        self.rendered: dict[str, list[dict[str, Any]]] = {}
        """Objects of each rendered folder."""
        module = starlark.Module()
        module["TRIGGER_MODE_MANUAL"] = "manual"
        module.add_callable("k8s_context", lambda: context)
        module.add_callable("kustomize", self._kustomize)
        module.add_callable("decode_yaml_stream", lambda text: list(yaml.safe_load_all(text)))
        for name in (*NOTED, *STEPS):
            module.add_callable(name, self._noting(name))
        # Tilt allows statements outside of functions, as this dialect does.
        parsed = starlark.parse("Tiltfile", (ROOT / "Tiltfile").read_text(), starlark.Dialect.extended())
        starlark.eval(module, parsed, starlark.Globals.standard())

    def _noting(self, name: str) -> Any:
        def note(*arguments: Any, **named: Any) -> Any:
            call = {**dict(zip(self.PARAMETERS[name], arguments, strict=False)), **named}
            self.calls[name].append(call)
            return {"step": name, **json.loads(json.dumps(call))} if name in STEPS else None

        return note

    def _kustomize(self, path: str) -> str:
        rendered = subprocess.run(
            [kubectl(), "kustomize", str(ROOT / path)], capture_output=True, text=True, timeout=60, check=False
        )
        assert rendered.returncode == 0, rendered.stderr
        self.rendered[path] = list(yaml.safe_load_all(rendered.stdout))
        return rendered.stdout

    @property
    def objects(self) -> list[dict[str, Any]]:
        """Return all applied objects."""
        return [each for objects in self.rendered.values() for each in objects]

    @property
    def resources(self) -> dict[str, dict[str, Any]]:
        """Return the resources of the web page, by name."""
        workloads = {call.get("new_name") or call["workload"]: call for call in self.calls["k8s_resource"]}
        return workloads | {call["name"]: call for call in self.calls["local_resource"]}


def kubectl() -> str:
    """Return the kubectl of `make setup`."""
    return str(Path(sys.executable).with_name("kubectl"))
