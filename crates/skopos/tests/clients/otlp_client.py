"""Sends metrics by the SDK of OpenTelemetry to the URL that is given."""

import sys

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource

exporter = OTLPMetricExporter(endpoint=sys.argv[1], compression=Compression.Gzip)
reader = PeriodicExportingMetricReader(exporter, export_interval_millis=60000)
view = View(instrument_name="sizes", aggregation=ExponentialBucketHistogramAggregation())
resource = Resource.create({"service.name": "shop", "service.instance.id": "i1"})
provider = MeterProvider(resource=resource, metric_readers=[reader], views=[view])
meter = provider.get_meter("test")
meter.create_counter("orders", description="What was ordered.").add(5, {"kind": "book"})
meter.create_histogram("took", unit="s").record(0.3)
for size in (1, 20, 300):
    meter.create_histogram("sizes", unit="By").record(size)
assert provider.force_flush(), "the server takes it"
provider.shutdown()
