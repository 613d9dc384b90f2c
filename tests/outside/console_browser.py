"""A browser without a screen, driven over the pipe of the DevTools protocol as somebody does who has a keyboard only.

Needs nothing but chromium-headless-shell and the standard library.
"""
import json
import os
import queue
import re
import subprocess
import threading
import time
from urllib.parse import urlsplit

# Bounds of waits. They are long because machines can be busy; nothing waits so long that goes well.
PATIENCE = 30
MAX_TABS = 250

KEYS = {
    "Tab": (9, ""), "Enter": (13, "\r"), " ": (32, " "), "Escape": (27, ""), "ArrowDown": (40, ""), "ArrowUp": (38, ""), "Home": (36, ""),
}

# The name of what has the focus, as who hears it is told, and what it is.
FOCUSED = """(() => {
  const element = document.activeElement;
  if (!element || element === document.body) return null;
  const label = element.labels?.[0]?.cloneNode(true);
  label?.querySelectorAll("select, input, textarea").forEach((control) => control.remove());
  const name = element.getAttribute("aria-label") ?? label?.textContent ?? element.textContent ?? "";
  return { name: name.trim(), tag: element.tagName.toLowerCase(), value: element.value ?? "", checked: element.checked ?? false };
})()"""

WATCH = """
globalThis.violations = [];
document.addEventListener("securitypolicyviolation", (event) => violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}`));
"""


class Failure(Exception):
    """A case is not as it should be."""


class Browser:
    def __init__(self, program, folder, flags=()):
        to_browser, ours = os.pipe()
        theirs, from_browser = os.pipe()[::-1]
        pipe = f'exec "$@" 3<&{to_browser} 4>&{theirs}'
        arguments = [
            program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe", "--no-first-run",
            "--disable-background-networking", f"--user-data-dir={folder}/browser", *flags, "about:blank",
        ]
        self.log = open(os.path.join(folder, "browser.log"), "wb")
        self.child = subprocess.Popen(["sh", "-c", pipe, "sh", *arguments], pass_fds=(to_browser, theirs), stdout=self.log, stderr=self.log)
        os.close(to_browser)
        os.close(theirs)
        self.output = os.fdopen(ours, "wb", buffering=0)
        self.input = os.fdopen(from_browser, "rb", buffering=0)
        self.answers = queue.Queue()
        self.number = 0
        self.requests, self.faults, self.bytes = [], [], 0
        threading.Thread(target=self.read, daemon=True).start()
        target = self.send("Target.createTarget", {"url": "about:blank"}, session=None)["targetId"]
        self.session = None
        self.session = self.send("Target.attachToTarget", {"targetId": target, "flatten": True}, session=None)["sessionId"]
        for domain in ["Page", "Runtime", "Network", "Log", "DOM"]:
            self.send(f"{domain}.enable")
        self.send("Page.addScriptToEvaluateOnNewDocument", {"source": WATCH})

    def read(self):
        rest = b""
        while True:
            piece = self.input.read(1 << 16)
            if not piece:
                self.answers.put(None)
                return
            *whole, rest = (rest + piece).split(b"\0")
            for text in whole:
                message = json.loads(text)
                if "id" in message:
                    self.answers.put(message)
                else:
                    self.notice(message.get("method"), message.get("params", {}))

    def notice(self, method, told):
        if method == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])
        elif method == "Network.loadingFinished":
            self.bytes += int(told["encodedDataLength"])
        elif method == "Runtime.exceptionThrown":
            details = told["exceptionDetails"]
            self.faults.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning", "assert"):
            self.faults.append(f"console: {told['args']}")
        # What the API refuses is logged, too, and is no fault of the page.
        elif method == "Log.entryAdded" and told["entry"]["source"] != "network" and told["entry"]["level"] in ("error", "warning"):
            self.faults.append(f"log: {told['entry']['text']}")

    def send(self, method, parameters=None, session=True):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters or {}}
        if session is True:
            message["sessionId"] = self.session
        self.output.write(json.dumps(message).encode() + b"\0")
        end = time.monotonic() + PATIENCE
        while True:
            answer = self.answers.get(timeout=max(0.01, end - time.monotonic()))
            if answer is None:
                raise Failure("the browser has ended")
            if answer["id"] == self.number:
                if "error" in answer:
                    raise Failure(f"{method}: {answer['error']}")
                return answer["result"]

    def evaluate(self, script):
        answer = self.send("Runtime.evaluate", {"expression": script, "returnByValue": True, "awaitPromise": True})
        if "exceptionDetails" in answer:
            raise Failure(f"{script}: {answer['exceptionDetails']['text']}")
        return answer["result"].get("value")

    def go(self, address):
        self.send("Page.navigate", {"url": address})

    def wait(self, script, what):
        end = time.monotonic() + PATIENCE
        while True:
            value = self.evaluate(script)
            if value:
                return value
            if time.monotonic() > end:
                raise Failure(f"{what} did not come about; the page says: {self.text()[:1500]!r}")
            time.sleep(0.03)

    def text(self):
        return self.evaluate("document.body?.innerText ?? ''")

    def wait_text(self, *texts):
        for text in texts:
            self.wait(f"document.body?.innerText.includes({json.dumps(text)})", f"the text {text!r}")

    def wait_heading(self, text):
        self.wait(f"document.querySelector('h1')?.textContent === {json.dumps(text)}", f"the heading {text!r}")
        shown = self.text()
        if "undefined" in shown or "[object " in shown:
            raise Failure(f"the page has a hole: {shown[:1500]!r}")

    def key(self, key, shift=False, control=False):
        code, text = KEYS.get(key, (ord(key.upper()[0]), key))
        modifiers = (8 if shift else 0) + (2 if control else 0)
        event = {"key": key, "code": key if len(key) > 1 else f"Key{key.upper()}", "windowsVirtualKeyCode": code, "modifiers": modifiers}
        if key == " ":
            event["code"] = "Space"
        down = {"type": "keyDown", **event}
        if text and not control:
            down["text"] = text
        if control and key == "a":
            down["commands"] = ["selectAll"]
        self.send("Input.dispatchKeyEvent", down)
        self.send("Input.dispatchKeyEvent", {"type": "keyUp", **event})

    def focus_on(self, name, tags):
        """Goes from one control to the next until this one has the focus."""
        seen = []
        for _ in range(MAX_TABS):
            focused = self.evaluate(FOCUSED)
            if focused and focused["tag"] in tags and focused["name"] == name:
                return focused
            seen.append(focused and focused["name"][:30])
            self.key("Tab")
        raise Failure(f"{name!r} is not reached by Tab; there were {seen[:60]}")

    def press(self, name):
        self.focus_on(name, ("button", "summary"))
        self.key("Enter")

    def follow(self, name):
        self.focus_on(name, ("a",))
        self.key("Enter")

    def fill(self, label, text):
        self.focus_on(label, ("input", "textarea"))
        self.key("a", control=True)
        self.send("Input.insertText", {"text": text})

    def choose(self, label, value):
        """An option of a list, by its value."""
        focused = self.focus_on(label, ("select",))
        self.key("Home")
        for _ in range(60):
            focused = self.evaluate(FOCUSED)
            if focused["value"] == value:
                return
            self.key("ArrowDown")
        raise Failure(f"{label!r} has no option {value!r}, it ends at {focused['value']!r}")

    def check(self, label):
        focused = self.focus_on(label, ("input",))
        if not focused["checked"]:
            self.key(" ")
        self.wait(f"({FOCUSED})?.checked", f"a tick at {label!r}")

    def upload(self, label, path):
        """The one thing that no keyboard of ours can do: the system's own dialog of files."""
        self.focus_on(label, ("input",))
        node = self.send("Runtime.evaluate", {"expression": "document.activeElement"})["result"]["objectId"]
        self.send("DOM.setFileInputFiles", {"files": [path], "objectId": node})

    def faults_of_the_page(self, address):
        """What no page of the console may do."""
        own = urlsplit(address).netloc
        elsewhere = [url for url in self.requests if not url.startswith("about:") and urlsplit(url).netloc != own]
        violations = self.evaluate("globalThis.violations ?? []")
        return [f"request to {url}" for url in elsewhere] + [f"CSP: {one}" for one in violations] + self.faults

    def end(self):
        # So that the processes of its own end first, and write nothing more.
        try:
            self.send("Browser.close", session=None)
            self.child.wait(timeout=PATIENCE)
        except (Failure, OSError, queue.Empty, subprocess.TimeoutExpired):
            self.child.kill()
            self.child.wait()
        self.log.close()


