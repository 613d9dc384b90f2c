//! Conditions of rules, with what only files have.

use std::borrow::Cow;

use crate::control::credentials::ip_groups;
use crate::control::credentials::ip_groups::LoadedIpGroup;
use crate::policy::router::Condition;
use crate::policy::router::SourceTest;

/// Conditions with what is in the IP groups that they ask for.
pub(super) fn filled<'c>(conditions: &'c [Condition], loaded: &[LoadedIpGroup]) -> Cow<'c, [Condition]> {
    let has_groups = |condition: &Condition| match condition {
        Condition::SourceIp(test) => !test.groups.is_empty(),
        _ => false,
    };
    if !conditions.iter().any(has_groups) {
        return Cow::Borrowed(conditions);
    }
    let mut conditions = conditions.to_vec();
    for condition in &mut conditions {
        let Condition::SourceIp(test) = condition else { continue };
        *test = filled_sources(test, loaded);
    }
    Cow::Owned(conditions)
}

/// The same of addresses alone.
pub(super) fn filled_sources(sources: &SourceTest, loaded: &[LoadedIpGroup]) -> SourceTest {
    let mut sources = sources.clone();
    for group in &mut sources.groups {
        group.networks = ip_groups::networks(loaded, group.index).unwrap_or_default();
    }
    sources
}
