use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;

use crate::quic::admission::Admission;
use crate::quic::admission::Admit;
use crate::quic::connection::QuicConnection;
use crate::quic::end::QuicEnd;
use crate::quic::end::StreamFailure;
use crate::quic::settings::QuicLimits;
use crate::quic::tests::conversation::Spawn;
use crate::quic::tests::conversation::ask_for_echo;
use crate::quic::tests::conversation::client;
use crate::quic::tests::conversation::client_with_room;
use crate::quic::tests::conversation::echoing;
use crate::quic::tests::conversation::pattern;
use crate::quic::tests::conversation::read_all;
use crate::quic::tests::simulation::Simulation;
use crate::quic::tests::simulation::Weather;
use crate::quic::tests::simulation::server_core;
use crate::tls::quic::kit;
use crate::tls::quic_keys::QuicKeys;

/// Codes as an application would have them.
const LIMITS: fn() -> QuicLimits = || QuicLimits {
    idle_timeout: Duration::from_secs(30),
    abandoned_connection: 77,
    abandoned_stream: 88,
    ..QuicLimits::default()
};

/// Serves each connection by this function.
fn serving<F: Future<Output = ()> + 'static>(
    serve: impl Fn(QuicConnection) -> F + Clone + 'static,
) -> impl FnOnce(&Spawn) -> Admit {
    |spawn| {
        let spawn = Rc::clone(spawn);
        Box::new(move |_| {
            let (spawn, serve) = (Rc::clone(&spawn), serve.clone());
            Admission::Serve(Box::new(move |begun| spawn(Box::pin(serve(begun.unwrap())))))
        })
    }
}

fn established(simulation: &mut Simulation) -> Rc<QuicConnection> {
    let connection = Rc::new(simulation.connect(client(), "localhost"));
    let inner = Rc::clone(&connection);
    simulation.run(async move { inner.handshake().await.map(drop).unwrap() });
    connection
}

#[test]
fn twenty_streams_come_back() {
    let mut simulation = Simulation::new(1, LIMITS(), echoing);
    let connection = established(&mut simulation);
    let (inner, spawn) = (Rc::clone(&connection), simulation.spawn());
    simulation.run(async move { ask_for_echo(&inner, 20, 3_000, &spawn).await });
    let counters = connection.counters();
    assert!(counters.received_bytes > 60_000 && counters.sent_bytes > 60_000, "{counters:?}");
    assert_eq!(simulation.server.open(), 1);
}

#[test]
fn a_peer_with_many_long_streams_can_open_another_when_one_is_over() {
    for max_streams in [10, 100] {
        let mut simulation = Simulation::new(1, QuicLimits { max_streams, ..LIMITS() }, echoing);
        let connection = established(&mut simulation);
        simulation.run(async move {
            let mut long = Vec::new();
            for _ in 1..max_streams {
                let mut stream = connection.open_both().await.unwrap();
                stream.0.write(Bytes::from_static(b"begin")).await.unwrap();
                long.push(stream);
            }
            for _ in 0..5 {
                let (mut send, mut receive) = connection.open_both().await.unwrap();
                send.write(Bytes::from_static(b"short")).await.unwrap();
                send.finish().unwrap();
                assert_eq!(read_all(&mut receive).await, b"short");
            }
        });
    }
}

