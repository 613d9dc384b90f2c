//! An address that is listened at, and why it cannot be.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use crate::config::Carriers;
use crate::config::ListenAddress;
use crate::config::Listener;
use crate::config::ListenerProtocol;
use crate::net::address::TransportKind;
use crate::net::listen::is_out_of_descriptors;

/// An address that is listened at.
#[derive(Clone, Debug)]
pub struct Binding {
    /// No other socket of this process has or had it.
    pub number: u64,
    pub kind: TransportKind,
    /// As configured; the port may be 0.
    pub(super) wanted: SocketAddr,
    pub(super) dual_stack: bool,
    /// With the port that the kernel chose if none was wanted.
    pub address: SocketAddr,
    pub listener: String,
}

impl Binding {
    /// As configured; the port may be 0.
    pub fn wanted(&self) -> SocketAddr {
        self.wanted
    }

    /// Whose it is, what is spoken there, and where it is.
    pub fn place(&self) -> (&str, TransportKind, SocketAddr) {
        (&self.listener, self.kind, self.address)
    }

    /// Whether it takes IPv4, too.
    pub fn dual_stack(&self) -> bool {
        self.dual_stack
    }

    /// For a listener that is not to listen.
    pub fn unbound(
        number: u64,
        (listener, kind): (&Listener, TransportKind),
        wanted: &ListenAddress,
    ) -> Binding {
        let ListenAddress { address, dual_stack, .. } = *wanted;
        Binding { number, kind, wanted: address, dual_stack, address, listener: listener.name.clone() }
    }
}

/// What is spoken at the ports of a listener; what UDP carries comes last.
pub fn kinds_of(listener: &Listener) -> &'static [TransportKind] {
    match (&listener.protocol, listener.carriers()) {
        (ListenerProtocol::Datagram(_), _) => &[TransportKind::Udp],
        (_, Carriers::Tcp) => &[TransportKind::Tcp],
        (_, Carriers::Udp) => &[TransportKind::Quic],
        (_, Carriers::TcpAndUdp) => &[TransportKind::Tcp, TransportKind::Quic],
    }
}

/// The sockets of one address that another process has opened.
pub struct InheritedSockets {
    pub kind: TransportKind,
    /// As that process was configured.
    pub wanted: SocketAddr,
    pub dual_stack: bool,
    pub address: SocketAddr,
    pub listener: String,
    pub sockets: Vec<OwnedFd>,
}

/// Why a listener cannot listen.
#[derive(Debug)]
pub struct BindError {
    pub listener: String,
    pub(super) kind: TransportKind,
    pub address: SocketAddr,
    pub error: io::Error,
    pub(super) dual_stack: bool,
}

impl BindError {
    /// Whether another process has the address, which may pass.
    pub fn is_taken(&self) -> bool {
        self.error.kind() == io::ErrorKind::AddrInUse
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BindError { listener, kind, address, error, .. } = self;
        let fix = fix(*kind, address, error);
        write!(out, "listener \"{listener}\" cannot bind {address}: {error}; {fix}")
    }
}

fn fix(kind: TransportKind, address: &SocketAddr, error: &io::Error) -> String {
    let port = address.port();
    if is_out_of_descriptors(error) {
        return "each address and port takes a descriptor for each worker: raise the limit (systemd: LimitNOFILE=, \
                shell: ulimit -Hn), or listen at fewer ports"
            .to_owned();
    }
    let flags = if kind.is_over_udp() { "-lunp" } else { "-ltnp" };
    match error.kind() {
        io::ErrorKind::AddrInUse if kind.is_over_udp() => format!(
            "another process has port {port} over UDP (see: ss {flags} sport = :{port}), or connections of HTTP/3 from before a \
             reload are not over yet, if it is this one; wait for them, stop it, or change the address"
        ),
        io::ErrorKind::AddrInUse => {
            format!(
                "another process has port {port} (see: ss {flags} sport = :{port}); stop it or change the address"
            )
        }
        io::ErrorKind::PermissionDenied => format!(
            "ports below 1024 need a privilege: grant CAP_NET_BIND_SERVICE (systemd: \
             AmbientCapabilities=CAP_NET_BIND_SERVICE) or use another port than {port}"
        ),
        io::ErrorKind::AddrNotAvailable => "no interface of this host has that address".to_owned(),
        _ => "change the listener's address".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_explained() {
        let error = BindError {
            listener: "web".to_owned(),
            kind: TransportKind::Tcp,
            address: "127.0.0.1:80".parse().unwrap(),
            error: io::Error::from_raw_os_error(libc::EADDRINUSE),
            dual_stack: false,
        };
        let text = error.to_string();
        assert!(
            text.starts_with("listener \"web\" cannot bind 127.0.0.1:80: Address already in use"),
            "{text}"
        );
        assert!(text.contains("another process has port 80"), "{text}");
    }
}
