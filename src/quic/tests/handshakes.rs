use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::quic::admission::Admission;
use crate::quic::end::QuicEnd;
use crate::quic::settings::QuicLimits;
use crate::quic::tests::conversation::client_offering;
use crate::quic::tests::simulation::Simulation;
use crate::tls::accept::Facts;
use crate::tls::accept::HandshakeError;
use crate::tls::client_verifier::ClientAuthMode;
use crate::tls::client_verifier::ClientVerdict;
use crate::tls::quic::QuicTls;
use crate::tls::quic::kit;

type Outcomes = Rc<RefCell<Vec<Result<Box<Facts>, QuicEnd>>>>;

/// A server that tells what its handshakes have come to.
fn noting(mode: Option<ClientAuthMode>) -> (Simulation, Outcomes) {
    noting_with(QuicLimits::default(), kit::server(mode))
}

fn noting_with(limits: QuicLimits, tls: Arc<QuicTls>) -> (Simulation, Outcomes) {
    let outcomes = Outcomes::default();
    let noted = Rc::clone(&outcomes);
    let simulation = Simulation::with_tls(1, limits, tls, |spawn| {
        let spawn = Rc::clone(spawn);
        Box::new(move |_| {
            let (spawn, noted) = (Rc::clone(&spawn), Rc::clone(&noted));
            Admission::Serve(Box::new(move |begun| match begun {
                Err(error) => noted.borrow_mut().push(Err(QuicEnd::Handshake(error))),
                Ok(connection) => spawn(Box::pin(async move {
                    let outcome = connection.handshake().await;
                    noted.borrow_mut().push(outcome);
                    connection.closed().await;
                })),
            }))
        })
    });
    (simulation, outcomes)
}

/// What the server noted of a client that stays until its handshake is over.
fn outcome(
    simulation: &mut Simulation,
    outcomes: &Outcomes,
    client: quinn_proto::ClientConfig,
    name: &str,
) -> Result<Box<Facts>, QuicEnd> {
    let connection = Rc::new(simulation.connect(client, name));
    let inner = Rc::clone(&connection);
    // The client may take it for done before the server does not.
    let _ = simulation.run(async move { inner.handshake().await.map(drop) });
    simulation.pass(Duration::from_secs(1));
    let outcome = outcomes.borrow_mut().pop().unwrap();
    drop(connection);
    simulation.pass(Duration::from_secs(1));
    outcome
}

#[test]
fn the_handshake_tells_of_the_client() {
    let (mut simulation, outcomes) = noting(None);
    let client = client_offering(kit::ALPN, false);
    for resumed in [false, true, true] {
        let facts = outcome(&mut simulation, &outcomes, client.clone(), "localhost").unwrap();
        assert_eq!((facts.version, facts.cipher_suite), ("TLSv1.3", 0x1301));
        assert_eq!(facts.server_name.as_deref(), Some("localhost"));
        assert_eq!(facts.alpn.as_deref(), Some(kit::ALPN));
        assert_eq!((facts.resumed, facts.chain.len(), facts.verdict), (resumed, 0, None));
        assert!(facts.shown_algorithms().is_some());
        // Nobody wants to know them.
        assert_eq!(facts.fingerprints, None);
    }
}

#[test]
fn fingerprints_are_of_what_the_client_says_first() {
    let (hello, expected) = kit::hello_of(kit::client(kit::ALPN, false));
    assert!(hello.len() > 1_200, "it does not need two datagrams");
    assert!(expected.ja4.starts_with("q13d") && expected.ja4[8..].starts_with("h3_"), "{}", expected.ja4);
    let extensions = |ja4: &str| ja4[6..8].parse::<u32>().unwrap();
    for retry_threshold in [100, 0] {
        let limits = QuicLimits { retry_threshold, ..QuicLimits::default() };
        let (mut simulation, outcomes) = noting_with(limits, kit::fingerprinting_server());
        simulation.weather.jitter = Duration::from_millis(5);
        let client = client_offering(kit::ALPN, false);
        for resumed in [false, true] {
            let facts = outcome(&mut simulation, &outcomes, client.clone(), "localhost").unwrap();
            assert_eq!((facts.resumed, facts.alpn.as_deref()), (resumed, Some(kit::ALPN)));
            let found = *facts.fingerprints.unwrap();
            if resumed {
                // pre_shared_key (RFC 8446 §4.2.11) is one more.
                assert_eq!(extensions(&found.ja4), extensions(&expected.ja4) + 1);
            } else {
                assert_eq!(found.ja4, expected.ja4);
            }
        }
        assert_eq!(simulation.server.counters.retried > 0, retry_threshold == 0);
    }
}

#[test]
fn certificates_of_clients_are_judged() {
    let (mut simulation, outcomes) = noting(Some(ClientAuthMode::Optional));
    let client = client_offering(kit::ALPN, true);
    // Those of a resumed session are judged again.
    for resumed in [false, true] {
        let facts = outcome(&mut simulation, &outcomes, client.clone(), "localhost").unwrap();
        assert_eq!((facts.resumed, facts.chain.len()), (resumed, 1));
        assert!(matches!(facts.verdict, Some(ClientVerdict::Failed(_))), "{:?}", facts.verdict);
    }
    let facts = outcome(&mut simulation, &outcomes, client_offering(kit::ALPN, false), "localhost").unwrap();
    assert_eq!((facts.resumed, facts.chain.len(), facts.verdict), (false, 0, None));
}

#[test]
fn failed_handshakes_say_why() {
    let failure = |mode, alpn: &[u8], has_certificate, name: &str| {
        let (mut simulation, outcomes) = noting(mode);
        let client = client_offering(alpn, has_certificate);
        let failed = outcome(&mut simulation, &outcomes, client, name).err();
        match failed {
            Some(QuicEnd::Handshake(error)) => error,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(failure(None, kit::ALPN, false, "other.example"), HandshakeError::UnknownName);
    assert_eq!(failure(None, b"h2", false, "localhost"), HandshakeError::NoProtocol);
    let require = Some(ClientAuthMode::Require);
    assert_eq!(failure(require, kit::ALPN, false, "localhost"), HandshakeError::NoClientCertificate);
    let error = failure(require, kit::ALPN, true, "localhost");
    assert!(matches!(error, HandshakeError::BadClientCertificate(_)), "{error:?}");
}

#[test]
fn quic_needs_tls_1_3() {
    assert!(QuicTls::new(kit::old_tls(), &[kit::ALPN]).is_err());
    assert!(QuicTls::new(Arc::clone(kit::server(None).tls()), &[b"other"]).is_ok());
}
