//! Processes that handed over to this one and still serve what they have.

use std::sync::Arc;

use crate::control::handover::channel::FromPredecessor;
use crate::control::handover::channel::FromSuccessor;
use crate::control::handover::channel::HandoverChannel;
use crate::control::handover::channel::Heard;
use crate::control::handover::channel::read;
use crate::control::handover::state::CarriedProcessCounts;
use crate::snapshot::rcu_cell::RcuCell;
use crate::telemetry::events::EventKind;
use crate::telemetry::events::News;
use crate::telemetry::operator::log_event;
use crate::telemetry::words::counted;

/// Old processes at a time: with more, an operator has lost the thread.
pub const MAX_GENERATIONS: usize = 2;

/// Messages of one process that are read at a time.
const MAX_MESSAGES: usize = 64;

/// One of them.
pub struct Generation {
    pub channel: HandoverChannel,
    pub standing: GenerationStanding,
}

/// How it stands with one of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GenerationStanding {
    pub pid: u32,
    /// When it handed over, in milliseconds of the clock that it shares with this process.
    pub since_ms: u64,
    /// Of clients.
    pub connections: usize,
}

/// All of them, for whoever asks.
pub type GenerationStandings = RcuCell<Vec<GenerationStanding>>;

/// All of them, for the thread that reloads.
pub struct Generations {
    living: Vec<Generation>,
    standings: Arc<GenerationStandings>,
}

impl Generations {
    pub fn new(living: Vec<Generation>, standings: Arc<GenerationStandings>) -> Generations {
        let generations = Generations { living, standings };
        generations.publish();
        generations
    }

    pub fn living(&self) -> &[Generation] {
        &self.living
    }

    /// Hears what they have to tell; what they counted since they handed over.
    pub fn look(&mut self) -> Vec<CarriedProcessCounts> {
        if self.living.is_empty() {
            return Vec::new();
        }
        let mut counts = Vec::new();
        self.living.retain_mut(|generation| generation.look(&mut counts));
        self.publish();
        counts
    }

    pub fn follow(&mut self, generation: Generation) {
        self.living.push(generation);
        self.publish();
    }

    /// They are a successor's from now on.
    pub fn let_go(&mut self) {
        self.living.clear();
        self.publish();
    }

    fn publish(&self) {
        let standings = self.living.iter().map(|generation| generation.standing.clone());
        self.standings.publish(Arc::new(standings.collect()));
    }
}

impl Generation {
    /// Lets it stop, as this process does.
    pub fn tell_stop(&self) {
        // If it is gone, there is nothing to stop.
        drop(self.channel.send(&FromSuccessor::Stop, &[]));
    }

    /// Lets it know that control commands reach this process.
    pub fn tell_settled(&self) {
        // If it is gone, nobody wants to know.
        drop(self.channel.send(&FromSuccessor::Settled, &[]));
    }

    /// Whether it is still there.
    fn look(&mut self, counts: &mut Vec<CarriedProcessCounts>) -> bool {
        for _ in 0..MAX_MESSAGES {
            match self.channel.hear() {
                Ok(Heard::Message(FromPredecessor::Draining { connections }, _)) => {
                    self.standing.connections = connections;
                }
                Ok(Heard::Message(FromPredecessor::Farewell, file)) => {
                    // Without the counts of its last hour, those before still stand.
                    counts.extend(read::<CarriedProcessCounts>(file));
                    self.standing.connections = 0;
                }
                Ok(Heard::Message(_, _)) => {}
                Ok(Heard::Nothing) => return true,
                Ok(Heard::Closed) | Err(_) => {
                    self.log_end();
                    return false;
                }
            }
        }
        true
    }

    fn log_end(&self) {
        let GenerationStanding { pid, connections, .. } = self.standing;
        let rest = match connections {
            0 => String::new(),
            some => format!(": {} cut off", counted(some, "client connection")),
        };
        let line = format!("the process before, {pid}, has ended{rest}");
        log_event(News::new(EventKind::PredecessorEnded, line).of("pid", pid));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::handover::channel::written;
    use crate::control::handover::state::CountsOwner;
    use std::collections::BTreeMap;
    use std::os::fd::AsFd;

    #[test]
    fn they_are_heard_until_they_end() {
        let (old, own) = HandoverChannel::pair().unwrap();
        let channel = HandoverChannel::adopt(own.into_descriptor()).unwrap();
        let standing = GenerationStanding { pid: 7, since_ms: 5, connections: 3 };
        let standings = Arc::new(GenerationStandings::new(Arc::default()));
        let mut generations =
            Generations::new(vec![Generation { channel, standing }], Arc::clone(&standings));
        old.send(&FromPredecessor::Draining { connections: 2 }, &[]).unwrap();
        assert!(generations.look().is_empty());
        assert_eq!(standings.load().1[0].connections, 2);

        let mut counts = CarriedProcessCounts::default();
        counts.add(CountsOwner::Reloads, BTreeMap::from([("refused".to_owned(), 1)]));
        old.send(&FromPredecessor::Farewell, &[written(&counts).unwrap().as_fd()]).unwrap();
        drop(old);
        assert_eq!(generations.look(), [counts]);
        assert!(standings.load().1.is_empty() && generations.living().is_empty());
    }
}
