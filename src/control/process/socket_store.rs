//! Listening sockets in the store of the service manager (`FileDescriptorStoreMax=`): after a crash, or in a restart, they
//! stay open, and the next process accepts what has come meanwhile.

use std::net::SocketAddr;

use crate::control::active_config::ActiveConfig;

/// What is stored.
#[derive(Default)]
pub struct SocketStore {
    /// By the number of the binding.
    stored: Vec<(u64, SocketAddr)>,
}

impl SocketStore {
    /// Stores what is listened at now and was not before, and takes out what is no more.
    pub fn follow(&mut self, active: &ActiveConfig) {
        let systemd = &active.channels().systemd;
        // Before workers serve, nobody could tell of sockets.
        if !systemd.is_there() || !active.is_accepting() {
            return;
        }
        let now = || active.bindings().iter().map(|binding| (binding.number, binding.address));
        if now().eq(self.stored.iter().copied()) {
            return;
        }
        for (_, address) in self.stored.iter().filter(|known| !now().any(|other| other == **known)) {
            systemd.forget_sockets(&name_of(*address));
        }
        let Ok(bindings) = active.lent_sockets() else { return };
        for (binding, sockets) in bindings {
            if !self.stored.iter().any(|(number, _)| *number == binding.number) {
                systemd.store_sockets(&name_of(binding.address), sockets);
            }
        }
        self.stored = now().collect();
    }
}

/// What sockets of an address are called; a colon would end the name.
fn name_of(address: SocketAddr) -> String {
    format!("tcp-{}", address.to_string().replace(':', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_no_colon() {
        let names = ["127.0.0.1:80", "[::]:443"].map(|address| name_of(address.parse().unwrap()));
        assert_eq!(names, ["tcp-127.0.0.1_80", "tcp-[__]_443"]);
    }
}