#[test]
fn streams_with_a_higher_priority_have_what_room_the_peer_gives() {
    const LONG: usize = 1_000_000;
    for urgent in [0, 1] {
        let mut simulation = Simulation::new(1, LIMITS(), |spawn| {
            let inner = Rc::clone(spawn);
            serving(move |connection| {
                let spawn = Rc::clone(&inner);
                async move {
                    for number in 0..2 {
                        let (mut send, _) = connection.accept_both().await.unwrap();
                        send.set_priority(if number == urgent { 5 } else { 0 });
                        spawn(Box::pin(async move {
                            for _ in 0..LONG / 1_000 {
                                let _ = send.write(Bytes::from_static(&[b'x'; 1_000])).await;
                            }
                            let _ = send.finish();
                        }));
                    }
                    connection.closed().await;
                }
            })(spawn)
        });
        let connection = simulation.connect(client_with_room(65_536, 65_536), "localhost");
        let spawn = simulation.spawn();
        let others = simulation.run(async move {
            connection.handshake().await.unwrap();
            let mut streams = Vec::new();
            for _ in 0..2 {
                let (mut send, receive) = connection.open_both().await.unwrap();
                send.write(Bytes::from_static(b"begin")).await.unwrap();
                streams.push((send, receive));
            }
            let (mut urgent, mut other) = (streams.remove(urgent), streams.remove(0));
            let counted = Rc::new(Cell::new(0));
            let count = Rc::clone(&counted);
            spawn(Box::pin(async move {
                while let Ok(Some(bytes)) = other.1.read(usize::MAX).await {
                    count.set(count.get() + bytes.len());
                }
            }));
            assert_eq!(read_all(&mut urgent.1).await.len(), LONG);
            counted.get()
        });
        assert!(others < LONG / 4, "stream {urgent} is urgent, and the other one got {others}");
    }
}

#[test]
fn a_bad_wire_changes_nothing() {
    for seed in 0..4 {
        let mut simulation = Simulation::new(seed, LIMITS(), echoing);
        simulation.weather = Weather {
            lost: 10 + seed * 15,
            repeated: 20,
            jitter: Duration::from_millis(seed * 3),
            ..Weather::default()
        };
        let connection = established(&mut simulation);
        let (inner, spawn) = (Rc::clone(&connection), simulation.spawn());
        simulation.run(async move { ask_for_echo(&inner, 3, 200_000, &spawn).await });
        assert!(connection.counters().lost_packets > 0);
    }
}

#[test]
fn changed_bytes_change_nothing() {
    for seed in 0..8 {
        let mut simulation = Simulation::new(seed, LIMITS(), echoing);
        simulation.weather = Weather { changed: 50, repeated: 50, ..Weather::default() };
        let connection = established(&mut simulation);
        let (inner, spawn) = (Rc::clone(&connection), simulation.spawn());
        simulation.run(async move { ask_for_echo(&inner, 5, 50_000, &spawn).await });
    }
}

#[test]
fn five_megabytes_each_way() {
    let mut simulation = Simulation::new(3, LIMITS(), echoing);
    simulation.weather =
        Weather { lost: 2, repeated: 2, jitter: Duration::from_micros(500), ..Weather::default() };
    let connection = established(&mut simulation);
    let (inner, spawn) = (Rc::clone(&connection), simulation.spawn());
    simulation.run(async move { ask_for_echo(&inner, 1, 5_000_000, &spawn).await });
}

#[test]
fn clients_show_their_address_while_there_are_many() {
    let validated = Rc::new(Cell::new(None));
    let (seen, limits) = (Rc::clone(&validated), QuicLimits { retry_threshold: 0, ..LIMITS() });
    let mut simulation = Simulation::new(1, limits, |spawn| {
        let admit = echoing(spawn);
        Box::new(move |newcomer| {
            seen.set(Some(newcomer.is_validated));
            admit(newcomer)
        })
    });
    established(&mut simulation);
    assert_eq!(validated.get(), Some(true));
    let counters = simulation.server.counters;
    // Its first message takes two datagrams, and the server remembers neither.
    assert_eq!((counters.retried, counters.accepted, counters.refused), (2, 1, 0));
}

#[test]
fn too_many_are_refused_at_once() {
    let limits = QuicLimits { refuse_threshold: 0, ..LIMITS() };
    let mut simulation = Simulation::new(1, limits, echoing);
    let connection = simulation.connect(client(), "localhost");
    let began = simulation.now;
    let end = simulation.run(async move { connection.closed().await });
    assert_eq!(end, QuicEnd::AbortedByPeer(2));
    assert!(simulation.now - began < Duration::from_millis(50));
    assert_eq!((simulation.server.counters.refused, simulation.server.open()), (2, 0));
}

