//! Probes of UDP: a datagram, and its answer if one is expected.

use crate::config::CheckProtocol;
use crate::config::HealthCheck;
use crate::control::health::outcome::ProbeError;
use crate::control::health::outcome::ProbeResult;
use crate::control::health::outcome::failed;
use crate::net::address::Address;
use crate::net::address::ConnectSource;
use crate::net::connect::ConnectError;
use crate::net::udp::awaited::AwaitedUdp;
use crate::net::udp::connected::PeerError;
use crate::net::udp::datagrams::Datagrams;
use crate::net::udp::send::SendFailure;
use crate::policy::proxy_header::ProxyVersion;
use crate::snapshot::backend::CheckFailure;

/// What is sent, and what has to come.
pub(super) struct DatagramProbe {
    /// With the PROXY header of nobody, where backends expect one.
    payload: Vec<u8>,
    /// None: any answer will do, and silence as well.
    expected: Option<Vec<u8>>,
}

/// Bytes of an answer in which the expected ones are looked for.
const MAX_ANSWER_BYTES: usize = 4_096;

impl DatagramProbe {
    pub(super) fn of(check: &HealthCheck, proxy_version: Option<ProxyVersion>) -> Option<DatagramProbe> {
        let header = proxy_version.map_or(&b""[..], ProxyVersion::header_of_nobody);
        let payload = [header, &check.payload].concat();
        let probe = DatagramProbe { payload, expected: check.expect_payload.clone() };
        (check.protocol == CheckProtocol::Udp).then_some(probe)
    }

    /// Whether a backend that says nothing is in order: it takes datagrams, or something on the way to it loses them.
    pub(super) fn may_be_silent(&self) -> bool {
        self.expected.is_none()
    }

    /// Asks once and waits for an answer. That nobody receives there is told by the backend's host.
    pub(super) async fn exchange(&self, address: &Address, source: ConnectSource) -> ProbeResult {
        // The configuration refuses probes of UDP where there is no other address.
        let Address::Ip(address) = address else { return Err(failed(CheckFailure::ConnectFailed)) };
        let socket = AwaitedUdp::connect(*address, source).map_err(|error| match error {
            ConnectError::NoDescriptor => ProbeError::NoDescriptor,
            ConnectError::NoLocalPort => ProbeError::NoLocalPort,
            ConnectError::NoSource(problem) => ProbeError::NoSource(problem),
            _ => failed(CheckFailure::ConnectFailed),
        })?;
        match socket.send(&Datagrams::single(&self.payload)).error {
            None => {}
            Some(SendFailure::Refused) => return Err(failed(CheckFailure::ConnectRefused)),
            Some(_) => return Err(failed(CheckFailure::SendRequestFailed)),
        }
        let mut answer = vec![0; MAX_ANSWER_BYTES];
        let received = socket.receive(&mut answer).await.map_err(|error| {
            failed(match error {
                PeerError::Refused => CheckFailure::ConnectRefused,
                PeerError::Other(_) => CheckFailure::RecvResponseFailed,
            })
        })?;
        self.judge(answer.get(..received).unwrap_or_default())
    }

    fn judge(&self, answer: &[u8]) -> ProbeResult {
        match &self.expected {
            Some(expected) if !answer.windows(expected.len()).any(|part| part == expected) => {
                Err(failed(CheckFailure::ResponseMismatch))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_expected_bytes_may_stand_anywhere_in_the_answer() {
        let probe = |expected: Option<&[u8]>| DatagramProbe {
            payload: Vec::new(),
            expected: expected.map(<[u8]>::to_vec),
        };
        for (expected, answer, is_success) in [
            (None, &b""[..], true),
            (None, b"anything", true),
            (Some(&b"PONG"[..]), b"+PONG\r\n", true),
            (Some(b"PONG"), b"PON", false),
            (Some(b"PONG"), b"", false),
        ] {
            assert_eq!(probe(expected).judge(answer).is_ok(), is_success, "{answer:?}");
        }
        assert!(probe(None).may_be_silent() && !probe(Some(b"x")).may_be_silent());
    }
}
