//! How many bytes of DATA may be in flight (RFC 9113 §5.2): windows of streams and of the connection, and
//! how large ours should be.

use crate::proto::token_bucket::Millis;

/// "A sender MUST NOT allow a flow-control window to exceed 2^31-1 octets."
pub const LARGEST_WINDOW: u32 = (1 << 31) - 1;

/// What a stream and the connection start with, unless the settings say otherwise.
pub const DEFAULT_WINDOW: u32 = 65_535;

/// A window would pass [`LARGEST_WINDOW`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow;

/// More was sent than the window allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded;

/// What we may still send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendWindow {
    /// Negative after the peer made the initial window smaller (RFC 9113 §6.9.2).
    left: i32,
}

impl SendWindow {
    pub fn new(bytes: u32) -> SendWindow {
        SendWindow { left: i32::try_from(bytes).unwrap_or(i32::MAX) }
    }

    pub fn available(self) -> u32 {
        u32::try_from(self.left).unwrap_or(0)
    }

    /// Takes what [`SendWindow::available`] allows.
    pub fn take(&mut self, bytes: u32) {
        debug_assert!(bytes <= self.available());
        self.left = self.left.saturating_sub_unsigned(bytes);
    }

    pub fn grow(&mut self, increment: u32) -> Result<(), Overflow> {
        self.left = self.left.checked_add_unsigned(increment).ok_or(Overflow)?;
        Ok(())
    }

    /// The peer's initial window changed.
    pub fn shift(&mut self, before: u32, after: u32) -> Result<(), Overflow> {
        if after >= before {
            return self.grow(after - before);
        }
        self.left = self.left.saturating_sub_unsigned(before - after);
        Ok(())
    }
}

/// What the peer may still send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiveWindow {
    /// `left + untold <= size <= LARGEST_WINDOW`; the rest of it is with the reader.
    size: u32,
    /// What the peer may send.
    left: u32,
    /// What the reader is done with and the peer does not know of.
    untold: u32,
}

impl ReceiveWindow {
    pub fn new(size: u32) -> ReceiveWindow {
        let size = size.min(LARGEST_WINDOW);
        ReceiveWindow { size, left: size, untold: 0 }
    }

    pub fn take(&mut self, bytes: u32) -> Result<(), Exceeded> {
        self.left = self.left.checked_sub(bytes).ok_or(Exceeded)?;
        Ok(())
    }

    /// Bytes that were received and not released.
    pub fn unread(self) -> u32 {
        self.size.saturating_sub(self.left).saturating_sub(self.untold)
    }

    /// The reader is done with so many bytes. Gives the increment to tell the peer, once it is worth a
    /// frame: half of the window, in which the window grows to `target`.
    pub fn release(&mut self, bytes: u32, target: u32) -> Option<u32> {
        self.untold += bytes.min(self.unread());
        let growth = target.min(LARGEST_WINDOW).saturating_sub(self.size);
        if self.untold < self.size / 2 {
            return None;
        }
        let increment = self.untold + growth;
        self.size += growth;
        self.left += increment;
        self.untold = 0;
        (increment > 0).then_some(increment)
    }
}

/// The window that streams should have, found by trying: as long as a whole window comes within one round
/// trip, the window is what holds the sender back, and it doubles.
///
/// A round trip is told by a PING of ours, sent when the first content of a burst comes. A sender that the
/// window holds back has sent all of it before the answer.
#[derive(Clone, Copy, Debug)]
pub struct AdaptiveWindow {
    target: u32,
    largest: u32,
    received: u64,
    bdp_ping: BdpPing,
}

#[derive(Clone, Copy, Debug)]
enum BdpPing {
    /// No PING is on its way. The next may be sent at this time.
    Idle(Millis),
    /// So much had been received when it was sent.
    Sent { received: u64, at: Millis },
}

/// Between two PINGs that measure the path: the peer may count them.
const PROBE_INTERVAL_MS: Millis = 100;
/// The least size of a DATA frame that looks like one of many.
const PROBE_BYTES: u32 = 4096;

