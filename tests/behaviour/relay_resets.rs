//! Groups of layer 4 that end connections and sessions at once when a backend is taken out of service.

use crate::support::{Backend, Client, PATIENCE, Relayed, Ringway, UdpBackend, UdpClient};
use crate::support::{echo, eventually, log_entries, now};
use std::io::{ErrorKind, Read};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const RESET: &str = "on_drain = \"reset\"";
/// Far less than the time that a drain has otherwise.
const SOON: Duration = Duration::from_secs(8);
const CHECK: &str = "[server_group.health_check]\ninterval = \"1s\"\ntimeout = \"1s\"\nhealthy_threshold = 1\n\
                     unhealthy_threshold = 1";

/// A connection through which something has gone.
fn in_use(ringway: &Ringway) -> Client {
    let mut client = Client::connect_in_the_clear(ringway.address());
    client.send("x");
    assert_eq!(client.read_exactly(1), b"x");
    client
}

fn expect_reset(client: &mut Client) {
    client.stream().set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    let end = client.stream().read(&mut [0; 10]).map_err(|error| error.kind());
    assert_eq!(end, Err(ErrorKind::ConnectionReset));
}

/// Sends back what it gets, and answers probes as long as it is well.
fn probed_echo(is_well: Arc<AtomicBool>) -> Backend {
    Backend::script(move |peer| {
        loop {
            let bytes = peer.read_some()?;
            match bytes.starts_with(b"HEAD ") {
                _ if bytes.is_empty() => return peer.finish_sending(),
                true if is_well.load(Ordering::Relaxed) => peer.respond("200 OK", b"")?,
                true => peer.respond("503 Service Unavailable", b"")?,
                false => peer.write(&bytes)?,
            }
        }
    })
}

fn active_and_standby(active: SocketAddr, standby: SocketAddr) -> Relayed {
    Relayed::tcp(&[active, standby])
        .of_backend("role = \"standby\"")
        .table(&format!("{CHECK}\nprotocol = \"http\""))
}

#[test]
fn a_backend_that_is_removed_or_drained_loses_its_connections_at_once() {
    let (old, new) = (echo(), echo());
    let before = Relayed::tcp(&[old.address()]).group(RESET);
    for change in ["removed", "weight"] {
        let ringway = before.start();
        let mut client = in_use(&ringway);
        let begun = now();
        let after = match change {
            "removed" => Relayed::tcp(&[new.address()]).group(RESET).text(),
            _ => before.clone().of_backend("weight = 0").text(),
        };
        ringway.reload(&after);
        expect_reset(&mut client);
        assert!(begun.elapsed() < SOON, "{change}: {:?}", begun.elapsed());
        assert_eq!(log_entries(&ringway, 1)[0]["reason"], "drain_timeout", "{change}");
        eventually("the backend hears of it", || old.open_connections() == 0);
    }
}

#[test]
fn a_backend_that_fails_loses_its_connections_while_others_serve() {
    let is_well = Arc::new(AtomicBool::new(true));
    let (active, standby) = (probed_echo(Arc::clone(&is_well)), probed_echo(Arc::new(AtomicBool::new(true))));
    let ringway = active_and_standby(active.address(), standby.address()).group(RESET).start();
    let (mut silent, busy) = (in_use(&ringway), in_use(&ringway));
    is_well.store(false, Ordering::Relaxed);
    let end = crate::support::within(PATIENCE, || {
        std::thread::sleep(Duration::from_millis(10));
        let sent = std::io::Write::write_all(&mut busy.stream(), b"y");
        sent.and_then(|()| busy.stream().read_exact(&mut [0; 1])).err()
    });
    let kind = end.expect("it ends").kind();
    assert!(matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{kind:?}");
    expect_reset(&mut silent);
    for line in log_entries(&ringway, 2) {
        assert_eq!((&line["reason"], &line["status"]), (&"backend_down".into(), &503.into()), "{line}");
    }
    // The standby serves, and keeps its connections when the other one is back.
    let mut client = in_use(&ringway);
    is_well.store(true, Ordering::Relaxed);
    ringway.wait_for_line("is healthy");
    in_use(&ringway);
    client.send("z");
    assert_eq!(client.read_exactly(1), b"z");
}

#[test]
fn a_backend_that_fails_keeps_its_connections_where_nobody_else_serves_or_nobody_asks() {
    for line in [RESET, "on_drain = \"keep\""] {
        let is_well = [true, line != RESET].map(|is_well| Arc::new(AtomicBool::new(is_well)));
        let backends = is_well.each_ref().map(|is_well| probed_echo(Arc::clone(is_well)));
        let ringway = active_and_standby(backends[0].address(), backends[1].address()).group(line).start();
        let mut client = in_use(&ringway);
        is_well[0].store(false, Ordering::Relaxed);
        let name = backends[0].address().to_string();
        eventually("it fails", || {
            ringway.stderr().lines().any(|said| said.contains(&name) && said.contains("unhealthy"))
        });
        client.expect_silence(Duration::from_secs(3));
        client.send("y");
        assert_eq!(client.read_exactly(1), b"y", "{line}");
    }
}

#[test]
fn sessions_of_a_backend_end_at_once() {
    let (old, new) = (UdpBackend::echo("1:"), UdpBackend::echo("2:"));
    let ringway = Relayed::udp(&[old.address()]).group(RESET).start();
    let client = UdpClient::connect(ringway.address());
    assert_eq!(client.ask("x"), "1:x");
    ringway.reload(&Relayed::udp(&[new.address()]).group(RESET).text());
    // It ends though its client says nothing, and the next datagram begins another one.
    assert_eq!(log_entries(&ringway, 1)[0]["reason"], "drain_timeout");
    assert_eq!(client.ask_again_and_again("y"), "2:y");
}
