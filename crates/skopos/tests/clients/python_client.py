"""Calls PyPI's prometheus-api-client on the server whose address is given, and prints what it got as JSON."""

import datetime
import json
import sys

from prometheus_api_client import PrometheusConnect

client = PrometheusConnect(url=sys.argv[1], disable_ssl=True)
end = datetime.datetime.now()
start = end - datetime.timedelta(minutes=5)
ranged = client.custom_query_range("last", start_time=start, end_time=end, step="1s")
fetched = client.get_metric_range_data("last", start_time=start, end_time=end)
print(json.dumps({
    "connected": client.check_prometheus_connection(),
    "metrics": sorted(client.all_metrics()),
    "names": client.get_label_names(),
    "jobs": client.get_label_values("job"),
    "current": [one["value"][1] for one in client.get_current_metric_value("last")],
    "labelled": len(client.get_current_metric_value("a", label_config={"x": "ü"})),
    "query": client.custom_query("sum(last) + 1")[0]["value"][1],
    "ranged": len(ranged[0]["values"]),
    "fetched": len(fetched[0]["values"]),
    "series": len(client.get_series(start, end, params={"match[]": "a"})),
    "targets": len(client.get_targets()["activeTargets"]),
    "pools": client.get_scrape_pools(),
    "metadata": client.get_metric_metadata("h")[0]["type"],
}))
