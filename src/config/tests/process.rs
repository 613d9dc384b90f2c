//! What concerns the process: `[process]`, `[admin]` and `[access_log]`.

use super::*;

#[test]
fn messages_of_process() {
    let lines = [
        "wokers = 1",
        "workers = \"many\"",
        "workers = 0",
        "workers = 1025",
        "pin = \"yes\"",
        "pin = 1",
        "ring_entries = 255",
        "ring_entries = \"4096\"",
        "ring_entries = 99999999999999999999999999999999999999999999",
        "io_driver = \"iouring\"",
        "io_driver = true",
        "shutdown_timeout = 30",
        "shutdown_timeout = \"2h\"",
        "shutdown_timeout = \"1.5s\"",
        "shutdown_timeout = 1.5",
        "max_connections = -1",
        "instance_id = \"edge 1\"",
        "instance_id = 1",
        "health_cpu = \"auto\"",
        "health_cpu = 1023",
        "health_cpu = 1024",
        "health_cpu = \"0\"",
        "resolvers = []",
        "resolvers = [\"127.0.0.1:5353\", \"[::1]:53\", \"192.0.2.1\", \"::1\"]",
        "resolvers = \"127.0.0.1\"",
        "resolvers = [\"127.0.0.1:0\", \"0.0.0.0\", \"224.0.0.1\", \"dns.example\", \"\", 1]",
        "state_folder = \"\"",
        "state_folder = \"/var/lib/ringway/\"",
        "state_folder = 1",
        "user = \"www-data\"\ngroup = \"www-data\"",
        "user = \"33\"",
        "user = 33",
        "user = \"\"",
        "group = \"www-data\"",
        "ticket_seed_file = \"credential:seed\"",
        "ticket_seed_file = \"credential:\"",
        "ticket_seed_file = \"credential:../seed\"",
        "resolvers = [\"::1\", \"::2\", \"::3\", \"::4\", \"::5\", \"::6\", \"::7\", \"::8\", \"::9\"]",
    ];
    assert_snapshot("process", cases(&lines, |line| report_with(&format!("[process]\n{line}\n"), "", "")));
}

#[test]
fn messages_of_admin() {
    let long = format!("socket = \"/{}\"", "a".repeat(107));
    let lines = [
        "",
        "socket = \"/run/ringway/admin.sock\"",
        "socket = \"\"",
        "socket = \"run/\"",
        "socket = \"unix:/run/admin.sock\"",
        &long,
        "socket = 5",
        "address = \"127.0.0.1:9180\"",
        "address = \"0.0.0.0:9180\"",
        "address = \"localhost:9180\"",
        "address = \"0.0.0.0:9180\"\ntokens_file = \"admin.tokens\"",
        "address = \"127.0.0.1:9180\"\ntls = { certificate = \"site\", client_role = \"write\" }",
        "tls = { client_ca = \"ops\", client_role = \"root\" }\ntokens_file = \"admin.tokens\"",
        "address = 9180",
        "address = \"[::1]:0\"\nhosts = [\"EDGE.example\", \"\"]",
        "hosts = [\"edge.example\"]",
        "hosts = \"edge.example\"",
        "adress = 1\n[[admin]]",
        "[admin]",
        "soket = \"a\"",
    ];
    let text = cases(&lines, |line| report_with(&format!("[admin]\n{line}\n"), "", ""));
    // Of the listener that stands behind them, too.
    let shared = [
        "address = \"127.0.0.1:8080\"",
        "address = \"[::]:8080\"\ntokens_file = \"t\"\ntls = { certificate = \"site\" }",
        "address = \"[::1]:8080\"",
    ];
    let with = |line: &str| report_with(&format!("{SITE}[admin]\n{line}\n"), "", "");
    let text = text + &cases(&shared, with);
    let listeners = [
        "address = \"0.0.0.0\"\nports = \"9170-9190\"\nprotocol = \"tcp\"",
        "address = \"0.0.0.0:9180\"\nprotocol = \"udp\"",
        "address = \"[::]:9180\"\nprotocol = \"tcp\"",
        "address = \"0.0.0.0:9180\"\nprotocol = \"tcp\"\nenabled = false",
    ];
    let beside = |lines: &str| {
        let protocol = if lines.contains("udp") { "udp" } else { "tcp" };
        let group = GROUP.replace(
            "[[server_group.backend]]",
            &format!("protocol = \"{protocol}\"\n[[server_group.backend]]"),
        );
        let text = format!(
            "config_version = 1\n[admin]\naddress = \"127.0.0.1:9180\"\n[[listener]]\nname = \"a\"\n{lines}\ndefault_group = \"app\"\n{group}"
        );
        load_text(&text).report.to_text(false)
    };
    assert_snapshot("admin", text + &cases(&listeners, beside));
}

