"""With OpenTelemetry a request on the fast path has the span and the figures that FastAPI gives it by itself."""

import os
from collections.abc import Mapping
from typing import Any

import pytest
from asgi_lifespan import LifespanManager
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from app.core.config.settings import Settings
from app.main import create_app, telemetry
from tests.conftest import connected, running
from tests.factories import Factory

REQUESTS = [
    ("GET", "/api/v1/items/999", 404),
    ("GET", "/api/v1/items/x", 422),
    ("GET", "/api/v1/items", 200),
    ("HEAD", "/api/v1/items", 200),
    ("POST", "/api/v1/items", 422),
    ("PUT", "/api/v1/items", 405),
    ("GET", "/api/v1/nothing", 404),
    ("GET", "/health", 200),
]


class Told:
    """What OpenTelemetry is told, by providers as `trace.set_tracer_provider` sets them once in a process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.exporter, self.reader = InMemorySpanExporter(), InMemoryMetricReader()
        tracers, meters = TracerProvider(shutdown_on_exit=False), MeterProvider([self.reader], shutdown_on_exit=False)
        tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        monkeypatch.setattr(trace, "get_tracer_provider", lambda: tracers)
        monkeypatch.setattr(metrics, "get_meter_provider", lambda: meters)

    def spans(self) -> list[tuple[str, Mapping[str, Any]]]:
        return [(span.name, dict(span.attributes or {})) for span in self.exporter.get_finished_spans()]

    def routes(self) -> set[Any]:
        """Those of which there are durations."""
        data: Any = self.reader.get_metrics_data()
        found = [metric for part in data.resource_metrics for scope in part.scope_metrics for metric in scope.metrics]
        durations = next(metric for metric in found if metric.name == "http.server.request.duration")
        return {point.attributes.get("http.route") for point in durations.data.data_points}


async def told(settings: Settings, token: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Told:
    with monkeypatch.context() as patch:
        found = Told(patch)
        # Not one that other tests have had: it has looked whether there are providers.
        async with LifespanManager(create_app(settings)) as manager, connected(manager.app) as client:
            for method, path, status in REQUESTS:
                got = await client.request(method, path, headers=token)
                assert got.status_code == status, path
    return found


@pytest.mark.real_database
async def test_both_ways_tell_the_same(real_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(real_settings) as (_, _, services):
        make = Factory(services)
        token = await make.bearer(await make.user())
    ways = [real_settings.model_copy(update={"fast_path": mode}) for mode in ("auto", "off")]
    fast, slow = [await told(settings, token, monkeypatch) for settings in ways]
    assert fast.spans() == slow.spans()
    assert fast.routes() == slow.routes()
    assert ("GET /api/v1/items/{item_id}", "/api/v1/items/{item_id}") in [
        (name, attributes.get("http.route")) for name, attributes in fast.spans()
    ]


def test_it_is_off_where_nothing_is_set_up(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    assert telemetry()["tracing"] is False
    monkeypatch.setenv("OTEL_SERVICE_NAME", "strata")
    assert telemetry()["tracing"] is True
