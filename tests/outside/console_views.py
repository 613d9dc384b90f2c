"""Looks at the views of the console in a browser, one after another, with the keyboard only.

usage: console_views.py RINGWAY BROWSER FOLDER

Prints `ok CASE` or `FAILED CASE: why` for each.
"""
import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

# The tree stays as it is.
sys.dont_write_bytecode = True

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


def call(method, path, content):
    """What somebody else does meanwhile."""
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {process.token}"}
    asked = urllib.request.Request(process.console.replace("/console/", f"/api/v1/{path}"), json.dumps(content).encode(), headers, method=method)
    with urllib.request.urlopen(asked, timeout=20) as answer:
        return json.load(answer)


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


def shown(name):
    page.follow(name)
    page.wait_heading(name)


def closed():
    page.wait("!document.querySelector('dialog')", "the end of the dialog")


def self_signed(name):
    paths = [os.path.join(folder, f"{name}.{ending}") for ending in ("key", "crt")]
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "9", "-subj", f"/CN={name}",
                    "-addext", f"subjectAltName=DNS:{name}", "-keyout", paths[0], "-out", paths[1]], check=True, capture_output=True, timeout=30)
    return paths


def certificates():
    key, chain = self_signed("one.example")
    shown("Certificates")
    page.press("Add server certificate")
    page.fill("Name", "shop")
    page.fill("Certificate content", "nonsense")
    page.fill("Private key", "nonsense")
    page.press("Add")
    # Refused whole, with its cure, and the dialog stays.
    page.wait("document.querySelector('dialog .problem[role=alert]')?.innerText.includes('Cure: ')", "the problem and its cure")
    page.upload("Certificate content: from a file", chain)
    page.upload("Private key: from a file", key)
    page.wait("[...document.querySelectorAll('dialog textarea')].every((box) => box.value.includes('-----END'))", "the content of the files")
    page.press("Add")
    closed()
    page.wait_text("shop")
    call("POST", "listeners", {"name": "tls", "address": "127.0.0.1:0", "protocol": "https", "certificates": ["shop"], "default_group": "app"})
    shown("Server groups")
    shown("Certificates")
    page.wait_text("one.example", "8 days left")
    page.press("Delete shop")
    page.press("Delete shop")
    page.wait_text("listeners/tls")
    page.press("Cancel")
    closed()
    key, chain = self_signed("two.example")
    page.press("Replace shop")
    page.upload("Certificate content: from a file", chain)
    page.upload("Private key: from a file", key)
    page.wait("[...document.querySelectorAll('dialog textarea')].every((box) => box.value.includes('-----END'))", "the content of the files")
    page.press("Replace")
    closed()
    page.wait_text("two.example")
    page.follow("shop")
    page.wait_heading("certificate shop")
    page.wait_text("two.example", "8 days left")
    page.press("Replace shop")
    page.key("Escape")
    closed()
    shown("Overview")
    page.wait_text("8 days left")


