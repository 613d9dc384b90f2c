"""Traffic of layer 4 through Ringway, for judges that look at what it counts.

usage: layer4_traffic.py echo
       layer4_traffic.py speak TCP_LISTENER UDP_LISTENER

`echo` is the backend of datagrams: it says its port on the first line, and sends back what it gets. `speak` lets connections and
sessions end well and badly, and prints `ok CASE` or `FAILED CASE: why` for each. It expects that TCP_LISTENER leads to the backend
of backend.py, and UDP_LISTENER to `echo`, but not from the address 127.0.0.2, which it denies.
"""
import contextlib
import socket
import struct
import sys

TIMEOUT = 10
# The backend of HTTP ends its side after LAST, and waits for more after FIRST.
FIRST = b"POST / HTTP/1.1\r\nHost: relayed\r\nContent-Length: 5\r\n\r\nhello"
LAST = FIRST.replace(b"Host", b"Connection: close\r\nHost")


def echo():
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))
    print(server.getsockname()[1], flush=True)
    while True:
        content, client = server.recvfrom(65536)
        # A client that has left is told of by ICMP.
        with contextlib.suppress(OSError):
            server.sendto(content, client)


def address(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


def tell(case, wanted, found):
    print(f"ok {case}" if found == wanted else f"FAILED {case}: {found!r} instead of {wanted!r}", flush=True)


def received(connection):
    """All that comes until the other side ends."""
    content = b""
    while piece := connection.recv(65536):
        content += piece
    return content


def speak_tcp(listener):
    for _ in range(5):
        with socket.create_connection(listener, TIMEOUT) as client:
            client.sendall(LAST)
            tell("layer 4: a connection that both sides end", b"hello", received(client)[-5:])
    with socket.create_connection(listener, TIMEOUT) as client:
        client.sendall(FIRST)
        tell("layer 4: a connection that its client resets", b"H", client.recv(1))
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def speak_udp(listener):
    for number in range(5):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(TIMEOUT)
            client.connect(listener)
            client.send(b"question %d" % number)
            tell("layer 4: a datagram and its answer", b"question %d" % number, client.recv(65536))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as denied:
        denied.settimeout(0.5)
        denied.bind(("127.0.0.2", 0))
        denied.connect(listener)
        denied.send(b"lost")
        answer = None
        with contextlib.suppress(TimeoutError):
            answer = denied.recv(65536)
        tell("layer 4: a datagram that is lost", None, answer)


if __name__ == "__main__":
    if sys.argv[1] == "echo":
        echo()
    else:
        speak_tcp(address(sys.argv[2]))
        speak_udp(address(sys.argv[3]))
