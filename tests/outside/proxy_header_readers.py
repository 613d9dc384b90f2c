"""Lets HAProxy and nginx read the PROXY headers that Ringway sends, each as a backend.

usage: proxy_header_readers.py haproxy BINARY HAPROXY    what it knows of version 2: addresses, authority, unique id
       proxy_header_readers.py nginx BINARY NGINX        and all that is told of TLS, since 1.23.2

Prints `ok CASE` or `FAILED CASE: why` for each, and ends all that it starts.
"""
import http.client
import pathlib
import re
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time

reader, binary, program = sys.argv[1:]
folder = pathlib.Path(tempfile.mkdtemp())
started = []


def tell(case, wanted, found):
    print(f"ok {case}" if found == wanted else f"FAILED {case}: {found!r} instead of {wanted!r}", flush=True)


def wait_until(is_so, what):
    end = time.monotonic() + 15
    while not is_so():
        if time.monotonic() > end:
            raise SystemExit(f"FAILED {reader}: {what}")
        time.sleep(0.05)


def free_port():
    """The readers take no port of the kernel's choice: one that is free now is."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def certify(name, *more):
    """Makes a key, and a certificate of the CA for it."""
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{folder}/{name}.key"]
    command = ["openssl", "req", "-x509", *key, "-subj", f"/CN={name}", "-days", "90", "-out", f"{folder}/{name}.crt"]
    subprocess.run([*command, *more], check=True, stderr=subprocess.DEVNULL)


def certify_all():
    certify("ca")
    signed = ["-CA", f"{folder}/ca.crt", "-CAkey", f"{folder}/ca.key", "-addext", "basicConstraints=critical,CA:FALSE"]
    certify("shop.example", *signed, "-addext", "subjectAltName=DNS:shop.example")
    certify("alice", *signed)


def configure_haproxy(port):
    text = ("src=%[src]:%[src_port] dst=%[dst]:%[dst_port] authority=%[fc_pp_authority]"
            " unique_id=%[fc_pp_unique_id] request_id=%[req.hdr(x-request-id)]")
    (folder / "reader.conf").write_text(f"""
defaults
  mode http
  timeout client 10s
  timeout server 10s
  timeout connect 1s
frontend reader
  bind 127.0.0.1:{port} accept-proxy
  http-request return status 200 content-type text/plain lf-string "{text}"
""")
    return [program, "-f", f"{folder}/reader.conf"]


def configure_nginx(port):
    tlvs = ["authority", "unique_id", "alpn"]
    tlvs += ["ssl_" + part for part in ("version", "cn", "cipher", "sig_alg", "key_alg", "verify")]
    told = " ".join(f"{tlv}=$proxy_protocol_tlv_{tlv}" for tlv in tlvs)
    addresses = ("src=$proxy_protocol_addr:$proxy_protocol_port"
                 " dst=$proxy_protocol_server_addr:$proxy_protocol_server_port")
    paths = " ".join(f"{kind}_temp_path {folder};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (folder / "reader.conf").write_text(f"""
daemon off; master_process off; pid {folder}/reader.pid; error_log {folder}/reader.log info;
events {{}}
http {{
  access_log off; {paths}
  server {{
    listen 127.0.0.1:{port} proxy_protocol;
    return 200 "{addresses} {told} request_id=$http_x_request_id";
  }}
}}
""")
    return [program, "-e", f"{folder}/reader.log", "-c", f"{folder}/reader.conf"]


def configure_ringway(port, version):
    (folder / "ringway.toml").write_text(f"""
