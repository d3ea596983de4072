"""Plugins of all tests. Fixtures that several packages share are in tests/support."""

pytest_plugins = [
    "e2e.case_marks",
    "e2e.cluster.plugin",
    "inferway_envtest.fixtures",
    "inferway_envtest.installation",
    "inferway_testing.clean_environment",
    "inferway_testing.fast",
    "inferway_testing.fixtures",
]
