//! Listening sockets in the store of the service manager (`FileDescriptorStoreMax=`): after a crash, or in a restart, they
//! stay open, and the next process accepts what has come meanwhile.

use std::net::SocketAddr;

use crate::control::active_config::ActiveConfig;
use crate::control::build::binding::Binding;
use crate::net::address::TransportKind;

/// What is stored.
#[derive(Default)]
pub struct SocketStore {
    /// By the number of the binding.
    stored: Vec<(u64, (TransportKind, SocketAddr))>,
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
        if now().eq(self.stored.iter().copied()) {
            return;
        }
        for (_, address) in self.stored.iter().filter(|known| !now().any(|other| other == **known)) {
            systemd.forget_sockets(&name_of(*address));
        }
        let Ok(bindings) = active.lent_sockets() else { return };
        for (binding, sockets) in bindings {
            if !self.stored.iter().any(|(number, _)| *number == binding.number) {
                systemd.store_sockets(&name_of(address_of(binding)), sockets);
            }
        }
        self.stored = now().collect();
    }
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
    }
}