def server_groups():
    shown("Server groups")
    page.follow("app")
    page.wait_heading("server group app")
    page.wait_text("<script>violations.push(1)</script>")
    page.press("Add backend")
    page.key("Escape")
    closed()
    expect(page.evaluate("document.activeElement.textContent") == "Add backend", "the focus is where it was before the dialog")
    page.press("Add backend")
    page.fill("Address", "127.0.0.1:11")
    page.press("Add")
    closed()
    page.wait_text("127.0.0.1:11")
    page.press("Weight of 127.0.0.1:11")
    page.fill("Weight", "50")
    page.press("Set")
    closed()
    row = "[...document.querySelectorAll('tr')].find((row) => row.innerText.startsWith('127.0.0.1:11'))"
    page.wait(f"{row}?.cells[2].innerText === '50'", "the weight")
    page.press("Weight of 127.0.0.1:11")
    page.fill("Weight", "7")
    page.choose("Where", "runtime")
    page.press("Set")
    closed()
    page.wait(f"{row}?.cells[2].innerText === '7 for a while'", "the weight for a while")
    page.press("Drain 127.0.0.1:11")
    page.wait(f"{row}?.cells[1].innerText.startsWith('drain')", "the state draining or drained")
    page.wait(f"{row}?.cells[2].innerText === '7 for a while'", "the weight that holds after the drain")
    page.press("Undrain 127.0.0.1:11")
    page.wait(f"!{row}?.cells[1].innerText.startsWith('drain')", "another state than draining")
    page.press("Weight of 127.0.0.1:11")
    page.choose("Where", "null")
    page.press("Set")
    closed()
    page.wait(f"{row}?.cells[2].innerText === '50'", "the weight as configured")
    page.press("Drain 127.0.0.1:11")
    page.wait(f"{row}?.cells[1].innerText.startsWith('drain')", "the state draining or drained")
    page.press("Undrain 127.0.0.1:11")
    page.wait(f"!{row}?.cells[1].innerText.startsWith('drain')", "another state than draining")
    page.press("Disable 127.0.0.1:11")
    page.wait(f"{row}?.cells[1].innerText.includes('disabled')", "the state disabled")
    page.press("Enable 127.0.0.1:11")
    page.wait(f"!{row}?.cells[1].innerText.includes('disabled')", "another state than disabled")
    page.press("Edit health check")
    page.choose("Protocol", "tcp")
    page.fill("Interval", "1s")
    page.press("Save")
    closed()
    page.wait_text('"interval":"1s"')
    page.wait(f"/unhealthy: /.test({row}?.cells[1].innerText)", "unhealthy with its reason")
    page.press("Remove 127.0.0.1:11")
    page.press("Remove")
    closed()
    page.wait(f"!{row}", "one row less")


def listeners():
    shown("Listeners")
    page.wait_text("<img src=x onerror=violations.push(1)>")
    page.press("Copy web")
    page.fill("Name of the copy", "other")
    page.fill("Address of the copy", "127.0.0.1:0")
    page.press("Copy")
    closed()
    page.press("Disable other")
    row = "[...document.querySelectorAll('tr')].find((row) => row.innerText.startsWith('other'))"
    page.wait(f"{row}?.cells[3].innerText === 'disabled'", "the state disabled")
    page.press("Enable other")
    page.wait(f"{row}?.cells[3].innerText === 'serving'", "the state serving")
    page.press("Delete other")
    page.press("Delete other")
    closed()
    page.wait(f"!{row}", "one row less")
    page.follow("web")
    page.wait_heading("listener web")
    edit('"idle_timeout": "20s",')
    page.press("Check")
    page.wait_text('idle_timeout = "20s" }]', "rules/dead")
    page.press("Protection")
    page.check("It cannot be deleted")
    page.press("Save")
    closed()
    page.press("Delete web")
    page.press("Delete web")
    page.wait("document.querySelector('dialog .problem')?.innerText.startsWith('409')", "a refusal")
    page.press("Cancel")
    closed()


def edit(more):
    """Puts this before the first key of the settings."""
    focused = page.focus_on("Settings (JSON, with the keys of the configuration)", ("textarea",))
    page.fill("Settings (JSON, with the keys of the configuration)", focused["value"].replace("{", "{" + more, 1))


def rules():
    shown("Rules")
    first = "[...document.querySelectorAll('main table tbody tr')].map((row) => row.cells[1].innerText).join(' ')"
    page.wait(f"{first} === 'dead ok'", "the order")
    page.press("Move dead down")
    page.wait(f"{first} === 'ok dead'", "the other order")
    page.press("Move dead up")
    page.wait(f"{first} === 'dead ok'", "the order as before")
    page.fill("URL", f"http://{process.address('web')}/ok/then")
    page.press("Explain")
    page.wait_text("The rule ok takes it: respond 200", "takes the request")
    page.press("Create rule")
    page.wait_heading("Create rule")
    page.fill("Rule name", "moved")
    page.fill("Priority", "5")
    page.fill("Path prefix (optional)", "/moved")
    page.choose("Action", "redirect")
    page.press("Make settings of it")
    page.press("Check")
    page.wait_text("+[[rule]]")
    page.press("Create rule")
    page.wait_heading("Rules")
    page.wait(f"{first} === 'moved dead ok'", "the new rule")