config_version = 1
[process]
workers = 1
pin = false
[[certificate]]
name = "shop"
chain = "shop.example.crt"
key = "shop.example.key"
[[ca]]
name = "clients"
bundle = "ca.crt"
[[listener]]
name = "web"
address = "127.0.0.1:0"
protocol = "https"
certificates = ["shop"]
default_group = "reader"
[listener.client_auth]
mode = "optional"
ca = ["clients"]
[listener.forwarded]
x_request_id = true
[[listener]]
name = "relayed"
address = "127.0.0.1:0"
protocol = "tls"
certificates = ["shop"]
proxy_protocol = "accept"
default_group = "relayed"
[[server_group]]
name = "relayed"
protocol = "tcp"
proxy_protocol = "{version}"
proxy_protocol_tlvs = "pass"
[[server_group.backend]]
address = "127.0.0.1:{port}"
[[server_group]]
name = "reader"
proxy_protocol = "{version}"
[[server_group.backend]]
address = "127.0.0.1:{port}"
[server_group.health_check]
interval = "1s"
timeout = "1s"
""")


def start(command, said):
    with (folder / said).open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
    started.append(process)
    return process


def end(process):
    process.terminate()
    process.wait()
    started.remove(process)


def serve(port, version):
    """Starts Ringway; its process, and its ports once the first probe has succeeded: for HTTPS, and for TLS that is relayed."""
    configure_ringway(port, version)
    process = start([binary, "run", "-c", f"{folder}/ringway.toml"], "ringway.log")
    said = lambda pattern: re.search(pattern, (folder / "ringway.log").read_text())
    wait_until(lambda: said(r"is (un)?healthy"), "no probe has ended")
    tell(f"{reader} takes probes of {version}", True, said("is healthy") is not None)
    return process, *[int(said(scheme + r"://127\.0\.0\.1:(\d+)")[1]) for scheme in ("https", "tls")]


def ask(port, certificate=None):
    """Asks twice on one connection: its address, and what the reader was told each time."""
    context = ssl.create_default_context(cafile=f"{folder}/ca.crt")
    context.set_alpn_protocols(["http/1.1"])
    if certificate:
        context.load_cert_chain(f"{folder}/{certificate}.crt", f"{folder}/{certificate}.key")
    raw = socket.create_connection(("127.0.0.1", port), timeout=10)
    client = "{}:{}".format(*raw.getsockname())
    connection = http.client.HTTPConnection("shop.example")
    connection.sock = context.wrap_socket(raw, server_hostname="shop.example")
    answers = []
    for _ in range(2):
        connection.request("GET", "/")
        text = connection.getresponse().read().decode()
        answers.append(dict(word.split("=", 1) for word in text.split()))
    connection.close()
    return client, answers


def header(source, destination, **tlvs):
    """A header of version 2 over IPv4, with these types and values behind the addresses."""
    ends = b"".join(socket.inet_aton(address) for address, _ in (source, destination))
    ends += struct.pack("!HH", source[1], destination[1])
    kinds = {"authority": 2, "unique_id": 5}
    ends += b"".join(struct.pack("!BH", kinds[name], len(value)) + value for name, value in tlvs.items())
    return b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + struct.pack("!H", len(ends)) + ends


def ask_relayed(port, front):
    """Asks within TLS that is relayed, behind the header of a load balancer in front: what the reader was told."""
    context = ssl.create_default_context(cafile=f"{folder}/ca.crt")
    raw = socket.create_connection(("127.0.0.1", port), timeout=10)
    raw.sendall(front)
    connection = http.client.HTTPConnection("shop.example")
    connection.sock = context.wrap_socket(raw, server_hostname="shop.example")
    connection.request("GET", "/")
    text = connection.getresponse().read().decode()
    connection.close()
    return dict(word.split("=", 1) for word in text.split())


def judge_relayed(listener):
    """The name is what the client asked for within TLS, not what was told in front; the identity is what was told."""
    ends = ("203.0.113.7", 4711), ("192.0.2.1", 443)
    identity = "0123456789abcdef" * 8
    told = ask_relayed(listener, header(*ends, authority=b"other.example", unique_id=identity.encode()))
    wanted = ("203.0.113.7:4711", "192.0.2.1:443", "shop.example", identity)
    tell(f"{reader} reads version 2 of a connection that is relayed", wanted,
         tuple(told[name] for name in ("src", "dst", "authority", "unique_id")))
    told = ask_relayed(listener, header(*ends))
    tell(f"{reader} reads no identity where none was told", "", told["unique_id"].strip("-"))


def judge(port):
    ringway, listener, _ = serve(port, "v1")
    client, answers = ask(listener)
    tell(f"{reader} reads version 1", [client] * 2, [told["src"] for told in answers])
    end(ringway)
    ringway, listener, relayed = serve(port, "v2")
    for certificate in (None, "alice"):
        client, (first, second) = ask(listener, certificate)
        whose = f"a client with {'the certificate of ' + certificate if certificate else 'no certificate'}"
        wanted = (client, f"127.0.0.1:{listener}", "shop.example")
        tell(f"{reader} reads version 2 of {whose}", wanted, (first["src"], first["dst"], first["authority"]))
        tell(f"{reader} reads the first request's identity of {whose}", [first["request_id"]] * 2,
             [first["unique_id"], second["unique_id"]])
        if reader == "nginx":
            wanted = ["http/1.1", "TLSv1.3", "ecdsa-with-SHA256", "EC256", certificate or "", "0" if certificate else "1"]
            parts = ["alpn", "ssl_version", "ssl_sig_alg", "ssl_key_alg", "ssl_cn", "ssl_verify"]
            tell(f"nginx reads what is told of the TLS of {whose}", wanted, [first[part] for part in parts])
            tell(f"nginx reads the cipher suite of {whose}", True, first["ssl_cipher"].startswith("TLS_"))
    judge_relayed(relayed)
    end(ringway)


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


try:
    certify_all()
    reader_port = free_port()
    start({"haproxy": configure_haproxy, "nginx": configure_nginx}[reader](reader_port), "reader.out")
    wait_until(lambda: listens(reader_port), (folder / "reader.out").read_text())
    judge(reader_port)
finally:
    for process in started:
        process.terminate()
    for process in started:
        process.wait()
    shutil.rmtree(folder, ignore_errors=True)
