//! Which backends a client is sent to, one after the other, until one of them serves it.

use std::cell::Cell;
use std::cell::RefCell;

use arrayvec::ArrayVec;

use crate::policy::retry;
use crate::policy::retry::Failure;
use crate::policy::retry::Replay;
use crate::policy::retry::RetryVerdict;
use crate::snapshot::group::Availability;
use crate::snapshot::group::Group;
use crate::telemetry::reason::Reason;
use crate::upstream::balancer::Balancer;

/// The most backends that one selection may try: one, the most that `max_retries` allows, and a standby.
pub const MAX_TRIED: usize = 12;

/// Where a client would be sent if nothing spoke against it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Preference {
    /// The hash of what decides, where something does.
    pub key: Option<u64>,
    /// The index of the member that the client belongs to.
    pub backend: Option<u32>,
}

/// The backends of a group that were tried for one client, and how many more may be.
pub struct Selection<'s> {
    group: &'s Group,
    balancer: &'s Balancer,
    preference: Preference,
    tried: RefCell<ArrayVec<u32, MAX_TRIED>>,
    retries_left: Cell<u32>,
    may_ask_standby: Cell<bool>,
    /// The member that has this request in the room that its group limits.
    held: Cell<Option<u32>>,
}

/// Why nobody can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoChoice {
    Unavailable(Availability),
    /// Every backend has as many requests as it may have.
    AllFull,
}

impl NoChoice {
    /// What logs and metrics call it.
    pub fn reason(self) -> Reason {
        match self {
            NoChoice::Unavailable(Availability::AllDown) => Reason::NoHealthyBackend,
            NoChoice::Unavailable(Availability::Disabled) => Reason::GroupDisabled,
            NoChoice::Unavailable(_) => Reason::NoBackend,
            NoChoice::AllFull => Reason::QueueFull,
        }
    }
}

/// The backend that is asked after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    None,
    /// The same backend, on a fresh connection.
    Same,
    /// The index of another member.
    Other(u32),
}

impl<'s> Selection<'s> {
    pub fn group(&self) -> &'s Group {
        self.group
    }

    pub fn new(group: &'s Group, preference: Preference, balancer: &'s Balancer) -> Selection<'s> {
        balancer.request_began(group);
        Selection {
            group,
            balancer,
            preference,
            tried: RefCell::default(),
            retries_left: Cell::new(group.max_retries),
            may_ask_standby: Cell::new(group.max_retries > 0),
            held: Cell::new(None),
        }
    }

    /// Counts a member as tried, because something speaks against it.
    pub fn avoid(&self, member: u32) {
        let _ = self.tried.borrow_mut().try_push(member);
    }

    /// Leaves the room that was taken at the chosen member to the caller, who has to release it; false: none was taken.
    pub fn keep_room(&self) -> bool {
        self.held.take().is_some()
    }

    /// The next backend: the client's own, or else one that was not tried yet. Its index in the group, or why there is
    /// none.
    pub fn choose(&self) -> Result<u32, NoChoice> {
        if let Some(queue) = &self.group.queue {
            // Nobody is served before those who wait.
            let is_last = queue.state.waiting() > 0 && self.tried.borrow().is_empty();
            return if is_last { Err(NoChoice::AllFull) } else { self.choose_next() };
        }
        let mut tried = self.tried.borrow_mut();
        let own = self.valid_owner().filter(|own| !tried.contains(own));
        let chosen = own.or_else(|| self.balancer.choose(self.group, self.preference.key, &tried));
        let Some(chosen) = chosen else {
            return Err(self.unavailable());
        };
        // The capacity covers the most retries that the configuration allows.
        let _ = tried.try_push(chosen);
        Ok(chosen)
    }

    /// The same among those that have room, for one whose turn it is.
    pub fn choose_next(&self) -> Result<u32, NoChoice> {
        let mut tried = self.tried.borrow_mut();
        let own = self.valid_owner().filter(|own| !tried.contains(own) && self.group.takes_room(*own));
        let chosen = match own {
            Some(own) => own,
            None => {
                let first = self.balancer.choose(self.group, self.preference.key, &tried);
                let first = first.ok_or_else(|| self.unavailable())?;
                let has_room = self.group.takes_room(first);
                let other = || self.balancer.choose_with_room(self.group, &tried);
                if has_room { first } else { other().ok_or(NoChoice::AllFull)? }
            }
        };
        self.release_held();
        self.held.set(Some(chosen));
        let _ = tried.try_push(chosen);
        Ok(chosen)
    }

    /// The member has done its part, so that another request can have the room.
    pub fn release(&self, member: u32) {
        if self.held.get() == Some(member) {
            self.release_held();
        }
    }

    fn release_held(&self) {
        if let Some(member) = self.held.take().and_then(|held| self.group.member(held as usize)) {
            member.backend.room.release();
            if let Some(queue) = self.group.queue.as_ref().filter(|queue| queue.state.waiting() > 0) {
                self.balancer.queues.room_made(&queue.state);
            }
        }
    }

    fn unavailable(&self) -> NoChoice {
        NoChoice::Unavailable(self.balancer.availability(self.group).unwrap_or(Availability::NoBackends))
    }

    /// Decides what follows a failed attempt with the backend that was chosen last. No failure: there is none that
    /// another attempt could mend.
    pub fn after(&self, failure: Option<Failure>, replay: Replay) -> Next {
        // Where every active backend has failed, a standby is asked besides.
        let to_standby = self.may_ask_standby.get()
            && self.balancer.has_only_standbys_left(self.group, &self.tried.borrow());
        let backends_left = self.retries_left.get().max(u32::from(to_standby));
        // A client that was sent elsewhere, because its own backend is gone, has nothing to lose there.
        let sticky = self.preference.backend.is_some()
            && self.preference.backend == self.tried.borrow().last().copied();
        let verdict = failure.map_or(RetryVerdict::GiveUp, |failure| {
            retry::after(failure, Replay { sticky, ..replay }, backends_left, &self.group.retry_on)
        });
        match verdict {
            RetryVerdict::GiveUp => Next::None,
            RetryVerdict::SameBackend => Next::Same,
            RetryVerdict::OtherBackend | RetryVerdict::Elsewhere if !self.balancer.may_retry(self.group) => {
                Next::None
            }
            RetryVerdict::OtherBackend | RetryVerdict::Elsewhere => match self.choose() {
                Ok(other) => {
                    self.retries_left.set(self.retries_left.get().saturating_sub(1));
                    self.may_ask_standby.set(self.may_ask_standby.get() && !to_standby);
                    Next::Other(other)
                }
                Err(_) if verdict == RetryVerdict::Elsewhere => Next::Same,
                Err(_) => Next::None,
            },
        }
    }

    /// The owner, if the client may still be sent to it.
    fn valid_owner(&self) -> Option<u32> {
        let owner = self.preference.backend?;
        let member = self.group.member(owner as usize)?;
        let keeps = !member.is_standby && member.keeps_clients();
        (keeps || self.balancer.may_choose(self.group, owner)).then_some(owner)
    }
}

impl Drop for Selection<'_> {
    fn drop(&mut self) {
        self.release_held();
    }
}
