//! `[server_group.health_check]`: how backends are probed.

use std::time::Duration;

use serde_json::Value as Json;

use crate::config::Backend;
use crate::config::BackendAddress;
use crate::config::CheckMethod;
use crate::config::CheckProtocol;
use crate::config::GroupProtocol;
use crate::config::HealthCheck;
use crate::config::InitialState;
use crate::config::ServerGroup;
use crate::config::check::address::is_host;
use crate::config::check::kind::Choice;
use crate::config::check::kind::Integer;
use crate::config::check::kind::Kind;
use crate::config::check::kind::refuse_kind;
use crate::config::check::kind::seconds;
use crate::config::check::payload::Payload;
use crate::config::check::section::Section;
use crate::config::check::statuses::Statuses;
use crate::config::effective::Form;
use crate::config::raw;
use crate::config::report::Report;
use crate::config::schema;

/// The check of a group of which all that says how backends are spoken to is known.
pub(super) fn health_check(group: &mut Section<'_, '_>, of: &ServerGroup) -> Option<HealthCheck> {
    const PATH: &str = "server_group.health_check";
    let Some(table) = group.table("health_check") else {
        group.output.effective.open_table(PATH, Form::Absent("backends count as healthy"));
        return None;
    };
    let is_unclear = group.is_refused("protocol");
    let mut section = Section::single(PATH, Some(table), group.output);
    // The protocol of the check is then unclear, too.
    if is_unclear && section.place_of("protocol").is_none() {
        section.refuse("protocol");
    }
    let check_protocol = section.read("protocol", &PROTOCOLS, usual_protocol(of.protocol));
    let idle = match check_protocol {
        CheckProtocol::Tcp => Some(NO_REQUEST),
        CheckProtocol::Udp => Some(NO_HTTP_REQUEST),
        CheckProtocol::Http | CheckProtocol::Https | CheckProtocol::Grpc => None,
    };
    let no_payload = (check_protocol != CheckProtocol::Udp).then_some(NO_PAYLOAD);
    let is_call = check_protocol == CheckProtocol::Grpc;
    let (path, statuses) = if is_call { (HEALTH_METHOD, &CODES) } else { ("/", &STATUSES) };
    let (interval, timeout) = if check_protocol == CheckProtocol::Udp { (5, 10) } else { (2, 5) };
    let check = HealthCheck {
        protocol: check_protocol,
        initial: section.read("initial", &INITIAL_STATES, InitialState::Up),
        interval: section.read("interval", &seconds(1, 300), Duration::from_secs(interval)),
        timeout: section.read("timeout", &seconds(1, 300), Duration::from_secs(timeout)),
        healthy_threshold: section.read("healthy_threshold", &Integer(1..=10), 3),
        unhealthy_threshold: section.read("unhealthy_threshold", &Integer(1..=10), 3),
        method: section.read_unless(
            idle.or(is_call.then_some(ONE_METHOD)),
            "method",
            &METHODS,
            CheckMethod::Head,
        ),
        path: section.read_unless(idle, "path", &CheckPath, path.to_owned()),
        host: host(idle, &mut section),
        port: u16::try_from(section.read("port", &Integer(0..=65_535), 0)).unwrap_or_default(),
        expect: section.read_unless(idle, "expect", statuses, vec![statuses.default.clone()]),
        payload: section.read_unless(no_payload, "payload", &Payload { may_be_empty: true }, Vec::new()),
        expect_payload: expect_payload(no_payload, &mut section),
    };
    check_use(&check, of, &mut section);
    section.close();
    Some(check)
}

/// Backends are probed as they are spoken to.
fn usual_protocol(group: GroupProtocol) -> CheckProtocol {
    match group {
        GroupProtocol::Http | GroupProtocol::H2c => CheckProtocol::Http,
        GroupProtocol::Https => CheckProtocol::Https,
        GroupProtocol::Tcp | GroupProtocol::Tls => CheckProtocol::Tcp,
        GroupProtocol::Udp => CheckProtocol::Udp,
        GroupProtocol::Grpc => CheckProtocol::Grpc,
    }
}

const INITIAL_STATES: Choice<InitialState> =
    Choice { words: &[("up", InitialState::Up), ("down", InitialState::Down)], aliases: &[], later: &[] };

const NO_REQUEST: &str = "a tcp check sends no request";
const NO_HTTP_REQUEST: &str = "a udp check sends its payload";
const NO_PAYLOAD: &str = "only a udp check sends one";
const ONE_METHOD: &str = "every call of gRPC is a POST";

/// What servers of gRPC are asked how they fare (its health checking protocol).
const HEALTH_METHOD: &str = "/grpc.health.v1.Health/Check";

const PROTOCOLS: Choice<CheckProtocol> = Choice {
    words: &[
        ("http", CheckProtocol::Http),
        ("https", CheckProtocol::Https),
        ("tcp", CheckProtocol::Tcp),
        ("grpc", CheckProtocol::Grpc),
        ("udp", CheckProtocol::Udp),
    ],
    aliases: &[
        ("HTTP", CheckProtocol::Http),
        ("HTTPS", CheckProtocol::Https),
        ("TCP", CheckProtocol::Tcp),
        ("gRPC", CheckProtocol::Grpc),
        ("GRPC", CheckProtocol::Grpc),
        ("UDP", CheckProtocol::Udp),
    ],
    later: &[],
};

const METHODS: Choice<CheckMethod> = Choice {
    words: &[("HEAD", CheckMethod::Head), ("GET", CheckMethod::Get)],
    aliases: &[("head", CheckMethod::Head), ("get", CheckMethod::Get)],
    later: &[],
};