def relays():
    """Listeners of connections and of datagrams beside the others, and where those go."""
    created = [("server-groups", {"name": "shops", "protocol": "tcp", "backend": [{"address": "127.0.0.1:9"}]}),
               ("server-groups", {"name": "names", "protocol": "udp", "backend": [{"address": "127.0.0.1:9"}], "health_check": PROBE}),
               ("listeners", {"name": "passed", "address": "127.0.0.1:0", "protocol": "tls", "passthrough": True}),
               ("listeners", {"name": "dns", "address": "127.0.0.1:0", "protocol": "udp", "default_group": "names"}),
               ("rules", {"name": "shop", "listener": "passed", "priority": 10, "sni": "*.shop.example", "alpn": "h2", "group": "shops"})]
    call("POST", "changes", {"changes": [{"do": "create", "kind": kind, "settings": settings} for kind, settings in created]})
    shown("Overview")
    page.wait_text("listener passed (tls at ", "listener dns (udp at ", "group names")
    shown("Rules")
    page.wait_text("none, so connections that no rule takes are closed", "A listener of UDP has no rules: its datagrams go to the default group.")
    page.choose("Listener", "passed")
    expect("Method" not in page.text(), "boxes of requests")
    page.fill("Server name (SNI)", "one.shop.example")
    page.fill("ALPN protocols", "h2 http/1.1")
    page.fill("Client address", "192.0.2.7")
    page.press("Explain")
    page.wait_text("The rule shop takes it: forward", "name one.shop.example, from 192.0.2.7", "100 % to shops", "takes the connection")
    page.fill("Server name (SNI)", "elsewhere.example")
    page.press("Explain")
    page.wait_text("No rule takes it: refuse no_route", "the listener has no default_group", 'no: sni "*.shop.example"')
    page.choose("Listener", "dns")
    page.press("Explain")
    page.wait_text("100 % to names", "it goes to the default_group")
    page.press("Create rule")
    page.wait_heading("Create rule")
    page.choose("Listener", "passed")
    page.fill("Rule name", "office")
    page.fill("Server names of TLS (optional)", "office.example")
    page.fill("Client addresses (optional)", "192.0.2.0/24, 198.51.100.7")
    offered = "[...document.querySelectorAll('main select')].map((list) => [...list.options].map((option) => option.value).join(' '))"
    page.wait(f"{offered}.join() === 'web passed,group,shops' || {offered}.join() === 'web tls passed,group,shops'", "lists with what fits")
    page.press("Make settings of it")
    page.press("Check")
    page.wait_text("+[[rule]]", 'sni = ["office.example"]', '+source_ip = ["192.0.2.0/24", "198.51.100.7"]')


# As an editor may have it: with another word for the protocol, bytes that no box has, and keys that the form lacks.
PROBE = {"protocol": "UDP", "payload": "PING\r\n", "expect_payload": "PONG ", "initial": "down", "timeout": "2s", "expect": [204]}


def probe():
    return json.loads(fetch("/api/v1/server-groups/names/health-check")[2])["settings"]


def udp_health_check():
    shown("Server groups")
    page.follow("names")
    page.wait_heading("server group names")
    page.wait_text("Sessions")
    page.press("Edit health check")
    page.fill("Interval", "1s")
    visible = "[...document.querySelectorAll('dialog label')].filter((label) => label.checkVisibility()).map((label) => label.textContent)"
    expect("Payload of a probe" in page.evaluate(visible) and "Path" not in page.evaluate(visible), f"{page.evaluate(visible)}")
    page.press("Save")
    closed()
    page.wait_text('"interval":"1s"')
    expect(probe() == {**PROBE, "interval": "1s"}, f"{probe()}")
    page.press("Edit health check")
    expect(page.focus_on("Payload of a probe", ("input",))["value"] == "hex:50 49 4e 47 0d 0a", "bytes as digits")
    page.fill("Payload of a probe", "hex:00 ff")
    page.fill("Expected in the answer", "")
    page.fill("Port", "9")
    page.press("Save")
    closed()
    page.wait_text('"port":9')
    wanted = {**PROBE, "interval": "1s", "payload": "hex:00 ff", "port": 9}
    del wanted["expect_payload"]
    expect(probe() == wanted, f"{probe()}")
    # Another protocol, with what is of no use to it left as it is and told.
    page.press("Edit health check")
    page.choose("Protocol", "tcp")
    expect("Payload of a probe" not in page.evaluate(visible), f"{page.evaluate(visible)}")
    page.press("Save")
    closed()
    page.wait_text('"protocol":"tcp"', "The health check is saved.", "`payload` has no effect")
    expect(probe() == {**wanted, "protocol": "tcp"}, f"{probe()}")
    # What somebody else has changed meanwhile is not written over.
    page.press("Edit health check")
    page.fill("Interval", "3s")
    call("PATCH", "server-groups/names/health-check", {"timeout": "4s"})
    page.press("Save")
    page.wait("document.querySelector('dialog .problem')?.innerText.startsWith('412')", "a refusal")
    page.key("Escape")
    closed()
    expect(probe() == {**wanted, "protocol": "tcp", "timeout": "4s"}, f"{probe()}")


