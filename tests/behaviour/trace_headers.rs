//! The headers of traces: taken, made and passed on, and told by the access log.

use std::sync::mpsc::{Receiver, channel};

use crate::support::{
    Ask, Backend, BackendVersion, Client, Content, Http2, PATIENCE, Pair, Scenario, Version, log_entries,
};

const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";
const HTTP1: Pair = Pair { client: Version::Http1, backend: BackendVersion::Http1 };
const TRUSTING: &str = "trusted_proxies = [\"127.0.0.0/8\"]";

fn tracing(lines: &str) -> String {
    format!("[tracing]\npropagate = true\n{lines}\n")
}

/// A backend that tells the fields of traces that it got, each as `name: value`.
fn telling(pair: Pair) -> (Backend, Receiver<Vec<String>>) {
    let (sender, told) = channel();
    let backend = pair.backend(move |exchange| {
        exchange.read_all()?;
        let names = ["traceparent", "tracestate", "b3", "x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid"];
        let names = names.iter().chain(&["x-b3-sampled", "x-b3-flags"]);
        let fields = names.filter_map(|name| Some(format!("{name}: {}", exchange.field(name)?)));
        drop(sender.send(fields.collect()));
        exchange.respond(200, b"ok")
    });
    (backend, told)
}

/// The parts of a `traceparent` line: identity, parent, flags.
fn parts(lines: &[String]) -> (String, String, String) {
    let value = lines.first().and_then(|line| line.strip_prefix("traceparent: ")).expect("a traceparent");
    let parts: Vec<_> = value.split('-').map(str::to_owned).collect();
    assert_eq!(parts.len(), 4, "{value}");
    assert_eq!(parts[0], "00");
    assert!(is_hex(&parts[1], 32) && is_hex(&parts[2], 16) && is_hex(&parts[3], 2), "{value}");
    (parts[1].clone(), parts[2].clone(), parts[3].clone())
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[test]
fn a_trace_goes_on_with_another_parent() {
    Pair::each(|pair| {
        let (backend, told) = telling(pair);
        let ringway = pair.scenario(&backend).logged("json").table(&tracing("")).start();
        let mut client = pair.connect(ringway.address());
        let mut parents = Vec::new();
        for flags in ["01", "00"] {
            let value = format!("00-{ID}-{PARENT}-{flags}");
            let fields = [("tracestate", "b=1"), ("traceparent", value.as_str()), ("tracestate", "a=2")];
            let call = client.begin(Ask::get("/").fields(&fields));
            assert_eq!(client.response(call).status, 200);
            let lines = told.recv_timeout(PATIENCE).expect("a request");
            let (id, parent, passed) = parts(&lines);
            assert_eq!((id.as_str(), passed.as_str()), (ID, flags));
            assert_ne!(parent, PARENT);
            assert_eq!(lines[1..], ["tracestate: b=1,a=2".to_owned()]);
            parents.push(parent);
        }
        assert_ne!(parents[0], parents[1]);
        for entry in log_entries(&ringway, 2) {
            assert_eq!(entry["trace_id"], ID);
            let span = entry["span_id"].as_str().expect("a span");
            assert!(is_hex(span, 16) && span != PARENT && !parents.iter().any(|parent| parent == span));
        }
    });
}

#[test]
fn what_is_absent_or_invalid_is_made() {
    Pair::each(|pair| {
        let (backend, told) = telling(pair);
        let ringway = pair.scenario(&backend).logged("json").table(&tracing("sample = 0")).start();
        let mut client = pair.connect(ringway.address());
        let valid = format!("00-{ID}-{PARENT}-01");
        let upper = valid.to_uppercase();
        let zeros = format!("00-{}-{PARENT}-01", "0".repeat(32));
        let future = format!("ff-{ID}-{PARENT}-01");
        let longer = format!("{valid}-00");
        let mut seen = Vec::new();
        for fields in [
            &[][..],
            &[("tracestate", "a=1")],
            &[("traceparent", upper.as_str()), ("tracestate", "a=1")],
            &[("traceparent", zeros.as_str())],
            &[("traceparent", future.as_str())],
            &[("traceparent", longer.as_str())],
            &[("traceparent", valid.as_str()), ("traceparent", valid.as_str()), ("tracestate", "a=1")],
            &[("b3", "nothing"), ("x-b3-traceid", "0")],
        ] {
            let call = client.begin(Ask::get("/").fields(fields));
            assert_eq!(client.response(call).status, 200);
            let lines = told.recv_timeout(PATIENCE).expect("a request");
            assert_eq!(lines.len(), 1, "{fields:?}: {lines:?}");
            let (id, _, flags) = parts(&lines);
            assert_eq!(flags, "00", "{fields:?}");
            seen.push(id);
        }
        let logged: Vec<_> =
            log_entries(&ringway, seen.len()).iter().map(|entry| entry["trace_id"].clone()).collect();
        assert_eq!(logged, seen);
        seen.push(ID.to_owned());
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), logged.len() + 1, "each has its own");
    });
}

