"""Looks at `ringway top` in a real terminal, which is tmux: what it shows, what its keys do, and what it leaves behind.

usage: top_screens.py RINGWAY FOLDER

Prints `ok CASE` or `FAILED CASE: why` for each.
"""
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

ringway, folder = os.path.abspath(sys.argv[1]), os.path.join(os.path.abspath(sys.argv[2]), "top")
os.makedirs(folder)
configuration = os.path.join(folder, "ringway.toml")
socket = os.path.join(folder, "admin.sock")
server = ["tmux", "-S", os.path.join(folder, "tmux.sock"), "-f", "/dev/null"]
# Colours and boxes of whoever runs this are none of our business.
environment = {**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "PS1": "$ "}
environment.pop("TMUX", None)

with open(configuration, "w", encoding="utf-8") as file:
    file.write(f"""
config_version = 1
process = {{ workers = 2, pin = false }}
admin = {{ socket = "{socket}" }}
listener = [{{ name = "web", address = "127.0.0.1:0" }}]
server_group = [
  {{ name = "app", backend = [{{ address = "127.0.0.1:9" }}, {{ address = "127.0.0.1:10" }}] }},
  {{ name = "pages", backend = [{{ address = "127.0.0.1:9" }}] }},
]
rule = [
  {{ name = "dead", listener = "web", priority = 1, path_prefix = "/dead", group = "app" }},
  {{ name = "pages", listener = "web", priority = 2, path_prefix = "/pages", group = "pages" }},
  {{ name = "ok", listener = "web", priority = 3, path_prefix = "/", respond = {{ code = 200, body = "ok" }} }},
]
""")


def tell(case, why=None):
    print(f"ok {case}" if why is None else f"FAILED {case}: {why}", flush=True)


def tmux(*arguments):
    return subprocess.run([*server, *arguments], check=True, timeout=20, capture_output=True, text=True, env=environment).stdout


def screen():
    return tmux("capture-pane", "-p", "-t", "top")


def keys(*names):
    tmux("send-keys", "-t", "top", *names)


def wait_for(case, *patterns, without=None):
    """Waits for at most 15 seconds until every pattern is on the screen, and `without` is not."""
    end = time.monotonic() + 15
    while True:
        shown = screen()
        missing = [pattern for pattern in patterns if not re.search(pattern, shown, re.M)]
        unwanted = [without] if without and re.search(without, shown, re.M) else []
        if not missing and not unwanted:
            return tell(case)
        if time.monotonic() > end:
            return tell(case, f"missing {missing}, unwanted {unwanted} in {shown!r}")
        time.sleep(0.05)


class Process:
    """A running Ringway with a client that never rests."""

    def __init__(self):
        self.child = subprocess.Popen([ringway, "run", "-c", configuration], stderr=subprocess.PIPE, text=True)
        self.address = None
        for line in self.child.stderr:
            found = re.search(r"listening on (http://\S+)", line)
            if found:
                self.address = found[1]
                break
        threading.Thread(target=self.child.stderr.read, daemon=True).start()
        threading.Thread(target=self.ask, daemon=True).start()

    def ask(self):
        paths = ["/", "/", "/", "/dead"]
        while self.child.poll() is None:
            try:
                urllib.request.urlopen(self.address + paths[0], timeout=5).read()
            except OSError:
                pass
            paths.append(paths.pop(0))
            time.sleep(0.01)

    def end(self):
        self.child.kill()
        self.child.wait()


def start_top():
    # The shell stays: what the terminal is like behind the command is looked at.
    keys("clear", "Enter")
    keys(f"{ringway} top --socket {socket}; echo ended $?", "Enter")


