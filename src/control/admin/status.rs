//! The state of a serving process and its backends: the one form from which the JSON of the admin socket and
//! `ringway status` are made.
//!
//! `docs/admin.md` explains every name, and `docs/status.schema.json` is made of these types; they are promised to scripts. A document of another version is read as far as
//! it goes: what it lacks has its default, and what it adds is passed over.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde::Serialize;

/// One of the words that `docs/admin.md` lists.
pub type Word = Cow<'static, str>;

#[derive(Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Status {
    pub version: String,
    pub pid: u32,
    /// Whether a graceful stop has begun.
    pub stopping: bool,
    /// A date, as all of them in RFC 3339 and UTC.
    pub started: String,
    pub uptime_seconds: u64,
    /// The same in milliseconds: the moment of these numbers, from which rates are made.
    pub uptime_ms: u64,
    /// The number of the configuration in service, from 1.
    pub epoch: u64,
    pub reloads: ReloadsStatus,
    /// Processes that handed over to this one and still serve what they have.
    pub predecessors: Vec<PredecessorStatus>,
    /// How many threads serve.
    pub workers: usize,
    /// What the workers run on.
    pub drivers: Vec<DriverStatus>,
    /// Of each worker, in their order.
    pub worker_load: Vec<WorkerLoad>,
    /// Connections of clients to the whole process.
    pub connections: Usage,
    /// What requests hold that wait because of `request_buffer`.
    pub request_buffer_bytes: Usage,
    /// In the order of the configuration at the start.
    pub access_logs: Vec<AccessLogStatus>,
    /// Also those that are being removed, while they have connections.
    pub listeners: Vec<ListenerStatus>,
    /// Those in service.
    pub certificates: Vec<CertificateStatus>,
    /// CAs of clients and backends, with their revocation lists.
    pub cas: Vec<CaStatus>,
    pub groups: Vec<GroupStatus>,
    /// What is not served for a while.
    pub maintenance: Vec<MaintenanceStatus>,
    /// Backends that no group has any more.
    pub leaving: Vec<BackendStatus>,
}

#[derive(Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct PredecessorStatus {
    pub pid: u32,
    /// When it handed over.
    pub since: String,
    pub seconds: u64,
    /// Connections of clients that it still has, as it told last.
    pub connections: usize,
}

#[derive(Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct AccessLogStatus {
    /// Its path, where it has no name of its own.
    pub name: String,
    /// Since the start of the process.
    pub lines: u64,
    /// That are lost.
    pub lines_dropped: u64,
}

#[derive(Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct ReloadsStatus {
    pub succeeded: u64,
    pub refused: u64,
    pub last: Option<LastReload>,
}

#[derive(Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct LastReload {
    /// `reloaded` or `refused`.
    pub outcome: Word,
    pub at: Option<String>,
    /// How long ago that is.
    pub seconds: Option<u64>,
}

/// An I/O driver with its flags, and how many workers have it.
#[derive(Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct DriverStatus {
    pub driver: String,
    pub workers: usize,
}

/// What a worker tells of itself: its connections as they come and go, the rest ten times a second.
#[derive(Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct WorkerLoad {
    /// CPU time that its thread has used since the start.
    pub cpu_seconds: f64,
    pub connections: u64,
    /// Connections that it has accepted and handed to workers with fewer, since the start.
    pub handed_over: u64,
    /// How often it has stood still for seconds since the start, and whether it does now.
    pub stalls: u64,
    pub is_stalled: bool,
    /// How much later than they should the ticks of its loop were noticed.
    pub loop_lag: Durations,
}

/// Durations since the start, each to within a sixteenth.
#[derive(Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Durations {
    pub count: u64,
    pub p50_seconds: f64,
    pub p99_seconds: f64,
    /// How many were at most so many microseconds long, and longer than those of the entry before: with these, what is
    /// true of the time between two documents can be told.
    pub buckets: Vec<(u64, u64)>,
}

/// Requests that have ended since the start.
#[derive(Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct EndedRequests {
    pub count: u64,
    /// Those that were answered with a status of 400 to 499.
    pub client_errors: u64,
    /// Those that were answered with a status of 500 or more.
    pub server_errors: u64,
    pub retries: u64,
    /// From the first byte of the request to the last byte of the response.
    pub duration: Durations,
}

/// Relayed connections, or sessions of UDP, that have ended since the start.
#[derive(Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct EndedConnections {
    pub count: u64,
    /// Those that no backend could be found for, or that their backend failed: in the access log with a status of 500 or more.
    pub failed: u64,
    /// Backends that were asked beyond the first of each.
    pub retries: u64,
    /// How long they lasted.
    pub duration: Durations,
}