#[test]
fn b3_is_passed_on_in_the_form_that_came() {
    Pair::each(|pair| {
        let (backend, told) = telling(pair);
        let ringway = pair.scenario(&backend).table(&tracing("")).start();
        let mut client = pair.connect(ringway.address());
        let mut ask = |fields: &[(&str, &str)]| {
            let call = client.begin(Ask::get("/").fields(fields));
            assert_eq!(client.response(call).status, 200);
            told.recv_timeout(PATIENCE).expect("a request")
        };
        let single = format!("{ID}-{PARENT}-1-{PARENT}");
        let lines = ask(&[("b3", &single)]);
        let value = lines[0].strip_prefix("b3: ").expect("b3").to_owned();
        let words: Vec<_> = value.split('-').collect();
        assert_eq!((lines.len(), words.len(), words[0], words[2]), (1, 4, ID, "1"), "{value}");
        assert!(is_hex(words[1], 16) && is_hex(words[3], 16) && words[1] != PARENT && words[3] != words[1]);
        let lines = ask(&[("X-B3-TraceId", PARENT), ("X-B3-SpanId", PARENT), ("X-B3-Sampled", "0")]);
        assert_eq!(lines.len(), 4, "{lines:?}");
        assert_eq!(
            (lines[0].as_str(), lines[3].as_str()),
            ("x-b3-traceid: 00f067aa0ba902b7", "x-b3-sampled: 0")
        );
        // Where there is a traceparent, it counts, and B3 is for others.
        let parent = format!("00-{ID}-{PARENT}-01");
        let lines = ask(&[("b3", "0"), ("traceparent", &parent)]);
        assert_eq!((lines.len(), lines[1].as_str()), (2, "b3: 0"), "{lines:?}");
        assert_eq!(parts(&lines).0, ID);
    });
}

#[test]
fn strangers_can_be_kept_out_of_traces() {
    let parent = format!("00-{ID}-{PARENT}-01");
    let fields =
        [("traceparent", parent.as_str()), ("tracestate", "a=1"), ("X_B3_Sampled", "1"), ("b3", "1")];
    for (listener, is_kept) in [("", false), (TRUSTING, true)] {
        Pair::each(|pair| {
            let (backend, told) = telling(pair);
            let lines = tracing("accept_from = \"trusted_proxies\"\nsample = 0");
            let ringway = pair.scenario(&backend).listener(listener).table(&lines).start();
            let mut client = pair.connect(ringway.address());
            let call = client.begin(Ask::get("/").fields(&fields));
            assert_eq!(client.response(call).status, 200);
            let lines = told.recv_timeout(PATIENCE).expect("a request");
            let (id, _, flags) = parts(&lines);
            assert_eq!((id == ID, flags == "01", lines.len() == 3), (is_kept, is_kept, is_kept), "{lines:?}");
        });
    }
}

#[test]
fn without_the_key_nothing_is_touched() {
    Pair::each(|pair| {
        let (backend, told) = telling(pair);
        let ringway = pair.scenario(&backend).logged("json").start();
        let mut client = pair.connect(ringway.address());
        let fields = [("traceparent", "what"), ("tracestate", "="), ("b3", "x")];
        for fields in [&fields[..], &[]] {
            let call = client.begin(Ask::get("/").fields(fields));
            assert_eq!(client.response(call).status, 200);
            let sent: Vec<_> = fields.iter().map(|(name, value)| format!("{name}: {value}")).collect();
            assert_eq!(told.recv_timeout(PATIENCE).expect("a request"), sent);
        }
        assert!(log_entries(&ringway, 2).iter().all(|entry| entry.get("trace_id").is_none()));
    });
}

#[test]
fn each_attempt_has_a_span_of_its_own() {
    let (sender, received) = channel();
    let closing = || {
        let sender = sender.clone();
        Backend::script(move |peer| {
            let Some(head) = peer.read_head()? else { return Ok(()) };
            let value = head.field("traceparent").map(str::to_owned);
            sender.send(value).map_err(|_| std::io::ErrorKind::BrokenPipe.into())
        })
    };
    let (one, other) = (closing(), closing());
    let scenario = Scenario::of(&one).backend(other.address()).table(&tracing(""));
    let ringway = scenario.logged("$trace_id $span_id").start();
    assert_eq!(Client::connect(ringway.address()).get("/").status, 502);
    let line = crate::support::log_lines(&ringway, 1).remove(0);
    let (id, span) = line.split_once(' ').expect("two words");
    let got: Vec<_> =
        (0..2).map(|_| received.recv_timeout(PATIENCE).ok().flatten().expect("a value")).collect();
    let parents: Vec<_> = got.iter().map(|value| value.split('-').nth(2).unwrap_or_default()).collect();
    assert!(
        got.iter().all(|value| value.starts_with(&format!("00-{id}-")) && value.ends_with("-01")),
        "{got:?}"
    );
    assert!(parents[0] != parents[1] && !parents.contains(&span), "{parents:?} {span}");
}