fn host(idle: Option<&'static str>, section: &mut Section<'_, '_>) -> Option<String> {
    let unset = idle.unwrap_or("the address of the backend");
    let host = section.read_optional("host", &CheckHost, unset);
    section.warn_idle("host", host.as_ref().and(idle));
    host.map(|(host, _)| host)
}

fn expect_payload(idle: Option<&'static str>, section: &mut Section<'_, '_>) -> Option<Vec<u8>> {
    let unset = idle.unwrap_or("silence is a success, too");
    let expected = section.read_optional("expect_payload", &Payload { may_be_empty: false }, unset);
    section.warn_idle("expect_payload", expected.as_ref().and(idle));
    expected.map(|(expected, _)| expected)
}

/// Warns about what does not fit the backends.
fn check_use(check: &HealthCheck, group: &ServerGroup, section: &mut Section<'_, '_>) {
    let is_unix = |backend: &&Backend| matches!(backend.address, BackendAddress::Unix(_));
    let unix = group.backends.iter().find(is_unix);
    if let (Some(backend), Some(location)) = (unix.filter(|_| check.port != 0), section.place_of("port")) {
        let message = format!("`port` has no effect on the backend \"{}\"", backend.address);
        section.report().warning(location, message, "a unix socket has no port; leave it at 0");
    }
    if let (Some(backend), true) = (unix, check.protocol == CheckProtocol::Udp) {
        let message = format!("a udp check cannot reach the backend \"{}\", a unix socket", backend.address);
        let location = section.place_of_value("protocol").unwrap_or(section.location());
        section.report().error(location, message, "write protocol = \"tcp\"");
    }
    let lacks_port = |backend: &&Backend| backend.address.is_at_any_port();
    if let Some(backend) = group.backends.iter().find(lacks_port)
        && check.port == 0
        && !section.is_refused("port")
    {
        let message = format!(
            "the backend \"{}\" has no port that could be checked: it is asked at the port that the client came to",
            backend.address
        );
        let help = "write `port` in [server_group.health_check]: one at which every backend answers";
        section.report().error(backend.location, message, help);
    }
    if section.is_refused("protocol") {
        return;
    }
    let location = section.place_of_value("protocol").unwrap_or(section.location());
    let is_plain = check.protocol == CheckProtocol::Http && check.port == 0 && !section.is_refused("port");
    if group.tls.is_some() && is_plain {
        let word = if group.protocol == GroupProtocol::Grpc { "TLS" } else { "https" };
        let message =
            format!("the backends speak {word}, but the health check speaks plain http to the same ports");
        section.report().warning(location, message, "write protocol = \"https\", or a `port` of its own");
    }
    if check.protocol == CheckProtocol::Udp && group.protocol != GroupProtocol::Udp && check.port == 0 {
        let message = format!(
            "the backends speak {}, but the health check sends datagrams to the same ports",
            group.protocol.as_str()
        );
        section.report().warning(location, message, "write protocol = \"tcp\", or a `port` of its own");
    }
    let has_http2 = group.protocol != GroupProtocol::Https || group.http2;
    if check.protocol == CheckProtocol::Grpc && !has_http2 {
        let message = "a grpc check speaks HTTP/2, which the backends of this group are not offered";
        let help = "write http2 = true in the [[server_group]], or its protocol = \"grpc\"";
        section.report().error(location, message, help);
    }
}

/// The target of a probe.
struct CheckPath;

/// Characters of the path that probes ask for.
const MAX_PATH_LENGTH: usize = 80;

impl Kind for CheckPath {
    type Value = String;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<String> {
        let raw::Kind::Text(text) = &raw.kind else {
            return refuse_kind(key, raw, "a string", report);
        };
        let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        if !text.starts_with('/') || !is_plain || text.len() > MAX_PATH_LENGTH {
            let help =
                "it begins with a slash and has up to 80 visible ASCII characters, no spaces and no `#`";
            report.error(raw.location, format!("`{key}` is not a valid path"), help);
            return None;
        }
        Some(text.clone())
    }

    fn show(&self, value: &String) -> Json {
        Json::from(value.as_str())
    }

    fn schema(&self) -> Json {
        schema::pattern(&format!("^/[!-~]{{0,{}}}$", MAX_PATH_LENGTH - 1))
    }
}

/// The Host field of a probe.
struct CheckHost;

/// Characters of the host that probes ask for.
const MAX_HOST_LENGTH: usize = 100;

impl Kind for CheckHost {
    type Value = String;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<String> {
        let raw::Kind::Text(text) = &raw.kind else {
            return refuse_kind(key, raw, "a string", report);
        };
        if !is_host(text) || text.len() > MAX_HOST_LENGTH {
            let help = "write a name or an IP address of up to 100 characters, with a port or without: \
                        \"app.example.com\"";
            report.error(raw.location, format!("`{key}` is not a valid host"), help);
            return None;
        }
        Some(text.clone())
    }

    fn show(&self, value: &String) -> Json {
        Json::from(value.as_str())
    }

    fn schema(&self) -> Json {
        schema::text_of(1..=MAX_HOST_LENGTH)
    }
}

/// No probe ends with an interim response.
const STATUSES: Statuses = Statuses {
    default: 200..=299,
    allowed: 200..=599,
    help: "write \"2xx\", \"204\" or \"200-399\"; allowed are 200 to 599",
};

/// Of gRPC.
const CODES: Statuses = Statuses {
    default: 0..=0,
    allowed: 0..=99,
    help: "write \"0\", \"12\" or \"0-16\"; allowed with grpc are the codes 0 to 99",
};
