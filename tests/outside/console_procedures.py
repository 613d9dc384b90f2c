"""Follows the procedures of the clouds' guides in the console, from a process that serves nothing to the request, or the bytes, that the guide
ends with.

usage: console_procedures.py RINGWAY BROWSER FOLDER

Prints `ok CASE` or `FAILED CASE: why` for each. Everything is done with the keyboard; curl asks in the end.
"""
import http.server
import os
import re
import shutil
import socket
import socketserver
import ssl
import subprocess
import sys
import threading

# The tree stays as it is.
sys.dont_write_bytecode = True

from console_browser import PATIENCE, Browser, Failure, Ringway, tell

ringway, browser, folder = os.path.abspath(sys.argv[1]), sys.argv[2], os.path.join(os.path.abspath(sys.argv[3]), "procedures")
os.makedirs(folder)

WELCOME = "Welcome to ELB test page one!"

# The smallest configuration that is valid: something has to be served.
EMPTY = 'listener = [{ name = "start", address = "127.0.0.1:0" }]\n'


def expect(condition, words):
    if not condition:
        raise Failure(words)


def run(*command):
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=PATIENCE).stdout


def file(name):
    return os.path.join(folder, name)


def text(name):
    with open(file(name), encoding="utf-8") as opened:
        return opened.read()


def request_of(name, common_name):
    """The configuration file of the guide, a key, and a request for a certificate."""
    with open(file(f"{name}_cert.conf"), "w", encoding="utf-8") as opened:
        opened.write(f"[ req ]\ndistinguished_name = req_distinguished_name\nprompt = no\n[ req_distinguished_name ]\nO = ELB\n{common_name}\n")
    run("openssl", "genrsa", "-out", f"{name}.key", "2048")
    run("openssl", "req", "-out", f"{name}.csr", "-key", f"{name}.key", "-new", "-config", f"./{name}_cert.conf")


def make_certificates():
    """Steps 1 to 3 of the guide on mutual authentication, with -sha256 where it has -sha1."""
    request_of("ca", "")
    run("openssl", "x509", "-req", "-in", "ca.csr", "-out", "ca.crt", "-sha256", "-days", "5000", "-signkey", "ca.key")
    for name in ("server", "client"):
        request_of(name, "CN = www.test.com")
        run("openssl", "x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.crt", "-sha256", "-CAcreateserial", "-days", "5000", "-CA", "ca.crt", "-CAkey", "ca.key")
    run("openssl", "x509", "-req", "-in", "client.csr", "-out", "client-sha1.crt", "-sha1", "-days", "9", "-CA", "ca.crt", "-CAkey", "ca.key")


class Application(http.server.BaseHTTPRequestHandler):
    """What the guides have on their server: it tells the headers that came, below a line that they look for."""

    protocol_version = "HTTP/1.1"

    def answer(self):
        content = f"{WELCOME}\n{self.headers}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    do_GET = do_HEAD = answer

    def log_message(self, *_):
        pass


def serve(is_https):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Application)
    if is_https:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(file("server.crt"), file("server.key"))
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"127.0.0.1:{server.server_address[1]}"


class Echo(socketserver.BaseRequestHandler):
    """A service that is not HTTP: it sends back what comes, and says so."""

    def handle(self):
        try:
            while data := self.request.recv(1 << 12):
                self.request.sendall(b"echo " + data)
        except ConnectionResetError:
            # So ends a client that sends no close_notify.
            pass


class DatagramEcho(socketserver.BaseRequestHandler):
    """The same by UDP."""

    def handle(self):
        data, own = self.request
        own.sendto(b"echo " + data, self.client_address)


