"""Pushes by the clients that others use: to the URL and, for StatsD, the UDP port that are given."""

import sys

from influxdb import InfluxDBClient
from influxdb_client import InfluxDBClient as InfluxDBClient2, Point
from influxdb_client.client.write_api import SYNCHRONOUS
from prometheus_client import CollectorRegistry, Gauge, Histogram, delete_from_gateway, push_to_gateway, pushadd_to_gateway
from statsd import StatsClient

url, port, statsd_port = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])

first = InfluxDBClient("127.0.0.1", port, database="mine", gzip=True)
assert first.ping() == "1.8.0", "the version of Influx"
first.write_points([{"measurement": "old", "tags": {"host": "a b"}, "fields": {"load": 1.5, "on": True}}])

second = InfluxDBClient2(url=url, token="t", org="o", enable_gzip=True)
second.write_api(write_options=SYNCHRONOUS).write(bucket="b", record=Point("new").tag("host", "ü").field("load", 2))

registry = CollectorRegistry()
Gauge("pushed_last", "When.", ["what"], registry=registry).labels("it").set(7)
Histogram("pushed_seconds", "How long.", registry=registry).observe(0.3)
push_to_gateway(url, job="py", registry=registry, grouping_key={"path": "/a/b", "empty": ""})
pushadd_to_gateway(url, job="gone", registry=registry)
delete_from_gateway(url, job="gone")

statsd = StatsClient("127.0.0.1", statsd_port, prefix="py")
statsd.incr("count", 3)
statsd.gauge("level", 5)
statsd.gauge("level", -2, delta=True)
statsd.timing("took", 320)
statsd.set("users", "one")