#[test]
fn messages_of_access_log() {
    let lines = [
        "path = \"\"",
        "path = \"logs/\"",
        "path = 1",
        "path = \"off\"",
        "path = \"STDOUT\"",
        "path = \"udp:127.0.0.1:514\"",
        "path = \"syslog:unix:@log\"",
        "path = \"./off\"",
        "format = \"JSON\"",
        "format = \"alb\"",
        "format = \"elb\"\nfields = [\"status\"]",
        "format = \"$remote_adr $status\"",
        "format = '\"$remote_addr\" $$ $Status'",
        "format = \"\\\"$host\\\" ${statsu} $status\"",
        "format = \"$status $quux\"",
        "format = \"$status $uri\"",
        "format = \"$http_authorization\"",
        "format = \"$status $\"",
        "format = \"$status ${host\"",
        "format = \"$status\\n$host\"",
        "format = 1",
        "sample = 0.01",
        "sample = 1.5",
        "sample = -1",
        "sample = nan",
        "sample = \"1%\"",
        "fields = []",
        "fields = \"status\"",
        "fields = [\"status\", 200]",
        "fields = [\"statsu\", \"$remote_addr\", \"quux\"]",
        "fields = [\"status\", \"host\", \"status\"]",
        "format = \"combined\"\nfields = [\"status\"]",
        "fields = []\nformat = \"combined\"",
        "format = \"jsno\"\nfields = [\"status\"]",
        "headers = { request = [\"X-Tenant\", \"x-region\"], response = [\"server\"], cookies = [\"Lang\"] }",
        "headers = { request = [\"user-agent\"] }",
        "headers = { request = [\"x-a\", \"X_A\"], answer = [\"b\"] }",
        "headers = { request = [\"Authorization\", \"cookie\"], response = [\"set-cookie\"] }",
        "headers = { response = \"server\" }",
        "headers = { cookies = [\"a b\", \"\"] }",
        "headers = {}",
        "headers = [\"x-a\"]",
        "format = \"combined\"\nheaders = { request = [\"x-a\"] }",
        "size = 1",
    ];
    assert_snapshot(
        "access_log",
        cases(&lines, |line| report_with(&format!("[access_log]\n{line}\n"), "", "")),
    );
}