def serve_bytes(kind, handler):
    server = kind(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"127.0.0.1:{server.server_address[1]}"


def place(address):
    host, port = address.rsplit(":", 1)
    return "127.0.0.1" if host == "0.0.0.0" else host, int(port)


def echoed(connection):
    """Sends something and takes what comes of it."""
    connection.settimeout(PATIENCE)
    connection.sendall(b"hello")
    said = b""
    while len(said) < len(b"echo hello"):
        data = connection.recv(1 << 12)
        expect(data, f"the end after {said!r}")
        said += data
    expect(said == b"echo hello", f"{said!r}")


def curl(*arguments):
    asked = subprocess.run(["curl", "-sS", "-k", "-m", "20", *arguments], cwd=folder, capture_output=True, text=True, timeout=PATIENCE)
    return asked.returncode, asked.stdout + asked.stderr


make_certificates()
# First of all: the shell that starts it knows descriptors of one digit only.
page = Browser(browser, folder)
secure_backend, clear_backend = serve(True), serve(False)
stream_backend, datagram_backend = serve_bytes(socketserver.ThreadingTCPServer, Echo), serve_bytes(socketserver.ThreadingUDPServer, DatagramEcho)


def options(label):
    """What a list offers, by the values."""
    page.focus_on(label, ("select",))
    return page.evaluate("[...document.activeElement.options].map((option) => option.value)")


def is_shown(label):
    """Whether there is a control with this label that is seen."""
    return page.evaluate(f"[...document.querySelectorAll('main label')].some((label) => label.textContent.trim() === {label!r} && label.checkVisibility())")


def steps():
    return page.evaluate("[...document.querySelectorAll('.steps li')].map((step) => step.textContent)")


class Procedure:
    """A process that serves nothing yet, in the browser."""

    def __init__(self, name):
        self.process = Ringway(ringway, file(name), EMPTY)
        page.go(self.process.console)
        page.wait_heading("Overview")
        page.wait_text("anonymous: role read")
        page.fill("Token", self.process.token)
        page.key("Enter")
        page.wait_text("browser: role write")

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            faults = page.faults_of_the_page(self.process.console)
            page.go("about:blank")
            expect(kind is not None or not faults, f"{faults}")
        finally:
            self.process.end()

    def view(self, name):
        page.follow(name)
        page.wait_heading(name)

    def add_certificate(self, name="site", files=False):
        self.view("Certificates")
        page.press("Add server certificate")
        self.fill_certificate(name, files)

    def fill_certificate(self, name, files=False):
        page.fill("Name", name)
        if files:
            page.upload("Certificate content: from a file", file("server.crt"))
            page.upload("Private key: from a file", file("server.key"))
            page.wait("[...document.querySelectorAll('dialog textarea')].every((box) => box.value.includes('-----END'))", "the content of the files")
        else:
            # The guide has the last end of a line deleted.
            page.fill("Certificate content", text("server.crt").rstrip("\n"))
            page.fill("Private key", text("server.key").rstrip("\n"))
        page.press("Add")
        page.wait("!document.querySelector('dialog')", "the end of the dialog")
        page.wait_text(name)

    def add_ca(self, name="clients"):
        self.view("Certificates")
        page.press("Add CA certificate")
        self.fill_ca(name)

    def fill_ca(self, name):
        page.fill("Name", name)
        page.fill("Certificate content", text("ca.crt").rstrip("\n"))
        page.press("Add")
        page.wait("!document.querySelector('dialog')", "the end of the dialog")
        page.wait_text(name)

    def create_group(self, name, protocol, backend):
        self.view("Server groups")
        page.press("Create server group")
        page.fill("Group name", name)
        page.choose("Backend protocol", protocol)
        page.choose("Load balancing algorithm", "weighted_round_robin")
        page.fill("Backends", backend)
        page.check("Health check")
        page.press("Create")
        page.wait("!document.querySelector('dialog')", "the end of the dialog")
        page.wait_text(name)

    def begin_listener(self, name, protocol="https"):
        """The first step, as far as all guides have it. The port is one that the system chooses."""
        self.view("Listeners")
        page.press("Create listener")
        page.wait_heading("Create listener")
        page.choose("Listener protocol", protocol)
        page.fill("Listener port", "0")
        page.fill("Listener address", "127.0.0.1")
        page.fill("Listener name", name)

    def next(self, step):
        page.press(f"Next: {step}")
        page.wait(f"document.querySelector('[aria-current=step]').textContent === '{step}'", step)

    def finish_listener(self, name, *lines, backend=None):
        """From the certificate or the server group on: that, review, and creation. A backend is that of a group that is created here."""
        if page.evaluate("document.querySelector('[aria-current=step]').textContent") != "Select server group":
            self.next("Select server group")
        if backend:
            page.fill("Group name", "app")
            page.fill("Backends", f"{backend} 50")
        self.next("Review")
        page.wait_text("+[[listener]]", f'+name = "{name}"', "Point the A and AAAA records of your names at 127.0.0.1.", *lines)
        expect("undefined" not in page.text(), page.text())
        page.press("Create")
        page.wait_heading(f"listener {name}")
        return self.process.address(name)


def end_to_end_https():
    """HTTPS at the frontend and at the backend."""
    with Procedure("end_to_end") as procedure:
        procedure.add_certificate(files=True)
        procedure.create_group("server_group", "https", secure_backend)
        procedure.begin_listener("web")
        procedure.next("Configure certificate")
        address = procedure.finish_listener("web", '+certificates = ["site"]', '+default_group = "server_group"')
        code, said = curl(f"https://{address}/")
        expect(code == 0 and WELCOME in said, f"{code} {said}")


def mutual_authentication():
    """A certificate that clients must have."""
    with Procedure("mutual") as procedure:
        procedure.create_group("server_group", "http", clear_backend)
        procedure.add_certificate()
        page.wait_text("signed with SHA-1 are refused", "write -sha256")
        procedure.add_ca()
        procedure.begin_listener("web")
        procedure.next("Configure certificate")
        page.check("One-way authentication")
        page.key("ArrowDown")
        page.check("clients")
        address = procedure.finish_listener("web", '+mode = "require"', '+ca = ["clients"]')
        code, said = curl("--cert", "client.crt", "--key", "client.key", f"https://{address}/", "-I")
        expect(code == 0 and re.match(r"HTTP/\S+ 200", said), f"{code} {said}")
        code, said = curl(f"https://{address}/", "-I")
        expect(code != 0 or re.match(r"HTTP/\S+ 4", said), f"without a certificate: {code} {said}")
        code, said = curl("--ciphers", "DEFAULT:@SECLEVEL=0", "--cert", "client-sha1.crt", "--key", "client.key", f"https://{address}/", "-I")
        expect(code != 0 or re.match(r"HTTP/\S+ 4", said), f"with SHA-1: {code} {said}")


def wizard():
    """An HTTPS listener in four steps, with its advanced settings."""
    with Procedure("wizard") as procedure:
        procedure.add_certificate()
        procedure.begin_listener("secure")
        page.fill("Tags (optional)", "team = edge")
        page.press("Advanced settings")
        page.choose("HTTP/2", "true")
        page.fill("Idle timeout", "20s")
        page.check("Compression")
        page.fill("Trusted proxies", "10.0.0.0/8")
        page.check("X-Forwarded-Port")
        procedure.next("Configure certificate")
        page.choose("TLS policy", "tls_cipher_policy_1_2_strict_with_1_3")
        address = procedure.finish_listener("secure", '+idle_timeout = "20s"', "+http2 = true", "+compression = true", "x_forwarded_port = true", "team", '+name = "app"', backend=clear_backend)
        code, said = curl(f"https://{address}/")
        expect(code == 0 and WELCOME in said and f"x-forwarded-port: {address.split(':')[1]}" in said.lower(), f"{code} {said}")


def incomplete():
    """Each form says what it lacks, and leads to what has to be there first."""
    with Procedure("incomplete") as procedure:
        procedure.view("Listeners")
        page.press("Quick create")
        page.press("Create")
        page.wait_text("Server certificate: HTTPS needs one.", "Server group: requests have to go to one.")
        page.follow("Add one in Server groups")
        page.wait_heading("Server groups")
        procedure.begin_listener("my site")
        page.fill("Tags (optional)", "team edge")
        page.press("Next: Configure certificate")
        page.wait_text("Listener name: write 1 to 64", "Tags: team edge is not key = value")
        page.fill("Listener name", "site")
        page.fill("Tags (optional)", "team = edge")
        procedure.next("Configure certificate")
        page.press("Next: Select server group")
        page.wait_text("Server certificate: HTTPS needs one.")
        page.press("Add server certificate")
        procedure.fill_certificate("site")
        page.check("One-way authentication")
        page.key("ArrowDown")
        page.press("Next: Select server group")
        page.wait_text("CA certificates: mutual authentication needs one or more.")
        page.press("Add CA certificate")
        procedure.fill_ca("clients")
        page.check("clients")
        procedure.next("Select server group")
        page.press("Next: Review")
        page.wait_text("Group name: write 1 to 64", "Backends: write at least one")
        page.fill("Group name", "app")
        page.fill("Backends", f"{clear_backend} 101")
        page.press("Next: Review")
        page.wait_text("is no number from 0 to 100")
        page.fill("Backends", clear_backend)
        procedure.next("Review")
        page.wait_text("+[[listener]]", '+mode = "require"', '+ca = ["clients"]', '+certificates = ["site"]')
        # What Ringway alone can know is told in the review, which leads back.
        page.press("Back")
        page.fill("Backends", "nobody@nowhere:80")
        procedure.next("Review")
        page.press("Back to: Select server group")
        page.wait("document.querySelector('[aria-current=step]').textContent === 'Select server group'", "the step of the fault")


def quick_create():
    """An HTTPS listener with only what it cannot be without."""
    with Procedure("quick") as procedure:
        procedure.add_certificate()
        procedure.create_group("app", "http", clear_backend)
        procedure.view("Listeners")
        page.press("Quick create")
        page.choose("Listener protocol", "https")
        page.fill("Listener port", "0")
        page.fill("Listener name", "quick")
        page.choose("Server certificate", "site")
        page.choose("TLS policy", "tls_cipher_policy_1_2_strict_with_1_3")
        page.choose("Server group", "app")
        page.press("Create")
        page.wait("!document.querySelector('dialog')", "the end of the dialog")
        page.wait_text("Point the A and AAAA records of your names at the address of this machine.")
        port = procedure.process.address("quick").rsplit(":", 1)[1]
        code, said = curl(f"https://127.0.0.1:{port}/")
        expect(code == 0 and WELCOME in said, f"{code} {said}")


def client_certificate_information():
    """Backends learn whose certificate it was, by headers with names of one's own."""
    with Procedure("information") as procedure:
        procedure.add_certificate()
        procedure.add_ca()
        procedure.create_group("server_group", "https", secure_backend)
        procedure.begin_listener("web")
        page.press("Advanced settings")
        page.check("X-Forwarded-Clientcert-subjectdn")
        page.fill("Name of X-Forwarded-Clientcert-subjectdn", "x-client-subject")
        page.check("X-Forwarded-Clientcert-fingerprint")
        page.check("X-Forwarded-Clientcert-clientverify")
        procedure.next("Configure certificate")
        page.check("One-way authentication")
        page.key("ArrowDown")
        page.check("clients")
        address = procedure.finish_listener("web", "x-client-subject")
        code, said = curl("--cert", "./client.crt", "--key", "./client.key", f"https://{address}")
        told = said.lower()
        expect(code == 0 and "x-client-subject: " in told and "www.test.com" in told, f"{code} {said}")
        expect("x-forwarded-clientcert-fingerprint: " in told and "x-forwarded-clientcert-clientverify: success" in told, said)


def tcp_by_the_wizard():
    """A listener that relays connections, and its group."""
    with Procedure("tcp") as procedure:
        procedure.create_group("web", "http", clear_backend)
        procedure.begin_listener("service", "tcp")
        expect(steps() == ["Configure listener", "Select server group", "Review"], f"{steps()}")
        page.fill("Listener port", "")
        page.press("Next: Select server group")
        page.wait_text("Listener port: write a number")
        page.fill("Listener port", "0")
        page.press("Advanced settings")
        page.fill("Idle timeout", "30s")
        for label, wanted in [("PROXY protocol header of clients", True), ("HTTP/2", False), ("Trusted proxies", False), ("Protocols by ALPN", False)]:
            expect(is_shown(label) == wanted, label)
        procedure.next("Select server group")
        # The only group that there is takes requests.
        expect(not is_shown("Server group"), "groups that do not fit")
        expect(options("Backend protocol") == ["tcp", "tls"], "the protocols of a new group")
        page.choose("Load balancing algorithm", "consistent_hash")
        expect(options("Hash key") == ["tuple", "source_ip"], "what a hash can be taken of")
        page.choose("When a backend is taken out of service", "reset")
        page.check("Health check")
        address = procedure.finish_listener(
            "service", '+protocol = "tcp"', '+idle_timeout = "30s"', "tuple = true", '+on_drain = "reset"', '+default_group = "app"', backend=stream_backend)
        with socket.create_connection(place(address), PATIENCE) as connection:
            echoed(connection)
        # What is counted, and what can be done, is not that of requests.
        procedure.view("Server groups")
        page.follow("app")
        page.wait_heading("server group app")
        page.wait_text("Connections")
        expect("Begin maintenance" not in page.text(), "maintenance, with nobody who answers")
        page.press(f"Remove {stream_backend}")
        page.wait_text("The connections that it has end at once (on_drain).")
        page.key("Escape")


def tls_by_the_wizard():
    """TLS that ends here, with what is within it for the backend."""
    with Procedure("tls") as procedure:
        procedure.add_certificate()
        procedure.begin_listener("secure", "tls")
        page.press("Advanced settings")
        page.fill("Protocols by ALPN", "echo, other")
        procedure.next("Configure certificate")
        procedure.next("Select server group")
        expect(options("Backend protocol") == ["tcp", "tls"], "the protocols of a new group")
        address = procedure.finish_listener("secure", '+protocol = "tls"', '+certificates = ["site"]', '+alpn = ["echo", "other"]', backend=stream_backend)
        tls = ssl._create_unverified_context()
        tls.set_alpn_protocols(["other"])
        with socket.create_connection(place(address), PATIENCE) as connection, tls.wrap_socket(connection, server_hostname="www.test.com") as secure:
            expect(secure.selected_alpn_protocol() == "other", f"{secure.selected_alpn_protocol()}")
            echoed(secure)


def tls_passthrough():
    """TLS that ends at the backend, whose certificate is the one that clients see."""
    with Procedure("passthrough") as procedure:
        procedure.begin_listener("passed", "passthrough")
        expect("Configure certificate" not in steps(), f"{steps()}")
        procedure.next("Select server group")
        expect(options("Backend protocol") == ["tcp"], "the protocols of a new group")
        address = procedure.finish_listener("passed", '+protocol = "tls"', "+passthrough = true", backend=secure_backend)
        expect("certificates" not in text("passthrough/api.toml"), text("passthrough/api.toml"))
        code, said = curl(f"https://{address}/")
        expect(code == 0 and WELCOME in said, f"{code} {said}")
        procedure.view("Listeners")
        page.wait_text("tls, passed through")


def udp_by_quick_create():
    """A listener of datagrams with only what it cannot be without."""
    with Procedure("udp") as procedure:
        procedure.create_group("web", "http", clear_backend)
        procedure.view("Listeners")
        page.press("Quick create")
        page.choose("Listener protocol", "udp")
        page.fill("Listener port", "0")
        page.press("Create")
        page.wait_text("There is no server group for UDP yet.", "Server group: sessions have to go to one.")
        page.follow("Add one in Server groups")
        page.wait_heading("Server groups")
        procedure.create_group("echo", "udp", datagram_backend)
        procedure.view("Listeners")
        page.press("Quick create")
        page.choose("Listener protocol", "udp")
        page.fill("Listener port", "0")
        expect(options("Server group") == ["echo"], "groups that do not fit")
        page.press("Create")
        page.wait("!document.querySelector('dialog')", "the end of the dialog")
        page.wait_text("udp-0")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(PATIENCE)
            client.connect(place(procedure.process.address("udp-0")))
            client.send(b"hello")
            said = client.recv(1 << 12)
            expect(said == b"echo hello", f"{said!r}")


def alt_svc(address):
    """Where responses say that HTTP/3 is."""
    code, said = curl("-i", f"https://{address}/")
    expect(code == 0 and WELCOME in said, f"{code} {said}")
    found = re.search(r'(?i)^alt-svc: h3=":(\d+)"; ma=86400\r?$', said, re.MULTILINE)
    return found and found[1]


def ask_by_http3(address):
    """What ngtcp2's client gets, where it is installed."""
    if not shutil.which("gtlsclient"):
        return
    host, port = place(address)
    asked = subprocess.run(["gtlsclient", "--exit-on-all-streams-close", host, str(port), "https://www.test.com/"], capture_output=True, timeout=PATIENCE)
    expect(b":status: 200" in asked.stdout + asked.stderr, f"{asked.stdout[-500:]} {asked.stderr[-500:]}")


def quic_upgrade():
    """A listener of QUIC, one for HTTPS that tells clients of it, and HTTP/3 at the addresses of the latter instead."""
    with Procedure("quic") as procedure:
        procedure.add_certificate()
        procedure.begin_listener("fast", "quic")
        page.press("Advanced settings")
        for label, wanted in [("QUIC upgrade", False), ("HTTP/2", False), ("PROXY protocol header of clients", False), ("Trusted proxies", True)]:
            expect(is_shown(label) == wanted, label)
        procedure.next("Configure certificate")
        fast = procedure.finish_listener("fast", '+protocol = "quic"', '+certificates = ["site"]', backend=clear_backend)
        page.wait_text("HTTP/3 alone, over UDP.")
        ask_by_http3(fast)
        procedure.begin_listener("web")
        expect(options("QUIC upgrade") == ["off", "same", "to fast"], "what HTTPS can be upgraded to")
        page.choose("QUIC upgrade", "to fast")
        procedure.next("Configure certificate")
        web = procedure.finish_listener("web", '+quic_listener = "fast"', '+default_group = "app"')
        page.wait_text("HTTP/3: clients are told of the listener fast.")
        told = alt_svc(web)
        expect(told == fast.rsplit(":", 1)[1], f"Alt-Svc tells of {told}, not of {fast}")
        page.press("QUIC upgrade")
        page.choose("QUIC upgrade", "same")
        page.press("Save")
        page.wait("!document.querySelector('dialog')", "the end of the dialog")
        page.wait_text("HTTP/3 at the same addresses, over UDP.")
        told = alt_svc(web)
        expect(told == web.rsplit(":", 1)[1], f"Alt-Svc tells of {told}, not of {web}")
        ask_by_http3(web)
        procedure.view("Listeners")
        page.wait_text("https+h3", "quic")


CASES = [
    end_to_end_https, mutual_authentication, wizard, incomplete, quick_create, client_certificate_information, tcp_by_the_wizard, tls_by_the_wizard,
    tls_passthrough, udp_by_quick_create, quic_upgrade,
]

try:
    for case in CASES:
        page.requests.clear()
        page.faults.clear()
        tell(f"console: {case.__name__.replace('_', ' ')}", case)
finally:
    page.end()