process = Process()
try:
    tmux("new-session", "-d", "-s", "top", "-x", "80", "-y", "24", "/bin/sh")
    keys("before=$(stty -g)", "Enter")
    start_top()
    wait_for("top: rates and reasons", r"^ringway \S+, process \d+, 2 workers", r"^1 s: [1-9]\d* req/s, \S+ 4xx/s, [1-9]",
             r"^web +http +\d+ .* \d+(\.\d)?[mu]s", r"^app +active +[12]/2", r"fixed_response +[1-9]", r"^q quit .*Enter backends$")
    lines = screen().rstrip("\n").split("\n")
    tell("top: 80 x 24", None if len(lines) == 24 and max(map(len, lines)) <= 80 else f"{len(lines)} lines")
    keys("Enter")
    wait_for("top: Enter shows backends", r"^127.0.0.1:9 +active +100 (unchecked|ejected)", r"^127.0.0.1:10 ", r"Esc back$", without="^web")
    keys("s", "s", "s", "s", "s", "s", "s")
    wait_for("top: s sorts", r"sorted by FAIL/S")
    keys("Escape")
    wait_for("top: Esc goes back", r"^web +http", r"^pages")
    keys("/", "pag", "Enter")
    wait_for("top: / filters", r"filter: pag", r"^pages", without="^app")
    keys("Escape")
    wait_for("top: Esc clears the filter", "^app", without="filter: pag")
    keys("?")
    wait_for("top: ? helps", "Any key goes back")
    keys("x")
    wait_for("top: a key leaves the help", "^web", without="Any key")
    keys("w")
    wait_for("top: w widens the window", r"^([3-9]|10) s: [1-9]")
    keys("p")
    wait_for("top: p pauses", "paused")
    before = screen()
    time.sleep(1.5)
    tell("top: what is paused stands still", None if screen() == before else "it has changed")
    keys("p", "w")
    wait_for("top: p goes on", "^1 s: ", without="paused")
    tmux("resize-window", "-t", "top", "-x", "132", "-y", "40")
    wait_for("top: a larger terminal", r"^GROUP {40,}.* P99$")
    tmux("resize-window", "-t", "top", "-x", "20", "-y", "5")
    wait_for("top: one that is too small", "too small")
    tmux("resize-window", "-t", "top", "-x", "80", "-y", "24")
    wait_for("top: and back", "^web")

    process.end()
    wait_for("top: nobody answers", r"no answer, trying again: cannot reach")
    process = Process()
    wait_for("top: another process", rf"process {process.child.pid},", r"^1 s: [1-9]\d* req/s", without="no answer")

    keys("q")
    wait_for("top: q ends and restores the screen", r"ended 0", without="q quit")
    keys("[ $before = $(stty -g) ] && echo same", "Enter")
    wait_for("top: q restores the terminal", "^same$")
    start_top()
    wait_for("top: it starts again", "^web")
    keys("C-c")
    wait_for("top: Ctrl-C ends it", r"ended 0", without="q quit")
    for name in ["TERM", "HUP", "INT", "QUIT"]:
        start_top()
        wait_for(f"top: before {name}", "^web")
        shell = tmux("display-message", "-p", "-t", "top", "#{pane_pid}").strip()
        with open(f"/proc/{shell}/task/{shell}/children", encoding="ascii") as file:
            os.kill(int(file.read().split()[0]), getattr(signal, f"SIG{name}"))
        wait_for(f"top: {name} ends it and restores the screen", r"ended 0", without="q quit")
        keys("[ $before = $(stty -g) ] && echo same", "Enter")
        wait_for(f"top: {name} restores the terminal", "^same$")
    # Where the terminal itself goes away, so does the command.
    start_top()
    wait_for("top: before the terminal goes", "^web")
    with open(f"/proc/{shell}/task/{shell}/children", encoding="ascii") as file:
        command = int(file.read().split()[0])
    tmux("kill-server")
    end = time.monotonic() + 10
    while os.path.exists(f"/proc/{command}") and time.monotonic() < end:
        time.sleep(0.05)
    tell("top: it ends with its terminal", "it runs" if os.path.exists(f"/proc/{command}") else None)
finally:
    subprocess.run([*server, "kill-server"], check=False, capture_output=True, timeout=20)
    process.end()
