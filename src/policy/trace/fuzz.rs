//! Headers made of any bytes: whatever comes, backends are told of one valid trace.

use crate::http::headers::Field;
use crate::http::headers::Headers;
use crate::http::headers::MAX_FIELDS;
use crate::policy::overrides::Sample;
use crate::policy::trace::Trace;
use crate::policy::trace::TraceNonces;
use crate::policy::trace::TraceSource;
use crate::policy::trace::TraceTerms;
use crate::policy::trace::trace_state::MAX_BYTES;

const TERMS: TraceTerms =
    TraceTerms { propagates: true, accept_from: TraceSource::Everyone, sample: Sample::ALL, exports: true };

/// The first byte says whether the fields are believed; lines of name and value follow.
pub fn fuzz_trace(bytes: &[u8]) {
    let Some((first, lines)) = bytes.split_first() else { return };
    let is_believed = first & 1 == 0;
    let lines = lines.split(|byte| *byte == b'\n').take(MAX_FIELDS);
    let mut headers = Headers::new();
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (name, value) = line.split_at(colon);
        // There is room for as many as were taken.
        let _ = headers.push(Field::new(name, value.get(1..).unwrap_or_default()));
    }
    let first = pass(&headers, is_believed, 0x0102_0304_0506_0708);
    let again = first.headers();
    let second = pass(&again, true, 0x1112_1314_1516_1718);
    // The next one on the way belongs to the same trace, asked by the span that we have told.
    assert_eq!((second.trace.id, second.trace.is_sampled), (first.trace.id, first.trace.is_sampled));
    assert_eq!(second.trace.parent, Some(first.trace.span));
    let names = |passed: &Passed| passed.fields.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&first), names(&second));
    let state = |passed: &Passed| {
        passed.fields.iter().find(|(name, _)| name == b"tracestate").map(|(_, value)| value.clone())
    };
    assert_eq!(state(&first), state(&second));
    assert!(state(&first).is_none_or(|state| state.len() <= MAX_BYTES && !state.is_empty()));
}

/// A trace, and all the fields that tell of one behind us.
struct Passed {
    trace: Trace,
    fields: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Passed {
    fn headers(&self) -> Headers<'_> {
        let mut headers = Headers::new();
        for (name, value) in &self.fields {
            let _ = headers.push(Field::new(name, value));
        }
        headers
    }
}

fn pass(headers: &Headers<'_>, is_believed: bool, span: u64) -> Passed {
    let nonces = TraceNonces { trace: [0xab; 16], span };
    let trace = Trace::of(&TERMS, headers, is_believed, &nonces);
    let mut fields = Vec::new();
    trace.for_each_added(headers, &mut Vec::new(), |name, value, place| {
        let digits = place.map(|place| value.get(place..place + 16));
        assert!(digits.is_none_or(|digits| digits == Some(trace.span.digits())));
        assert!(value.iter().all(|byte| matches!(byte, b' '..=b'~')), "{value:?}");
        let added = Field::new(name, value);
        assert!(trace.withholds(&added), "nothing of the client's own stands beside it");
        fields.push((name.to_vec(), value.to_vec()));
    });
    assert!(fields.len() <= 4);
    Passed { trace, fields }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_all_kinds() {
        const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let seeds = [
            format!(" traceparent:{PARENT}\ntracestate:a=1,b@c=2\ntracestate: d=3"),
            "\u{0}b3:80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1-05e3ac9a4f6e3b90".to_owned(),
            "\u{0}X-B3-TraceId:e457b5a2e4d86bd1\nX-B3-SpanId:05e3ac9a4f6e3b90\nX-B3-Sampled:1\nX-B3-Flags:0"
                .to_owned(),
            format!("\u{1}traceparent:{PARENT}\nb3:d\nx_b3_spanid:1"),
            "\u{0}tracestate:a=1\nb3:0\nX-B3-Sampled:true".to_owned(),
        ];
        for seed in &seeds {
            fuzz_trace(seed.as_bytes());
            for at in 0..seed.len() {
                let mut bytes = seed.as_bytes().to_vec();
                for byte in *b"0fdA-_,=:\n \t@\xff\x00" {
                    bytes[at] = byte;
                    fuzz_trace(&bytes);
                }
                let mut bytes = seed.as_bytes().to_vec();
                bytes.insert(at, b'-');
                fuzz_trace(&bytes);
                bytes.remove(at);
                bytes.remove(at);
                fuzz_trace(&bytes);
                fuzz_trace(&seed.as_bytes()[..at]);
            }
        }
        fuzz_trace(b"");
    }
}
