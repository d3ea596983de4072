"""Metrics of where documents come from. A source that has no such thing (a directory) has the families without samples."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from inferway_dataplane.sources import Source


class SourceCollector(Collector):
    """Reads the source's own state at scrape time."""

    def __init__(self, source: "Source") -> None:
        self._source = source

    def collect(self) -> Iterator[Metric]:
        """Every family."""
        state = self._source.state
        served = None if state.copy_served_since is None else state.copy_served_since > 0
        for name, text, value in (
            ("config_source_connected", "1 = the API server answers, and changes are seen.", state.is_connected),
            ("config_last_good_saved", "1 = the last attempt to save the last good copy worked.", state.is_copy_saved),
            (
                "config_last_good_saved_timestamp_seconds",
                "When the last good copy was saved last, since the epoch; 0 = not by this process.",
                state.copy_saved_at,
            ),
            ("config_last_good_served", "1 = the last good copy is served, and not what is published.", served),
        ):
            family = GaugeMetricFamily(name, text)
            if value is not None:
                family.add_metric([], float(value))
            yield family
        info = GaugeMetricFamily(
            "endpoints_revision_info", "The revision of the endpoints that are served.", labels=["revision"]
        )
        if state.endpoints_revision is not None:
            info.add_metric([state.endpoints_revision], 1)
        yield info
