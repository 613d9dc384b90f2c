"""Lets rsyslog and journald receive the access log.

usage: log_receivers.py rsyslog BINARY RSYSLOG_ROOT    the root that the packages of rsyslog are unpacked in
       log_receivers.py journald BINARY JOURNALD       in a mount namespace of its own: /run becomes an empty one

Prints `ok CASE` or `FAILED CASE: why` for each, and ends all that it starts.
"""
import json
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

kind, binary, receiver = sys.argv[1:]
folder = pathlib.Path(tempfile.mkdtemp())
started = []

SERVED = """
[[listener]]
name = "web"
address = "127.0.0.1:0"

[[rule]]
name = "all"
listener = "web"
priority = 1
path_prefix = "/"
respond = { code = 203, body = "ok" }
"""


def tell(case, wanted, found):
    print(f"ok {case}" if found == wanted else f"FAILED {case}: {found!r} instead of {wanted!r}", flush=True)


def start(*words, **more):
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, **more)
    started.append(process)
    return process


def wait_until(is_so, what):
    end = time.monotonic() + 15
    while not is_so():
        if time.monotonic() > end:
            raise SystemExit(f"FAILED {kind}: {what}")
        time.sleep(0.05)


def serve(logs):
    """Starts Ringway with these logs, asks once, and returns its process."""
    (folder / "ringway.toml").write_text("config_version = 1\n[process]\nworkers = 1\npin = false\n" + logs + SERVED)
    said = folder / "ringway.log"
    with said.open("w") as out:
        process = subprocess.Popen([binary, "run", "-c", str(folder / "ringway.toml")], stderr=out)
    started.append(process)
    address = lambda: re.search(r"listening on (http://\S+)", said.read_text())
    wait_until(address, "Ringway does not listen")
    request = urllib.request.Request(address()[1] + "/a?b=%22c", headers={"User-Agent": 'a "b" \\ c'})
    with urllib.request.urlopen(request, timeout=10) as answer:
        answer.read()
    return process


def judge_rsyslog():
    libraries = next(pathlib.Path(receiver).glob("usr/lib/*/rsyslog"))
    out = folder / "out.log"
    # It takes no port of the kernel's choice: one that is free now is.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    fields = ["pri", "hostname", "app-name", "procid", "msgid", "structured-data", "msg"]
    parts = ' constant(value="|") '.join(f'property(name="{field}")' for field in fields)
    (folder / "rsyslog.conf").write_text(f"""
global(workDirectory="{folder}" maxMessageSize="64k")
template(name="parts" type="list") {{ {parts} constant(value="\\n") }}
module(load="imuxsock" SysSock.Use="off")
module(load="imudp")
input(type="imuxsock" Socket="{folder}/local")
input(type="imuxsock" Socket="{folder}/rfc5424" UseSpecialParser="off")
input(type="imudp" address="127.0.0.1" port="{port}")
action(type="omfile" file="{out}" template="parts")
""")
    environment = {"LD_LIBRARY_PATH": str(libraries.parent), "PATH": "/usr/sbin:/usr/bin"}
    start(f"{receiver}/usr/sbin/rsyslogd", "-n", "-f", str(folder / "rsyslog.conf"), "-M", str(libraries),
          "-i", str(folder / "rsyslog.pid"), env=environment)
    wait_until((folder / "rsyslog.pid").exists, "rsyslog does not run")
    wait_until((folder / "rfc5424").exists, "rsyslog does not listen")
    process = serve(f"""instance_id = "edge-1"
[[access_log]]
path = "syslog:unix:{folder}/local"
syslog_format = "local"
format = "local $request_uri $status"
[[access_log]]
path = "syslog:unix:{folder}/rfc5424"
format = 'unix "$http_user_agent"'
app_name = "edge/web"
facility = "daemon"
severity = "notice"
[[access_log]]
path = "syslog:udp:127.0.0.1:{port}"
fields = ["status", "request_uri"]
""")
    wait_until(lambda: out.exists() and len(out.read_text().splitlines()) >= 3, "three messages do not come")
    lines = sorted(out.read_text().splitlines(), key=lambda line: line.split("|")[-1])
    local, unix, udp = (line.split("|") for line in lines)
    number = str(process.pid)
    # What is behind the colon is the text, with its space.
    tell("rsyslog reads the local form", ["190", "ringway", number, " local /a?b=%22c 203"], [*local[:1], *local[2:4], local[-1]])
    tell("rsyslog reads RFC 5424 at a unix socket", ["29", "edge-1", "edge/web", number, "access", "-", r'unix "a \x22b\x22 \x5C c"'], unix)
    tell("rsyslog reads RFC 5424 by UDP", ["190", "edge-1", "ringway", number, "access", "-"], udp[:-1])
    tell("rsyslog passes JSON on whole", {"status": 203, "request_uri": "/a?b=%22c"},
         {name: value for name, value in json.loads(udp[-1]).items() if name != "time"})


def judge_journald():
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
    for path in ["/run/log/journal", "/run/systemd/journal"]:
        pathlib.Path(path).mkdir(parents=True)
    start(receiver)
    wait_until(pathlib.Path("/run/systemd/journal/socket").exists, "journald does not listen")
    process = serve("""[[access_log]]
path = "journald"
severity = "notice"
[[access_log]]
path = "syslog:unix:/run/systemd/journal/dev-log"
syslog_format = "local"
format = "local $status"
""")

    def entries(*matches):
        words = ["journalctl", "--no-pager", "-o", "json", f"_PID={process.pid}", *matches]
        found = subprocess.run(words, capture_output=True, timeout=20, check=False).stdout
        return [json.loads(line) for line in found.splitlines()]

    wait_until(lambda: len(entries()) >= 2, "two entries do not come")
    found = entries("RINGWAY_STATUS=203")
    tell("journald finds a line by its status", 1, len(found))
    wanted = {"PRIORITY": "5", "SYSLOG_IDENTIFIER": "ringway", "_TRANSPORT": "journal",
              "RINGWAY_HTTP_USER_AGENT": 'a "b" \\ c', "RINGWAY_REQUEST_URI": "/a?b=%22c"}
    tell("journald has the fields of a line", wanted, {name: found[0].get(name) for name in wanted})
    tell("journald has the line", 203, json.loads(found[0]["MESSAGE"])["status"])
    wanted = {"MESSAGE": "local 203", "SYSLOG_PID": str(process.pid), "SYSLOG_IDENTIFIER": "ringway", "PRIORITY": "6"}
    found = entries("_TRANSPORT=syslog")
    tell("journald reads the local form", [wanted], [{name: entry.get(name) for name in wanted} for entry in found])


try:
    {"rsyslog": judge_rsyslog, "journald": judge_journald}[kind]()
finally:
    for process in started:
        process.terminate()
    for process in started:
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
    subprocess.run(["rm", "-rf", str(folder)], check=False)
