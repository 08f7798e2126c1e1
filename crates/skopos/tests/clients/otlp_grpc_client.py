"""Sends metrics by OpenTelemetry's SDK over gRPC to the address that is given, and then odd calls, whose
outcomes it prints. Further arguments: the file of an authority, which makes it TLS, a bearer token, and the files
of a certificate and of its key."""

import sys

import grpc
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

SERVICE = "/opentelemetry.proto.collector.metrics.v1.MetricsService/"

address = sys.argv[1]
credentials, headers = None, ()
if len(sys.argv) > 2:
    with open(sys.argv[2], "rb") as authority:
        authorities = authority.read()
    own = {}
    if len(sys.argv) > 4:
        with open(sys.argv[4], "rb") as certificate, open(sys.argv[5], "rb") as key:
            own = {"certificate_chain": certificate.read(), "private_key": key.read()}
    credentials = grpc.ssl_channel_credentials(authorities, **own)
    headers = (("authorization", "Bearer " + sys.argv[3]),)

exporter = OTLPMetricExporter(
    endpoint=address,
    insecure=credentials is None,
    credentials=credentials,
    headers=headers,
    compression=grpc.Compression.Gzip,
    timeout=10,
)
reader = PeriodicExportingMetricReader(exporter, export_interval_millis=60000)
resource = Resource.create({"service.name": "shop", "service.instance.id": "i1"})
provider = MeterProvider(resource=resource, metric_readers=[reader])
meter = provider.get_meter("test")
meter.create_counter("orders", description="What was ordered.").add(5, {"kind": "book"})
meter.create_histogram("took", unit="s").record(0.3)
assert provider.force_flush(), "the server takes it"
provider.shutdown()

channel = grpc.secure_channel(address, credentials) if credentials else grpc.insecure_channel(address)


def outcome(name, method, message, metadata=headers, compression=None):
    call = channel.unary_unary(SERVICE + method)
    try:
        answer = call(message, metadata=metadata, compression=compression, timeout=10)
        print(name, "OK", answer.hex())
    except grpc.RpcError as error:
        print(name, error.code().name, error.details())


outcome("nothing", "Export", b"")
outcome("broken", "Export", b"\x0a\x7f")
outcome("bomb", "Export", bytes(64 << 20), compression=grpc.Compression.Gzip)
outcome("elsewhere", "Other", b"")
outcome("stranger", "Export", b"", metadata=())
outcome("reader", "Export", b"", metadata=(("authorization", "Bearer reading"),))
if len(sys.argv) > 4:
    channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(authorities))
    outcome("certless", "Export", b"")
