//! Addresses as people read them, many ports of one as a range.

use std::net::SocketAddr;

/// Ports in a row that are told one by one, lest two addresses that somebody has written become one.
const FEW_PORTS: u16 = 2;

/// Each address as text, where more than [`FEW_PORTS`] ports follow one another as `0.0.0.0:8000-8010`.
pub fn compact(addresses: impl IntoIterator<Item = SocketAddr>) -> Vec<String> {
    let mut runs: Vec<(SocketAddr, u16)> = Vec::new();
    for address in addresses {
        match runs.last_mut() {
            Some((first, last))
                if first.ip() == address.ip() && last.checked_add(1) == Some(address.port()) =>
            {
                *last = address.port();
            }
            _ => runs.push((address, address.port())),
        }
    }
    runs.into_iter().flat_map(|(first, last)| texts(first, last)).collect()
}

fn texts(first: SocketAddr, last: u16) -> Vec<String> {
    if last - first.port() >= FEW_PORTS {
        return vec![format!("{first}-{last}")];
    }
    (first.port()..=last).map(|port| SocketAddr::new(first.ip(), port).to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_ports_are_a_range() {
        for (addresses, told) in [
            (&["127.0.0.1:80"][..], &["127.0.0.1:80"][..]),
            (&["127.0.0.1:80", "127.0.0.1:81"], &["127.0.0.1:80", "127.0.0.1:81"]),
            (&["127.0.0.1:80", "127.0.0.1:81", "127.0.0.1:82"], &["127.0.0.1:80-82"]),
            (&["[::1]:1", "[::1]:2", "[::1]:3", "[::2]:4"], &["[::1]:1-3", "[::2]:4"]),
            (&["127.0.0.1:3", "127.0.0.1:2", "127.0.0.1:1"], &["127.0.0.1:3", "127.0.0.1:2", "127.0.0.1:1"]),
            (
                &["127.0.0.1:65533", "127.0.0.1:65534", "127.0.0.1:65535", "127.0.0.1:0"],
                &["127.0.0.1:65533-65535", "127.0.0.1:0"],
            ),
        ] {
            let addresses = addresses.iter().map(|address| address.parse().expect("an address"));
            assert_eq!(compact(addresses), told);
        }
    }
}
