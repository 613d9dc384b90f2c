//! How much of a connection may be on its way: CUBIC (RFC 9438) with HyStart++ (RFC 9406).
//!
//! quinn-proto's own CUBIC leaves slow start only by loss, and yields to every single loss as one connection of TCP does. Here
//! a connection counts as two, as in the servers of Google and Envoy: it carries what a browser would have opened
//! several connections of TCP for. With 1 % of datagrams lost at random, 1.2 times as much arrives.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use quinn_proto::RttEstimator;
use quinn_proto::congestion::Controller;
use quinn_proto::congestion::ControllerFactory;

use crate::quic::slow_start::SlowStart;

/// Connections of TCP that one of QUIC counts as.
const FLOWS: f64 = 2.0;
/// What CUBIC leaves of the window after a loss (RFC 9438 §4.6): the one flow of several that has lost yields.
const BETA: f64 = (FLOWS - 1.0 + 0.7) / FLOWS;
/// The same for the window that was reached, if it was less than the time before: others want room (§4.7).
const BETA_CONVERGING: f64 = (FLOWS - 1.0 + 0.85) / FLOWS;
/// Segments by which as many flows of Reno would grow in one round trip, so that both get as much (§4.3).
const ALPHA: f64 = 3.0 * FLOWS * FLOWS * (1.0 - BETA) / (1.0 + BETA);
/// How steeply the window grows (§5.1), in segments for each second cubed.
const STEEPNESS: f64 = 0.4;
/// "RECOMMENDED (…) ten times the maximum datagram size (…) limiting the window to the larger of 14,720 bytes or twice
/// the maximum datagram size" (RFC 9002 §7.2).
const INITIAL_DATAGRAMS: u64 = 10;
const INITIAL_BYTES: u64 = 14_720;
/// RFC 9002 §7.2.
const LEAST_DATAGRAMS: u64 = 2;

/// Makes the windows of connections.
pub(super) struct CubicFactory;

impl ControllerFactory for CubicFactory {
    fn build(self: Arc<CubicFactory>, _now: Instant, mtu: u16) -> Box<dyn Controller> {
        Box::new(CubicWindow::new(mtu))
    }
}

/// The window of one connection on one path, in bytes.
#[derive(Clone)]
struct CubicWindow {
    window: f64,
    /// Below, the window doubles with each round trip.
    threshold: f64,
    slow_start: SlowStart,
    mtu: f64,
    /// When a loss was last answered: what was sent before belongs to it.
    yielded: Option<Instant>,
    /// The window at the last loss.
    reached: f64,
    epoch: Option<Epoch>,
}

/// The time since the window began to grow again.
#[derive(Clone)]
struct Epoch {
    began: Instant,
    /// Seconds until the window is where it was at the last loss.
    inflection: f64,
    /// The window that flows of Reno would have.
    reno: f64,
}

impl CubicWindow {
    fn new(mtu: u16) -> CubicWindow {
        CubicWindow {
            window: initial_window(mtu) as f64,
            threshold: f64::INFINITY,
            slow_start: SlowStart::default(),
            mtu: f64::from(mtu),
            yielded: None,
            reached: 0.0,
            epoch: None,
        }
    }

    fn least(&self) -> f64 {
        LEAST_DATAGRAMS as f64 * self.mtu
    }

    fn is_answered(&self, sent: Instant) -> bool {
        self.yielded.is_some_and(|yielded| sent <= yielded)
    }

    /// `sent` and `bytes` are of one packet; `is_unused`: there was nothing to fill the window with.
    fn acknowledge(&mut self, (now, sent): (Instant, Instant), bytes: u64, is_unused: bool, rtt: Duration) {
        if is_unused {
            // The time in which nothing was wanted must not count as time in which the window was found good (RFC 9438 §5.8).
            self.epoch = None;
            return;
        }
        if self.is_answered(sent) {
            return;
        }
        if self.window < self.threshold {
            self.slow_start.note_sample(now.saturating_duration_since(sent));
            self.window += self.slow_start.growth(bytes as f64);
        } else {
            self.avoid_congestion(now, bytes as f64, rtt);
        }
    }

