"""What the judge of the ELB API works with: a Ringway, backends that say who they are, certificates, and the SDK as its users call it.
"""
import contextlib
import http.client
import http.server
import json
import os
import pathlib
import signal
import socket
import ssl
import subprocess
import threading
import time

from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions import exceptions
from huaweicloudsdkcore.http.http_config import HttpConfig
from huaweicloudsdkelb import v3

KEYS = """
AKWRITE secret-of-writer project1
AKREAD secret-of-reader project1 read
AKOTHER secret-of-another project2
"""
WRITER = ("AKWRITE", "secret-of-writer", "project1")

# A service beside the API: it has to stay as it is, whatever becomes of objects.
CONFIGURATION = """
config_version = 1
[process]
workers = 1
[admin]
address = "127.0.0.1:{admin}"
audit = "audit.log"
{tls}
[admin.elb_api]
keys_file = "elb.keys"
state = "elb"
vip_address = "127.0.0.1"
[[listener]]
name = "web"
address = "127.0.0.1:{web}"
[[rule]]
name = "hello"
listener = "web"
priority = 1
respond = {{ body = "hello" }}
"""

OF_ADMIN = '''tls = {{ certificate = "admin" }}
[[certificate]]
name = "admin"
chain = "{chain}"
key = "{key}"
'''


