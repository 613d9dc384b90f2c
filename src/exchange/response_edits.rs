//! What is changed about the head of a response, whoever made it.

use std::cell::Cell;
use std::time::Duration;

use arrayvec::ArrayVec;

use crate::exchange::message::Origin;
use crate::exchange::stream::Reply;
use crate::exchange::stream::StartFacts;
use crate::http::body::BodyLength;
use crate::http::head::ResponseHead;
use crate::net::buffer::Buffer;
use crate::policy::cors::MAX_CORS_FIELDS;
use crate::policy::forwarded::Client;
use crate::policy::header_edits::SystemValue;
use crate::policy::header_edits::layers::EditLayers;
use crate::policy::header_edits::layers::MAX_WRITTEN;
use crate::policy::hop_marks::via;
use crate::policy::overrides::Overrides;
use crate::snapshot::error_pages::PageContent;
use crate::snapshot::responses::CompiledResponseRule;
use crate::worker::Worker;
use crate::worker::access_log::SentFields;

/// Fields that a response can be given: the date, what tells of HTTP/3, the cookies of stickiness, `Via`, type and length of a page, those of CORS,
/// and what edits write.
pub(super) const MAX_ADDED: usize = 7 + MAX_CORS_FIELDS + MAX_WRITTEN;

/// Names and values to write behind those of a head.
pub(super) type Added<'a> = ArrayVec<(&'a [u8], &'a [u8]), MAX_ADDED>;

/// What is kept of a request for the head of its response; nothing where no response is given any of it.
pub(super) struct ResponseNotes {
    /// The system-defined values of the listener, each behind the two bytes of its length; then the origin of the
    /// request, if it is one that the rule allows.
    values: Option<Buffer>,
    /// A bit for each rule for responses whose conditions on the request hold.
    candidates: u64,
    /// Where the fields of the response are noted, if the line of the log tells any.
    pub(super) sent: Cell<Option<Box<SentFields>>>,
}

impl ResponseNotes {
    /// `candidates` are those of [`candidates`](crate::exchange::response_rules::candidates), `allowed` is the origin of
    /// the request.
    #[inline]
    pub(super) fn of(
        client: &Client<'_>,
        (candidates, allowed): (u64, Option<&[u8]>),
        origin: &Origin<'_>,
        worker: &Worker,
    ) -> ResponseNotes {
        let policy = origin.http.responses.as_deref();
        let policy = policy.filter(|policy| !policy.system_values.is_empty() || allowed.is_some());
        let values = policy.map(|policy| {
            let mut values = worker.buffers.small();
            for value in &policy.system_values {
                push(&mut values, |out| value.write(client, origin.system_sources(), out));
            }
            if let Some(allowed) = allowed {
                push(&mut values, |out| out.extend_from_slice(allowed));
            }
            values
        });
        ResponseNotes { values, candidates, sent: Cell::default() }
    }

    /// The same of a request that could not be read.
    pub(super) fn of_refused(origin: &Origin<'_>, worker: &Worker) -> ResponseNotes {
        let client = Client {
            peer: origin.peer,
            address: origin.peer.ip(),
            is_trusted: false,
            listener_port: origin.port,
            scheme: origin.scheme(),
            host: b"",
            request_id: b"",
            trace: None,
        };
        ResponseNotes::of(&client, (0, None), origin, worker)
    }

    fn value(&self, place: usize) -> Option<&[u8]> {
        let mut rest = self.values.as_ref()?.filled();
        for _ in 0..place {
            rest = split(rest)?.1;
        }
        split(rest).map(|(value, _)| value)
    }
}

/// Appends a text behind its length. What is longer than 64 KiB, which no header can be, is left out.
fn push(values: &mut Buffer, write: impl FnOnce(&mut Vec<u8>)) {
    let begin = values.len();
    values.tail().extend_from_slice(&[0; 2]);
    write(values.tail());
    let length = u16::try_from(values.len() - begin - 2).unwrap_or_else(|_| {
        values.truncate(begin + 2);
        0
    });
    if let Some(place) = values.filled_mut().get_mut(begin..begin + 2) {
        place.copy_from_slice(&length.to_ne_bytes());
    }
}

fn split(values: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = values.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_ne_bytes(*length)))
}

/// What decides how the head of the response to one request is changed.
#[derive(Clone, Copy)]
pub(super) struct ResponseTerms<'a> {
    pub(super) origin: &'a Origin<'a>,
    pub(super) worker: &'a Worker,
    pub(super) notes: &'a ResponseNotes,
    /// The index of the rule that took the request.
    pub(super) rule: Option<u32>,
}

impl<'a> ResponseTerms<'a> {
    /// Writes the head of the final response, and notes of it what the log tells.
    #[inline]
    pub(super) fn start(&self, reply: &mut impl Reply, head: &ResponseHead<'_, '_>, facts: &StartFacts<'_>) {
        reply.start(head, facts);
        if let Some(mut sent) = self.notes.sent.take() {
            self.note_sent(head, facts, &mut sent);
            self.notes.sent.set(Some(sent));
        }
    }

