//! The known word that a misspelt one was probably meant to be.

/// Below this likeness a suggestion confuses more than it helps.
const LEAST_LIKENESS: f64 = 0.6;

pub(super) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let likeness = |candidate: &str| {
        strsim::normalized_damerau_levenshtein(&word.to_lowercase(), &candidate.to_lowercase())
    };
    known
        .iter()
        .map(|candidate| (likeness(candidate), *candidate))
        .filter(|(likeness, _)| *likeness >= LEAST_LIKENESS)
        .max_by(|(left, _), (right, _)| left.total_cmp(right))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_recognised() {
        let known = ["idle_timeout", "keepalive_requests", "name"];
        let cases = [
            ("idle_timout", Some("idle_timeout")),
            ("Name", Some("name")),
            ("keep_alive_requests", Some("keepalive_requests")),
            ("compression", None),
        ];
        for (word, expected) in cases {
            assert_eq!(nearest(word, &known), expected, "{word}");
        }
    }
}
