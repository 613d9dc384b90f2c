//! Consistent hashing with a table of owners, after Maglev (Eisenbud and others, NSDI 2016), with weights.
//!
//! Every member has a preference among the slots of the table, which its identity alone decides, and goes
//! through it at a speed that its weight alone decides. It takes the slots that are free, until it has its
//! share. So shares are exact, and whatever becomes of one member, the others arrive at a slot when they
//! did before.
//!
//! In the paper members take turns instead, each searching until it finds a free slot. Then the luck of
//! one search shifts all that follow it, and several times as many keys of others move.

use crate::policy::balance::hash_key::mix;

/// Slots of a table for up to [`FEW_MEMBERS`]. Only two sizes, because a change of the size moves half of
/// the keys.
const SLOTS: usize = 16_384;

/// Slots of a table for more members: a quarter of a megabyte.
const MANY_SLOTS: usize = 131_072;

/// With 400 slots for each, hardly more keys move than those of a member that comes or goes.
const FEW_MEMBERS: usize = 40;

/// Other slots to ask for a key whose owner is not eligible, before any member will do.
const MAX_PROBES: u64 = 32;

/// The steps between the hashes of those slots.
const STRIDE: u64 = 0x9e37_79b9_7f4a_7c15;

/// A backend that owns a part of the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    pub backend: u32,
    /// 1..=100.
    pub weight: u32,
    /// A stable hash of its address, so that a fleet agrees and a restart changes nothing.
    pub identity: u64,
}

/// Which member owns which keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Maglev {
    /// The indices of the members in the order of their identities.
    backends: Vec<u32>,
    owners: Owners,
}

/// For each slot its owner, as an index of `backends`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Owners {
    Narrow(Box<[u16]>),
    Wide(Box<[u32]>),
}

impl Default for Owners {
    fn default() -> Owners {
        Owners::Narrow(Box::default())
    }
}

impl Maglev {
    /// Fills a table. The order of the members makes no difference.
    pub fn new(members: &[Member]) -> Maglev {
        let mut members = members.to_vec();
        members.sort_unstable_by_key(|member| (member.identity, member.weight, member.backend));
        let owners = if members.is_empty() { Vec::new() } else { fill(&members) };
        let narrow: Result<Box<[u16]>, _> = owners.iter().map(|&owner| u16::try_from(owner)).collect();
        Maglev {
            backends: members.iter().map(|member| member.backend).collect(),
            owners: narrow.map_or_else(|_| Owners::Wide(owners.into()), Owners::Narrow),
        }
    }

    /// The backend that owns the key of this hash. While that one is not eligible, its keys belong to
    /// all others by weight, and no other key moves. None if no member is eligible.
    pub fn pick(&self, hash: u64, is_eligible: impl Fn(u32) -> bool) -> Option<u32> {
        let mut probe = hash;
        for attempt in 0..=MAX_PROBES {
            let backend = self.backends.get(self.owner(probe)?).copied()?;
            if is_eligible(backend) {
                return Some(backend);
            }
            probe = mix(hash.wrapping_add(STRIDE.wrapping_mul(attempt + 1)));
        }
        // Hardly anybody is left.
        let (before, from_start) = self.backends.split_at_checked(slot(probe, self.backends.len())?)?;
        from_start.iter().chain(before).copied().find(|&backend| is_eligible(backend))
    }

    fn owner(&self, hash: u64) -> Option<usize> {
        match &self.owners {
            Owners::Narrow(owners) => owners.get(slot(hash, owners.len())?).map(|&owner| usize::from(owner)),
            Owners::Wide(owners) => owners.get(slot(hash, owners.len())?).map(|&owner| owner as usize),
        }
    }
}

/// The slot of a hash in a table of this size; none in an empty one.
fn slot(hash: u64, size: usize) -> Option<usize> {
    (size > 0).then(|| ((u128::from(hash) * size as u128) >> 64) as usize)
}