/// Bytes since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct ByteCounts {
    pub received: u64,
    pub sent: u64,
}

/// Datagrams since the start.
#[derive(Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct DatagramStatus {
    /// From clients.
    pub received: u64,
    /// To clients.
    pub sent: u64,
    /// Of either side, by the reason for which they were lost here.
    pub dropped: BTreeMap<Word, u64>,
}

/// Datagrams of backends since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct UpstreamDatagrams {
    pub received: u64,
    pub sent: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Usage {
    pub in_use: usize,
    pub limit: Option<usize>,
}

#[derive(Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct ListenerStatus {
    pub name: String,
    /// `http`, `https`, `quic`, `tcp`, `tls` or `udp`.
    pub protocol: Word,
    /// HTTP/3 is served at its addresses: beside `https`, or alone with `quic`.
    pub http3: bool,
    /// The QUIC listener to which clients of this one may change over.
    pub quic_listener: Option<String>,
    pub addresses: Vec<String>,
    pub connections: Usage,
    /// Connections that were turned away, by the reason code of the access log.
    pub refused: BTreeMap<Word, u64>,
    /// Connections, or sessions of UDP, since the start. None where nothing is counted; so is what follows.
    pub accepted: Option<u64>,
    /// None where connections or datagrams are relayed.
    pub requests: Option<EndedRequests>,
    /// None where HTTP is spoken.
    pub relayed: Option<EndedConnections>,
    /// Received from clients and sent to them.
    pub bytes: Option<ByteCounts>,
    /// None where nothing comes by UDP. Those of HTTP/3 are told once a second.
    pub datagrams: Option<DatagramStatus>,
    /// Requests, connections and sessions whose line in the access log has a reason, by that.
    pub reasons: BTreeMap<Word, u64>,
    /// In the order in which they are tried.
    pub rules: Vec<RuleStatus>,
    /// Names of those that are disabled, for requests and for responses.
    pub disabled_rules: Vec<String>,
    /// Gets what no rule takes.
    pub default_group: Option<String>,
    /// The port that every request is redirected to, instead of all rules.
    pub redirect_port: Option<u16>,
    /// The configuration names it no more, or disables it.
    pub leaving: bool,
    /// It is not bound, because it is disabled.
    pub disabled: bool,
}

/// What a listener speaks, in a word: its protocol, and whether HTTP/3 is served beside it.
pub fn protocol_label(protocol: &str, http3: bool) -> String {
    let beside = if http3 && protocol == "https" { "+h3" } else { "" };
    format!("{protocol}{beside}")
}

#[derive(Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct RuleStatus {
    pub name: String,
    pub priority: u32,
    /// `forward`, `redirect` or `respond`.
    pub action: Word,
    /// Those that share its requests.
    pub groups: Vec<TargetStatus>,
}

/// A group that gets requests of a rule.
#[derive(Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct TargetStatus {
    pub name: String,
    pub weight: u32,
}

#[derive(Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct CertificateStatus {
    pub name: String,
    /// Host names for which clients get it: those that it is valid for, or `names` of the configuration.
    pub names: Vec<String>,
    pub not_after: String,
    /// When it went into service.
    pub since: String,
    pub listeners: Vec<String>,
    pub broken: Option<BrokenFiles>,
}

#[derive(Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct CaStatus {
    pub name: String,
    /// The end of the revocation list that ends first.
    pub next_update: Option<String>,
    pub since: String,
    pub broken: Option<BrokenFiles>,
}

/// A rule or a server group that is not served for a while.
#[derive(Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct MaintenanceStatus {
    /// `rule` or `server_group`.
    pub kind: Word,
    pub name: String,
    /// None: since the start.
    pub since: Option<String>,
    pub seconds: Option<u64>,
}

/// Files that changed and cannot be taken into service.
#[derive(Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct BrokenFiles {
    pub since: String,
    pub errors: Vec<String>,
}

