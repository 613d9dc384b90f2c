//! The fields of Zipkin's B3 propagation, in both of its forms.

use crate::http::headers::Headers;
use crate::policy::trace::ids::SpanId;
use crate::policy::trace::ids::TraceId;

/// The one field that holds all.
pub(super) const SINGLE: &[u8] = b"b3";
pub(super) const TRACE_ID: &[u8] = b"X-B3-TraceId";
pub(super) const SPAN_ID: &[u8] = b"X-B3-SpanId";
pub(super) const PARENT_SPAN_ID: &[u8] = b"X-B3-ParentSpanId";
pub(super) const SAMPLED: &[u8] = b"X-B3-Sampled";
pub(super) const FLAGS: &[u8] = b"X-B3-Flags";

/// Whether the sender has decided that the trace is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum B3Sampling {
    /// Who receives it decides.
    Deferred,
    Denied,
    Accepted,
    /// Accepted whatever the samplers on the way say.
    Debug,
}

/// What the fields say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct B3 {
    /// Of the trace, and of the span that is our parent. None where they tell the sampling alone.
    pub(super) ids: Option<(TraceId, SpanId)>,
    pub(super) is_short: bool,
    pub(super) sampling: B3Sampling,
}

impl B3 {
    /// The value of the single field: `{trace}-{span}-{sampling}-{parent}`, of which the last two may be missing, or the
    /// sampling alone.
    pub(super) fn parse_single(value: &[u8]) -> Option<B3> {
        if let Some(sampling) = sampling(value) {
            return Some(B3 { ids: None, is_short: false, sampling });
        }
        let mut parts = value.split(|byte| *byte == b'-');
        let (trace, is_short) = trace(parts.next()?)?;
        let span = SpanId::read(parts.next()?)?;
        let sampling = match parts.next() {
            Some(word) => sampling(word)?,
            None => B3Sampling::Deferred,
        };
        // What is not passed on must be well-formed all the same.
        if let Some(parent) = parts.next() {
            SpanId::read(parent)?;
        }
        parts.next().is_none().then_some(B3 { ids: Some((trace, span)), is_short, sampling })
    }

    /// The fields `X-B3-*`. Each may stand once.
    pub(super) fn parse_fields(headers: &Headers<'_>) -> Option<B3> {
        let mut found = [None; 5];
        for field in headers.iter().filter(|field| field.name.len() >= FLAGS.len()) {
            let names = [TRACE_ID, SPAN_ID, PARENT_SPAN_ID, SAMPLED, FLAGS];
            let Some(at) = names.iter().position(|name| field.name.eq_ignore_ascii_case(name)) else {
                continue;
            };
            if found.get_mut(at)?.replace(field.value).is_some() {
                return None;
            }
        }
        let [trace_id, span_id, parent, sampled, flags] = found;
        let sampling = match (flags, sampled) {
            (Some(b"1"), _) => B3Sampling::Debug,
            // Older senders write words.
            (_, Some(b"1" | b"true")) => B3Sampling::Accepted,
            (_, Some(b"0" | b"false")) => B3Sampling::Denied,
            (_, None) => B3Sampling::Deferred,
            (_, Some(_)) => return None,
        };
        match (trace_id, span_id) {
            (Some(trace_id), Some(span_id)) => {
                let (trace, is_short) = trace(trace_id)?;
                if let Some(parent) = parent {
                    SpanId::read(parent)?;
                }
                Some(B3 { ids: Some((trace, SpanId::read(span_id)?)), is_short, sampling })
            }
            (None, None) if sampling != B3Sampling::Deferred => {
                Some(B3 { ids: None, is_short: false, sampling })
            }
            _ => None,
        }
    }
}

fn sampling(word: &[u8]) -> Option<B3Sampling> {
    match word {
        b"0" => Some(B3Sampling::Denied),
        b"1" => Some(B3Sampling::Accepted),
        b"d" => Some(B3Sampling::Debug),
        _ => None,
    }
}