impl AdaptiveWindow {
    pub fn new(initial: u32, largest: u32) -> AdaptiveWindow {
        AdaptiveWindow {
            target: initial,
            largest: largest.max(initial),
            received: 0,
            bdp_ping: BdpPing::Idle(0),
        }
    }

    pub fn target(&self) -> u32 {
        self.target
    }

    /// A DATA frame of so many bytes comes. Whether a PING should be sent at once, to see how much comes
    /// until its answer.
    pub fn handle_received(&mut self, bytes: u32, now: Millis) -> bool {
        let begins = match self.bdp_ping {
            BdpPing::Idle(from) => now >= from && bytes >= PROBE_BYTES && self.target < self.largest,
            BdpPing::Sent { .. } => false,
        };
        if begins {
            self.bdp_ping = BdpPing::Sent { received: self.received, at: now };
        }
        self.received += u64::from(bytes);
        begins
    }

    /// The PING came back.
    pub fn handle_bdp_pong(&mut self) {
        let BdpPing::Sent { received, at } = self.bdp_ping else {
            return;
        };
        self.bdp_ping = BdpPing::Idle(at + PROBE_INTERVAL_MS);
        let in_round_trip = self.received - received;
        if in_round_trip >= u64::from(self.target) / 3 * 2 {
            self.target = self.target.saturating_mul(2).min(self.largest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn send_windows_end_at_the_largest() {
        let mut window = SendWindow::new(65_535);
        assert_eq!(window.grow(LARGEST_WINDOW - 65_535), Ok(()));
        assert_eq!(window.available(), LARGEST_WINDOW);
        assert_eq!(window.grow(1), Err(Overflow));
        window.take(LARGEST_WINDOW);
        assert_eq!(window.available(), 0);
    }

    #[test]
    fn send_windows_may_be_negative() {
        let mut window = SendWindow::new(100);
        window.take(100);
        assert_eq!(window.shift(100, 10), Ok(()));
        assert_eq!(window.available(), 0);
        assert_eq!(window.grow(90), Ok(()));
        assert_eq!(window.available(), 0);
        assert_eq!(window.grow(5), Ok(()));
        assert_eq!(window.available(), 5);
        assert_eq!(window.shift(0, LARGEST_WINDOW), Err(Overflow));
    }

    #[test]
    fn receive_windows_are_told_in_halves() {
        let mut window = ReceiveWindow::new(100);
        assert_eq!(window.take(101), Err(Exceeded));
        assert_eq!(window.take(80), Ok(()));
        assert_eq!(window.unread(), 80);
        assert_eq!(window.release(30, 100), None);
        assert_eq!(window.release(30, 100), Some(60));
        assert_eq!((window.left, window.unread()), (80, 20));
        // What was never received cannot be released.
        assert_eq!(window.release(1000, 100), None);
        assert_eq!(window.unread(), 0);
        assert_eq!(window.take(80), Ok(()));
        assert_eq!(window.release(80, 300), Some(300));
        assert_eq!((window.size, window.left), (300, 300));
    }

    #[test]
    fn a_window_that_fills_within_a_round_trip_doubles() {
        let mut window = AdaptiveWindow::new(10_000, 30_000);
        let mut round = |pieces: &[u32], now| {
            let sent = pieces.iter().filter(|&&piece| window.handle_received(piece, now)).count();
            window.handle_bdp_pong();
            (sent, window.target())
        };
        assert_eq!(round(&[100, 4095], 0), (0, 10_000));
        assert_eq!(round(&[4096, 2000], 0), (1, 10_000));
        assert_eq!(round(&[10_000], 99), (0, 10_000));
        assert_eq!(round(&[5000, 5000], 100), (1, 20_000));
        assert_eq!(round(&[20_000], 200), (1, 30_000));
        assert_eq!(round(&[30_000], 300), (0, 30_000));
    }
}
