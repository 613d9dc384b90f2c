//! A set of IP networks, looked up in the time that a handful takes however many there are.

use std::fmt;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;

use ipnet::IpNet;

/// Networks as ranges of addresses that do not touch, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkSet {
    v4: Ranges<u32>,
    v6: Ranges<u128>,
}

/// First and last address of each range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Ranges<A> {
    ranges: Box<[(A, A)]>,
}

impl NetworkSet {
    pub fn new(networks: impl IntoIterator<Item = IpNet>) -> NetworkSet {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for network in networks {
            match network {
                IpNet::V4(network) => {
                    v4.push((u32::from(network.network()), u32::from(network.broadcast())));
                }
                IpNet::V6(network) => {
                    v6.push((u128::from(network.network()), u128::from(network.broadcast())));
                }
            }
        }
        NetworkSet { v4: Ranges::new(v4), v6: Ranges::new(v6) }
    }

    pub fn is_empty(&self) -> bool {
        self.v4.ranges.is_empty() && self.v6.ranges.is_empty()
    }

    /// Whether a network of the set covers the address. An IPv4 address that is mapped into IPv6 counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => self.v4.contains(u32::from(address)),
            IpAddr::V6(address) => self.v6.contains(u128::from(address)),
        }
    }
}

/// The ranges of addresses.
impl fmt::Display for NetworkSet {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let v4 = self
            .v4
            .ranges
            .iter()
            .map(|(first, last)| (Ipv4Addr::from(*first).into(), Ipv4Addr::from(*last).into()));
        let v6 = self
            .v6
            .ranges
            .iter()
            .map(|(first, last)| (Ipv6Addr::from(*first).into(), Ipv6Addr::from(*last).into()));
        for (number, (first, last)) in v4.chain(v6).enumerate() {
            let separator = if number == 0 { "" } else { ", " };
            let (first, last): (IpAddr, IpAddr) = (first, last);
            match first == last {
                true => write!(out, "{separator}{first}")?,
                false => write!(out, "{separator}{first} to {last}")?,
            }
        }
        Ok(())
    }
}

impl<A: Copy + Ord> Ranges<A> {
    /// Ranges that overlap become one.
    fn new(mut ranges: Vec<(A, A)>) -> Ranges<A> {
        ranges.sort_unstable();
        let mut merged: Vec<(A, A)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                Some(before) if first <= before.1 => before.1 = before.1.max(last),
                _ => merged.push((first, last)),
            }
        }
        Ranges { ranges: merged.into() }
    }

    fn contains(&self, address: A) -> bool {
        let after = self.ranges.partition_point(|(first, _)| *first <= address);
        after.checked_sub(1).and_then(|at| self.ranges.get(at)).is_some_and(|(_, last)| address <= *last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(networks: &[&str]) -> NetworkSet {
        NetworkSet::new(networks.iter().map(|network| network.parse().unwrap()))
    }

    #[test]
    fn what_is_covered() {
        let set = set(&["10.0.0.0/8", "10.1.0.0/16", "192.0.2.7/32", "2001:db8::/32", "0.0.0.0/32"]);
        for (address, is_in) in [
            ("10.0.0.0", true),
            ("10.255.255.255", true),
            ("11.0.0.0", false),
            ("9.255.255.255", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("0.0.0.0", true),
            ("0.0.0.1", false),
            ("::ffff:10.2.3.4", true),
            ("2001:db8::", true),
            ("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", true),
            ("2001:db9::", false),
            ("::", false),
        ] {
            assert_eq!(set.contains(address.parse().unwrap()), is_in, "{address}");
        }
    }

    #[test]
    fn all_and_nothing() {
        assert!(set(&["0.0.0.0/0"]).contains("255.255.255.255".parse().unwrap()));
        assert!(!set(&["0.0.0.0/0"]).contains("::1".parse().unwrap()));
        assert!(set(&["::/0"]).contains("ffff::1".parse().unwrap()));
        assert!(set(&[]).is_empty() && !set(&[]).contains("10.0.0.1".parse().unwrap()));
    }
}
