//! `[metrics]`: what is counted.

use crate::config::Metrics;
use crate::config::check::kind::Boolean;
use crate::config::check::section::Output;
use crate::config::check::section::Section;
use crate::config::raw;

pub(super) fn metrics(table: Option<&raw::Table>, output: &mut Output) -> Metrics {
    let mut section = Section::single("metrics", table, output);
    let metrics = Metrics {
        enabled: section.read("enabled", &Boolean, true),
        histograms: section.read("histograms", &Boolean, true),
    };
    section.close();
    metrics
}