#[derive(Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct GroupStatus {
    pub name: String,
    /// `http`, `https`, `h2c`, `grpc`, `tcp`, `tls` or `udp`.
    pub protocol: Word,
    pub algorithm: Word,
    /// Who gets its requests: `active` or `standby` backends; `all_down`, `nobody`, `disabled`.
    pub availability: Word,
    /// Requests, connections or sessions that were sent, or for which a connection is being opened, and that have not ended.
    pub in_flight: u32,
    /// Of all listeners. None where nothing is counted, and where connections or datagrams are relayed.
    pub requests: Option<EndedRequests>,
    /// The same of these. None where HTTP is spoken.
    pub relayed: Option<EndedConnections>,
    /// Received from backends and sent to them. None where nothing is counted.
    pub bytes: Option<ByteCounts>,
    /// The same in datagrams. None where the protocol is not `udp`.
    pub datagrams: Option<UpstreamDatagrams>,
    /// Requests that wait for a backend with room. None where no backend has a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<Usage>,
    /// Host names that have no address yet.
    pub unresolved: Vec<String>,
    pub backends: Vec<BackendStatus>,
}

#[derive(Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct BackendStatus {
    pub address: String,
    /// The host and port that the configuration names it by, where that is not an address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `active` or `standby`. None of one that no group has any more; so is `weight`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<Word>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// What was said of it by command; it is not in the configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<RuntimeStatus>,
    /// `disabled`, `drained`, `draining`, `unhealthy`, `ejected`, `initial`, `healthy` or `unchecked`.
    pub state: Word,
    /// Why it gets no new requests, where it is draining or drained: `removed`, `disabled`, `command` or `weight`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain_reason: Option<Word>,
    /// Why the last probe that decided has failed.
    pub reason: Option<Word>,
    /// The status that came, if that is the reason.
    pub status: Option<u16>,
    /// What probes say, whatever the state is.
    pub check: Word,
    /// Nothing keeps new requests from it. A backend can be `initial` and serve until its first probe.
    pub available: bool,
    /// Requests failed in a row; until then there are no new ones.
    pub ejected_until: Option<String>,
    /// When the state began.
    pub since: Option<String>,
    pub seconds: Option<u64>,
    pub in_flight: u32,
    /// Those that were sent to it; attempts count one by one.
    pub requests: u64,
    /// Those of them that it failed.
    pub failures: u64,
    /// How often it went into or out of service.
    pub changes: u32,
}

/// A weight or a drain by command. It outlives reloads and upgrades.
#[derive(Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct RuntimeStatus {
    /// None: as configured.
    pub weight: Option<u32>,
    pub drain: bool,
    pub configured_weight: u32,
    /// When it was said last.
    pub since: Option<String>,
    pub seconds: Option<u64>,
}

#[cfg(test)]
mod tests {
    use schemars::generate::SchemaSettings;
    use serde_json::Value as Json;
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_of_other_versions_are_read_as_far_as_they_go() {
        let older = json!({"version": "0.0.9", "connections": {"in_use": 3}});
        let status: Status = serde_json::from_value(older).unwrap();
        assert_eq!((&*status.version, status.connections.in_use, status.pid), ("0.0.9", 3, 0));
        let newer = json!({"listeners": [{"name": "web", "protocol": "tcp", "pace": 7}], "zones": []});
        let status: Status = serde_json::from_value(newer).unwrap();
        assert_eq!((&*status.listeners[0].name, &*status.listeners[0].protocol), ("web", "tcp"));
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let backend =
            BackendStatus { weight: Some(0), reason: Some("NOT_SERVING".into()), ..BackendStatus::default() };
        let status = Status { leaving: vec![backend], ..Status::default() };
        let json = serde_json::to_value(&status).unwrap();
        assert_eq!(serde_json::from_value::<Status>(json).unwrap(), status);
    }

    /// `UPDATE_DOCS=1` writes it.
    #[test]
    fn the_schema_in_the_docs_is_that_of_the_types() {
        const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/status.schema.json");
        let settings = SchemaSettings::draft2020_12().for_serialize();
        let mut schema = settings.into_generator().into_root_schema_for::<Status>().to_value();
        describe(&mut schema);
        schema["title"] = "The status of Ringway: `ringway status --json`, `/status`".into();
        let expected = format!("{schema:#}\n");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(PAGE, &expected).unwrap();
        }
        assert!(std::fs::read_to_string(PAGE).unwrap() == expected, "run the tests with UPDATE_DOCS=1");
    }

    /// What is `None` here is `null` there; what a document lacks is for readers of other versions.
    fn describe(schema: &mut Json) {
        match schema {
            Json::Object(members) => {
                members.remove("default");
                if let Some(Json::String(description)) = members.get_mut("description") {
                    *description = description.replace("None", "null").replace('\n', " ");
                }
                members.values_mut().for_each(describe);
            }
            Json::Array(items) => items.iter_mut().for_each(describe),
            _ => {}
        }
    }
}
