//! Clients that stay with their backend: by a cookie of ours, by one of the application, by address.

use std::net::IpAddr;

use arrayvec::ArrayVec;

use crate::http::head::RequestHead;
use crate::http::head::ResponseHead;
use crate::http::headers::KnownName;
use crate::policy::balance::Algorithm;
use crate::policy::balance::cookies;
use crate::policy::balance::cookies::SetCookie;
use crate::policy::balance::hash_key::HashKey;
use crate::policy::balance::hash_key::hash;
use crate::policy::balance::sticky;
use crate::policy::balance::sticky::StickyMode;
use crate::snapshot::group::Group;
use crate::snapshot::group::Sticky;
use crate::upstream::selection::Preference;
use crate::worker::Worker;
use crate::worker::choosing;
use crate::worker::choosing::learn;
use crate::worker::choosing::now_s;

/// Set-Cookie fields that one response can have rewritten.
pub(super) const MAX_REWRITTEN: usize = 4;

/// What a request says about who is to serve it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StickyTarget {
    /// By the hash of the request's key, or of what tells the client; or the member that the client belongs to.
    pub(super) preference: Preference,
    /// The client's cookie says so, and will for long enough.
    is_fresh: bool,
    /// The client is to be told which group it was given.
    pub(super) gives_group: bool,
}

impl StickyTarget {
    #[inline]
    pub(super) fn of(
        head: &RequestHead<'_, '_>,
        client: IpAddr,
        group: &Group,
        worker: &Worker,
    ) -> StickyTarget {
        let key = match &group.algorithm {
            Algorithm::ConsistentHash(key) => key.hash(head, client),
            _ => None,
        };
        match &group.sticky {
            None => StickyTarget {
                preference: Preference { key, backend: None },
                is_fresh: false,
                gives_group: false,
            },
            Some(sticky) => StickyTarget::of_client(head, client, (group, sticky), worker).or_key(key),
        }
    }

    fn of_client(
        head: &RequestHead<'_, '_>,
        client: IpAddr,
        (group, sticky): (&Group, &Sticky),
        worker: &Worker,
    ) -> StickyTarget {
        let now_s = now_s(worker);
        let cookie = || cookies::find(head.headers, &sticky.cookie);
        let key = match sticky.mode {
            StickyMode::Insert | StickyMode::Rewrite => {
                // Another cookie of this name does not hide ours.
                let mut values = cookies::all(head.headers, &sticky.cookie);
                return values
                    .find_map(|value| StickyTarget::of_token(value, sticky, now_s))
                    .unwrap_or_default();
            }
            StickyMode::AppCookie => cookie().filter(|value| !value.is_empty()).map(hash),
            StickyMode::SourceIp => HashKey::SourceIp.hash(head, client),
        };
        let backend = key.and_then(|key| choosing::remembered(key, group, worker));
        StickyTarget { preference: Preference { key, backend }, is_fresh: false, gives_group: false }
    }

    fn of_token(value: &[u8], sticky: &Sticky, now_s: u32) -> Option<StickyTarget> {
        let token = sticky::parse(value)?;
        let owner = sticky.tokens.find(&token.tag)?;
        let age = token.age(sticky.tokens.of(owner)?, now_s)?;
        let has_expired = sticky.mode == StickyMode::Insert && age >= sticky.timeout_s;
        (!has_expired).then_some(StickyTarget {
            preference: Preference { key: None, backend: Some(owner) },
            is_fresh: age < sticky.timeout_s / 2,
            gives_group: false,
        })
    }

    /// Where nothing tells the client, the key of the request decides.
    fn or_key(self, key: Option<u64>) -> StickyTarget {
        let preference = Preference { key: self.preference.key.or(key), ..self.preference };
        StickyTarget { preference, ..self }
    }

    /// Remembers where the client was sent, if that is for Ringway to remember.
    ///
    /// What the application never set is not remembered: anybody could make up cookies until those of others
    /// are forgotten. A hash sends it to the same backend all the same.
    pub(super) fn remember(&self, group: &Group, chosen: u32, worker: &Worker) {
        let is_address = group.sticky.as_ref().is_some_and(|sticky| sticky.mode == StickyMode::SourceIp);
        if let Some(key) = self.preference.key
            && (is_address || self.preference.backend.is_some())
        {
            learn(key, group, chosen, worker);
        }
    }
}

