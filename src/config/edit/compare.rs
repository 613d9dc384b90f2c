//! What is to become of the keys and elements that stand in a text.

use std::collections::HashMap;
use std::collections::VecDeque;

use serde_json::Map;
use serde_json::Value as Json;

use crate::config::edit::syntax::Assignment;

/// Keys by which an element of a list stays the same when others of it change.
const IDENTITIES: [&str; 3] = ["name", "address", "group"];

/// What becomes of an assignment.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Fate {
    Kept,
    Changed(Json),
    Dropped,
}

/// What becomes of the assignments of a table.
pub(super) struct TablePlan {
    /// In their order.
    pub fates: Vec<Fate>,
    /// What is new: keys, with dots where the table has such already.
    pub additions: Vec<(Vec<String>, Json)>,
}

/// Compares what a table says with what it is to say; keys that `is_elsewhere` are left alone.
pub(super) fn plan(
    assignments: &[Assignment],
    wanted: &Map<String, Json>,
    is_elsewhere: impl Fn(&str) -> bool,
) -> TablePlan {
    let mut plan = TablePlan { fates: vec![Fate::Kept; assignments.len()], additions: Vec::new() };
    let first = |index: &usize| {
        let key = assignments.get(*index).and_then(|assignment| assignment.path.first());
        key.is_some_and(|key| !is_elsewhere(key))
    };
    let indices: Vec<usize> = (0..assignments.len()).filter(first).collect();
    let wanted: Vec<(&String, &Json)> = wanted.iter().filter(|(key, _)| !is_elsewhere(key)).collect();
    plan.compare(assignments, &indices, &[], &wanted);
    plan
}

impl TablePlan {
    /// `indices` are of the assignments that begin with the keys of `prefix`.
    fn compare(
        &mut self,
        assignments: &[Assignment],
        indices: &[usize],
        prefix: &[String],
        wanted: &[(&String, &Json)],
    ) {
        let mut groups: Vec<(&String, Vec<usize>)> = Vec::new();
        let mut places: HashMap<&String, usize> = HashMap::new();
        for index in indices {
            let Some(key) = assignments.get(*index).and_then(|found| found.path.get(prefix.len())) else {
                continue;
            };
            let place = *places.entry(key).or_insert_with(|| {
                groups.push((key, Vec::new()));
                groups.len() - 1
            });
            groups[place].1.push(*index);
        }
        let by_key: HashMap<&String, &Json> = wanted.iter().copied().collect();
        for (key, indices) in &groups {
            let path = [prefix, std::slice::from_ref(*key)].concat();
            let is_leaf = indices.iter().any(|index| assignments[*index].path.len() == path.len());
            match (by_key.get(key), is_leaf) {
                (Some(value), true) => {
                    for index in indices {
                        let is_same = assignments[*index].value.to_json() == **value;
                        self.fates[*index] =
                            if is_same { Fate::Kept } else { Fate::Changed((*value).clone()) };
                    }
                }
                (Some(Json::Object(inner)), false) if !inner.is_empty() => {
                    self.compare(assignments, indices, &path, &inner.iter().collect::<Vec<_>>());
                }
                (value, _) => {
                    indices.iter().for_each(|index| self.fates[*index] = Fate::Dropped);
                    self.additions.extend(value.map(|value| (path, (*value).clone())));
                }
            }
        }
        for (key, value) in wanted.iter().filter(|(key, _)| !places.contains_key(key)) {
            let path = [prefix, std::slice::from_ref(*key)].concat();
            self.additions.push((path, (*value).clone()));
        }
    }
}

/// For each of the new elements the old one that it stays, in the same order: by its name or address, by being the same, or
/// by standing between the same neighbours.
pub(super) fn align(old: &[Json], new: &[Json]) -> Vec<Option<usize>> {
    let mut places: HashMap<String, VecDeque<usize>> = HashMap::new();
    for (index, element) in old.iter().enumerate() {
        places.entry(identity(element)).or_default().push_back(index);
    }
    let mut next = 0;
    let mut found: Vec<Option<usize>> = Vec::with_capacity(new.len());
    for element in new {
        let candidates = places.get_mut(&identity(element));
        let place = candidates.and_then(|candidates| {
            candidates.retain(|place| *place >= next);
            candidates.pop_front()
        });
        next = place.map_or(next, |place| place + 1);
        found.push(place);
    }
    pair_gaps(&mut found, old.len());
    found
}

/// Where as many elements went as came between two that stay, each that came takes the place of one that went.
fn pair_gaps(found: &mut [Option<usize>], old: usize) {
    let mut start = 0;
    let mut free = 0;
    while start < found.len() {
        if let Some(place) = found[start] {
            free = place + 1;
            start += 1;
            continue;
        }
        let end = (start..found.len()).find(|index| found[*index].is_some()).unwrap_or(found.len());
        let bound = found.get(end).copied().flatten().unwrap_or(old);
        if bound - free == end - start {
            (start..end).zip(free..bound).for_each(|(index, place)| found[index] = Some(place));
        }
        start = end;
    }
}

fn identity(element: &Json) -> String {
    let name = IDENTITIES.iter().find_map(|key| Some((key, element.get(key)?.as_str()?)));
    name.map_or_else(|| element.to_string(), |(key, name)| format!("{key}\0{name}"))
}