/// The mark of a slot without an owner.
const FREE: u32 = u32::MAX;

/// A member on its way through the slots.
struct Search {
    owner: u32,
    weight: u64,
    /// Decides which slots it prefers: an endless sequence that looks random.
    seed: u64,
    /// Slots it has looked at.
    looks: u64,
    /// Slots it has still to take.
    missing: usize,
}

impl Search {
    /// Goes on until `time`, in 2^-20 of a look for a weight of 1.
    fn advance(&mut self, time: u64, owners: &mut [u32]) {
        let due = (time * self.weight) >> 20;
        while self.looks < due && self.missing > 0 {
            self.looks += 1;
            let preferred = slot(mix(self.seed.wrapping_add(STRIDE.wrapping_mul(self.looks))), owners.len());
            if let Some(free @ &mut FREE) = preferred.and_then(|slot| owners.get_mut(slot)) {
                *free = self.owner;
                self.missing -= 1;
            }
        }
    }
}

/// Steps of time in which members search by turns. About 400 fill the largest table.
const MAX_STEPS: usize = 10_000;

fn fill(members: &[Member]) -> Vec<u32> {
    let size = if members.len() <= FEW_MEMBERS { SLOTS } else { MANY_SLOTS };
    let mut owners = vec![FREE; size];
    let mut searches = searches(members, size);
    let mut time = 0;
    for _ in 0..MAX_STEPS {
        searches.retain(|search| search.missing > 0);
        let weights: u64 = searches.iter().map(|search| search.weight).sum();
        // A sixteenth of the table's size in looks, in a power of two, so that the steps are the same
        // whether or not there is one more member.
        let Some(step) = (((size as u64 / 16) << 20) / weights.max(1)).checked_ilog2() else { break };
        time += 1 << step;
        searches.iter_mut().for_each(|search| search.advance(time, &mut owners));
    }
    // Luck is never that bad; but a search that looks at random may never end.
    let mut rest = searches.iter().flat_map(|search| std::iter::repeat_n(search.owner, search.missing));
    owners.iter_mut().filter(|owner| **owner == FREE).for_each(|owner| *owner = rest.next().unwrap_or(0));
    owners
}

