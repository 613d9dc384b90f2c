//! Listening sockets in the store of the service manager (`FileDescriptorStoreMax=`): after a crash, or in a restart, they
//! stay open, and the next process accepts what has come meanwhile.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use crate::control::active_config::ActiveConfig;
use crate::control::build::binding::Binding;
use crate::net::address::TransportKind;

/// What is stored.
#[derive(Default)]
pub struct SocketStore {
    stored: Vec<StoredBinding>,
}

struct StoredBinding {
    number: u64,
    at: (TransportKind, SocketAddr),
    names: Vec<String>,
}

impl SocketStore {
    /// Stores what is listened at now and was not before, and takes out what is no more.
    pub fn follow(&mut self, active: &ActiveConfig) {
        let systemd = &active.channels().systemd;
        // Before workers serve, nobody could tell of sockets.
        if !systemd.is_there() || !active.is_accepting() {
            return;
        }
        let address_of = |binding: &Binding| (binding.kind, binding.address);
        let now = || active.bindings().iter().map(|binding| (binding.number, address_of(binding)));
        if now().eq(self.stored.iter().map(|known| (known.number, known.at))) {
            return;
        }
        let departed = |known: &mut StoredBinding| !now().any(|other| other == (known.number, known.at));
        for StoredBinding { names, .. } in self.stored.extract_if(.., departed) {
            names.iter().for_each(|name| systemd.forget_sockets(name));
        }
        let Ok(bindings) = active.lent_sockets() else { return };
        for (binding, sockets) in bindings {
            if self.stored.iter().any(|known| known.number == binding.number) {
                continue;
            }
            let (number, at, mut names) = (binding.number, address_of(binding), Vec::new());
            for (name, sockets) in named(at, sockets) {
                systemd.store_sockets(&name, sockets);
                names.push(name);
            }
            self.stored.push(StoredBinding { number, at, names });
        }
        self.stored.sort_by_key(|known| now().position(|(number, _)| number == known.number));
    }
}

/// What sockets of an address are stored as. The service manager gives them back in an order of its own; of those of QUIC, their
/// order says which connections they are for, so each has a name with its index.
fn named(at: (TransportKind, SocketAddr), sockets: Vec<OwnedFd>) -> Vec<(String, Vec<OwnedFd>)> {
    let name = name_of(at);
    match at.0 {
        TransportKind::Quic => {
            let indexed = sockets.into_iter().enumerate();
            indexed.map(|(index, socket)| (format!("{name}-{index}"), vec![socket])).collect()
        }
        TransportKind::Tcp | TransportKind::Udp => vec![(name, sockets)],
    }
}

/// The index in the name of a socket, if it has one.
pub(super) fn index_in(name: &str) -> Option<usize> {
    name.rsplit_once('-')?.1.parse().ok()
}

/// What sockets of an address are called; a colon would end the name.
fn name_of((kind, address): (TransportKind, SocketAddr)) -> String {
    let kind = if kind.is_over_udp() { "udp" } else { "tcp" };
    format!("{kind}-{}", address.to_string().replace(':', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_no_colon() {
        let names = [(TransportKind::Tcp, "127.0.0.1:80"), (TransportKind::Udp, "[::]:443")]
            .map(|(kind, address)| name_of((kind, address.parse().unwrap())));
        assert_eq!(names, ["tcp-127.0.0.1_80", "udp-[__]_443"]);
        assert_eq!(names.each_ref().map(|name| index_in(name)), [None, None]);
    }

    #[test]
    fn sockets_of_quic_have_names_with_their_index() {
        let sockets = || (0..3).map(|_| std::fs::File::open("/dev/null").unwrap().into()).collect();
        let names = |kind| {
            let named = named((kind, "[::1]:443".parse().unwrap()), sockets());
            named.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(names(TransportKind::Udp), ["udp-[__1]_443"]);
        let quic = names(TransportKind::Quic);
        assert_eq!(quic, ["udp-[__1]_443-0", "udp-[__1]_443-1", "udp-[__1]_443-2"]);
        assert_eq!(quic.iter().map(|name| index_in(name)).collect::<Vec<_>>(), [Some(0), Some(1), Some(2)]);
    }
}
