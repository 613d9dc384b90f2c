//! What `ringway status` tells for people, of operating states, and of what was counted.

use crate::admin::{command, number, scenario, status};
use crate::support::{Backend, Client, PATIENCE, eventually};
use serde_json::{Value as Json, json};

#[test]
fn status_has_what_rates_and_percentiles_are_made_of() {
    let backend = Backend::echo_head();
    let dead = "[[server_group]]\nname = \"dead\"\n[[server_group.backend]]\naddress = \"127.0.0.1:1\"\n\
                [[rule]]\nname = \"dead\"\nlistener = \"web\"\npriority = 5\npath = \"/dead\"\ngroup = \"dead\"";
    let ringway = scenario(&backend).table(dead).start();
    let mut client = Client::connect(ringway.address());
    (0..3).for_each(|_| assert_eq!(client.get("/").status, 200));
    assert_eq!(client.get("/dead").status, 502);
    eventually("all requests are counted", || status(&ringway)["listeners"][0]["requests"]["count"] == 4);
    let status = status(&ringway);
    let web = &status["listeners"][0];
    assert_eq!((&web["accepted"], &web["requests"]["server_errors"]), (&1.into(), &1.into()));
    assert_eq!(web["reasons"].as_object().expect("a table").values().map(number).sum::<u64>(), 1, "{web}");
    let duration = &web["requests"]["duration"];
    let in_buckets = duration["buckets"].as_array().expect("a list").iter().map(|bucket| number(&bucket[1]));
    assert_eq!((number(&duration["count"]), in_buckets.sum::<u64>()), (4, 4));
    let [p50, p99] = ["p50_seconds", "p99_seconds"].map(|key| duration[key].as_f64().expect("a number"));
    assert!(0.0 < p50 && p50 <= p99 && p99 < PATIENCE.as_secs_f64(), "{duration}");
    let of_groups = ["app", "dead"].map(|name| {
        let groups = status["groups"].as_array().expect("a list");
        let group = groups.iter().find(|group| group["name"] == name).expect("it is there");
        ["count", "server_errors"].map(|key| number(&group["requests"][key]))
    });
    assert_eq!(of_groups, [[3, 0], [1, 1]]);
    eventually("a worker tells of its connection", || {
        let status = self::status(&ringway);
        let load = status["worker_load"].as_array().expect("a list").clone();
        let connections: u64 = load.iter().map(|worker| number(&worker["connections"])).sum();
        let lag_is_told = load.iter().all(|worker| number(&worker["loop_lag"]["count"]) > 0);
        load.len() == 2 && connections == 1 && lag_is_told
    });
}

#[test]
fn without_metrics_nothing_is_counted() {
    let backend = Backend::echo_head();
    let ringway = scenario(&backend).table("[metrics]\nenabled = false").start();
    assert_eq!(Client::connect(ringway.address()).get("/").status, 200);
    let status = status(&ringway);
    let web = &status["listeners"][0];
    let told = [&web["accepted"], &web["requests"], &status["groups"][0]["requests"]];
    assert!(told.iter().all(|told| told.is_null()), "{status}");
}

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

#[test]
fn status_is_legible_without_a_terminal() {
    let backend = Backend::echo_head();
    let ringway = scenario(&backend).start();
    let ended = command(&ringway, &["status"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    for words in
        ["2 workers, up ", "config generation 1; reloads: 0 succeeded, 0 refused", "LISTENER", "BACKEND"]
    {
        assert!(ended.stdout.contains(words), "{words}: {}", ended.stdout);
    }
    assert!(ended.stdout.contains("group app: weighted_round_robin, active backends serve, 0 in flight"));
    assert!(!ended.stdout.contains('\x1b'), "colour is for terminals");
    assert!(ended.stdout.lines().all(|line| line.chars().count() <= 100), "{}", ended.stdout);
}
