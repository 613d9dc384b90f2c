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
        "adress = 1\n[[admin]]",
        "[admin]",
        "soket = \"a\"",
    ];
    assert_snapshot("admin", cases(&lines, |line| report_with(&format!("[admin]\n{line}\n"), "", "")));
}

#[test]
fn messages_of_access_log() {
    let lines =
        ["path = \"\"", "path = \"logs/\"", "path = 1", "format = \"JSON\"", "format = \"alb\"", "size = 1"];
    assert_snapshot(
        "access_log",
        cases(&lines, |line| report_with(&format!("[access_log]\n{line}\n"), "", "")),
    );
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