/// The cookie that requests must not carry to backends: Ringway's own.
pub(super) fn hidden_cookie(group: &Group) -> Option<&str> {
    let sticky = group.sticky.as_ref().filter(|sticky| sticky.mode == StickyMode::Insert)?;
    Some(&sticky.cookie)
}

/// What stickiness makes of the Set-Cookie fields of a response.
#[derive(Default)]
pub(super) struct SetCookies<'b> {
    bytes: Vec<u8>,
    /// For each value in `bytes`, where it ends and which one it takes the place of; none is added.
    values: ArrayVec<(usize, Option<&'b [u8]>), MAX_REWRITTEN>,
}

impl<'b> SetCookies<'b> {
    /// Edits a final response of the member `chosen`, so that the client comes back to it, if the group wants
    /// that.
    pub(super) fn of(
        head: &mut ResponseHead<'_, 'b>,
        target: &StickyTarget,
        (group, chosen): (&Group, u32),
        is_secure: bool,
        worker: &Worker,
    ) -> Option<SetCookies<'b>> {
        let sticky = group.sticky.as_ref()?;
        let mut set = SetCookies::default();
        let is_named = |value: &[u8]| {
            SetCookie::parse(value).is_some_and(|cookie| cookie.name == sticky.cookie.as_bytes())
        };
        let token = || Some(sticky.tokens.of(chosen)?.token(now_s(worker)));
        match sticky.mode {
            StickyMode::Insert => {
                // The name is ours; a backend that sets it would send its clients anywhere.
                head.headers.retain(|field| field.known != KnownName::SetCookie || !is_named(field.value));
                let stays = target.is_fresh && target.preference.backend == Some(chosen);
                if !stays && let Some(token) = token() {
                    let (name, attributes) = (&sticky.cookie, &sticky.attributes);
                    sticky::set_cookie(name, &token, attributes, is_secure, &mut set.bytes);
                    set.end(None);
                }
            }
            StickyMode::Rewrite => {
                let token = token()?;
                for field in head.headers.find_all(KnownName::SetCookie) {
                    let cookie = SetCookie::parse(field.value).filter(|_| is_named(field.value));
                    if let Some(cookie) = cookie.filter(|_| !set.values.is_full()) {
                        // An application that takes its cookie away sends an empty one.
                        let value = if cookie.value.is_empty() { &[][..] } else { &token[..] };
                        cookie.write_with(value, &mut set.bytes);
                        set.end(Some(field.value));
                    }
                }
            }
            StickyMode::AppCookie => {
                let cookies = head.headers.find_all(KnownName::SetCookie);
                let cookies = cookies.filter_map(|field| SetCookie::parse(field.value));
                for cookie in cookies.filter(|cookie| cookie.name == sticky.cookie.as_bytes()) {
                    if !cookie.value.is_empty() {
                        learn(hash(cookie.value), group, chosen, worker);
                    }
                }
            }
            StickyMode::SourceIp => {}
        }
        Some(set)
    }

    fn end(&mut self, replaced: Option<&'b [u8]>) {
        // No more values are ended than room was looked for.
        let _ = self.values.try_push((self.bytes.len(), replaced));
    }

    /// The fields that come behind those of the response.
    pub(super) fn added(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let added = self.each().filter(|(replaced, _)| replaced.is_none());
        added.map(|(_, value)| (&b"Set-Cookie"[..], value))
    }

    /// The values of the response's own that change, and what they become.
    pub(super) fn replaced(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.each().filter_map(|(replaced, value)| Some((replaced?, value)))
    }

    fn each(&self) -> impl Iterator<Item = (Option<&'b [u8]>, &[u8])> {
        let begins = std::iter::once(0).chain(self.values.iter().map(|(end, _)| *end));
        let values = begins.zip(&self.values);
        values.map(|(begin, &(end, replaced))| (replaced, self.bytes.get(begin..end).unwrap_or_default()))
    }
}
