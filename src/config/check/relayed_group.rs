//! The keys of `[[server_group]]` that are about what is relayed: connections and datagrams of layer 4.

use crate::config::GroupProtocol;
use crate::config::OnDrain;
use crate::config::check::kind::Choice;
use crate::config::check::section::Section;

/// Defaults of them pass groups by whose protocol is HTTP.
pub(super) const OF_RELAYED: [&str; 2] = ["on_drain", "source"];

/// Defaults of them pass groups by whose protocol is UDP.
pub(super) const OF_CONNECTIONS: [&str; 4] =
    ["connect_timeout", "queue", "proxy_protocol", "proxy_protocol_tlvs"];

const ON_DRAIN: Choice<OnDrain> =
    Choice { words: &[("keep", OnDrain::Keep), ("reset", OnDrain::Reset)], aliases: &[], later: &[] };

pub(super) fn on_drain(section: &mut Section<'_, '_>, protocol: GroupProtocol) -> OnDrain {
    let idle = protocol.is_http().then_some("it is about connections that are relayed");
    let on_drain = section.read_unless(idle, "on_drain", &ON_DRAIN, OnDrain::Keep);
    if idle.is_some() {
        return OnDrain::Keep;
    }
    let is_idle = on_drain == OnDrain::Reset;
    section.warn_idle("drain_timeout", is_idle.then_some("on_drain = \"reset\" leaves no time"));
    on_drain
}
