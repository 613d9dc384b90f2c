#!/usr/bin/env bash
# A service that tells its service manager "ready" by the Rust package sd-notify is never heard where the manager listens
# at an abstract socket.
#
# Seen: the package sd-notify 0.5.0, whose notify() takes NOTIFY_SOCKET for a path in every case. With NOTIFY_SOCKET=@name it
# looks for a file called "@name", and returns "No such file or directory"; most programs pass over that error, as the
# examples of the package do, and the manager waits until its patience is over. With a path the same call is heard.
# Expected: sd_notify(3): a name that begins with "@" stands for an abstract socket, whose address begins with a zero byte.
# Managers of containers and of tests use such sockets, because they need no place in a file system.
#
# What follows: send the datagram yourself, by std's SocketAddrExt::from_abstract_name, which is ten lines.
#
# Needs cargo and python3. Fails when what is seen changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir src
cat >Cargo.toml <<'TOML'
[package]
name = "case"
version = "0.0.0"
edition = "2021"
[dependencies]
sd-notify = "=0.5.0"
TOML
cat >src/main.rs <<'RUST'
fn main() {
    match sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
        Ok(()) => println!("told"),
        Err(error) => println!("error: {:?}", error.kind()),
    }
}
RUST
CARGO_TARGET_DIR="$folder/target" cargo build --quiet
cat >case.py <<'PY'
import os
import socket
import subprocess
import sys


def told(address, variable):
    """What the program says, and what a manager at this address hears."""
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(address)
    manager.settimeout(1)
    said = subprocess.run(
        [sys.argv[1]], env={**os.environ, "NOTIFY_SOCKET": variable}, capture_output=True, text=True, check=True
    ).stdout.strip()
    try:
        return said, manager.recv(100)
    except TimeoutError:
        return said, None


name = f"case-{os.getpid()}"
by_path, abstract = told("notify", os.path.abspath("notify")), told("\0" + name, "@" + name)
print("a path:", by_path, "\nan abstract socket:", abstract)
assert by_path == ("told", b"READY=1\n"), by_path
assert abstract == ("error: NotFound", None), abstract
PY
python3 case.py "$folder/target/debug/case"