/// The identity of a trace, and whether it is one of 64 bits.
fn trace(digits: &[u8]) -> Option<(TraceId, bool)> {
    match TraceId::read(digits) {
        Some(trace) => Some((trace, false)),
        None => TraceId::read_short(digits).map(|trace| (trace, true)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "80f198ee56343ba864fe8b2a57d3eff7";
    const SPAN: &str = "e457b5a2e4d86bd1";
    const PARENT: &str = "05e3ac9a4f6e3b90";

    fn said(b3: B3) -> (Option<(String, String)>, bool, B3Sampling) {
        let text = |digits: &[u8]| String::from_utf8(digits.to_vec()).unwrap();
        let ids = b3.ids.map(|(trace, span)| (text(trace.digits()), text(span.digits())));
        (ids, b3.is_short, b3.sampling)
    }

    #[test]
    fn the_single_field() {
        let ids = || Some((TRACE.to_owned(), SPAN.to_owned()));
        for (value, expected) in [
            (format!("{TRACE}-{SPAN}"), (ids(), false, B3Sampling::Deferred)),
            (format!("{TRACE}-{SPAN}-1"), (ids(), false, B3Sampling::Accepted)),
            (format!("{TRACE}-{SPAN}-0-{PARENT}"), (ids(), false, B3Sampling::Denied)),
            (format!("{TRACE}-{SPAN}-d-{PARENT}"), (ids(), false, B3Sampling::Debug)),
            ("0".to_owned(), (None, false, B3Sampling::Denied)),
            ("d".to_owned(), (None, false, B3Sampling::Debug)),
        ] {
            assert_eq!(B3::parse_single(value.as_bytes()).map(said), Some(expected), "{value}");
        }
        let short = B3::parse_single(format!("{SPAN}-{SPAN}-1").as_bytes()).unwrap();
        assert_eq!(
            said(short),
            (Some((format!("{:0>32}", SPAN), SPAN.to_owned())), true, B3Sampling::Accepted)
        );
        for wrong in [
            String::new(),
            "2".to_owned(),
            TRACE.to_owned(),
            format!("{TRACE}-"),
            format!("{TRACE}-{SPAN}-"),
            format!("{TRACE}-{SPAN}-2"),
            format!("{TRACE}-{SPAN}-1-"),
            format!("{TRACE}-{SPAN}-1-{PARENT}-1"),
            format!("{TRACE}-0000000000000000-1"),
            format!("{}-{SPAN}-1", "0".repeat(32)),
            format!("{}-{SPAN}-1", TRACE.to_uppercase()),
        ] {
            assert_eq!(B3::parse_single(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn several_fields() {
        let check = |fields: &[(&str, &str)], expected| {
            assert_eq!(B3::parse_fields(&Headers::of(fields)).map(said), expected, "{fields:?}");
        };
        let ids = || Some((TRACE.to_owned(), SPAN.to_owned()));
        let both = [("X-B3-TraceId", TRACE), ("x-b3-spanid", SPAN)];
        let with = |fields: &[(&'static str, &'static str)]| [&both, fields].concat();
        check(&both, Some((ids(), false, B3Sampling::Deferred)));
        check(
            &with(&[("X-B3-Sampled", "1"), ("X-B3-ParentSpanId", PARENT)]),
            Some((ids(), false, B3Sampling::Accepted)),
        );
        check(&with(&[("X-B3-Sampled", "false")]), Some((ids(), false, B3Sampling::Denied)));
        check(&with(&[("X-B3-Flags", "1")]), Some((ids(), false, B3Sampling::Debug)));
        check(&with(&[("X-B3-Flags", "0")]), Some((ids(), false, B3Sampling::Deferred)));
        check(&[("X-B3-Sampled", "0")], Some((None, false, B3Sampling::Denied)));
        check(&with(&[("X-B3-Sampled", "yes")]), None);
        check(&with(&[("x-b3-traceid", TRACE)]), None);
        check(&with(&[("X-B3-ParentSpanId", "0")]), None);
        check(&both[..1], None);
        check(&both[1..], None);
        check(&[], None);
    }
}