/// The searches before they begin. Their shares add up to the size of the table.
fn searches(members: &[Member], size: usize) -> Vec<Search> {
    let weight = |member: &Member| u64::from(member.weight.max(1));
    let total: u64 = members.iter().map(weight).sum();
    let mut before = 0;
    let search = |(owner, member): (u32, &Member)| {
        let share_until = |weights: u64| (size as u64 * weights / total) as usize;
        let missing = share_until(before + weight(member)) - share_until(before);
        before += weight(member);
        Search { owner, weight: weight(member), seed: mix(member.identity), looks: 0, missing }
    };
    (0..).zip(members).map(search).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::balance::hash_key::hash;
    use crate::policy::balance::tests::Numbers;

    const KEYS: u64 = 20_000;

    fn members(weights: &[u32]) -> Vec<Member> {
        let member = |(backend, &weight): (u32, _)| {
            let identity = hash(format!("10.0.{}.{}:8080", backend / 256, backend % 256).as_bytes());
            Member { backend, weight, identity }
        };
        (0..).zip(weights).map(member).collect()
    }

    fn slots(table: &Maglev, members: usize) -> Vec<u32> {
        let mut slots = vec![0; members];
        let size = match &table.owners {
            Owners::Narrow(owners) => owners.len(),
            Owners::Wide(owners) => owners.len(),
        };
        // The first hash of each slot, or one that is little higher.
        for slot in 0..size as u64 {
            slots[table.pick(((slot << 32) / size as u64 + 1) << 32, |_| true).unwrap() as usize] += 1;
        }
        slots
    }

    fn owner(table: &Maglev, key: u64) -> u32 {
        table.pick(mix(key), |_| true).unwrap()
    }

    #[test]
    fn shares_follow_weights() {
        let mut numbers = Numbers(1);
        for number in [1, 2, 3, 5, 10, 50, 300, 1000] {
            for limit in [1, 3, 100] {
                let weights: Vec<_> = (0..number).map(|_| 1 + numbers.below(limit) as u32).collect();
                let slots = slots(&Maglev::new(&members(&weights)), number);
                let (size, total): (u32, u32) = (slots.iter().sum(), weights.iter().sum());
                for (slots, weight) in slots.iter().zip(&weights) {
                    let fair = f64::from(size) * f64::from(*weight) / f64::from(total);
                    assert!((f64::from(*slots) - fair).abs() < 1.0 + fair / 100.0, "{slots} for {fair}");
                }
            }
        }
    }

    #[test]
    fn the_order_of_members_makes_no_difference() {
        let mut numbers = Numbers(2);
        let mut shuffled = members(&[100, 1, 1, 50, 3, 7, 100, 20]);
        let table = Maglev::new(&shuffled);
        for _ in 0..20 {
            let at = numbers.below(8) as usize;
            shuffled.rotate_left(at);
            shuffled.swap(0, at);
            assert_eq!(Maglev::new(&shuffled), table);
        }
    }

    #[test]
    fn a_fleet_of_another_version_agrees() {
        let table = Maglev::new(&members(&[100, 50, 100, 10]));
        let owners: Vec<_> = (0..24).map(|key| owner(&table, key)).collect();
        assert_eq!(owners, [1, 0, 1, 2, 0, 2, 2, 0, 2, 0, 2, 1, 1, 2, 0, 0, 1, 1, 2, 0, 2, 0, 0, 2]);
    }

    #[test]
    fn without_one_member_few_keys_move() {
        let mut numbers = Numbers(3);
        for number in [2, 3, 5, 10, 20, 50, 100, 300, 1000] {
            for limit in [1, 100] {
                let weights: Vec<_> = (0..number).map(|_| 1 + numbers.below(limit) as u32).collect();
                let whole = members(&weights);
                let table = Maglev::new(&whole);
                let mut rest = whole.clone();
                let removed = rest.swap_remove(numbers.below(number) as usize);
                let smaller = Maglev::new(&rest);
                let moved = (0..KEYS).filter(|&key| owner(&table, key) != owner(&smaller, key)).count();
                let moved = moved as f64 / KEYS as f64;
                let share = f64::from(removed.weight) / f64::from(weights.iter().sum::<u32>());
                assert!(moved <= 1.25 * share + 0.01, "{number} {limit}: {moved} for {share}");
            }
        }
    }

    #[test]
    fn keys_of_an_ineligible_member_go_to_all_others_by_weight() {
        let weights = [10, 20, 30, 40, 50];
        let table = Maglev::new(&members(&weights));
        let mut gained = [0.0; 5];
        for key in 0..KEYS {
            let before = owner(&table, key);
            let after = table.pick(mix(key), |backend| backend != 2).unwrap();
            assert!(before == after || before == 2);
            assert_ne!(after, 2);
            if before == 2 {
                gained[after as usize] += 1.0;
            }
        }
        for (backend, weight) in [(0, 10.0), (1, 20.0), (3, 40.0), (4, 50.0)] {
            let fair = KEYS as f64 * 30.0 / 150.0 * weight / 120.0;
            assert!((gained[backend] - fair).abs() < 0.15 * fair, "{backend}: {gained:?}");
        }
    }

    #[test]
    fn whoever_is_left_is_found() {
        let table = Maglev::new(&members(&[1; 1000]));
        for key in 0..100 {
            assert_eq!(table.pick(mix(key), |backend| backend == 777), Some(777));
            assert_eq!(table.pick(mix(key), |_| false), None);
        }
        assert_eq!(Maglev::new(&[]).pick(1, |_| true), None);
    }
}
