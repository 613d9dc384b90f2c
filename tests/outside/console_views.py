"""Looks at the views of the console in a browser, one after another, with the keyboard only.

usage: console_views.py RINGWAY BROWSER FOLDER

Prints `ok CASE` or `FAILED CASE: why` for each.
"""
import os
import sys
import threading
import time
import urllib.request

from console_browser import Browser, Failure, Ringway, tell

ringway, browser, folder = os.path.abspath(sys.argv[1]), sys.argv[2], os.path.join(os.path.abspath(sys.argv[3]), "console")
os.makedirs(folder)

MAX_FIRST_VIEW_BYTES = 150 << 10

# What the API tells is hostile: a description, a tag and names of conditions are as somebody likes them.
CONFIGURATION = """
listener = [{ name = "web", address = "127.0.0.1:0", default_group = "app", description = "<img src=x onerror=violations.push(1)>" }]
server_group = [
  { name = "app", description = "<script>violations.push(1)</script>", backend = [{ address = "127.0.0.1:9" }, { address = "127.0.0.1:10" }] },
  { name = "spare", backend = [{ address = "127.0.0.1:9" }] },
]
rule = [
  { name = "dead", listener = "web", priority = 10, path_prefix = "/dead", group = "spare" },
  { name = "ok", listener = "web", priority = 20, path_prefix = "/ok", respond = { code = 200, body = "ok" } },
]
"""

process = Ringway(ringway, folder, CONFIGURATION)
page = Browser(browser, folder)


def expect(condition, words):
    if not condition:
        raise Failure(words)


def fetch(path):
    try:
        with urllib.request.urlopen(process.console.removesuffix("/console/") + path, timeout=20) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def files():
    status, headers, _ = fetch("/console/")
    expect(status == 200, f"{status}")
    policy = headers["content-security-policy"] or ""
    expect("default-src 'none'" in policy and "unsafe" not in policy, policy)
    expect(headers["x-frame-options"] == "DENY" and headers["referrer-policy"] == "no-referrer", f"{headers}")
    expect(fetch("/console")[1] is not None and b"<!doctype html>" in fetch("/console")[2], "/console leads to it")
    expect(b"/console/" in fetch("/")[2], "/ names it")
    expect(fetch("/console/../etc/passwd")[0] == 404 and fetch("/console/nothing.js")[0] == 404, "other files are not there")


def first_view():
    before = time.monotonic()
    page.go(process.console)
    page.wait_heading("Overview")
    page.wait_text("listener web")
    took = page.evaluate("Math.round(performance.now())")
    print(f"console: first view {page.bytes} bytes, {took} ms in the page, {1000 * (time.monotonic() - before):.0f} ms with the driver")
    expect(page.bytes <= MAX_FIRST_VIEW_BYTES, f"{page.bytes} bytes")


def anonymous():
    page.wait_text("anonymous: role read (read-only)")


def token():
    page.fill("Token", "rw_nobody")
    page.press("Use token")
    page.wait_text("This token is not known")
    page.fill("Token", process.token)
    page.key("Enter")
    page.wait_text("browser: role write")
    expect(page.evaluate("document.getElementById('token').value") == "", "the token stays in the box")
    page.wait_heading("Overview")


def ask(address, ended):
    while not ended.is_set():
        for path in ("/ok", "/ok", "/dead"):
            try:
                urllib.request.urlopen(f"http://{address}{path}", timeout=5).read()
            except OSError:
                pass
        time.sleep(0.01)


def overview():
    ended = threading.Event()
    asking = threading.Thread(target=ask, args=(process.address("web"), ended), daemon=True)
    asking.start()
    try:
        page.wait_text("rule 10 dead", "group spare", "group app", "backend 127.0.0.1:10", "No certificate ends within 30 days.")
        row = "[...document.querySelectorAll('tr')].find((row) => row.innerText.startsWith('listener web'))"
        page.wait(f"/[1-9][0-9.]*\\/s/.test({row}.cells[2].innerText)", "a rate of requests")
        page.wait(f"/ (µs|ms|s)$/.test({row}.cells[6].innerText)", "a percentile")
        page.wait(f"/[1-9][0-9.]*\\/s/.test({row}.cells[4].innerText)", "a rate of errors")
    finally:
        ended.set()
        asking.join()
    # The row that has the focus keeps it while figures change.
    page.focus_on("web (http at " + process.address("web") + ")", ("a",))
    time.sleep(1.2)
    expect(page.evaluate("document.activeElement.textContent").startswith("web (http"), "the focus went away")


def colours():
    dark = "getComputedStyle(document.body).backgroundColor"
    page.send("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark"}]})
    expect(page.evaluate(dark) == "rgb(20, 24, 28)", "dark is not dark")
    page.choose("Colours", "light")
    expect(page.evaluate(dark) == "rgb(255, 255, 255)", "light is not light")
    page.choose("Colours", "auto")
    page.send("Emulation.setEmulatedMedia", {"features": []})
    expect(page.evaluate(dark) == "rgb(255, 255, 255)", "the system is light")


def behaves():
    faults = page.faults_of_the_page(process.console)
    expect(not faults, f"{faults}")


CASES = [files, first_view, anonymous, token, overview, colours, behaves]

try:
    for case in CASES:
        if not tell(f"console: {case.__name__.replace('_', ' ')}", case):
            break
finally:
    page.end()
    process.end()
