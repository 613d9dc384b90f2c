//! Distributed traces: what a request says of the one that it belongs to, and what a backend is told of it. W3C Trace
//! Context, and Zipkin's B3 where that is what came.

mod b3;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod ids;
mod trace_parent;
mod trace_state;

use crate::http::headers::Field;
use crate::http::headers::Headers;
use crate::policy::overrides::Sample;
use crate::policy::trace::b3::B3;
use crate::policy::trace::b3::B3Sampling;
use crate::policy::trace::ids::SpanId;
use crate::policy::trace::ids::TraceId;
use crate::policy::trace::trace_parent::TraceParent;

const TRACE_PARENT: &[u8] = b"traceparent";
const TRACE_STATE: &[u8] = b"tracestate";

/// Whose word about a trace is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceSource {
    Everyone,
    TrustedProxies,
}

/// How a configuration traces requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceTerms {
    /// Headers are read, and backends are told.
    pub propagates: bool,
    pub accept_from: TraceSource,
    /// How many of the traces that begin here are sampled.
    pub sample: Sample,
    /// Spans of sampled requests go to a collector.
    pub exports: bool,
}

/// In which fields backends are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TraceForm {
    /// In none.
    Untold,
    /// In `traceparent`, and `tracestate` if that came along with it.
    TraceParent { keeps_state: bool, is_random: bool },
    /// In `b3`.
    B3 { is_short: bool, is_debug: bool },
    /// In `X-B3-*`.
    B3Fields { is_short: bool, is_debug: bool },
}

/// The trace that a request belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    pub id: TraceId,
    /// The span of the exchange itself.
    pub span: SpanId,
    /// That of who asks. None: the trace begins here.
    pub parent: Option<SpanId>,
    pub is_sampled: bool,
    form: TraceForm,
    /// Nothing that came under any name of a trace goes on.
    replaces_all: bool,
}

/// Numbers that nobody can foretell, for what is made here.
pub struct TraceNonces {
    pub trace: [u8; 16],
    pub span: u64,
}

impl Trace {
    /// Goes on with what the headers say, if that is valid and `is_believed`, or begins a trace.
    pub fn of(terms: &TraceTerms, headers: &Headers<'_>, is_believed: bool, nonces: &TraceNonces) -> Trace {
        let came = if is_believed && terms.propagates { IncomingTrace::read(headers) } else { None };
        let span = SpanId::of(nonces.span);
        let Some(came) = came else {
            let form = match terms.propagates {
                true => TraceForm::TraceParent { keeps_state: false, is_random: false },
                false => TraceForm::Untold,
            };
            let id = TraceId::of(nonces.trace);
            let is_sampled = is_chosen(&id, terms.sample);
            let replaces_all = terms.propagates;
            return Trace { id, span, parent: None, is_sampled, form, replaces_all };
        };
        let id = came.ids.map_or_else(|| TraceId::of(nonces.trace), |(id, _)| id);
        let is_sampled = came.is_sampled.unwrap_or_else(|| is_chosen(&id, terms.sample));
        let parent = came.ids.map(|(_, parent)| parent);
        Trace { id, span, parent, is_sampled, form: came.form, replaces_all: false }
    }

    /// Whether a field of the client's own must not pass, because another one takes its place or it is not believed.
    pub fn withholds(&self, field: &Field<'_>) -> bool {
        let of_parent = || is_named(field.name, TRACE_PARENT) || is_named(field.name, TRACE_STATE);
        let of_b3 = || is_named(field.name, b3::SINGLE) || is_b3_field(field.name);
        // Nearly all names are shorter or longer, or begin otherwise.
        if !matches!(field.name.first(), Some(b't' | b'T' | b'b' | b'B' | b'x' | b'X')) {
            return false;
        }
        match self.form {
            TraceForm::Untold => false,
            // B3 beside a `traceparent` is for others on the way.
            TraceForm::TraceParent { .. } => of_parent() || self.replaces_all && of_b3(),
            TraceForm::B3 { .. } | TraceForm::B3Fields { .. } => of_parent() || of_b3(),
        }
    }

    /// Calls `write` with each field to add: its name, its value, and where in the value 16 digits are the identity of
    /// the span that is asked from. Those are to be changed for each attempt. `value` is memory to build in.
    pub fn for_each_added(
        &self,
        headers: &Headers<'_>,
        value: &mut Vec<u8>,
        mut write: impl FnMut(&[u8], &[u8], Option<usize>),
    ) {
        value.clear();
        match self.form {
            TraceForm::Untold => {}
            TraceForm::TraceParent { keeps_state, is_random } => {
                let Trace { id: trace, span: parent, is_sampled, .. } = *self;
                let place = TraceParent { trace, parent, is_sampled, is_random }.write(value);
                write(TRACE_PARENT, value, Some(place));
                if keeps_state {
                    self.state(headers, value);
                    if !value.is_empty() {
                        write(TRACE_STATE, value, None);
                    }
                }
            }
            TraceForm::B3 { is_short, is_debug } => {
                value.extend_from_slice(self.b3_digits(is_short));
                value.push(b'-');
                let place = value.len();
                value.extend_from_slice(self.span.digits());
                value.extend_from_slice(match (is_debug, self.is_sampled) {
                    (true, _) => b"-d-",
                    (false, true) => b"-1-",
                    (false, false) => b"-0-",
                });
                value.extend_from_slice(self.span.digits());
                write(b3::SINGLE, value, Some(place));
            }
            TraceForm::B3Fields { is_short, is_debug } => {
                write(b3::TRACE_ID, self.b3_digits(is_short), None);
                write(b3::SPAN_ID, self.span.digits(), Some(0));
                write(b3::PARENT_SPAN_ID, self.span.digits(), None);
                // "Debug implies an accept decision, so don't also send the X-B3-Sampled header."
                match is_debug {
                    true => write(b3::FLAGS, b"1", None),
                    false => write(b3::SAMPLED, if self.is_sampled { b"1" } else { b"0" }, None),
                }
            }
        }
    }

