"""Log lines about the presence of data-plane pods."""

import logging

import pytest

from inferway_operator.reconcile.data_plane_presence import PATIENCE, DataPlanePresence


def test_presence_logs_loss_and_return_of_the_data_plane_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    attendance = DataPlanePresence("gate", "inferway.dev/gateway=inferway")
    assert attendance.note(0, 100.0) == PATIENCE, "the first pod starts"
    assert attendance.note(2, 101.0) == float("inf")
    assert attendance.note(0, 110.0) == PATIENCE
    assert attendance.note(0, 111.0) == PATIENCE - 1
    assert caplog.records == []
    assert attendance.note(0, 110.0 + PATIENCE) == float("inf")
    assert attendance.note(0, 200.0) == float("inf")
    attendance.note(1, 201.0)
    attendance.note(2, 202.0)
    missing, back = caplog.records
    assert missing.getMessage().startswith("no ready data-plane pod: ")
    assert "kubectl -n gate get pods -l inferway.dev/gateway=inferway" in vars(missing)["mend"]
    assert back.getMessage() == "the data plane is ready again: 1 pods"
