"""Metrics of the source of documents. Where it has no such state (a directory), the families have no samples."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from inferway_dataplane.sources import Source


class SourceCollector(Collector):
    """Reads the source's state at scrape time. The label `revision` is the live revision, of which there is one."""

    def __init__(self, source: "Source") -> None:
        self._source = source

    def collect(self) -> Iterator[Metric]:
        """Yield every metric family."""
        state = self._source.state
        is_copy_served = None if state.copy_served_since is None else state.copy_served_since > 0
        for name, text, value in (
            ("config_source_connected", "1 = the API server answers, and changes are seen.", state.is_connected),
            ("config_last_good_saved", "1 = the last attempt to save the last good copy worked.", state.is_copy_saved),
            (
                "config_last_good_saved_timestamp_seconds",
                "Time of the last save of the last good copy, since the epoch; 0 = not by this process.",
                state.copy_saved_at,
            ),
            (
                "config_last_good_served",
                "1 = the last good copy is served instead of the published documents.",
                is_copy_served,
            ),
        ):
            family = GaugeMetricFamily(name, text)
            if value is not None:
                family.add_metric([], float(value))
            yield family
        info = GaugeMetricFamily("endpoints_revision_info", "The live revision of the endpoints.", labels=["revision"])
        if state.endpoints_revision is not None:
            info.add_metric([state.endpoints_revision], 1)
        yield info
