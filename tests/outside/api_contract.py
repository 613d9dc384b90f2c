"""Holds the management API of a live process against its OpenAPI document: the document by openapi-spec-validator, thousands of
calls, good and bad ones, by schemathesis.

usage: api_contract.py RINGWAY OPENAPI FOLDER

Prints `ok CASE` or `FAILED CASE: why` for each.
"""
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request

import openapi_spec_validator

ringway, document, folder = (os.path.abspath(path) for path in sys.argv[1:])
home = os.path.join(folder, "api")
os.makedirs(home)

CONFIGURATION = """
config_version = 1
[admin]
address = "127.0.0.1:0"
tokens_file = "tokens"
audit = "audit.log"
[[listener]]
name = "web"
address = "127.0.0.1:0"
default_group = "app"
[[server_group]]
name = "app"
[[server_group.backend]]
address = "127.0.0.1:9"
[[rule]]
name = "hello"
listener = "web"
priority = 1
path = "/hello"
respond = { code = 200, body = "hello" }
"""

# Calls for each operation, and how many there are to be at least.
EXAMPLES = 36
LEAST = 2000


def tell(case, problem=None):
    print(f"ok api: {case}" if problem is None else f"FAILED api: {case}: {problem}")


def admin_address(stderr):
    end = time.monotonic() + 20
    while time.monotonic() < end:
        with open(stderr, encoding="utf-8") as lines:
            found = re.search(r"metrics on http://(\S+)/metrics", lines.read())
        if found:
            return found.group(1)
        time.sleep(0.05)
    raise SystemExit("ringway does not start")


with open(document, encoding="utf-8") as text:
    openapi = json.load(text)
try:
    openapi_spec_validator.validate(openapi)
    tell("the document is OpenAPI 3.1")
except Exception as error:  # whatever it finds
    tell("the document is OpenAPI 3.1", str(error)[:300])

made = subprocess.run([ringway, "token", "--role", "write", "judge"], capture_output=True, text=True, check=True)
token = made.stderr.splitlines()[0].rsplit(" ", 1)[1]
with open(os.path.join(home, "tokens"), "w", encoding="ascii") as tokens:
    tokens.write(made.stdout)
configuration = os.path.join(home, "ringway.toml")
with open(configuration, "w", encoding="ascii") as there:
    there.write(CONFIGURATION)
stderr = os.path.join(home, "stderr")
with open(stderr, "wb") as messages:
    process = subprocess.Popen([ringway, "run", "-c", configuration], stderr=messages)
try:
    address = admin_address(stderr)
    with urllib.request.urlopen(f"http://{address}/api/v1/openapi.json", timeout=10) as answer:
        served = json.load(answer)
    tell("the document that is served is the one in docs", None if served == openapi else "they differ")
    st = os.path.join(os.path.dirname(sys.executable), "st")
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
    command = [st, "run", f"http://{address}/api/v1/openapi.json", "-H", f"Authorization: Bearer {token}"]
    # A seed of its own, so that what fails fails again.
    command += ["-n", str(EXAMPLES), "--phases", "fuzzing", "--checks", checks, "--seed", "20261130", "--no-color"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=170, cwd=home, check=False)
    found = re.search(r"(\d+) generated", run.stdout)
    calls = int(found.group(1)) if found else 0
    tell(f"at least {LEAST} calls are made", None if calls >= LEAST else f"{calls}: {run.stdout[-600:]}{run.stderr[-300:]}")
    tell("no call fails in the server or breaks its schema", None if run.returncode == 0 else run.stdout.split(" WARNINGS ")[0][-3000:])
    # It has to have survived, and what it wrote is a configuration.
    check = subprocess.run([ringway, "check", "-c", configuration], capture_output=True, text=True, check=False)
    tell("the files are a configuration afterwards", None if check.returncode == 0 else check.stderr[-600:])
    tell("the process goes on", None if process.poll() is None else f"it ended with {process.returncode}")
finally:
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=40)