    /// Notes what the log tells of the head that a backend sent.
    #[inline]
    pub(super) fn note_upstream(&self, head: &ResponseHead<'_, '_>) {
        if let Some((mut sent, logs)) = self.notes.sent.take().zip(self.worker.logs.as_ref()) {
            logs.note_upstream(head.headers.iter().map(|field| (field.name, field.value)), &mut sent);
            self.notes.sent.set(Some(sent));
        }
    }

    /// Fields of the connection are left out: each version of HTTP writes its own.
    fn note_sent(&self, head: &ResponseHead<'_, '_>, facts: &StartFacts<'_>, sent: &mut SentFields) {
        let Some(logs) = &self.worker.logs else { return };
        let of_head = head.headers.iter().filter(|field| !field.known.is_hop_by_hop());
        let of_head = of_head.map(|field| (field.name, facts.value_of(field)));
        let length = match facts.length {
            BodyLength::Exact(length) if !matches!(head.status, 101 | 204 | 304) => Some(length),
            _ => None,
        };
        logs.note_sent(of_head.chain(facts.added.iter().copied()), length, sent);
    }

    /// The index of the rule that takes the response of a backend, and what is to become of it.
    #[inline]
    pub(super) fn response_rule(
        &self,
        head: &ResponseHead<'_, '_>,
    ) -> Option<(u8, &'a CompiledResponseRule)> {
        let rules = self.origin.http.responses.as_ref()?.rules.as_ref()?;
        let mut left = self.notes.candidates;
        while left != 0 {
            let index = left.trailing_zeros() as u8;
            let rule = rules.get(index)?;
            if rule.response.holds(head.status, head.headers) {
                return Some((index, rule));
            }
            left &= left - 1;
        }
        None
    }

    /// What the rule of the request says in the place of listener and group.
    pub(super) fn overrides(&self) -> Option<&'a Overrides> {
        self.origin.http.overrides(self.rule)
    }

    /// How long neither side of a tunnel may say anything; zero: for ever.
    pub(super) fn tunnel_idle_timeout(&self) -> Duration {
        let own = self.overrides().and_then(|overrides| overrides.tunnel_idle_timeout);
        own.unwrap_or(self.origin.http.tunnel_idle_timeout)
    }

    /// The page for this status, of a backend or of our own.
    pub(super) fn error_page(&self, status: u16, is_upstream: bool) -> Option<&'a PageContent> {
        self.origin.http.responses.as_ref()?.error_pages.find(status, is_upstream)
    }

    /// The rule for responses with this index.
    pub(super) fn rule_for_responses(&self, index: u8) -> Option<&'a CompiledResponseRule> {
        self.origin.http.responses.as_ref()?.rules.as_ref()?.get(index)
    }

    /// Takes fields out of a head, and collects those that are to be written behind the others.
    #[inline]
    pub(super) fn edit<'f, 'b: 'f>(
        &self,
        head: &mut ResponseHead<'_, 'b>,
        response_rule: Option<&'f CompiledResponseRule>,
        added: &mut Added<'f>,
    ) where
        'a: 'f,
    {
        let alt_svc = self.origin.http.alt_svc.as_ref();
        if let Some(alt_svc) = alt_svc.and_then(|known| known.value(self.worker.is_ending())) {
            // What a backend says is about its own ports.
            head.headers.retain(|field| !field.name.eq_ignore_ascii_case(b"alt-svc"));
            // There is room for it.
            let _ = added.try_push((b"Alt-Svc", alt_svc));
        }
        let Some(policy) = &self.origin.http.responses else { return };
        let rule = self.rule.and_then(|rule| self.origin.http.rule(rule));
        let layers = EditLayers::new([
            Some(&policy.headers),
            rule.map(|rule| &rule.response_headers),
            response_rule.map(|rule| &rule.headers),
        ]);
        let cors = rule.and_then(|rule| rule.cors.as_deref());
        if layers.is_empty() && cors.is_none() {
            return;
        }
        if let Some(cors) = cors {
            let allowed = self.notes.value(policy.system_values.len());
            head.headers.retain(|field| !cors.withholds(field.name));
            // There is room for them.
            cors.for_each_added(allowed, head.headers, |name, value| {
                let _ = added.try_push((name, value));
            });
        }
        let system = |value: SystemValue| {
            let place = policy.system_values.iter().position(|known| *known == value)?;
            self.notes.value(place)
        };
        // The checks allow no more edits than there is room for.
        layers.for_each_written(head.headers, system, |name, value| {
            // What is said twice, browsers refuse.
            if cors.is_none_or(|cors| !cors.withholds(name)) {
                let _ = added.try_push((name, value));
            }
        });
        head.headers.retain(|field| !layers.withhold(field.name));
    }

    /// Collects what tells that the response of a backend passed here.
    pub(super) fn mark(&self, head: &ResponseHead<'_, '_>, added: &mut Added<'_>) {
        if self.origin.http.hop_marks.is_some_and(|marks| marks.via) {
            // There is room for it.
            let _ = added.try_push((b"Via", via(head.version)));
        }
    }
}
