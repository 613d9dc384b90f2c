"""Holds a live status of a busy process against docs/status.schema.json, with a validator of other people.

usage: status_schema.py RINGWAY SCHEMA FOLDER

FOLDER has a certificate, `site.pem` and `key.pem`. Prints `ok CASE` or `FAILED CASE: why` for each.
"""
import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import jsonschema

ringway, schema_file, folder = (os.path.abspath(path) for path in sys.argv[1:])
home = os.path.join(folder, "schema")
os.makedirs(home)
for name in ["site.pem", "key.pem"]:
    with open(os.path.join(folder, name), encoding="ascii") as there, open(os.path.join(home, name), "w", encoding="ascii") as here:
        here.write(there.read())
os.chmod(os.path.join(home, "key.pem"), 0o600)
configuration = os.path.join(home, "ringway.toml")
admin_socket = os.path.join(home, "admin.sock")

# Answers 200 to everything but probes, and holds what is slow.
backend = socket.create_server(("127.0.0.1", 0))
port = backend.getsockname()[1]


def serve(connection):
    seen = b""
    # Probes end with a reset.
    with connection, contextlib.suppress(OSError):
        while True:
            while b"\r\n\r\n" not in seen:
                piece = connection.recv(65536)
                if not piece:
                    return
                seen += piece
            head, seen = seen.split(b"\r\n\r\n", 1)
            if b"/slow" in head:
                time.sleep(20)
            status = b"500 No" if b"/health" in head else b"200 OK"
            connection.sendall(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")


def accept():
    while True:
        threading.Thread(target=serve, args=[backend.accept()[0]], daemon=True).start()


threading.Thread(target=accept, daemon=True).start()

FIRST = f"""
config_version = 1
process = {{ workers = 2, pin = false }}
admin = {{ socket = "{admin_socket}", address = "127.0.0.1:0" }}
certificate = [{{ name = "site", chain = "site.pem", key = "key.pem" }}]
ca = [{{ name = "clients", bundle = "site.pem" }}]
"""
WEB = """
[[listener]]
name = "web"
address = "127.0.0.1:0"
default_group = "app"

[[listener]]
name = "secure"
address = "127.0.0.1:0"
protocol = "https"
certificates = ["site"]
client_auth = { mode = "optional", ca = ["clients"] }
default_group = "app"

[[rule]]
name = "old"
listener = "web"
priority = 1
path = "/old"
redirect = { path = "/new" }

[[rule]]
name = "here"
listener = "web"
priority = 2
path = "/here"
respond = { code = 200, body = "ok" }

[[rule]]
name = "shared"
listener = "web"
priority = 3
path_prefix = "/shared"
forward = [{ group = "app", weight = 3 }, { group = "ill", weight = 1 }]
maintenance = { enabled = true }

[[server_group]]
name = "ill"
health_check = { interval = "1s", timeout = "1s", path = "/health", unhealthy_threshold = 1 }
backend = [{ address = "127.0.0.1:PORT" }, { address = "nowhere.invalid:80" }]

[[listener]]
name = "relayed"
address = "127.0.0.1:0"
protocol = "tcp"
default_group = "stream"

[[server_group]]
name = "stream"
protocol = "tcp"
backend = [{ address = "127.0.0.1:PORT" }]

# Nobody receives what it gets.
[[listener]]
name = "datagrams"
address = "127.0.0.1:0"
protocol = "udp"
default_group = "nobody"

[[server_group]]
name = "nobody"
protocol = "udp"
backend = [{ address = "127.0.0.1:9" }]
"""
SHORT = """
[[listener]]
name = "short"
address = "127.0.0.1:0"
default_group = "gone"

[[server_group]]
name = "gone"
backend = [{ address = "127.0.0.1:PORT" }]
"""
APP = """
[[server_group]]
name = "app"
max_retries = 1
passive_check = { consecutive_failures = 1, ejection_time = "60s" }
queue = { size = 5, timeout = "5s" }
backend = [
  { address = "127.0.0.1:PORT", max_connections = 100 },
  { address = "127.0.0.1:9", max_connections = 100 },
  { address = "127.0.0.2:PORT", role = "standby", weight = WEIGHT, max_connections = 100 },
]
"""


def write(*parts, weight=100):
    text = "".join(parts).replace("PORT", str(port)).replace("WEIGHT", str(weight))
    with open(configuration, "w", encoding="utf-8") as file:
        file.write(text)


def tell(case, why=None):
    print(f"ok {case}" if why is None else f"FAILED {case}: {why}", flush=True)


def command(*arguments):
    ended = subprocess.run([ringway, *arguments, "--socket", admin_socket], capture_output=True, text=True, timeout=60, check=False)
    if ended.returncode != 0:
        raise ValueError(ended.stderr)
    return ended.stdout


def closed(schema):
    """The same schema, but what it does not describe is refused."""
    if isinstance(schema, dict):
        inner = {key: closed(value) for key, value in schema.items()}
        if "properties" in schema:
            inner["additionalProperties"] = False
        return inner
    return [closed(value) for value in schema] if isinstance(schema, list) else schema


with open(schema_file, encoding="utf-8") as file:
    schema = json.load(file)
jsonschema.Draft202012Validator.check_schema(schema)
tell("schema: it is one of JSON Schema 2020-12")
validator = jsonschema.Draft202012Validator(closed(schema))

write(FIRST, WEB, SHORT, APP)
process = subprocess.Popen([ringway, "run", "-c", configuration], stderr=subprocess.PIPE, text=True)
try:
    addresses, metrics = {}, None
    said = []
    while len(addresses) < 5 or metrics is None:
        line = process.stderr.readline()
        if not line:
            raise SystemExit(f"FAILED schema: it does not start: {said}")
        said.append(line)
        found = re.search(r'listening on (\S+) \(listener "(\w+)"\)', line)
        if found:
            addresses[found[2]] = found[1]
        found = re.search(r"metrics on (http://\S+)/metrics", line)
        metrics = found[1] if found else metrics
    threading.Thread(target=process.stderr.read, daemon=True).start()

    def ask(path):
        try:
            urllib.request.urlopen(addresses["web"] + path, timeout=5).read()
        except OSError:
            pass

    def place(listener):
        host, number = addresses[listener].split("//")[1].rsplit(":", 1)
        return host, int(number)

    def relay():
        with socket.create_connection(place("relayed"), timeout=5) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            connection.recv(65536)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(b"lost", place("datagrams"))

    def ask_slowly(listener):
        slow = socket.create_connection(place(listener), timeout=30)
        slow.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        return slow

    for path in ["/", "/", "/", "/old", "/here", "/shared", "/missing"] * 3:
        ask(path)
    relay()
    held = [ask_slowly("web"), ask_slowly("short")]
    with open(os.path.join(home, "site.pem"), "w", encoding="ascii") as file:
        file.write("broken")
    # What is under way at a listener, a group and a backend that are taken away goes on for a while.
    end = time.monotonic() + 20
    while time.monotonic() < end:
        status = json.loads(command("status", "--json"))
        if status["certificates"][0]["broken"] and status["groups"][0]["backends"][0]["state"] == "unhealthy":
            break
        time.sleep(0.1)
    with open(os.path.join(home, "site.pem"), "w", encoding="ascii") as file, open(os.path.join(folder, "site.pem"), encoding="ascii") as whole:
        file.write(whole.read())
    write(FIRST, WEB, APP, weight=0)
    command("reload")
    with open(os.path.join(home, "site.pem"), "w", encoding="ascii") as file:
        file.write("broken")
    while time.monotonic() < end:
        status = json.loads(command("status", "--json"))
        if status["certificates"][0]["broken"]:
            break
        time.sleep(0.1)

    groups = {group["name"]: group for group in status["groups"]}
    states = {backend["state"] for group in status["groups"] for backend in group["backends"]}
    listeners = {listener["name"]: listener for listener in status["listeners"]}
    busy = {
        "a connection that is relayed": listeners["relayed"]["relayed"] and groups["stream"]["relayed"],
        "datagrams": listeners["datagrams"]["datagrams"] and groups["nobody"]["datagrams"],
        "a listener that leaves": any(listener["leaving"] for listener in status["listeners"]),
        "backends that leave": status["leaving"],
        "broken files": status["certificates"][0]["broken"],
        "a CA": status["cas"],
        "maintenance": status["maintenance"],
        "a queue": "queue" in groups["app"],
        "a name without address": groups["ill"]["unresolved"],
        "reasons": status["listeners"][0]["reasons"],
        "durations": status["listeners"][0]["requests"]["duration"]["buckets"],
        "loop lag": status["worker_load"][0]["loop_lag"]["buckets"],
        "states of backends": {"unhealthy", "ejected"} <= states and states & {"draining", "drained"},
        "a reload": status["reloads"]["last"],
    }
    absent = [name for name, there in busy.items() if not there]
    tell("schema: the process is busy", f"without {absent}: {json.dumps(status)[:3000]}" if absent else None)
    with urllib.request.urlopen(metrics + "/status", timeout=10) as answer:
        by_http = json.load(answer)
    for case, document in [("ringway status --json", status), ("/status", by_http)]:
        errors = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)]
        tell(f"schema: {case}", "; ".join(errors[:5]) if errors else None)
    wrong = {**status, "workers": "two"}
    tell("schema: a wrong document is refused", "it is taken" if validator.is_valid(wrong) else None)
finally:
    process.kill()
    process.wait()