#[test]
fn who_may_not_begin_is_told_or_not() {
    for is_told in [true, false] {
        let admission = move || if is_told { Admission::Refuse } else { Admission::Ignore };
        let mut simulation = Simulation::new(1, LIMITS(), |_| Box::new(move |_| admission()));
        let connection = simulation.connect(client(), "localhost");
        let end = simulation.run(async move { connection.closed().await });
        let expected = if is_told { QuicEnd::AbortedByPeer(2) } else { QuicEnd::TimedOut };
        assert_eq!(end, expected);
        let counters = simulation.server.counters;
        assert_eq!((counters.accepted, counters.refused > 0, counters.ignored > 0), (0, is_told, !is_told));
    }
}

#[test]
fn a_server_that_has_forgotten_says_so() {
    let mut simulation = Simulation::new(1, LIMITS(), echoing);
    let connection = established(&mut simulation);
    // Another process with the same keys.
    let keys = QuicKeys::new(Some(&[7; 32]));
    let admit = echoing(&simulation.spawn());
    simulation.server = server_core(kit::server(None), &keys, LIMITS(), admit);
    let inner = Rc::clone(&connection);
    let began = simulation.now;
    let end = simulation.run(async move {
        let (mut send, _receive) = inner.open_both().await.unwrap();
        send.write(Bytes::from_static(b"are you there?")).await.unwrap();
        inner.closed().await
    });
    assert_eq!(end, QuicEnd::Reset);
    assert!(simulation.now - began < Duration::from_secs(1));
}

#[test]
fn a_client_may_move() {
    let moved = Rc::new(Cell::new(None));
    let seen = Rc::clone(&moved);
    let mut simulation = Simulation::new(
        1,
        LIMITS(),
        serving(move |connection| {
            let seen = Rc::clone(&seen);
            async move {
                while let Ok((mut send, mut receive)) = connection.accept_both().await {
                    send.write(read_all(&mut receive).await.into()).await.unwrap();
                    send.finish().unwrap();
                    seen.set(Some(connection.peer_address()));
                }
            }
        }),
    );
    let connection = established(&mut simulation);
    for port in [1_000, 2_000, 3_000] {
        simulation.client_address.set_port(port);
        let (inner, spawn) = (Rc::clone(&connection), simulation.spawn());
        simulation.run(async move { ask_for_echo(&inner, 1, 50_000, &spawn).await });
        assert_eq!(moved.get(), Some(simulation.client_address));
    }
}

#[test]
fn silence_ends_a_connection() {
    let ends = Rc::new(Cell::new(None));
    let seen = Rc::clone(&ends);
    let mut simulation = Simulation::new(
        1,
        LIMITS(),
        serving(move |connection| {
            let seen = Rc::clone(&seen);
            async move { seen.set(Some(connection.closed().await)) }
        }),
    );
    let connection = established(&mut simulation);
    simulation.pass(Duration::from_secs(29));
    assert_eq!((connection.end(), ends.get(), simulation.server.open()), (None, None, 1));
    simulation.pass(Duration::from_secs(3));
    assert_eq!((connection.end(), ends.get()), (Some(QuicEnd::TimedOut), Some(QuicEnd::TimedOut)));
    assert_eq!((simulation.server.open(), simulation.server.next_timeout()), (0, None));
}

#[test]
fn who_drops_a_connection_closes_it() {
    let mut simulation = Simulation::new(1, LIMITS(), serving(|connection| async move { drop(connection) }));
    let connection = simulation.connect(client(), "localhost");
    let end = simulation.run(async move { connection.closed().await });
    // Before the handshake is done, no code of the application is told (RFC 9000 §10.2.3).
    assert!(matches!(end, QuicEnd::AbortedByPeer(0xc)), "{end:?}");
    let wait = |connection: QuicConnection| async move {
        connection.handshake().await.unwrap();
        connection.accept_one().await.map(drop).unwrap();
    };
    let mut simulation = Simulation::new(1, LIMITS(), serving(wait));
    let connection = established(&mut simulation);
    let end = simulation.run(async move {
        let mut send = connection.open_one().await.unwrap();
        send.write(Bytes::from_static(b"go")).await.unwrap();
        connection.closed().await
    });
    assert_eq!(end, QuicEnd::ClosedByPeer(77));
    simulation.pass(Duration::from_secs(5));
    assert_eq!(simulation.server.open(), 0);
}

