//! Sorting that is small rather than fast.
//!
//! Each call of a slice's own `sort` with another type or another comparison is 4 to 10 KB of program. These share one, which
//! sorts numbers of elements; it is for lists of configurations and of screens, not for what runs for each request. So are
//! the maps: `collect` sorts before it fills one, and the sort is another one for each iterator.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde_json::Map;
use serde_json::Value as Json;

/// Sorts as `slice::sort_by` does; what is equal stays in its order. O(n log n) comparisons, and a list of n numbers.
pub fn sort_by<T>(elements: &mut [T], compare: impl Fn(&T, &T) -> Ordering) {
    let order = order(elements.len(), &|one, other| match (elements.get(one), elements.get(other)) {
        (Some(one), Some(other)) => compare(one, other),
        _ => Ordering::Equal,
    });
    arrange(order, &mut |one, other| elements.swap(one, other));
}

/// Sorts by a key as `slice::sort_by_key` does; what is equal stays in its order.
pub fn sort_by_key<T, K: Ord>(elements: &mut [T], key: impl Fn(&T) -> K) {
    sort_by(elements, |one, other| key(one).cmp(&key(other)));
}

/// A map of these pairs; of several with the same key the last one counts.
pub fn map<K: Ord, V>(pairs: impl IntoIterator<Item = (K, V)>) -> BTreeMap<K, V> {
    let mut map = BTreeMap::new();
    for (key, value) in pairs {
        map.insert(key, value);
    }
    map
}

/// An object of JSON with these members; of several with the same name the last one counts.
pub fn object<K: Into<String>, V: Into<Json>>(
    members: impl IntoIterator<Item = (K, V)>,
) -> Map<String, Json> {
    let mut object = Map::new();
    for (name, value) in members {
        object.insert(name.into(), value.into());
    }
    object
}

/// Which element comes first, second and so on.
fn order(count: usize, compare: &dyn Fn(usize, usize) -> Ordering) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by(|one, other| compare(*one, *other));
    order
}

/// Brings elements into this order, one cycle of it after the other.
fn arrange(mut order: Vec<usize>, swap: &mut dyn FnMut(usize, usize)) {
    for start in 0..order.len() {
        let mut place = start;
        // Where everything is at its place, each comes from where it is.
        while let Some(from) = order.get_mut(place).map(|from| std::mem::replace(from, place))
            && from != start
        {
            swap(place, from);
            place = from;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn maps_have_the_last_of_each_key() {
        let pairs = [("b", 1), ("a", 2), ("b", 3)];
        assert_eq!(map(pairs), BTreeMap::from([("a", 2), ("b", 3)]));
        assert_eq!(Json::Object(object(pairs)), json!({ "a": 2, "b": 3 }));
    }

    #[test]
    fn it_sorts_as_the_library_does() {
        let mut state = 1_u64;
        for length in [0, 1, 2, 3, 7, 20, 500] {
            let mut number = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                state >> 60
            };
            let list: Vec<(u64, String)> = (0..length).map(|at| (number(), at.to_string())).collect();
            let (mut ours, mut expected) = (list.clone(), list);
            sort_by_key(&mut ours, |(key, _)| *key);
            expected.sort_by_key(|(key, _)| *key);
            assert_eq!(ours, expected);
            sort_by(&mut ours, |(one, _), (other, _)| other.cmp(one));
            expected.sort_by(|(one, _), (other, _)| other.cmp(one));
            assert_eq!(ours, expected);
        }
    }
}
