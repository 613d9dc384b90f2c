//! What is counted of connections and datagrams that are relayed: by metrics and by the status.

use crate::admin::{number, status};
use crate::metrics::samples;
use crate::support::{
    Backend, Client, Relayed, Ringway, UdpBackend, UdpClient, echo, eventually, expect_refused,
};
use serde_json::Value as Json;
use std::net::SocketAddr;

const ADMIN: &str = "[admin]\naddress = \"127.0.0.1:0\"\nsocket = \"admin.sock\"";

fn group(name: &str, protocol: &str, backend: SocketAddr) -> String {
    format!(
        "[[server_group]]\nname = \"{name}\"\nprotocol = \"{protocol}\"\nmax_retries = 0\n\
         [[server_group.backend]]\naddress = \"{backend}\"\n"
    )
}

fn sample(ringway: &Ringway, name: &str) -> f64 {
    samples(ringway).get(name).copied().unwrap_or_default()
}

fn group_of(status: &Json, name: &str) -> Json {
    let groups = status["groups"].as_array().expect("a list");
    groups.iter().find(|group| group["name"] == name).expect("it is there").clone()
}

#[test]
fn connections_are_counted_by_rule_group_and_reason() {
    let backend = echo();
    let rule = "[[rule]]\nname = \"near\"\nlistener = \"relay\"\npriority = 1\n\
                source_ip = \"127.0.0.0/8\"\ngroup = \"near\"";
    let ringway = Relayed::tcp(&[backend.address()])
        .table(rule)
        .table(&group("near", "tcp", backend.address()))
        .table(ADMIN)
        .start();
    let mut client = Client::connect_in_the_clear(ringway.address());
    client.send("x".repeat(70_000));
    client.read_exactly(70_000);
    let bytes = |direction: &str| {
        let labels = format!("{{listener=\"relay\",rule=\"near\",group=\"near\",direction=\"{direction}\"}}");
        sample(&ringway, &format!("ringway_relayed_bytes_total{labels}"))
    };
    eventually("bytes are counted while the connection lasts", || {
        (bytes("received"), bytes("sent")) == (70_000.0, 70_000.0)
    });
    client.finish_sending();
    assert_eq!(client.read_to_end(), b"");
    let of_rule = "{listener=\"relay\",rule=\"near\",group=\"near\"";
    let ended = format!("ringway_relayed_connections_total{of_rule},reason=\"-\"}}");
    eventually("its end is counted", || sample(&ringway, &ended) == 1.0);
    let durations = format!("ringway_relayed_connection_duration_seconds_count{of_rule}}}");
    assert_eq!(sample(&ringway, &durations), 1.0);
    let status = status(&ringway);
    let listener = &status["listeners"][0];
    assert_eq!((&listener["accepted"], &listener["requests"]), (&1.into(), &Json::Null), "{listener}");
    let of_group = group_of(&status, "near");
    for told in [&listener["relayed"], &of_group["relayed"]] {
        assert_eq!((&told["count"], &told["failed"]), (&1.into(), &0.into()), "{told}");
    }
    assert_eq!(listener["bytes"], serde_json::json!({"received": 70_000, "sent": 70_000}));
    assert_eq!(of_group["bytes"], listener["bytes"]);
    assert_eq!((&listener["rules"][0]["name"], &of_group["protocol"]), (&"near".into(), &"tcp".into()));
    assert_eq!(group_of(&status, "app")["relayed"]["count"], 0);
}

#[test]
fn connections_without_a_backend_are_counted_as_failed() {
    let ringway = Relayed::tcp(&[Backend::refused_address()]).table(ADMIN).start();
    expect_refused(ringway.address());
    let ended = "ringway_relayed_connections_total{listener=\"relay\",rule=\"\",group=\"app\",reason=\"connect_refused\"}";
    eventually("it is counted", || sample(&ringway, ended) == 1.0);
    let listener = &status(&ringway)["listeners"][0];
    assert_eq!(
        (&listener["relayed"]["failed"], &listener["reasons"]["connect_refused"]),
        (&1.into(), &1.into())
    );
}

#[test]
fn sessions_and_datagrams_are_counted_on_both_sides() {
    let backend = UdpBackend::echo("b:");
    let ringway = Relayed::udp(&[backend.address()]).listener("responses = 1").table(ADMIN).start();
    let client = UdpClient::connect(ringway.address());
    for text in ["x", "yz"] {
        assert_eq!(client.ask(text), format!("b:{text}"));
    }
    let ended = "ringway_relayed_connections_total{listener=\"relay\",rule=\"\",group=\"app\",reason=\"-\"}";
    eventually("both sessions are counted", || sample(&ringway, ended) == 2.0);
    let all = samples(&ringway);
    for (name, value) in [
        (
            "ringway_relayed_bytes_total{listener=\"relay\",rule=\"\",group=\"app\",direction=\"received\"}",
            3.0,
        ),
        ("ringway_relayed_bytes_total{listener=\"relay\",rule=\"\",group=\"app\",direction=\"sent\"}", 7.0),
        ("ringway_upstream_bytes_total{group=\"app\",direction=\"sent\"}", 3.0),
        ("ringway_upstream_bytes_total{group=\"app\",direction=\"received\"}", 7.0),
        ("ringway_upstream_datagrams_total{group=\"app\",direction=\"sent\"}", 2.0),
        ("ringway_upstream_datagrams_total{group=\"app\",direction=\"received\"}", 2.0),
    ] {
        assert_eq!(all.get(name), Some(&value), "{name}");
    }
    let status = status(&ringway);
    let (listener, group) = (&status["listeners"][0], group_of(&status, "app"));
    let datagrams = &listener["datagrams"];
    assert_eq!([&datagrams["received"], &datagrams["sent"]].map(number), [2, 2], "{datagrams}");
    assert_eq!(group["datagrams"], serde_json::json!({"received": 2, "sent": 2}));
    assert_eq!(number(&group["relayed"]["count"]), 2);
}