#[test]
fn messages_of_several_access_logs() {
    let nine: String = (0..9).map(|index| format!("[[access_log]]\npath = \"{index}.log\"\n")).collect();
    let texts = [
        "[[access_log]]\npath = \"a.log\"\nlistener = [\"a\"]\nlog = \"errors\"\n[[access_log]]\npath = \"b.log\"",
        "[[access_log]]\n[[access_log]]\n",
        "[[access_log]]\npath = \"syslog:unix:/dev/log\"\n[[access_log]]\npath = \"journald\"\nfacility = \"daemon\"\n\
         [[access_log]]\npath = \"syslog:udp:[::1]:514\"\nseverity = \"warn\"\n\
         [[access_log]]\npath = \"syslog:udp:logs.example:514\"\napp_name = \"edge/web\"\nsyslog_format = \"local\"\n\
         [[access_log]]\npath = \"journald:/run/systemd/journal.edge/socket\"\nmax_message_bytes = \"64KB\"",
        "[[access_log]]\npath = \"syslog:udp:192.0.2.1\"",
        "[[access_log]]\npath = \"syslog:tcp:192.0.2.1:514\"",
        "[[access_log]]\npath = \"syslog:unix:\"",
        "[[access_log]]\npath = \"syslog:server=192.0.2.1\"",
        "[[access_log]]\npath = \"journald:run/\"",
        "[[access_log]]\npath = \"journald\"\nsyslog_format = \"rfc5424\"\napp_name = \"a b\"",
        "[[access_log]]\npath = \"a.log\"\nfacility = \"local8\"\nseverity = \"info\"\nmax_message_bytes = 100",
        "[[access_log]]\npath = \"logs/a.log\"\n[[access_log]]\npath = \"/conf/logs/../logs/a.log\"",
        "[[access_log]]\nname = \"b.log\"\n[[access_log]]\npath = \"b.log\"",
        "[[access_log]]\nname = \"a\"\npath = \"a.log\"\n[[access_log]]\nname = \"a\"\npath = \"b.log\"",
        "[[access_log]]\nlistener = \"wep\"",
        "[[access_log]]\nlistener = []\nname = \"\"",
        "[[access_log]]\nlog = \"off\"",
        "[[access_log]]\nlog = [\"5xx\", 404, \"300-303\"]",
        "[[access_log]]\nlog = 99",
        "[[access_log]]\nlog = []",
        "access_log = \"stdout\"",
        "access_log = [\"stdout\"]",
        "access_log = []",
        &nine,
    ];
    assert_snapshot("access_logs", cases(&texts, |text| report_with(&format!("{text}\n"), "", "")));
}

#[test]
fn fields_of_the_access_log_stand_in_their_order_with_the_time() {
    let fields = |line: &str| {
        let loaded = load_text(&format!("config_version = 1\n[access_log]\n{line}\n{LISTENER}{GROUP}"));
        assert_eq!(loaded.report.to_text(false), "");
        loaded.config.map(|config| config.access_logs[0].fields.clone()).expect("it is good")
    };
    assert_eq!(fields("fields = [\"status\", \"request_uri\"]"), ["time", "request_uri", "status"]);
    assert_eq!(fields("fields = [\"time\"]"), ["time"]);
    for line in ["", "format = \"combined\""] {
        assert_eq!(fields(line), log_fields::usual(), "{line}");
    }
}

#[test]
fn the_page_of_the_access_log_has_every_field_in_the_order_of_a_line() {
    let page = include_str!("../../../docs/access_log.md");
    let table = page.split("| Field | Is |").nth(1).and_then(|rest| rest.split("\n## ").next());
    let rows = table.expect("the page has a table of fields").lines();
    // Only the first cell of a row names fields.
    let cells = rows.filter_map(|row| row.strip_prefix("| `")?.split(" | ").next());
    let names: Vec<&str> =
        cells.flat_map(|cell| cell.split(['`', ',', ' ']).filter(|name| !name.is_empty())).collect();
    assert_eq!(names, log_fields::ALL);
}

#[test]
fn the_process_wide_keys_of_health_and_control_are_kept() {
    let text = |before: &str| format!("config_version = 1\n{before}{LISTENER}{GROUP}");
    let defaults = load_text(&text("")).config.expect("the configuration is valid");
    assert_eq!((defaults.process.health_cpu, defaults.admin.socket), (HealthCpu::Auto, None));
    assert_eq!(defaults.process.resolvers, []);
    let unusual = "[process]\nhealth_cpu = 0\nresolvers = [\"127.0.0.1:5353\", \"[::1]:53\", \"192.0.2.1\", \"::1\"]\n\
        [admin]\nsocket = \"run/admin.sock\"\n";
    let source = Source::file(Path::new("conf/a.toml"), PathBuf::from("/srv"), Ok(text(unusual)));
    let config = load(vec![source]).config.expect("the configuration is valid");
    assert_eq!(config.process.health_cpu, HealthCpu::Cpu(0));
    let resolvers: Vec<String> = config.process.resolvers.iter().map(ToString::to_string).collect();
    assert_eq!(resolvers, ["127.0.0.1:5353", "[::1]:53", "192.0.2.1:53", "[::1]:53"]);
    let socket = config.admin.socket.map(|socket| socket.path);
    assert_eq!(socket, Some(PathBuf::from("/srv/run/admin.sock")));
}
