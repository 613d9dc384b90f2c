//! How the backend servers of a group are probed.

use crate::control::elb::fault::ElbFault;
use crate::control::elb::fields::ADMIN_STATE_UP;
use crate::control::elb::fields::ElbField;
use crate::control::elb::fields::ElbForm;
use crate::control::elb::fields::ElbPresence;
use crate::control::elb::fields::NAME;
use crate::control::elb::fields::field;
use crate::control::elb::fields::fixed;
use crate::control::elb::object::ElbKind;
use crate::control::elb::object::ElbObject;
use crate::control::elb::object_set::ElbObjects;
use crate::control::elb::objects::protocols;

pub(in crate::control::elb) const FIELDS: &[ElbField] = &[
    NAME,
    ADMIN_STATE_UP,
    fixed("pool_id", ElbForm::Text, ElbPresence::Required),
    field("type", ElbForm::Word(&["HTTP", "HTTPS", "TCP", "GRPC", "UDP_CONNECT"]), ElbPresence::Required),
    field("delay", ElbForm::Number(1, 50), ElbPresence::Required),
    field("timeout", ElbForm::Number(1, 50), ElbPresence::Required),
    field("max_retries", ElbForm::Number(1, 10), ElbPresence::Required),
    field("max_retries_down", ElbForm::Number(1, 10), ElbPresence::Default("3")),
    field("http_method", ElbForm::Word(&["GET", "HEAD"]), ElbPresence::Default("\"GET\"")),
    field("url_path", ElbForm::Text, ElbPresence::Default("\"/\"")),
    field("domain_name", ElbForm::Text, ElbPresence::Nullable),
    field("expected_codes", ElbForm::Text, ElbPresence::Nullable),
    field("monitor_port", ElbForm::Number(1, 65_535), ElbPresence::Nullable),
];

/// Whether its group is there, and has no other.
///
/// # Errors
/// It names the attribute, or the other one.
pub(in crate::control::elb) fn check(objects: &ElbObjects, monitor: &ElbObject) -> Result<(), ElbFault> {
    let owner = objects.named(ElbKind::Pool, monitor, "pool_id")?;
    if monitor.text("type") == "GRPC" && owner.text("protocol") != "GRPC" {
        let why = "is GRPC, which needs a backend server group with the protocol GRPC";
        return Err(ElbFault::attribute("type", why));
    }
    let is_of_datagrams = protocols::is_of_datagrams(owner.text("protocol"));
    if is_of_datagrams != (monitor.text("type") == "UDP_CONNECT") {
        let why = "must be UDP_CONNECT with groups for UDP and QUIC, and with no others";
        return Err(ElbFault::attribute("type", why));
    }
    if owner.truth("any_port_enable") && monitor.number("monitor_port") == 0 {
        return Err(ElbFault::attribute(
            "monitor_port",
            "is missing: backend servers of the group have no port",
        ));
    }
    let pool = monitor.text("pool_id");
    let is_other = |other: &&ElbObject| other.text("pool_id") == pool && other.id != monitor.id;
    if let Some(other) = objects.of_kind(ElbKind::HealthMonitor).find(is_other) {
        return Err(ElbFault::conflict(format!(
            "the backend server group has the health check {} already",
            other.id
        )));
    }
    let path = monitor.text("url_path");
    let is_visible = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
    if !path.starts_with('/') || path.len() > 80 || !path.bytes().all(is_visible) {
        let why = "must begin with a slash, and have up to 80 visible ASCII characters without `#`";
        return Err(ElbFault::attribute("url_path", why));
    }
    match expected(monitor) {
        Some(_) => Ok(()),
        None => Err(ElbFault::attribute("expected_codes", "must be codes such as 200, 200,202 or 200-204")),
    }
}

/// The codes that count as a success. None: they are written in another form.
pub(in crate::control::elb) fn expected(monitor: &ElbObject) -> Option<Vec<String>> {
    let (default, codes) = match monitor.text("type") {
        "GRPC" => ("0", 0..=99),
        _ => ("200", 200..=599),
    };
    let text = monitor.text("expected_codes");
    let text = if text.is_empty() { default } else { text };
    let code = |text: &str| {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u16>().ok().filter(|code| is_number && codes.contains(code))
    };
    let item = |item: &str| {
        let item = item.trim();
        let is_good = match item.split_once('-') {
            Some((first, last)) => code(first)? <= code(last)?,
            None => code(item).is_some(),
        };
        is_good.then(|| item.to_owned())
    };
    let items: Option<Vec<String>> = text.split(',').map(item).collect();
    items.filter(|items| items.len() <= 16)
}
