"""Judges of relayed connections: SSH, mail and syslog, with servers and clients of other people.

usage: relayed_sessions.py ssh|smtp|syslog BINARY JUDGES    (started by scripts/relayed)
"""
import email.message
import os
import pathlib
import re
import smtplib
import socket
import ssl
import subprocess

from judge_kit import Missing, main, started
from relayed_kit import Ringway, recipe

# A line every few milliseconds: a gap, a repetition or a hole in the stream shows.
COUNTER = "i=0; while [ $i -lt 400 ]; do echo $i; i=$((i+1)); sleep 0.01; done"


def judge_ssh(judge):
    server, client, keygen = judge.program("sshd"), judge.program("ssh"), judge.program("ssh-keygen")
    # sshd insists on a user and on a folder of its own; only this mount namespace sees them.
    accounts = judge.folder / "passwd"
    accounts.write_text(pathlib.Path("/etc/passwd").read_text() + "sshd:x:74:65534::/run/sshd:/usr/sbin/nologin\n")
    subprocess.run(["mount", "--bind", accounts, "/etc/passwd"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run"], check=True)
    os.mkdir("/run/sshd")
    for name in ("host", "judge"):
        judge.run(keygen, "-q", "-t", "ed25519", "-N", "", "-f", str(judge.folder / name))
    # Both have the same host key.
    public = (judge.folder / "host.pub").read_text().split()
    (judge.folder / "known").write_text(f"127.0.0.1 {public[0]} {public[1]}\n")
    (judge.folder / "judge.pub").rename(judge.folder / "authorized")
    for number in (41, 42):
        (judge.folder / f"sshd{number}").write_text(f"""
ListenAddress 127.0.0.{number}:22
HostKey {judge.folder}/host
AuthorizedKeysFile {judge.folder}/authorized
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
PasswordAuthentication no
PidFile none
SetEnv SERVER={number}
""")
        judge.start(server, "-D", "-e", "-f", str(judge.folder / f"sshd{number}"))
        judge.wait_for(f"127.0.0.{number}", 22)
    ringway = Ringway(judge, recipe("layer4", "ssh"))
    ringway.is_healthy(2)
    options = ["-F", "none", "-i", str(judge.folder / "judge"), "-o", f"UserKnownHostsFile={judge.folder}/known", "-o", "BatchMode=yes",
               "-o", "StrictHostKeyChecking=yes", "root@127.0.0.1"]
    first = judge.run(client, *options, "echo $SERVER")
    judge.tell("a command, whose host key is known", True, first in ("41\n", "42\n"))
    judge.tell("a client stays with its server", first * 4, "".join(judge.run(client, *options, "echo $SERVER") for _ in range(4)))

    counting = judge.start(client, *options, COUNTER, said="counted")
    # Bytes in both directions, held by a pipe.
    with (judge.folder / "echoed").open("wb") as out:
        echo = subprocess.Popen([client, *options, "cat"], stdin=subprocess.PIPE, stdout=out, cwd=judge.folder, env=judge.environment)
    started.append(echo)
    judge.wait_until(lambda: len(judge.said("counted").splitlines()) > 20, "nothing is counted")
    echo.stdin.write(b"before\n")
    echo.stdin.flush()
    judge.tell("a reload", True, "reloaded" in ringway.reload())
    upgraded = ringway.upgrade()
    judge.tell("an upgrade", True, "upgraded" in upgraded)
    judge.tell("the session was counting meanwhile", None, counting.poll())
    payload = b"".join(b"line %d of what goes on\n" % number for number in range(40_000))
    echo.stdin.write(payload)
    echo.stdin.close()
    judge.tell("new sessions are served by the new process", first, judge.run(client, *options, "echo $SERVER"))
    judge.tell("what was typed after the upgrade came back", (0, b"before\n" + payload), (echo.wait(timeout=30), (judge.folder / "echoed").read_bytes()))
    status = counting.wait(timeout=60)
    counted = "".join(f"{number}\n" for number in range(400))
    judge.tell("what was counted over both is whole", (0, counted), (status, (judge.folder / "counted").read_text()))
    process = ringway.process
    judge.wait_until(lambda: process.poll() is not None, "the old process does not end with its last session")
    judge.tell("the old process ended with its last session", 0, process.returncode)


def judge_smtp(judge):
    try:
        from aiosmtpd.controller import Controller
    except ImportError as error:
        raise Missing("aiosmtpd is missing; .ci/run installs it") from error
    judge.certify("mail.example.com")
    served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    served.load_cert_chain(judge.folder / "mail.example.com.pem", judge.folder / "mail.example.com.key")
    told, received = [], []

    class Handler:
        async def handle_PROXY(self, server, session, envelope, proxy_data):
            told.append(str(proxy_data.src_addr))
            return True

        async def handle_DATA(self, server, session, envelope):
            received.append((envelope.mail_from, envelope.content, session.ssl is not None))
            return "250 taken"

    controller = Controller(Handler(), hostname="127.0.0.31", port=587, tls_context=served, require_starttls=True,
                            proxy_protocol_timeout=5, data_size_limit=64 << 20)
    # Its own look whether it is ready waits for a greeting, which only a PROXY header brings.
    controller._trigger_server = lambda: socket.create_connection(("127.0.0.31", 587)).close()
    controller.start()
    Ringway(judge, recipe("layer4", "submission"))
    message = email.message.EmailMessage()
    message["Subject"] = "judged"
    message.set_content("x" * 70 + "\n")
    message.add_attachment(os.urandom(3 << 20), maintype="application", subtype="octet-stream", filename="some")
    trusted = ssl.create_default_context(cafile=judge.folder / "ca.pem")
    try:
        with smtplib.SMTP("127.0.0.1", 587, timeout=20, source_address=("127.0.0.77", 0)) as client:
            client._host = "mail.example.com"
            client.starttls(context=trusted)
            client.send_message(message, "a@example.com", ["b@example.com"])
    finally:
        controller.stop()
    judge.tell("the server is told who the client is", ["127.0.0.77"], told)
    content = message.as_bytes().replace(b"\n", b"\r\n")
    judge.tell("a letter of 4 MB within STARTTLS", [("a@example.com", len(content), True)],
               [(sender, len(text), encrypted) for sender, text, encrypted in received])


def start_rsyslog(judge, address):
    """rsyslog that takes lines by TCP and UDP at port 514, and writes who sent what."""
    server = judge.program("rsyslogd", judge.judges / "rsyslog/usr/sbin")
    root = pathlib.Path(server).parents[2]
    libraries = next(root.glob("usr/lib/*/rsyslog"))
    name = address.rsplit(".", 1)[1]
    (judge.folder / f"rsyslog{name}.conf").write_text(f"""
global(workDirectory="{judge.folder}" maxMessageSize="64k")
module(load="imtcp")
module(load="imudp")
template(name="parts" type="string" string="%app-name%|%msg%\\n")
input(type="imtcp" address="{address}" port="514")
input(type="imudp" address="{address}" port="514")
action(type="omfile" file="{judge.folder}/lines{name}" template="parts")
""")
    environment = {**judge.environment, "LD_LIBRARY_PATH": f"{libraries.parent}:{judge.environment['LD_LIBRARY_PATH']}"}
    judge.start(server, "-n", "-f", f"{judge.folder}/rsyslog{name}.conf", "-M", str(libraries), "-i", f"{judge.folder}/rsyslog{name}.pid", env=environment)
    judge.wait_for(address, 514)


def judge_syslog(judge):
    for number in (51, 52):
        start_rsyslog(judge, f"127.0.0.{number}")
    for name in ("logs.example.com", "host.example.com"):
        judge.certify(name)
    (judge.folder / "tls").symlink_to(judge.folder)
    encrypted = recipe("layer4", "syslog-tls")
    datagrams = recipe("udp", "syslog").removeprefix("config_version = 1\n")
    ringway = Ringway(judge, encrypted + datagrams)
    client = judge.program("openssl")
    command = [client, "s_client", "-quiet", "-connect", "127.0.0.1:6514", "-CAfile", "ca.pem", "-verify_return_error",
               "-verify_hostname", "logs.example.com", "-servername", "logs.example.com"]

    def written():
        """What each server has written."""
        paths = (judge.folder / f"lines{number}" for number in (51, 52))
        return [path.read_text() if path.exists() else "" for path in paths]

    def lines(text):
        return sum(part.count(text) for part in written())

    # Frames that count their bytes (RFC 5425), in one stream; `-quiet` keeps s_client until the server ends.
    frames = b""
    for number in range(5000):
        message = f"<134>1 2026-11-30T08:00:00Z host judge - - - tls line {number} of 5000".encode()
        frames += b"%d %s" % (len(message), message)
    with subprocess.Popen([*command, "-cert", "host.example.com.pem", "-key", "host.example.com.key"], stdin=subprocess.PIPE,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=judge.folder) as sender:
        started.append(sender)
        sender.stdin.write(frames[:100_001])
        sender.stdin.flush()
        judge.tell("a reload in the middle of a frame", True, "reloaded" in ringway.reload())
        sender.stdin.write(frames[100_001:])
        sender.stdin.flush()
        judge.wait_until(lambda: lines("tls line") >= 5000, f"{lines('tls line')} of 5000 lines came")
        sender.stdin.close()
        sender.terminate()
    judge.tell("every line within TLS came once", list(range(5000)), sorted(int(found) for part in written() for found in re.findall(r"tls line (\d+) of", part)))
    refused = judge.run(*command, input="<134>judge: forbidden\n", timeout=20)
    judge.tell("a host without certificate is refused", (True, 0), ("alert" in refused, lines("forbidden")))

    # One sender with one socket: `responses = 0` spreads its lines over the servers.
    (judge.folder / "sent").write_text("".join(f"udp line {number}.\n" for number in range(60)))
    judge.run(judge.program("logger"), "--server", "127.0.0.1", "--port", "514", "--udp", "--tag", "judge", "--file", "sent")
    judge.wait_until(lambda: lines("udp line") >= 60, f"{lines('udp line')} of 60 lines came")
    judge.tell("datagrams of one sender are spread over both", [True, True], [part.count("udp line") > 20 for part in written()])


if __name__ == "__main__":
    main({"ssh": judge_ssh, "smtp": judge_smtp, "syslog": judge_syslog})
