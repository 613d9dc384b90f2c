//! Clients that stay with the group that they were given, where a rule shares its requests between several.

use crate::exchange::response_edits::ResponseTerms;
use crate::http::head::ResponseHead;
use crate::http::headers::Headers;
use crate::http::headers::KnownName;
use crate::policy::balance::cookies::SetCookie;
use crate::policy::balance::sticky;
use crate::snapshot::Listener;
use crate::snapshot::group::Availability;
use crate::snapshot::group::Group;
use crate::snapshot::rules::FinalAction;
use crate::snapshot::rules::GroupCookie;
use crate::snapshot::rules::Rule;
use crate::snapshot::rules::Targets;
use crate::worker::Worker;
use crate::worker::choosing::now_s;

/// The group that gets a request, and whether its client is to be told which one that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ChosenGroup {
    /// The index in the groups of the listener.
    pub(super) index: usize,
    pub(super) is_news: bool,
}

/// Chooses a group by weight, or takes the one that the client belongs to as long as that has a weight and backends that
/// are up.
#[inline]
pub(super) fn choose(
    targets: &Targets,
    headers: &Headers<'_>,
    listener: &Listener,
    worker: &Worker,
) -> Option<ChosenGroup> {
    match &targets.cookie {
        None => {
            let index = targets.choose(|| worker.chance())?;
            Some(ChosenGroup { index, is_news: false })
        }
        Some(cookie) => choose_by_cookie((targets, cookie), headers, listener, worker),
    }
}

fn choose_by_cookie(
    (targets, cookie): (&Targets, &GroupCookie),
    headers: &Headers<'_>,
    listener: &Listener,
    worker: &Worker,
) -> Option<ChosenGroup> {
    let is_up = |index: usize| {
        let availability = listener.group(index).and_then(|group| worker.balancer.availability(group));
        matches!(availability, Some(Availability::Active | Availability::Standby))
    };
    let is_any_up = || targets.weights().any(|(index, weight)| weight > 0 && is_up(index));
    let known = targets.of_client(headers, now_s(worker));
    if let Some((index, age)) = known.filter(|(index, _)| is_up(*index) || !is_any_up()) {
        return Some(ChosenGroup { index, is_news: age >= cookie.timeout_s / 2 });
    }
    let index =
        targets.choose_among(|| worker.chance(), is_up).or_else(|| targets.choose(|| worker.chance()))?;
    Some(ChosenGroup { index, is_news: true })
}

/// The cookie by which a rule knows the group of a client.
pub(super) fn cookie_of(rule: &Rule) -> Option<(&Targets, &GroupCookie)> {
    match &rule.last {
        FinalAction::Forward(targets) => Some((targets, targets.cookie.as_deref()?)),
        FinalAction::Redirect(_) | FinalAction::Respond(_) => None,
    }
}

/// Takes fields out of the response of a group that would set its cookie: the name is ours. Gives the value of the one
/// that tells the client its group, if it is to be told.
pub(super) fn set_cookie(
    head: &mut ResponseHead<'_, '_>,
    group: &Group,
    (is_news, is_secure): (bool, bool),
    terms: &ResponseTerms<'_>,
) -> Option<Vec<u8>> {
    let (targets, cookie) = cookie_of(terms.origin.http.rule(terms.rule?)?)?;
    let is_ours =
        |value: &[u8]| SetCookie::parse(value).is_some_and(|set| set.name == cookie.name.as_bytes());
    head.headers.retain(|field| field.known != KnownName::SetCookie || !is_ours(field.value));
    if !is_news {
        return None;
    }
    let listener = terms.origin.listener;
    let is_it = |index: usize| listener.group(index).is_some_and(|known| std::ptr::eq(known, group));
    let place = targets.weights().position(|(index, _)| is_it(index))?;
    let token = cookie.tokens.of(u32::try_from(place).ok()?)?.token(now_s(terms.worker));
    let mut value = Vec::new();
    sticky::set_cookie(&cookie.name, &token, &cookie.attributes, is_secure, &mut value);
    Some(value)
}
