//! Rules and routes of the kernel, which are only read (rtnetlink(7)).

use std::collections::BTreeSet;
use std::io;
use std::io::Read as _;

use socket2::Domain;
use socket2::Protocol;
use socket2::Socket as RawSocket;
use socket2::Type;

/// More than the kernel sends in one piece.
const PIECE_BYTES: usize = 32 * 1024;
/// Pieces that are read of an answer: some hundred thousand routes. A host with all of the Internet's has more, and is not looked
/// through.
const MAX_PIECES: usize = 256;

/// linux/netlink.h: the header of a message, and of an attribute.
const MESSAGE_HEADER: usize = 16;
const ATTRIBUTE_HEADER: usize = 4;
/// linux/rtnetlink.h: `struct rtmsg`, and linux/fib_rules.h: `struct fib_rule_hdr`, which is as long.
const ROUTE_HEADER: usize = 12;
/// Both `RTA_TABLE` and `FRA_TABLE`.
const TABLE: u16 = 15;

/// Whether packets for any address may be taken for this host's own: a rule other than that which every host has leads to a
/// table with a route `local default`.
///
/// # Errors
/// The kernel does not tell.
pub fn may_take_all(is_ipv6: bool) -> io::Result<bool> {
    let family = if is_ipv6 { libc::AF_INET6 } else { libc::AF_INET };
    let (mut ruled, mut local) = (BTreeSet::new(), BTreeSet::new());
    dump(family, libc::RTM_GETRULE, |_, table| ruled.extend([table]))?;
    dump(family, libc::RTM_GETROUTE, |header, table| {
        let (destination_bits, kind) = (header.get(1), header.get(7));
        if destination_bits == Some(&0) && kind == Some(&libc::RTN_LOCAL) {
            local.insert(table);
        }
    })?;
    Ok(ruled.intersection(&local).next().is_some())
}

/// Asks for all rules, or all routes, and gives the header and the table of each.
fn dump(family: i32, question: u16, mut each: impl FnMut(&[u8], u32)) -> io::Result<()> {
    let socket =
        RawSocket::new(Domain::from(libc::AF_NETLINK), Type::RAW, Some(Protocol::from(libc::NETLINK_ROUTE)))?;
    socket.set_read_timeout(Some(std::time::Duration::from_secs(1)))?;
    let mut message = [0_u8; MESSAGE_HEADER + ROUTE_HEADER];
    let flags = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16;
    message[..4].copy_from_slice(&((MESSAGE_HEADER + ROUTE_HEADER) as u32).to_ne_bytes());
    message[4..6].copy_from_slice(&question.to_ne_bytes());
    message[6..8].copy_from_slice(&flags.to_ne_bytes());
    message[MESSAGE_HEADER] = family as u8;
    socket.send(&message)?;
    let mut piece = vec![0; PIECE_BYTES];
    for _ in 0..MAX_PIECES {
        let length = (&socket).read(&mut piece)?;
        if !read_messages(piece.get(..length).unwrap_or_default(), &mut each)? {
            return Ok(());
        }
    }
    Err(io::Error::other("there are too many routes"))
}

/// Whether more comes.
fn read_messages(mut piece: &[u8], each: &mut impl FnMut(&[u8], u32)) -> io::Result<bool> {
    while let Some(length) = number(piece, 0).map(|length| length as usize) {
        let (Some(message), Some(kind)) = (piece.get(..length), short(piece, 4)) else { break };
        match i32::from(kind) {
            libc::NLMSG_DONE => return Ok(false),
            libc::NLMSG_ERROR => {
                let error = number(message, MESSAGE_HEADER).map_or(0, u32::cast_signed);
                return Err(io::Error::from_raw_os_error(-error));
            }
            _ => {}
        }
        if let Some((header, attributes)) =
            message.get(MESSAGE_HEADER..).and_then(|body| body.split_at_checked(ROUTE_HEADER))
        {
            let in_header = header.get(4).copied().unwrap_or_default();
            each(header, table(attributes).unwrap_or_else(|| in_header.into()));
        }
        piece = piece.get(length.next_multiple_of(4).max(MESSAGE_HEADER)..).unwrap_or_default();
    }
    Ok(true)
}

/// The number of the table; in the header there is only room for a small one.
fn table(mut attributes: &[u8]) -> Option<u32> {
    loop {
        let (length, kind) = (usize::from(short(attributes, 0)?), short(attributes, 2)?);
        if kind == TABLE {
            return number(attributes, ATTRIBUTE_HEADER);
        }
        attributes = attributes.get(length.next_multiple_of(4).max(ATTRIBUTE_HEADER)..)?;
    }
}

fn number(bytes: &[u8], place: usize) -> Option<u32> {
    bytes.get(place..)?.first_chunk().copied().map(u32::from_ne_bytes)
}

fn short(bytes: &[u8], place: usize) -> Option<u16> {
    bytes.get(place..)?.first_chunk().copied().map(u16::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_host_has_rules_and_routes_to_itself() {
        let mut tables = BTreeSet::new();
        dump(libc::AF_INET, libc::RTM_GETRULE, |_, table| tables.extend([table])).unwrap();
        // local, main and default.
        assert!([255, 254, 253].iter().all(|table| tables.contains(table)), "{tables:?}");
        let mut local = 0;
        dump(libc::AF_INET, libc::RTM_GETROUTE, |header, table| {
            local += u32::from(table == 255 && header.get(7) == Some(&libc::RTN_LOCAL));
        })
        .unwrap();
        assert!(local > 0);
    }

    #[test]
    fn what_is_cut_off_is_not_read_beyond() {
        let whole =
            [28_u32.to_ne_bytes(), [24, 0, 2, 0], [0; 4], [0; 4], [2, 0, 0, 0], [100, 0, 0, 2], [0; 4]]
                .concat();
        let mut found = Vec::new();
        assert!(read_messages(&whole, &mut |header, table| found.push((header[7], table))).unwrap());
        assert_eq!(found, [(2, 100)]);
        for length in 0..whole.len() {
            assert!(read_messages(&whole[..length], &mut |_, _| panic!("nothing is whole")).unwrap());
        }
    }
}
