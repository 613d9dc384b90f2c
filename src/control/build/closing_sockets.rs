//! Sockets of QUIC outlive their listener: they stay open until their connections are over, and a listener that wants their
//! address meanwhile takes them back, for nobody could bind it.

use crate::control::build::binding::Binding;
use crate::quic::group_hold::GroupHold;
use crate::quic::group_hold::ReleasedHold;

/// See the module.
#[derive(Default)]
pub(super) struct ClosingSockets {
    /// Of those in service, by the number of their binding.
    held: Vec<(u64, GroupHold)>,
    closing: Vec<(Binding, ReleasedHold)>,
}

impl ClosingSockets {
    /// Sockets that close and are as they are wanted. They stay open as long as the hold is there.
    pub(super) fn take_back(&self, is_wanted: impl Fn(&Binding) -> bool) -> Option<(Binding, GroupHold)> {
        let (binding, released) = self.closing.iter().find(|(binding, _)| is_wanted(binding))?;
        let hold = released.regain().filter(GroupHold::is_complete)?;
        Some((binding.clone(), hold))
    }

    /// Other bindings are in service: `added` are the holds of those that were not before.
    pub(super) fn install(&mut self, before: &[Binding], now: &[Binding], added: Vec<(u64, GroupHold)>) {
        self.held.extend(added);
        let is_open = |number: u64| now.iter().any(|binding| binding.number == number);
        let departed = self.held.extract_if(.., |(number, _)| !is_open(*number));
        let closing = departed.filter_map(|(number, hold)| {
            let binding = before.iter().find(|binding| binding.number == number)?;
            Some((binding.clone(), hold.released()))
        });
        self.closing.extend(closing);
        self.closing.retain(|(binding, released)| !is_open(binding.number) && !released.is_over());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::address::TransportKind;

    fn binding(number: u64) -> Binding {
        let at = "127.0.0.1:443".parse().unwrap();
        let (kind, listener) = (TransportKind::Quic, "web".to_owned());
        Binding { number, kind, wanted: at, dual_stack: false, address: at, listener }
    }

    #[test]
    fn sockets_come_back_as_long_as_somebody_has_them() {
        let mut sockets = ClosingSockets::default();
        let of_worker = GroupHold::default();
        sockets.install(&[], &[binding(1)], vec![(1, of_worker.clone())]);
        assert!(sockets.take_back(|_| true).is_none(), "they are in service");
        sockets.install(&[binding(1)], &[], Vec::new());
        assert!(sockets.take_back(|_| false).is_none());
        let (back, hold) = sockets.take_back(|_| true).unwrap();
        assert_eq!(back.number, 1);
        // While a reload has it in its hands, the last connection may end.
        drop(of_worker);
        sockets.install(&[], &[back], vec![(1, hold)]);
        assert!(sockets.take_back(|_| true).is_none(), "they are in service again");
        sockets.install(&[binding(1)], &[], Vec::new());
        assert!(sockets.take_back(|_| true).is_none(), "nobody has them");
    }

    #[test]
    fn a_group_that_lacks_a_socket_does_not_come_back() {
        let mut sockets = ClosingSockets::default();
        let of_worker = GroupHold::default();
        sockets.install(&[], &[binding(1)], vec![(1, of_worker.clone())]);
        sockets.install(&[binding(1)], &[], Vec::new());
        of_worker.note_missing();
        assert!(sockets.take_back(|_| true).is_none());
    }
}
