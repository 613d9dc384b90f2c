"""Asks a Prometheus that scrapes Ringway what the dashboard and the alerts ask.

usage: prometheus_queries.py PROMETHEUS_ADDRESS DASHBOARD ALERTS

Prints `ok CASE` or `FAILED CASE: why` for each.
"""
import json
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

address, dashboard, alerts = sys.argv[1:]


def query(expression):
    url = f"http://{address}/api/v1/query?" + urllib.parse.urlencode({"query": expression})
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]["result"]
    except urllib.error.HTTPError as error:
        raise ValueError(error.read().decode(errors="replace")) from error


def tell(case, why=None):
    print(f"ok {case}" if why is None else f"FAILED {case}: {why}", flush=True)


def wait_for(case, expression, wanted):
    """Waits for at most 30 seconds until the first sample of an expression is as wanted."""
    end = time.monotonic() + 30
    found = None
    while time.monotonic() < end:
        try:
            found = [float(sample["value"][1]) for sample in query(expression)]
        except OSError:
            pass
        if found and wanted(found[0]):
            return tell(case)
        time.sleep(0.2)
    tell(case, f"`{expression}` gave {found}")


# What Grafana puts in.
def filled(expression):
    return expression.replace("$__rate_interval", "30s").replace("$instance", ".*")


wait_for("prometheus scrapes", 'up{job="ringway"}', lambda value: value == 1)
wait_for("prometheus counts requests", "sum(ringway_http_requests_total)", lambda value: value > 0)
wait_for("prometheus knows rates", "sum(rate(ringway_http_requests_total[30s]))", lambda value: value >= 0)
wait_for("prometheus counts connections that both sides end", 'sum(ringway_relayed_connections_total{listener="relayed",reason="-"})', lambda value: value >= 5)
wait_for("prometheus counts connections that end otherwise", 'sum(ringway_relayed_connections_total{listener="relayed",reason="client_closed"})', lambda value: value == 1)
wait_for("prometheus counts sessions of UDP", 'sum(ringway_relayed_connections_total{listener="datagrams",reason="-"})', lambda value: value >= 5)
wait_for("prometheus counts lost datagrams", 'sum(ringway_datagrams_dropped_total{listener="datagrams"})', lambda value: value == 1)

empty = []
for panel in json.load(open(dashboard, encoding="utf-8"))["panels"]:
    case = f"dashboard: {panel['title']}"
    try:
        results = [query(filled(target["expr"])) for target in panel["targets"]]
    except ValueError as error:
        tell(case, error)
        continue
    tell(case)
    if not any(results):
        empty.append(panel["title"])
# Whatever did not occur has no series, but most does.
tell("dashboard: most panels show something", f"nothing in {empty}" if len(empty) > 4 else None)

text = open(alerts, encoding="utf-8").read()
names = re.findall(r"- alert: (\w+)", text)
with urllib.request.urlopen(f"http://{address}/api/v1/rules", timeout=10) as answer:
    rules = [rule for group in json.load(answer)["data"]["groups"] for rule in group["rules"]]
for rule in rules:
    tell(f"alert: {rule['name']}", rule.get("lastError") or None)
tell("alerts: all of them", None if sorted(names) == sorted(rule["name"] for rule in rules) else f"{names}, {rules}")
