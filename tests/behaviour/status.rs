//! What `ringway status` tells of operating states.

use crate::admin::{command, scenario};
use crate::support::{Backend, Client, eventually};
use serde_json::{Value as Json, json};

#[test]
fn a_tree_shows_above_what_is_wrong_below() {
    let (backend, failing) = (Backend::echo_head(), Backend::script(|_| Ok(())));
    let rules = format!(
        "[[server_group]]\nname = \"other\"\nmax_retries = 0\npassive_check = {{ consecutive_failures = 1, ejection_time = \"60s\" }}\n[[server_group.backend]]\naddress = \"{}\"\n\
         [[server_group.backend]]\naddress = \"{}\"\n\
         [[rule]]\nname = \"api\"\nlistener = \"web\"\npriority = 5\npath_prefix = \"/api\"\n\
         forward = [{{ group = \"other\", weight = 3 }}, {{ group = \"app\", weight = 0 }}]\n\
         [[rule]]\nname = \"old\"\nlistener = \"web\"\npriority = 6\npath = \"/old\"\nrespond = {{ code = 410 }}",
        failing.address(),
        backend.address()
    );
    let ringway = scenario(&backend).table(&rules).start();
    let tree = || {
        let ended = command(&ringway, &["status", "--tree", "--json"]);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
        serde_json::from_str::<Json>(&ended.stdout).expect("it is JSON")
    };
    let status_of = |json: &Json| json["operating_status"].as_str().expect("a word").to_owned();
    let states = |tree: &Json| {
        let web = &tree["listeners"][0];
        [tree, web, &web["rules"][0], &web["rules"][1], &web["default_group"]].map(status_of)
    };
    let before = tree();
    assert_eq!(states(&before), ["ONLINE"; 5]);
    let web = &before["listeners"][0];
    assert_eq!(
        (&web["default_group"]["name"], &web["rules"][1]["action"]),
        (&"app".into(), &"respond".into())
    );
    let targets = web["rules"][0]["groups"].as_array().expect("a list").iter();
    let targets: Vec<Json> = targets.map(|target| json!([target["name"], target["weight"]])).collect();
    assert_eq!(targets, [json!(["other", 3]), json!(["app", 0])]);
    let all = before["groups"].as_array().expect("a list").iter();
    assert!(
        all.flat_map(|group| group["backends"].as_array()).flatten().all(|b| status_of(b) == "NO_MONITOR")
    );

    eventually("the ejection shows", || {
        Client::connect(ringway.address()).get("/api");
        states(&tree()) == ["DEGRADED", "DEGRADED", "DEGRADED", "ONLINE", "ONLINE"]
    });
    let ended = command(&ringway, &["status", "--tree"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    for words in
        ["├─ rule api ", "group other ", "OFFLINE  ", "active, weight 100, ejected", "priority 6, respond"]
    {
        assert!(ended.stdout.contains(words), "{words}: {}", ended.stdout);
    }

    assert_eq!(command(&ringway, &["maintenance", "api", "on"]).code, Some(0));
    assert_eq!(states(&tree())[..3], ["ONLINE", "ONLINE", "DISABLED"]);
}
