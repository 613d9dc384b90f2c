//! `[tracing]`: what is told of the traces that requests belong to.

use crate::config::Tracing;
use crate::config::check::kind::Boolean;
use crate::config::check::kind::Choice;
use crate::config::check::kind::SampleFraction;
use crate::config::check::section::Output;
use crate::config::check::section::Section;
use crate::config::raw;
use crate::policy::overrides::Sample;
use crate::policy::trace::TraceSource;

pub(super) fn tracing(table: Option<&raw::Table>, output: &mut Output) -> Tracing {
    let mut section = Section::single("tracing", table, output);
    let tracing = Tracing {
        propagate: section.read("propagate", &Boolean, false),
        accept_from: section.read("accept_from", &SOURCES, TraceSource::Everyone),
        sample: section.read("sample", &SampleFraction, Sample::ALL),
    };
    section.close();
    tracing
}

const SOURCES: Choice<TraceSource> = Choice {
    words: &[("everyone", TraceSource::Everyone), ("trusted_proxies", TraceSource::TrustedProxies)],
    aliases: &[],
    later: &[],
};
