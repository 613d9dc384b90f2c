//! Conditions on responses.

use std::ops::RangeInclusive;

use crate::http::headers::Headers;
use crate::policy::router::NamedTest;

/// What a response must be like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseCondition {
    /// Alternatives; without any, every status will do.
    pub statuses: Vec<RangeInclusive<u16>>,
    /// All must hold.
    pub headers: Vec<NamedTest>,
}

impl ResponseCondition {
    /// The first part that a response does not fulfil, in words.
    pub fn missed(&self, status: u16, headers: &Headers<'_>) -> Option<String> {
        if !self.statuses.is_empty() && !self.statuses.iter().any(|range| range.contains(&status)) {
            let text = |range: &RangeInclusive<u16>| match (range.start(), range.end()) {
                (first, last) if first == last => first.to_string(),
                (first, last) => format!("{first}-{last}"),
            };
            let statuses: Vec<String> = self.statuses.iter().map(text).collect();
            return Some(format!("status {}", statuses.join(" or ")));
        }
        let missed = self.headers.iter().find(|test| !test.holds(headers));
        missed.map(|test| format!("response header {test}"))
    }

    pub fn holds(&self, status: u16, headers: &Headers<'_>) -> bool {
        let is_status = self.statuses.is_empty() || self.statuses.iter().any(|range| range.contains(&status));
        is_status && self.headers.iter().all(|test| test.holds(headers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::router::Pattern;

    #[test]
    fn statuses_are_alternatives_and_headers_are_not() {
        let named =
            |name: &str, value: &str| NamedTest { name: name.to_owned(), values: vec![Pattern::new(value)] };
        let headers = Headers::of(&[("Content-Type", "text/html"), ("x-a", "1"), ("x-a", "2")]);
        let of = |statuses: &[RangeInclusive<u16>], headers: &[NamedTest]| ResponseCondition {
            statuses: statuses.to_vec(),
            headers: headers.to_vec(),
        };
        for (condition, expected) in [
            (of(&[], &[]), true),
            (of(&[500..=599, 404..=404], &[]), true),
            (of(&[500..=599], &[]), false),
            (of(&[404..=404], &[named("content-type", "text/*"), named("x-a", "2")]), true),
            (of(&[404..=404], &[named("content-type", "text/*"), named("x-a", "3")]), false),
            (of(&[], &[named("x-b", "*")]), false),
        ] {
            assert_eq!(condition.holds(404, &headers), expected, "{condition:?}");
        }
    }
}
