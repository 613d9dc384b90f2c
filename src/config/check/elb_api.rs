//! `[admin.elb_api]`: the ELB API at the admin address.

use std::net::IpAddr;
use std::net::Ipv4Addr;

use serde_json::Value as Json;

use crate::config::ElbApi;
use crate::config::check::file_path::File;
use crate::config::check::file_path::Folder;
use crate::config::check::kind::Kind;
use crate::config::check::kind::refuse_kind;
use crate::config::check::section::Output;
use crate::config::check::section::Section;
use crate::config::raw;
use crate::config::report::Report;
use crate::config::schema;

pub(super) fn elb_api(table: &raw::Table, output: &mut Output) -> Option<ElbApi> {
    let mut section = Section::single("admin.elb_api", Some(table), output);
    let keys_file = section.read_required("keys_file", &File, "keys_file = \"elb.keys\"");
    let state = section.read_required("state", &Folder, "state = \"elb\"");
    let everywhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let vip_address = section.read("vip_address", &VipAddress, everywhere);
    section.close();
    let ((keys_file, _), (state, _)) = (keys_file?, state?);
    Some(ElbApi { keys_file, state, vip_address: vip_address.to_string(), location: table.location })
}

/// The address of load balancers that name none.
struct VipAddress;

impl Kind for VipAddress {
    type Value = IpAddr;

    fn parse(&self, key: &str, raw: &raw::Value, report: &mut Report) -> Option<IpAddr> {
        let raw::Kind::Text(text) = &raw.kind else {
            return refuse_kind(key, raw, "an IP address such as \"192.0.2.10\"", report);
        };
        let address = text.parse().ok();
        if address.is_none() {
            let message = format!("`{key}` \"{}\" is not an IP address", text.escape_debug());
            report.error(raw.location, message, "write an address without a port, such as \"0.0.0.0\"");
        }
        address
    }

    fn show(&self, value: &IpAddr) -> Json {
        Json::String(value.to_string())
    }

    fn schema(&self) -> Json {
        schema::text_of(2..=usize::MAX)
    }
}
