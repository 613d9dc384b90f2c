//! The configuration as it is shown again.

use super::*;

#[test]
fn the_effective_configuration_loads_to_the_same() {
    let unusual = format!(
        "config_version = 1\n[process]\nworkers = 3\nshutdown_timeout = \"1500ms\"\n{}idle_timeout = \"0s\"\n\
         max_body_bytes = 1025\nmax_header_bytes = \"10KB\"\ntrusted_proxies = [\"10.0.0.1\", \"2001:db8::/32\"]\n{}weight = 7\n",
        LISTENER.replace("\"127.0.0.1:8080\"", "[\"[::]:80\", \"[::1]:81\"]"),
        GROUP.replace("127.0.0.1:9001", "unix:/run/\\\"odd\\\\.sock"),
    );
    let balanced = format!(
        "config_version = 1\n[process]\nhealth_cpu = 3\nresolvers = [\"::1\"]\n[admin]\nsocket = \"/run/a.sock\"\n{LISTENER}{}\
         role = \"standby\"\n[server_group.health_check]\nprotocol = \"tcp\"\n[server_group.sticky]\nmode = \"source_ip\"\n\
         [server_group.passive_check]\nejection_time = \"1500ms\"\n[[server_group.backend]]\naddress = \"127.0.0.1:9002\"\n{}{}",
        GROUP.replace("\"app\"", "\"app\"\nalgorithm = \"Uch\"\nhash_key = { header = \"X-User\" }"),
        GROUP.replace(
            "\"app\"",
            "\"b\"\nalgorithm = \"Sch\"\nsticky = { mode = \"Server\", cookie = \"a'b\" }"
        ) + "[server_group.health_check]\nexpect = [\"200-299\", 404, \"400-402\"]\nhost = \"app:80\"\n",
        LISTENER.replace("web", "b").replace("8080", "8081").replace("app", "b"),
    );
    let minimal = format!("config_version = 1\n{LISTENER}{GROUP}");
    for text in [COMPLETE_EXAMPLE, unusual.as_str(), balanced.as_str(), &minimal] {
        let first = load_text(text);
        let printed = first.effective.to_toml(&first.report);
        let second = load_text(&printed);
        assert_eq!(second.report.to_text(false), "", "{printed}");
        assert_eq!(first.config.map(without_places), second.config.map(without_places));
    }
}

#[test]
fn the_effective_configuration_tells_where_values_come_from() {
    let loaded = load_text(&format!("config_version = 1\n{LISTENER}{GROUP}weight = 7\n"));
    assert_snapshot("effective", loaded.effective.to_toml(&loaded.report));
    assert_snapshot("effective_json", loaded.effective.to_json(&loaded.report));
}

#[test]
fn strings_are_quoted_for_toml() {
    for text in ["plain", "a\"b\\c", "tab\tnewline\n", "\u{1}\u{7f}", "ä€"] {
        let source = Source::made_up("quoted", format!("key = {}", toml_string(text)));
        let root = raw::read(0, &mut Report::new(vec![source]));
        let value = root.find("key").map(|entry| &entry.value.kind);
        assert!(matches!(value, Some(raw::Kind::Text(read)) if read == text), "{text}");
    }
}
