//! An IP group: addresses that listeners let in, or keep out.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;

use serde_json::Map;
use serde_json::Value as Json;

use crate::control::elb::fault::ElbFault;
use crate::control::elb::fields::DESCRIPTION;
use crate::control::elb::fields::ENTERPRISE_PROJECT;
use crate::control::elb::fields::ElbField;
use crate::control::elb::fields::ElbForm;
use crate::control::elb::fields::ElbPresence;
use crate::control::elb::fields::NAME;
use crate::control::elb::fields::field;
use crate::control::elb::object::ElbObject;

/// Elements of `ip_list`.
const MAX_ENTRIES: usize = 300;

pub(in crate::control::elb) const FIELDS: &[ElbField] = &[
    NAME,
    DESCRIPTION,
    ENTERPRISE_PROJECT,
    field("ip_list", ElbForm::LongTables(ENTRY, MAX_ENTRIES), ElbPresence::Required),
];

const ENTRY: &[ElbField] = &[
    field("ip", ElbForm::Text, ElbPresence::Required),
    field("description", ElbForm::Text, ElbPresence::Default("\"\"")),
];

/// What a listener says of IP groups.
pub(in crate::control::elb) const OF_LISTENER: &[ElbField] = &[
    field("ipgroup_id", ElbForm::Text, ElbPresence::Required),
    field("enable_ipgroup", ElbForm::Truth, ElbPresence::Default("true")),
    field("type", ElbForm::Word(&["white", "black"]), ElbPresence::Default("\"white\"")),
];

/// Whether each element is an address, a network or a range.
///
/// # Errors
/// It names the one that is none.
pub(in crate::control::elb) fn settle(attributes: &Map<String, Json>) -> Result<(), ElbFault> {
    let list = attributes.get("ip_list").and_then(Json::as_array);
    let mut texts = list.into_iter().flatten().filter_map(|entry| entry.get("ip").and_then(Json::as_str));
    match texts.find(|text| entry(text).is_none()) {
        Some(text) => {
            let why = format!(
                "must be an address, a network such as 192.0.2.0/24 or a range such as 192.0.2.1-192.0.2.9: \"{}\"",
                text.escape_debug()
            );
            Err(ElbFault::attribute("ip_list.ip", why))
        }
        None => Ok(()),
    }
}

/// The groups that a listener names.
pub(in crate::control::elb) fn of_listener(listener: &ElbObject) -> impl Iterator<Item = &str> {
    let named = listener.table("ipgroup").and_then(|table| table.get("ipgroup_id")).and_then(Json::as_str);
    named.unwrap_or_default().split(',').map(str::trim).filter(|id| !id.is_empty())
}

/// Whether the groups of a listener count.
pub(in crate::control::elb) fn is_on(listener: &ElbObject) -> bool {
    listener.table("ipgroup").is_some_and(|table| table.get("enable_ipgroup") == Some(&Json::Bool(true)))
}

/// The group as addresses and networks.
pub(in crate::control::elb) fn networks(group: &ElbObject) -> Vec<String> {
    let entries = group.tables("ip_list").filter_map(|table| table.get("ip").and_then(Json::as_str));
    entries.filter_map(entry).flatten().collect()
}

/// What an element is in addresses and networks. None: it is none.
fn entry(text: &str) -> Option<Vec<String>> {
    let text = text.trim();
    if let Some((first, last)) = text.split_once('-') {
        let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        return match (first, last) {
            (IpAddr::V4(first), IpAddr::V4(last)) if first <= last => {
                let pieces = pieces(u128::from(u32::from(first)), u128::from(u32::from(last)), 32);
                let text = |(address, bits): (u128, u8)| {
                    format!("{}/{bits}", Ipv4Addr::from(u32::try_from(address).unwrap_or_default()))
                };
                Some(pieces.into_iter().map(text).collect())
            }
            (IpAddr::V6(first), IpAddr::V6(last)) if first <= last => {
                let pieces = pieces(u128::from(first), u128::from(last), 128);
                Some(
                    pieces
                        .into_iter()
                        .map(|(start, bits)| format!("{}/{bits}", Ipv6Addr::from(start)))
                        .collect(),
                )
            }
            _ => None,
        };
    }
    let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    match bits {
        None => Some(vec![address.to_string()]),
        Some(bits) => {
            let is_number = !bits.is_empty() && bits.bytes().all(|byte| byte.is_ascii_digit());
            let bits: u8 = bits.parse().ok().filter(|bits| is_number && *bits <= most)?;
            Some(vec![format!("{}/{bits}", start_of(address, bits))])
        }
    }
}

/// Without the bits behind the network.
fn start_of(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from(u32::from(address) & mask))
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from(u128::from(address) & mask))
        }
    }
}

/// The fewest networks that are a range, with their bits: at most two of each size.
fn pieces(mut first: u128, last: u128, width: u8) -> Vec<(u128, u8)> {
    let mut pieces = Vec::new();
    loop {
        let mut free =
            if first == 0 { u32::from(width) } else { first.trailing_zeros().min(u32::from(width)) };
        let end = |free: u32| first | 1_u128.checked_shl(free).map_or(u128::MAX, |size| size - 1);
        while end(free) > last {
            free -= 1;
        }
        pieces.push((first, width - u8::try_from(free).unwrap_or(width)));
        match end(free).checked_add(1) {
            Some(next) if next <= last => first = next,
            _ => return pieces,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_become_networks() {
        for (text, expected) in [
            ("192.0.2.7", "192.0.2.7"),
            ("192.0.2.7/24", "192.0.2.0/24"),
            ("2001:db8::7/0", "::/0"),
            ("192.0.2.1-192.0.2.1", "192.0.2.1/32"),
            ("192.0.2.1-192.0.2.6", "192.0.2.1/32 192.0.2.2/31 192.0.2.4/31 192.0.2.6/32"),
            ("0.0.0.0-255.255.255.255", "0.0.0.0/0"),
            ("::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::/0"),
            ("2001:db8::e12-2001:db8::e13", "2001:db8::e12/127"),
            ("255.255.255.254-255.255.255.255", "255.255.255.254/31"),
        ] {
            assert_eq!(entry(text).map(|pieces| pieces.join(" ")).as_deref(), Some(expected), "{text}");
        }
        for text in
            ["", "a", "192.0.2.1/33", "192.0.2.1/", "192.0.2.1/+1", "192.0.2.9-192.0.2.1", "::1-192.0.2.1"]
        {
            assert_eq!(entry(text), None, "{text}");
        }
    }

    #[test]
    fn a_range_is_exactly_its_pieces() {
        for (first, last) in [(1_u128, 254), (0, 255), (3, 3), (17, 200), (128, 191), (5, 250)] {
            let mut all: Vec<u128> = Vec::new();
            for (start, bits) in pieces(first, last, 32) {
                all.extend(start..start + (1 << (32 - bits)));
            }
            assert_eq!(all, (first..=last).collect::<Vec<_>>());
        }
    }
}