#[test]
fn streams_end_with_codes() {
    let serve = |connection: QuicConnection| async move {
        let (mut send, mut receive) = connection.accept_both().await.unwrap();
        assert_eq!(receive.read(100).await.unwrap().unwrap(), "ask"[..]);
        receive.stop(5);
        send.reset(6);
        // Neither is ended properly.
        let (send, receive) = connection.accept_both().await.unwrap();
        drop((send, receive));
        assert_eq!(connection.closed().await, QuicEnd::ClosedByPeer(9));
    };
    let mut simulation = Simulation::new(1, LIMITS(), serving(serve));
    let connection = established(&mut simulation);
    simulation.run(async move {
        for (stopped, reset) in [(5, 6), (88, 88)] {
            let (mut send, mut receive) = connection.open_both().await.unwrap();
            send.set_priority(3);
            send.write(Bytes::from_static(b"ask")).await.unwrap();
            assert_eq!(receive.read(100).await, Err(StreamFailure::Reset(reset)));
            assert_eq!(receive.read(100).await, Err(StreamFailure::Ended));
            assert_eq!(send.done().await, Err(StreamFailure::Stopped(stopped)));
            assert_eq!(send.write(Bytes::from_static(b"x")).await, Err(StreamFailure::Stopped(stopped)));
        }
        connection.close(9, b"");
        assert_eq!(connection.end(), Some(QuicEnd::Closed));
    });
    simulation.pass(Duration::from_secs(5));
    assert_eq!((simulation.server.open(), simulation.client.open()), (0, 0));
}

#[test]
fn a_client_has_a_hundred_streams() {
    let serve = |connection: QuicConnection| async move {
        let mut open = Vec::new();
        while open.len() < 100 {
            open.push(connection.accept_both().await.unwrap());
        }
        // The client is told of more once an eighth is over.
        for (mut send, mut receive) in open.drain(..20) {
            read_all(&mut receive).await;
            send.finish().unwrap();
        }
        open.push(connection.accept_both().await.unwrap());
        connection.closed().await;
    };
    let mut simulation = Simulation::new(1, LIMITS(), serving(serve));
    let connection = established(&mut simulation);
    let opened = Rc::new(Cell::new(0));
    let seen = Rc::clone(&opened);
    simulation.run(async move {
        let mut open = Vec::new();
        for _ in 0..101 {
            let (mut send, receive) = connection.open_both().await.unwrap();
            send.write(Bytes::from_static(b"x")).await.unwrap();
            send.finish().unwrap();
            open.push((send, receive));
            seen.set(open.len());
        }
    });
    assert_eq!(opened.get(), 101);
}

#[test]
fn who_does_not_read_holds_the_other_up() {
    let written = Rc::new(Cell::new(0));
    let seen = Rc::clone(&written);
    let serve = move |connection: QuicConnection| {
        let seen = Rc::clone(&seen);
        async move {
            let mut send = connection.open_one().await.unwrap();
            for number in 0..100 {
                send.write(pattern(number, 100_000).into()).await.unwrap();
                seen.set(seen.get() + 100_000);
            }
            send.finish().unwrap();
            send.done().await.unwrap();
        }
    };
    let mut simulation = Simulation::new(1, LIMITS(), serving(serve));
    let connection = established(&mut simulation);
    simulation.pass(Duration::from_secs(5));
    // The client's window of a stream, and what we keep.
    assert!(written.get() <= 1_250_000 + (1 << 20), "{}", written.get());
    let all = simulation.run(async move {
        let mut receive = connection.accept_one().await.unwrap();
        read_all(&mut receive).await
    });
    assert!(all == (0..100).flat_map(|number| pattern(number, 100_000)).collect::<Vec<_>>());
}