    /// Writes what `tracestate` says on the way on; nothing where there is none. `out` is emptied first.
    pub fn state(&self, headers: &Headers<'_>, out: &mut Vec<u8>) {
        out.clear();
        if matches!(self.form, TraceForm::TraceParent { keeps_state: true, .. }) {
            let is_state = |field: &&Field<'_>| field.name.eq_ignore_ascii_case(TRACE_STATE);
            trace_state::combine(headers.iter().filter(is_state).map(|field| field.value), out);
        }
    }

    fn b3_digits(&self, is_short: bool) -> &[u8] {
        let digits = self.id.digits();
        digits.get(if is_short { ids::SPAN_DIGITS } else { 0 }..).unwrap_or_default()
    }
}

/// What the headers of a request say of its trace.
struct IncomingTrace {
    ids: Option<(TraceId, SpanId)>,
    /// None: whoever gets it decides.
    is_sampled: Option<bool>,
    form: TraceForm,
}

impl IncomingTrace {
    fn read(headers: &Headers<'_>) -> Option<IncomingTrace> {
        let of = |name: &'static [u8]| {
            let mut fields = headers.iter().filter(move |field| field.name.eq_ignore_ascii_case(name));
            let first = fields.next();
            // Of several, none is more likely to be the right one.
            first.filter(|_| fields.next().is_none()).map(|field| field.value)
        };
        if let Some(parent) = of(TRACE_PARENT).and_then(TraceParent::parse) {
            return Some(IncomingTrace {
                ids: Some((parent.trace, parent.parent)),
                is_sampled: Some(parent.is_sampled),
                form: TraceForm::TraceParent { keeps_state: true, is_random: parent.is_random },
            });
        }
        let single = of(b3::SINGLE).and_then(B3::parse_single);
        let is_single = single.is_some();
        let B3 { ids, is_short, sampling } = single.or_else(|| B3::parse_fields(headers))?;
        let is_debug = sampling == B3Sampling::Debug;
        let is_sampled = match sampling {
            B3Sampling::Deferred => None,
            B3Sampling::Denied => Some(false),
            B3Sampling::Accepted | B3Sampling::Debug => Some(true),
        };
        let form = match is_single {
            true => TraceForm::B3 { is_short, is_debug },
            false => TraceForm::B3Fields { is_short, is_debug },
        };
        Some(IncomingTrace { ids, is_sampled, form })
    }
}

/// Whether a trace is one of the sample: by bits of its identity that are random, so that all who sample as many choose the
/// same ones.
fn is_chosen(id: &TraceId, sample: Sample) -> bool {
    const BITS: u32 = 56;
    u128::from(id.random_bits()) < (u128::from(sample.millionths()) << BITS) / 1_000_000
}

fn is_b3_field(name: &[u8]) -> bool {
    [b3::TRACE_ID, b3::SPAN_ID, b3::PARENT_SPAN_ID, b3::SAMPLED, b3::FLAGS]
        .iter()
        .any(|known| is_named(name, known))
}