class Ringway:
    """A process with a configuration of its own, an address for the console, and tokens of who may write and who may operate."""

    def __init__(self, program, folder, configuration=""):
        os.makedirs(folder, exist_ok=True)
        self.folder = folder
        made = subprocess.run([program, "token", "--role", "write", "browser"], check=True, capture_output=True, text=True, timeout=PATIENCE)
        self.token = re.search(r"rw_[0-9a-f]+", made.stderr)[0]
        operator = subprocess.run([program, "token", "--role", "operate", "shift"], check=True, capture_output=True, text=True, timeout=PATIENCE)
        self.operator_token = re.search(r"rw_[0-9a-f]+", operator.stderr)[0]
        self.write("admin.tokens", made.stdout + operator.stdout)
        self.write("ringway.toml", f"""config_version = 1
process = {{ workers = 1, pin = false }}
admin = {{ address = "127.0.0.1:0", socket = "admin.sock", tokens_file = "admin.tokens", audit = "audit.log" }}
{configuration}""")
        self.lines = []
        self.child = subprocess.Popen([program, "run", "-c", os.path.join(folder, "ringway.toml")], stderr=subprocess.PIPE, text=True)
        threading.Thread(target=self.read, daemon=True).start()
        self.console = self.line(r"metrics on (http://[^/]*)/metrics") + "/console/"
        self.line(r"(listening on) ")

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(text)
        return path

    def read(self):
        for line in self.child.stderr:
            self.lines.append(line)

    def line(self, pattern):
        """What stands in the first line of standard error that is like this."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            for line in list(self.lines):
                found = re.search(pattern, line)
                if found:
                    return found[1]
            if self.child.poll() is not None and not self.lines:
                break
            time.sleep(0.02)
        raise Failure(f"no line like {pattern!r} in {self.lines}")

    def address(self, listener):
        return self.line(rf'listening on \w+://(\S+) \(listener "{listener}"\)')

    def end(self):
        self.child.kill()
        self.child.wait()


def tell(case, run):
    """Runs a case and prints `ok CASE` or `FAILED CASE: why`."""
    try:
        run()
    except Exception as error:  # Whatever it is, the case has failed and the others are still to be told.
        print(f"FAILED {case}: {' '.join(str(error).split())}", flush=True)
        return False
    print(f"ok {case}", flush=True)
    return True