def lists():
    for view, one, name in [("TLS policies", "TLS policy", "edge"), ("IP groups", "IP group", "office"), ("Error pages", "error page", "trouble")]:
        shown(view)
        page.press(f"Create {one}")
        page.wait_heading(f"Create {one}")
        edit('"nonsense": 1,')
        page.press("Check")
        page.wait("document.querySelector('.problem[role=alert]')?.innerText.includes('nonsense')", "the fault")
        page.follow(view)
        page.wait_heading(view)
        page.press(f"Create {one}")
        page.wait_heading(f"Create {one}")
        page.press(f"Create {one}")
        page.wait_heading(view)
        page.follow(name)
        page.wait_heading(f"{one} {name}")
        page.press(f"Delete {name}")
        page.press(f"Delete {name}")
        page.wait_heading(view)
        page.wait_text("There are none.")


def history():
    shown("Audit")
    page.wait_text("browser (write)", "POST /api/v1/rules/dead/move", "409")
    shown("Events")
    page.wait_text("reload_done")


def filtered():
    entries = {"changes": [{"do": "create", "kind": "ip-groups", "settings": {"name": f"net-{number}", "entries": ["192.0.2.0/24"]}} for number in range(12)]}
    call("POST", "changes", entries)
    shown("IP groups")
    page.wait_text("net-11")
    page.fill("Filter", "NET-7")
    page.wait_text("1 of 12")
    expect("net-8" not in page.text(), "other rows are shown, too")


def operator():
    page.fill("Token", process.operator_token)
    page.press("Use token")
    page.wait_text("shift: role operate (the configuration is read-only)")
    shown("Server groups")
    page.follow("app")
    page.wait_heading("server group app")
    page.press("Begin maintenance of app")
    page.wait_text("maintenance is on")
    expect(page.evaluate("[...document.querySelectorAll('main button')].find((button) => button.textContent === 'Add backend').disabled"), "backends may be added")
    page.press("Drain 127.0.0.1:10")
    page.press("Undrain 127.0.0.1:10")
    shown("Overview")
    row = "[...document.querySelectorAll('tr')].find((row) => row.innerText.startsWith('group app'))"
    page.wait(f"{row}?.cells[1].innerText === 'maintenance'", "the state maintenance")
    shown("Server groups")
    page.follow("app")
    page.wait_heading("server group app")
    page.press("End maintenance of app")
    page.wait("!document.body.innerText.includes('and maintenance is on')", "the end of the maintenance")


def read_only():
    shown("Server groups")
    page.press("Forget token")
    page.wait_text("Read-only: changes need the role write, and anonymous may read")
    disabled = "[...document.querySelectorAll('main button')].every((button) => button.disabled && button.title.includes('Needs the role write'))"
    page.wait(disabled, "buttons that say what they need")


def behaves():
    faults = page.faults_of_the_page(process.console)
    expect(not faults, f"{faults}")


CASES = [
    files, first_view, anonymous, token, overview, colours, certificates, server_groups, listeners, rules, relays, udp_health_check, lists,
    history, filtered, operator, read_only, behaves,
]

try:
    for case in CASES:
        # Each goes on where the one before has ended.
        if not tell(f"console: {case.__name__.replace('_', ' ')}", case):
            break
finally:
    page.end()
    process.end()