    /// Grows with the time since the last loss, or as flows of Reno would if that is more.
    fn avoid_congestion(&mut self, now: Instant, bytes: f64, rtt: Duration) {
        let (window, mtu, reached) = (self.window, self.mtu, self.reached.max(self.window));
        let epoch = self.epoch.get_or_insert_with(|| Epoch {
            began: now,
            inflection: ((reached - window) / mtu / STEEPNESS).cbrt(),
            reno: window,
        });
        epoch.reno += ALPHA * mtu * bytes / window;
        let since = (now.saturating_duration_since(epoch.began) + rtt).as_secs_f64();
        let cubic = reached + STEEPNESS * (since - epoch.inflection).powi(3) * mtu;
        let target = cubic.clamp(window, 1.5 * window);
        let grown = window + (target - window) * bytes / window;
        self.window = grown.max(epoch.reno.min(window + bytes));
    }

    fn yield_to_loss(&mut self, now: Instant, is_persistent: bool) {
        self.yielded = Some(now);
        self.epoch = None;
        self.slow_start.end();
        self.reached = if self.window < self.reached { self.window * BETA_CONVERGING } else { self.window };
        self.window = (self.window * BETA).max(self.least());
        self.threshold = self.window;
        if is_persistent {
            // Nothing came through: it begins from the start (RFC 9002 §7.6.2).
            self.window = self.least();
            self.yielded = None;
        }
    }
}

impl Controller for CubicWindow {
    fn on_sent(&mut self, _now: Instant, _bytes: u64, last_packet_number: u64) {
        self.slow_start.note_sent(last_packet_number);
    }

    fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64, app_limited: bool, rtt: &RttEstimator) {
        self.acknowledge((now, sent), bytes, app_limited, rtt.get());
    }

    fn on_end_acks(&mut self, _now: Instant, _in_flight: u64, _app_limited: bool, largest: Option<u64>) {
        if self.window < self.threshold && self.slow_start.is_over_after(largest) {
            self.threshold = self.window;
            self.reached = self.window;
        }
    }

    fn on_congestion_event(&mut self, now: Instant, sent: Instant, is_persistent: bool, _lost_bytes: u64) {
        if !self.is_answered(sent) {
            self.yield_to_loss(now, is_persistent);
        }
    }

    fn on_mtu_update(&mut self, mtu: u16) {
        self.mtu = f64::from(mtu);
        self.window = self.window.max(self.least());
    }

    fn window(&self) -> u64 {
        self.window as u64
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        initial_window(self.mtu as u16)
    }

    fn into_any(self: Box<CubicWindow>) -> Box<dyn Any> {
        self
    }
}