class Backend(http.server.BaseHTTPRequestHandler):
    """Tells its name and the headers that it got; `/health` has the status of its server."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.asked.append((self.command, self.path))
        headers = {name.lower(): value for name, value in self.headers.items()}
        content = json.dumps({"name": self.server.word, "path": self.path, "headers": headers}).encode()
        self.send_response(self.server.health if self.path == "/health" else 200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            # A probe is satisfied with the status.
            with contextlib.suppress(ConnectionError):
                self.wfile.write(content)

    do_HEAD = do_OPTIONS = do_GET

    def log_message(self, *_):
        pass


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Answer:
    def __init__(self, response):
        self.status, content = response.status, response.read()
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.text = content.decode(errors="replace")
        told = json.loads(content) if content[:1] == b"{" else {}
        self.name, self.path, self.seen = told.get("name"), told.get("path"), told.get("headers", {})


class Heads:
    """What the connections to a port began with."""

    def __init__(self, port):
        self.port, self.heads = port, []


class Site:
    """A Ringway with the API, and what its clients and backends need."""

    def __init__(self, binary, folder, is_secured=False):
        self.binary, self.folder = binary, pathlib.Path(folder)
        self.home = self.folder / ("secured" if is_secured else "plain")
        self.home.mkdir()
        self.is_secured = is_secured
        self.admin, self.web, self.process = free_port(), free_port(), None
        (self.home / "elb.keys").write_text(KEYS)
        (self.home / "elb.keys").chmod(0o600)
        if is_secured:
            self.certify("localhost")
        tls = OF_ADMIN.format(chain=self.file("localhost.crt"), key=self.file("localhost.key")) if is_secured else ""
        # Tables of [admin] come behind its keys.
        head, _, rest = CONFIGURATION.partition("{tls}")
        key, _, tables = tls.partition("\n")
        text = head.format(admin=self.admin) + key + "\n" + rest.format(web=self.web) + tables
        (self.home / "ringway.toml").write_text(text)
        self.start()

    def start(self):
        with (self.home / "stderr").open("a") as said:
            self.process = subprocess.Popen([self.binary, "run", "-c", "ringway.toml"], cwd=self.home, stderr=said)
        self.wait_until(self.is_up, "it does not start")

    def is_up(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.admin)) == 0

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()

    def restart(self):
        self.stop()
        self.start()

    def wait_until(self, is_so, what, seconds=20):
        end = time.monotonic() + seconds
        while not is_so():
            if time.monotonic() > end:
                raise AssertionError(f"{what}\n{(self.home / 'stderr').read_text()[-2000:]}")
            time.sleep(0.05)

    def check(self):
        """What `ringway check` says of what is in force."""
        done = subprocess.run([self.binary, "check", "-c", "ringway.toml"], cwd=self.home, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    def openssl(self, *words):
        subprocess.run(["openssl", *words], cwd=self.folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def certify(self, name, issuer=None):
        """NAME.crt and NAME.key, signed by themselves or by another one."""
        words = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "9"]
        words += ["-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.crt"]
        if issuer:
            words += ["-CA", f"{issuer}.crt", "-CAkey", f"{issuer}.key", "-addext", "basicConstraints=critical,CA:FALSE"]
        if "." in name or name == "localhost":
            words += ["-addext", f"subjectAltName=DNS:{name},IP:127.0.0.1"]
        self.openssl(*words)

    def file(self, name):
        return str(self.folder / name)

    def pem(self, name):
        """As people paste it: without its last end of line."""
        return (self.folder / name).read_text().strip()

    def backend(self, word, certificate=None):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Backend)
        server.word, server.health, server.asked, server.daemon_threads = word, 200, [], True
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.file(f"{certificate}.crt"), self.file(f"{certificate}.key"))
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    def get(self, port, path="/", host="a.example", trusts=None, shows=None, method="GET", **headers):
        """A request; `trusts` names the certificate of a server of TLS, `shows` that of the client."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        if trusts:
            context = ssl.create_default_context(cafile=self.file(f"{trusts}.crt"))
            context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
            if shows:
                context.load_cert_chain(self.file(f"{shows}.crt"), self.file(f"{shows}.key"))
            plain = socket.create_connection(("127.0.0.1", port), 10)
            connection.sock = context.wrap_socket(plain, server_hostname=host)
        with contextlib.closing(connection):
            fields = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, headers={"Host": host, **fields})
            return Answer(connection.getresponse())

    def speaks(self, port, version, trusts):
        """Whether a server takes clients that know this version of TLS and no other."""
        context = ssl.create_default_context(cafile=self.file(f"{trusts}.crt"))
        context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
        context.minimum_version = context.maximum_version = version
        with socket.create_connection(("127.0.0.1", port), 10) as plain:
            try:
                with context.wrap_socket(plain, server_hostname=trusts) as secured:
                    return secured.version() == {ssl.TLSVersion.TLSv1_2: "TLSv1.2", ssl.TLSVersion.TLSv1_3: "TLSv1.3"}[version]
            except ssl.SSLError:
                return False

    def heads(self):
        """A server of TCP that remembers the first bytes of each connection, and closes it."""
        server = socket.create_server(("127.0.0.1", 0))
        taken = Heads(server.getsockname()[1])

        def serve():
            while True:
                connection, _ = server.accept()
                with connection:
                    taken.heads.append(connection.recv(100))

        threading.Thread(target=serve, daemon=True).start()
        return taken

    def echo(self):
        """The port of a server that sends datagrams back."""
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind(("127.0.0.1", 0))

        def serve():
            while True:
                datagram, client = server.recvfrom(2000)
                server.sendto(datagram, client)

        threading.Thread(target=serve, daemon=True).start()
        return server.getsockname()[1]

    def asks(self, port, datagram):
        """What a server of UDP answers."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(10)
            client.sendto(datagram, ("127.0.0.1", port))
            return client.recv(2000)

    def is_refused(self, port, **how):
        """Whether a client is not let in."""
        try:
            self.get(port, **how)
        except (OSError, http.client.HTTPException):
            return True
        return False

    def client(self, access, secret, project):
        scheme = "https" if self.is_secured else "http"
        config = HttpConfig.get_default_config()
        if self.is_secured:
            config.ssl_ca_cert = self.file("localhost.crt")
        credentials = BasicCredentials(access, secret, project)
        made = v3.ElbClient.new_builder().with_http_config(config).with_credentials(credentials)
        return made.with_endpoint(f"{scheme}://127.0.0.1:{self.admin}").build()


class Elb:
    """The SDK with its wrappers around wrappers taken off."""

    def __init__(self, client):
        self.client = client

    def create(self, word, **attributes):
        """Makes an object: `word` is what its document is wrapped in."""
        names = {"loadbalancer": "LoadBalancer", "healthmonitor": "HealthMonitor", "l7policy": "L7Policy", "ipgroup": "IpGroup",
                 "security_policy": "SecurityPolicy"}
        name = names.get(word, word.capitalize())
        option = getattr(v3, f"Create{name}Option")(**attributes)
        body = getattr(v3, f"Create{name}RequestBody")(**{word: option})
        call = {"loadbalancer": "load_balancer", "healthmonitor": "health_monitor", "l7policy": "l7_policy", "ipgroup": "ip_group"}
        request = getattr(v3, f"Create{name}Request")(body=body)
        return getattr(getattr(self.client, f"create_{call.get(word, word)}")(request), word)

    def member(self, pool, server, **attributes):
        option = v3.CreateMemberOption(address="127.0.0.1", protocol_port=server.server_port, **attributes)
        body = v3.CreateMemberRequestBody(member=option)
        return self.client.create_member(v3.CreateMemberRequest(pool_id=pool.id, body=body)).member

    def rule(self, policy, **attributes):
        body = v3.CreateL7RuleRequestBody(rule=v3.CreateRuleOption(**attributes))
        return self.client.create_l7_rule(v3.CreateL7RuleRequest(l7policy_id=policy.id, body=body)).rule

    def update_listener(self, listener, **attributes):
        body = v3.UpdateListenerRequestBody(listener=v3.UpdateListenerOption(**attributes))
        return self.client.update_listener(v3.UpdateListenerRequest(listener_id=listener.id, body=body)).listener

    def clear(self, listener, *names):
        """Null, which the models of the SDK cannot send and a dictionary can."""
        body = {"listener": dict.fromkeys(names)}
        return self.client.update_listener_invoker(v3.UpdateListenerRequest(listener_id=listener.id, body=body)).invoke()

    def tree(self, balancer):
        request = v3.ShowLoadBalancerStatusRequest(loadbalancer_id=balancer.id)
        return self.client.show_load_balancer_status(request).statuses.loadbalancer


def same(found, wanted):
    assert found == wanted, f"{found!r} instead of {wanted!r}"


def says(refused, status, code, *words):
    """Whether a refusal has this status, this code and these words."""
    found_status, found_code, message = refused
    assert (found_status, found_code) == (status, code), f"{refused!r}"
    assert all(word in message for word in words), f"{message!r} without {words!r}"


def refusal(call):
    """How a call is refused: status, code, and what it says."""
    try:
        call()
    except (exceptions.ClientRequestException, exceptions.ServerResponseException) as refused:
        assert refused.request_id, "a refusal without a request id"
        return refused.status_code, refused.error_code, refused.error_msg
    raise AssertionError("the call is not refused")
