"""What judges of relayed protocols have in common.

A judge runs as the only inhabitant of a network, as scripts/relayed makes one, so that everything has its usual port:
servers at 127.0.0.11, 127.0.0.12 and so on, Ringway at 127.0.0.1. What it configures Ringway with is the recipe of a page
in docs/, so that recipes are proven, too.
"""
import re
import urllib.request

from judge_kit import repository

ADMIN = "127.0.0.1:9180"


def recipe(page, listener):
    """The example of a page that has a listener of that name, with addresses of this network."""
    text = (repository / "docs" / f"{page}.md").read_text()
    for block in re.findall(r"```toml\n(.*?)\n```", text, re.DOTALL):
        if re.search(rf'\[\[listener\]\]\nname = "{listener}"', block):
            return block.replace("0.0.0.0", "127.0.0.1").replace("10.0.0.", "127.0.0.")
    raise SystemExit(f"FAILED: docs/{page}.md has no listener {listener}")


class Ringway:
    """A running Ringway with two workers and an admin address."""

    def __init__(self, judge, text, **more):
        self.judge = judge
        self.path = judge.folder / "ringway.toml"
        self.log = judge.folder / "ringway.log"
        self.write(text)
        self.process = self.start(**more)
        judge.wait_until(self.is_ready, "Ringway does not come up")

    def write(self, text):
        """The recipe, with what all judges configure beside it."""
        keys = {"process": "workers = 2\npin = false\n", "access_log": f'path = "{self.judge.folder}/access.log"\n',
                "admin": f'socket = "{self.judge.folder}/admin.sock"\naddress = "{ADMIN}"\n'}
        for table, lines in keys.items():
            head = f"[{table}]\n"
            text = text.replace(head, head + lines) if head in text else f"{text}\n\n{head}{lines}"
        self.path.write_text(text)

    def start(self, before=(), **more):
        return self.judge.start(*before, self.judge.binary, "run", "-c", str(self.path), said="ringway.log", **more)

    def is_ready(self):
        if self.process.poll() is not None:
            raise SystemExit(f"FAILED {self.judge.protocol}: Ringway has ended\n{self.log.read_text()}")
        return self.judge.answers(*[ADMIN.split(":")[0], int(ADMIN.split(":")[1])])

    def reload(self):
        return self.judge.run(self.judge.binary, "reload", "-c", str(self.path))

    def upgrade(self):
        return self.judge.run(self.judge.binary, "upgrade", "-c", str(self.path))

    def is_healthy(self, count):
        """Waits until so many backends have been found to be healthy."""
        self.judge.wait_until(lambda: self.log.read_text().count("is healthy") >= count, "backends are not healthy")

    def metric(self, start):
        """The sum of all series whose line begins so."""
        with urllib.request.urlopen(f"http://{ADMIN}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(start))
