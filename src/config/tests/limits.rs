//! IP groups and limits.

use super::*;

const OFFICE: &str = "[[ip_group]]\nname = \"office\"\nentries = [\"10.0.0.0/8\"]\n";

#[test]
fn messages_of_ip_groups() {
    let groups = [
        "[[ip_group]]\nentries = [\"10.0.0.0/8\"]\n",
        "[[ip_group]]\nname = \"10.0.0.1\"\n",
        "[[ip_group]]\nname = \"office\"\n",
        "[[ip_group]]\nname = \"office\"\nentries = [\"10.0.0.0/33\", 5]\n",
        "[[ip_group]]\nname = \"office\"\nentries = [\"10.1.2.3/8\"]\nfile = \"\"\n",
        &format!("{OFFICE}{OFFICE}"),
    ];
    let of_groups = cases(&groups, |groups| report_with(groups, "deny = [\"office\"]\n", ""));
    let lists = [
        "allow = []\n",
        "allow = \"office\"\n",
        "allow = [\"offic\"]\ndeny = [\"10.0.0.0/8\"]\n",
        "allow = [\"office\"]\ndeny = [\"office\", \"office\"]\n",
    ];
    let of_lists = cases(&lists, |lists| report_with(OFFICE, lists, ""));
    assert_snapshot("ip_groups", of_groups + &of_lists);
}

#[test]
fn messages_of_limits() {
    let listeners = [
        "per_client = {}\n",
        "per_client = { burst = 5 }\n",
        "per_client = { max_connections = 0, requests_per_second = \"5\" }\n",
        "per_client = { max_conections = 5 }\n",
        "per_client = 5\n",
        "requests_per_second = 1000001\nlimit_status = 500\n",
    ];
    let of_listeners = cases(&listeners, |listener| report_with("", listener, ""));
    let rules = [
        "limit = {}",
        "limit = { burst = 5 }",
        "limit = 5",
        "limit = { requests_per_second = 10, per_client_requests_per_second = 10 }",
        "limit = { requests_per_second = 0 }",
        "actions = [{ limit = { requests_per_second = 1 } }, { limit = { requests_per_second = 2 } }]",
    ];
    let of_rules = cases(&rules, |rule| {
        let head = "[[rule]]\nname = \"a\"\nlistener = \"web\"\npriority = 1\ngroup = \"app\"\n";
        report_with("", "", &format!("{head}{rule}\n"))
    });
    assert_snapshot("limits", of_listeners + &of_rules);
}