#[test]
fn copies_and_questions_belong_to_the_trace() {
    Pair::each(|pair| {
        let protocol = if pair.backend == BackendVersion::Http2 { "h2c" } else { "http" };
        let ends = [telling(pair), telling(pair), telling(pair)];
        let group = |name: &str, at: usize| {
            format!(
                "[[server_group]]\nname = \"{name}\"\nprotocol = \"{protocol}\"\n[[server_group.backend]]\n\
                 address = \"{}\"\n",
                ends[at].0.address()
            )
        };
        let rule = "[[rule]]\nname = \"all\"\nlistener = \"web\"\npriority = 10\npath_prefix = \"/\"\ngroup = \"app\"\n\
            mirror = { group = \"shadow\", body = true }\nforward_auth = { group = \"auth\", path = \"/auth\" }\n";
        let scenario = pair.scenario(&ends[0].0).table(&group("shadow", 1)).table(&group("auth", 2));
        let ringway = scenario.table(rule).table(&tracing("")).start();
        let mut client = pair.connect(ringway.address());
        let value = format!("00-{ID}-{PARENT}-01");
        let fields = [("traceparent", value.as_str()), ("tracestate", "a=1")];
        let call = client.begin(Ask::post("/", Content::Sized(4)).fields(&fields));
        client.write(call, b"text").expect("it is taken");
        client.end(call, &[]).expect("it is taken");
        assert_eq!(client.response(call).status, 200);
        let mut parents = Vec::new();
        for (_, told) in &ends {
            let lines = told.recv_timeout(PATIENCE).expect("a request");
            let (id, parent, flags) = parts(&lines);
            assert_eq!((id.as_str(), flags.as_str()), (ID, "01"));
            assert_eq!(lines[1..], ["tracestate: a=1".to_owned()]);
            parents.push(parent);
        }
        parents.push(PARENT.to_owned());
        parents.sort();
        parents.dedup();
        assert_eq!(parents.len(), 4, "each has a span of its own");
    });
}

#[test]
fn a_rule_has_the_last_word() {
    let (backend, told) = telling(HTTP1);
    let rule = |lines: &str| {
        format!(
            "[[rule]]\nname = \"all\"\nlistener = \"web\"\npriority = 10\npath_prefix = \"/\"\ngroup = \"app\"\n{lines}\n"
        )
    };
    for (lines, expected) in [
        ("remove_header = { name = \"traceparent\" }", vec![]),
        ("set_header = { name = \"traceparent\", value = \"own\" }", vec!["traceparent: own".to_owned()]),
    ] {
        let ringway = Scenario::of(&backend).table(&rule(lines)).table(&tracing("")).start();
        assert_eq!(Client::connect(ringway.address()).get("/").status, 200);
        assert_eq!(told.recv_timeout(PATIENCE).expect("a request"), expected, "{lines}");
    }
}

#[test]
fn a_reload_changes_what_is_propagated() {
    let (backend, told) = telling(HTTP1);
    let scenario = Scenario::of(&backend);
    let ringway = scenario.start();
    let mut client = Client::connect(ringway.address());
    assert_eq!(client.get("/").status, 200);
    assert_eq!(told.recv_timeout(PATIENCE).expect("a request"), Vec::<String>::new());
    ringway.reload(&scenario.table(&tracing("sample = 0")).text());
    assert_eq!(client.get("/").status, 200);
    assert_eq!(parts(&told.recv_timeout(PATIENCE).expect("a request")).2, "00");
}

#[test]
fn a_value_beyond_the_limits_costs_no_more_than_itself() {
    let backend = Backend::echo_head();
    let ringway = Scenario::of(&backend).secured().table(&tracing("")).start();
    let mut end = Http2::connect(ringway.address());
    let parent = format!("00-{ID}-{PARENT}-01");
    let many = (0..33).map(|index| format!("k{index}=v")).collect::<Vec<_>>().join(",");
    let long = (0..9).map(|index| format!("k{index}={}", "v".repeat(97))).collect::<Vec<_>>().join(",");
    for (state, kept) in [(many.as_str(), 0), (long.as_str(), 5 * 100 + 4)] {
        let stream = end.request("GET", "/", &[("traceparent", &parent), ("tracestate", state)], true);
        let answer = end.message(stream).expect("an answer");
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let line = text.lines().find_map(|line| line.strip_prefix("tracestate: ")).unwrap_or_default();
        assert_eq!(line.len(), kept, "{text}");
        assert!(text.contains(&format!("traceparent: 00-{ID}-")), "{text}");
    }
}
