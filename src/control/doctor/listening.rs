//! Who listens at which port of this host.

use std::collections::HashMap;
use std::fs;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;
use std::path::Path;

use crate::net::address::TransportKind;

/// A listening socket of TCP, or one of UDP that has no peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListeningSocket {
    pub kind: TransportKind,
    pub address: SocketAddr,
    /// The name of its process and its number; None: it cannot be seen by this user.
    pub owner: Option<(String, u32)>,
}

/// Processes whose descriptors are looked at.
const MAX_PROCESSES: usize = 10_000;

/// The files of `/proc/net`, and the state there of a socket that takes what comes (`include/net/tcp_states.h`: LISTEN, and
/// CLOSE for one of UDP that is not connected).
const FILES: [(&str, TransportKind, &str); 4] = [
    ("tcp", TransportKind::Tcp, "0A"),
    ("tcp6", TransportKind::Tcp, "0A"),
    ("udp", TransportKind::Udp, "07"),
    ("udp6", TransportKind::Udp, "07"),
];

pub(super) fn survey(root: &Path) -> Vec<ListeningSocket> {
    let read = |name: &str| fs::read_to_string(root.join("proc/net").join(name)).unwrap_or_default();
    let mut found = Vec::new();
    for (name, kind, state) in FILES {
        let of_file = read(name);
        found.extend(of_file.lines().filter_map(|line| socket(line, state)).map(|known| (kind, known)));
    }
    let owners = if found.is_empty() { HashMap::new() } else { owners(root) };
    let known =
        |(kind, (address, inode))| ListeningSocket { kind, address, owner: owners.get(&inode).cloned() };
    found.into_iter().map(known).collect()
}

/// The address and the inode of a line of such a file, if its socket is in this state.
fn socket(line: &str, wanted: &str) -> Option<(SocketAddr, u64)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [_, local, _, state, .., inode] = *fields.get(..10)? else { return None };
    if state != wanted {
        return None;
    }
    let (ip, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    // Words of 32 bits, each in the byte order of the host.
    let words = ip.as_bytes().chunks(8).map(|word| u32::from_str_radix(str::from_utf8(word).ok()?, 16).ok());
    let bytes: Vec<u8> =
        words.collect::<Option<Vec<u32>>>()?.into_iter().flat_map(u32::to_ne_bytes).collect();
    let ip = match bytes.len() {
        4 => IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        _ => IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)),
    };
    Some((SocketAddr::new(ip, port), inode.parse().ok()?))
}

/// Processes by the inodes of their sockets, as far as this user may see them.
fn owners(root: &Path) -> HashMap<u64, (String, u32)> {
    let entries = fs::read_dir(root.join("proc")).into_iter().flatten().flatten();
    let processes = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let mut owners = HashMap::new();
    for process in processes.take(MAX_PROCESSES) {
        let folder = root.join("proc").join(process.to_string());
        let name = fs::read_to_string(folder.join("comm")).unwrap_or_default().trim().to_owned();
        for descriptor in fs::read_dir(folder.join("fd")).into_iter().flatten().flatten() {
            let target = fs::read_link(descriptor.path()).ok();
            let target = target.as_ref().and_then(|target| target.to_str());
            let inode =
                target.and_then(|target| target.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
            if let Some(inode) = inode {
                owners.entry(inode).or_insert_with(|| (name.clone(), process));
            }
        }
    }
    owners
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listening_sockets_are_read_and_others_are_not() {
        let line = |local: &str, state: &str| {
            format!(
                "   0: {local} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0"
            )
        };
        if cfg!(target_endian = "little") {
            let four = socket(&line("0100007F:1F90", "0A"), "0A");
            assert_eq!(four, Some(("127.0.0.1:8080".parse().unwrap(), 4711)));
            let six = socket(&line("00000000000000000000000001000000:01BB", "0A"), "0A");
            assert_eq!(six, Some(("[::1]:443".parse().unwrap(), 4711)));
            assert_eq!(
                socket(&line("00000000:0035", "07"), "07"),
                Some(("0.0.0.0:53".parse().unwrap(), 4711))
            );
        }
        assert_eq!(socket(&line("0100007F:1F90", "01"), "0A"), None);
        assert_eq!(socket("  sl  local_address rem_address   st tx_queue rx_queue", "0A"), None);
        assert_eq!(socket("", "0A"), None);
    }
}