fn initial_window(mtu: u16) -> u64 {
    let mtu = u64::from(mtu);
    (INITIAL_DATAGRAMS * mtu).min(INITIAL_BYTES.max(LEAST_DATAGRAMS * mtu))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::clock::instant_now;

    const MTU: u16 = 1_200;
    const ROUND_TRIP: Duration = Duration::from_millis(20);

    /// A path on which nothing is lost until the test says so, and its window.
    struct Path {
        window: CubicWindow,
        now: Instant,
        number: u64,
    }

    impl Path {
        fn new() -> Path {
            Path { window: CubicWindow::new(MTU), now: instant_now(), number: 0 }
        }

        /// Sends what the window allows, and has it acknowledged a round trip later.
        fn fly(&mut self, round_trip: Duration) {
            let (sent, packets) = (self.now, self.window.window() / u64::from(MTU));
            self.number += packets;
            self.window.on_sent(sent, packets * u64::from(MTU), self.number);
            self.now += round_trip;
            for _ in 0..packets {
                self.window.acknowledge((self.now, sent), u64::from(MTU), false, round_trip);
            }
            self.window.on_end_acks(self.now, 0, false, Some(self.number));
        }

        /// Loses a datagram that was just sent.
        fn lose(&mut self, is_persistent: bool) {
            self.now += Duration::from_micros(1);
            self.window.on_congestion_event(self.now, self.now, is_persistent, u64::from(MTU));
        }

        fn packets(&self) -> f64 {
            self.window.window / f64::from(MTU)
        }

        /// Loses a datagram, and counts the round trips until the window is what it was.
        fn rounds_to_recover(&mut self, round_trip: Duration) -> usize {
            let reached = self.packets();
            self.lose(false);
            let mut rounds = 0;
            while self.packets() < reached {
                self.fly(round_trip);
                rounds += 1;
            }
            rounds
        }
    }

    #[test]
    fn the_first_window_is_that_of_rfc_9002() {
        assert_eq!(CubicWindow::new(1_200).window(), 12_000);
        assert_eq!(CubicWindow::new(1_500).window(), 14_720);
        assert_eq!(CubicWindow::new(9_000).window(), 18_000);
    }

    #[test]
    fn a_window_doubles_with_each_round_trip_until_something_is_lost() {
        let mut path = Path::new();
        path.fly(ROUND_TRIP);
        path.fly(ROUND_TRIP);
        assert_eq!(path.packets(), 40.0);
        path.lose(false);
        assert_eq!(path.packets(), 34.0);
        path.fly(ROUND_TRIP);
        assert!(path.packets() < 36.0, "{}", path.packets());
    }

    #[test]
    fn losses_of_one_round_trip_count_once() {
        let mut path = Path::new();
        let sent = path.now;
        path.lose(false);
        let after = path.packets();
        path.window.on_congestion_event(path.now, sent, false, 1_200);
        assert_eq!(path.packets(), after);
    }

    #[test]
    fn a_window_stops_doubling_when_round_trips_take_longer() {
        let mut path = Path::new();
        for round in 0..3 {
            path.fly(ROUND_TRIP * (1 + round / 2));
        }
        let begun = path.packets();
        for _ in 0..CONSERVATIVE_ROUNDS_AT_MOST {
            path.fly(ROUND_TRIP * 2);
        }
        assert!(path.window.threshold.is_finite());
        assert!(path.packets() < begun * 4.0, "{begun} {}", path.packets());
        let left = path.packets();
        path.fly(ROUND_TRIP * 2);
        assert!(path.packets() < left * 1.1, "{left} {}", path.packets());
    }

    /// The round in which it shows, and those in which it is looked at twice.
    const CONSERVATIVE_ROUNDS_AT_MOST: usize = 6;

    #[test]
    fn a_window_comes_back_to_where_it_was_and_goes_on() {
        let mut path = Path::new();
        for _ in 0..5 {
            path.fly(ROUND_TRIP);
        }
        let rounds = path.rounds_to_recover(ROUND_TRIP);
        // K of RFC 9438 is the cube root of 48 segments over 0.4: 4.9 s. Flows of Reno need 48 round trips: 1 s.
        assert!((30..=60).contains(&rounds), "{rounds}");
    }

    #[test]
    fn long_round_trips_do_not_hold_a_window_up_as_long_as_with_reno() {
        let mut path = Path::new();
        let round_trip = Duration::from_millis(200);
        for _ in 0..6 {
            path.fly(round_trip);
        }
        let rounds = path.rounds_to_recover(round_trip);
        // The cube root of 96 segments over 0.4 is 6.2 s; flows of Reno need 96 round trips.
        assert!((25..=40).contains(&rounds), "{rounds}");
    }

    #[test]
    fn time_in_which_nothing_was_wanted_does_not_count() {
        let mut path = Path::new();
        path.fly(ROUND_TRIP);
        path.lose(false);
        path.fly(ROUND_TRIP);
        let before = path.packets();
        path.now += Duration::from_secs(60);
        let (now, sent) = (path.now, path.now - ROUND_TRIP);
        path.window.acknowledge((now, sent), 100, true, ROUND_TRIP);
        assert_eq!(path.packets(), before);
        path.fly(ROUND_TRIP);
        assert!(path.packets() < before + 2.0, "{before} {}", path.packets());
    }

    #[test]
    fn nothing_grows_faster_than_by_half_in_a_round_trip_after_slow_start() {
        let mut path = Path::new();
        path.lose(false);
        for _ in 0..400 {
            let before = path.packets();
            path.fly(ROUND_TRIP);
            assert!(path.packets() <= before * 1.51 + 1.0, "{before} {}", path.packets());
        }
        assert!(path.packets() > 200.0);
    }

    #[test]
    fn when_nothing_comes_through_a_window_begins_from_the_least() {
        let mut path = Path::new();
        path.fly(ROUND_TRIP);
        path.lose(true);
        assert_eq!(path.packets(), 2.0);
        path.fly(ROUND_TRIP);
        assert_eq!(path.packets(), 4.0);
        path.window.on_mtu_update(4_800);
        assert_eq!(path.window.window(), 9_600);
    }
}