#[test]
fn who_waits_for_room_is_told_that_nobody_wants_it() {
    // As much as the client takes is written, and none of it may have come yet.
    for millis in 0..50 {
        let failure = Rc::new(Cell::new(None));
        let seen = Rc::clone(&failure);
        let serve = move |connection: QuicConnection| {
            let seen = Rc::clone(&seen);
            async move {
                let (mut send, _receive) = connection.accept_both().await.unwrap();
                while seen.get().is_none() {
                    seen.set(send.write(Bytes::from_static(&[b'x'; 10_000])).await.err());
                }
                connection.closed().await;
            }
        };
        let mut simulation = Simulation::new(1, LIMITS(), serving(serve));
        let connection = simulation.connect(client_with_room(1 << 20, 10_000_000), "localhost");
        let (_connection, _send, mut receive) = simulation.run(async move {
            connection.handshake().await.unwrap();
            let (mut send, receive) = connection.open_both().await.unwrap();
            send.write(Bytes::from_static(b"begin")).await.unwrap();
            (connection, send, receive)
        });
        simulation.pass(Duration::from_millis(millis));
        assert_eq!(failure.get(), None);
        receive.stop(3);
        simulation.pass(Duration::from_secs(2));
        assert_eq!(failure.get(), Some(StreamFailure::Stopped(3)), "after {millis} ms");
    }
}

#[test]
fn a_drain_lets_connections_go_on() {
    let mut simulation = Simulation::new(1, LIMITS(), echoing);
    let connection = established(&mut simulation);
    simulation.server.begin_drain();
    let other = simulation.connect(client(), "localhost");
    assert_eq!(simulation.run(async move { other.closed().await }), QuicEnd::AbortedByPeer(2));
    let (inner, spawn) = (Rc::clone(&connection), simulation.spawn());
    simulation.run(async move { ask_for_echo(&inner, 2, 1_000, &spawn).await });
    let now = simulation.now;
    simulation.server.close_all(99, b"bye", now);
    let end = simulation.run(async move { connection.closed().await });
    assert_eq!(end, QuicEnd::ClosedByPeer(99));
}

#[test]
fn what_the_kernel_does_not_take_is_sent_later() {
    for full_every in [2, 3, 7] {
        let mut simulation = Simulation::new(1, LIMITS(), echoing);
        simulation.weather.full_every = full_every;
        let connection = established(&mut simulation);
        let (inner, spawn) = (Rc::clone(&connection), simulation.spawn());
        simulation.run(async move { ask_for_echo(&inner, 3, 100_000, &spawn).await });
        assert_eq!(simulation.server.counters.lost_sending, 0);
        assert_eq!(connection.counters().lost_packets, 0);
    }
}

#[test]
fn strangers_are_answered_as_they_deserve() {
    let mut simulation = Simulation::new(1, LIMITS(), echoing);
    let mut hello = vec![0; 1200];
    hello[..6].copy_from_slice(&[0xc0, 0xba, 0xba, 0xba, 0xba, 8]);
    // Of another version: which we speak.
    let answers = simulation.answers(&hello);
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0][1..5], [0; 4]);
    assert!(answers[0].ends_with(&1u32.to_be_bytes()));
    // None, where the answer might be longer than what was asked with.
    assert!(simulation.answers(&hello[..1199]).is_empty());
    // Garbage, and a short header with an id that is none of ours.
    for length in [0, 1, 5, 13, 100, 1200] {
        assert!(simulation.answers(&vec![0x45; length]).is_empty(), "{length} bytes");
    }
    assert_eq!((simulation.server.open(), simulation.server.counters.accepted), (0, 0));
}

#[test]
fn a_connection_takes_little_memory_of_ours() {
    use crate::quic::shared::QuicState;
    let ours = size_of::<QuicState>() - size_of::<quinn_proto::Connection>();
    assert!(ours <= 448, "{ours} bytes");
}