/// Whether it is this name, also to a backend that reads `_` as `-`.
fn is_named(name: &[u8], known: &[u8]) -> bool {
    let same =
        |(byte, known): (&u8, &u8)| byte.eq_ignore_ascii_case(known) || *byte == b'_' && *known == b'-';
    name.len() == known.len() && name.iter().zip(known).all(same)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCES: TraceNonces = TraceNonces { trace: [0xab; 16], span: 0x0102_0304_0506_0708 };
    const MADE: &str = "abababababababababababababababab";
    const SPAN: &str = "0102030405060708";
    const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const PARENT: &str = "00f067aa0ba902b7";

    fn terms(fraction: f64) -> TraceTerms {
        TraceTerms {
            propagates: true,
            accept_from: TraceSource::Everyone,
            sample: Sample::of_fraction(fraction).unwrap(),
            exports: false,
        }
    }

    /// What a backend is told, of these fields and others that stay.
    fn told(terms: &TraceTerms, fields: &[(&str, &str)], is_believed: bool) -> Vec<(String, String)> {
        let headers = Headers::of(fields);
        let trace = Trace::of(terms, &headers, is_believed, &NONCES);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let passing = headers.iter().filter(|field| !trace.withholds(field));
        let mut told: Vec<_> = passing.map(|field| (text(field.name), text(field.value))).collect();
        trace.for_each_added(&headers, &mut Vec::new(), |name, value, place| {
            if let Some(place) = place {
                assert_eq!(text(&value[place..place + 16]), SPAN);
            }
            told.push((text(name), text(value)));
        });
        told
    }

    fn check(fields: &[(&str, &str)], expected: &[(&str, &str)]) {
        let owned: Vec<_> =
            expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        assert_eq!(told(&terms(0.0), fields, true), owned, "{fields:?}");
    }

    #[test]
    fn what_came_goes_on_with_another_parent() {
        let parent = format!("00-{ID}-{PARENT}-01");
        let child = format!("00-{ID}-{SPAN}-01");
        check(&[("Traceparent", &parent), ("a", "b")], &[("a", "b"), ("traceparent", &child)]);
        check(
            &[("tracestate", "x=1"), ("traceparent", &parent), ("TraceState", "y=2")],
            &[("traceparent", &child), ("tracestate", "x=1,y=2")],
        );
        check(&[("traceparent", &parent), ("tracestate", "x")], &[("traceparent", &child)]);
        check(&[("traceparent", &parent), ("b3", "0")], &[("b3", "0"), ("traceparent", &child)]);
    }

    #[test]
    fn what_is_not_valid_or_not_believed_gives_way_to_another_trace() {
        let parent = format!("00-{ID}-{PARENT}-01");
        let made = format!("00-{MADE}-{SPAN}-00");
        let made = [("traceparent", made.as_str())];
        check(&[], &made);
        check(&[("tracestate", "x=1")], &made);
        check(&[("traceparent", "00-0"), ("tracestate", "x=1"), ("X-B3-TraceId", "no")], &made);
        check(&[("traceparent", &parent), ("traceparent", &parent)], &made);
        let fields =
            [("traceparent", parent.as_str()), ("tracestate", "x=1"), ("b3", "1"), ("x_b3_traceid", ID)];
        let expected = format!("00-{MADE}-{SPAN}-01");
        let expected = vec![("traceparent".to_owned(), expected)];
        assert_eq!(told(&terms(1.0), &fields, false), expected);
    }

    #[test]
    fn b3_goes_on_in_the_form_that_came() {
        let single = format!("{ID}-{PARENT}-1-{PARENT}");
        check(&[("B3", &single)], &[("b3", &format!("{ID}-{SPAN}-1-{SPAN}"))]);
        check(&[("b3", "d")], &[("b3", &format!("{MADE}-{SPAN}-d-{SPAN}"))]);
        check(&[("b3", "0"), ("traceparent", "no")], &[("b3", &format!("{MADE}-{SPAN}-0-{SPAN}"))]);
        let short = format!("{PARENT}-{PARENT}");
        check(&[("b3", &short)], &[("b3", &format!("{PARENT}-{SPAN}-0-{SPAN}"))]);
        check(
            &[("x-b3-traceid", ID), ("x-b3-spanid", PARENT), ("x-b3-sampled", "true"), ("a", "b")],
            &[
                ("a", "b"),
                ("X-B3-TraceId", ID),
                ("X-B3-SpanId", SPAN),
                ("X-B3-ParentSpanId", SPAN),
                ("X-B3-Sampled", "1"),
            ],
        );
        check(
            &[("x-b3-traceid", PARENT), ("x-b3-spanid", PARENT), ("x-b3-flags", "1")],
            &[
                ("X-B3-TraceId", PARENT),
                ("X-B3-SpanId", SPAN),
                ("X-B3-ParentSpanId", SPAN),
                ("X-B3-Flags", "1"),
            ],
        );
    }

    #[test]
    fn without_propagation_headers_are_not_looked_at() {
        let parent = format!("00-{ID}-{PARENT}-01");
        let fields = [("traceparent", parent.as_str()), ("b3", "1")];
        let terms = TraceTerms { propagates: false, ..terms(0.0) };
        assert_eq!(
            told(&terms, &fields, true),
            fields.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
        let trace = Trace::of(&terms, &Headers::of(&fields), true, &NONCES);
        assert_eq!((trace.parent, trace.is_sampled), (None, false));
    }

    #[test]
    fn the_sample_is_of_the_size_that_is_asked_for() {
        for (fraction, least, most) in
            [(0.0, 0, 0), (0.01, 60, 140), (0.5, 4_800, 5_200), (1.0, 10_000, 10_000)]
        {
            let mut state = 1_u128;
            let mut chosen = 0;
            for _ in 0..10_000 {
                state = state.wrapping_mul(0xda94_2042_e4dd_58b5_4d59_5d5d_5ed3_1b11).wrapping_add(1);
                let nonces = TraceNonces { trace: state.rotate_left(64).to_be_bytes(), span: 1 };
                let trace = Trace::of(&terms(fraction), &Headers::new(), true, &nonces);
                chosen += u32::from(trace.is_sampled);
            }
            assert!((least..=most).contains(&chosen), "{fraction}: {chosen}");
        }
    }
}
