//! Metrics as text, in the two formats that Prometheus reads: its own (version 0.0.4) and OpenMetrics 1.0.0.

use std::fmt::Write;
use std::time::Duration;

use crate::telemetry::histogram::Distribution;

/// How metrics are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricsFormat {
    Prometheus,
    OpenMetrics,
}

impl MetricsFormat {
    /// The format that a scraper asks for by its `Accept` fields (RFC 9110 §12.5.1): the one that it likes better, and
    /// that of Prometheus where it does not care.
    pub fn accepted_by(accept: &str) -> MetricsFormat {
        let mut best = (0.0, MetricsFormat::Prometheus);
        for range in accept.split(',') {
            let mut parameters = range.split(';').map(str::trim);
            let format = match parameters.next() {
                Some("application/openmetrics-text") => MetricsFormat::OpenMetrics,
                Some("text/plain" | "text/*" | "*/*") => MetricsFormat::Prometheus,
                _ => continue,
            };
            let quality = parameters.find_map(|parameter| parameter.strip_prefix("q=")?.parse().ok());
            let quality: f64 = quality.unwrap_or(1.0);
            if quality > best.0 {
                best = (quality, format);
            }
        }
        best.1
    }

    pub fn content_type(self) -> &'static str {
        match self {
            MetricsFormat::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            MetricsFormat::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// What samples of one name are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
    /// Always 1; what it tells are its labels.
    Info,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
            Kind::Info => "info",
        }
    }
}

/// All samples of one name.
#[derive(Debug)]
pub struct Family {
    /// As it is documented: counters end with `_total`, infos with `_info`.
    pub name: &'static str,
    pub kind: Kind,
    /// A sentence without its full stop.
    pub help: &'static str,
    pub labels: &'static [&'static str],
}

/// Upper bounds of the buckets of all histograms, as they are written and in microseconds.
pub const BUCKETS: [(&str, u64); 17] = [
    ("0.001", 1_000),
    ("0.0025", 2_500),
    ("0.005", 5_000),
    ("0.01", 10_000),
    ("0.025", 25_000),
    ("0.05", 50_000),
    ("0.1", 100_000),
    ("0.25", 250_000),
    ("0.5", 500_000),
    ("1.0", 1_000_000),
    ("2.5", 2_500_000),
    ("5.0", 5_000_000),
    ("10.0", 10_000_000),
    ("30.0", 30_000_000),
    ("60.0", 60_000_000),
    ("120.0", 120_000_000),
    ("300.0", 300_000_000),
];

/// Metrics being written, family by family.
pub struct Exposition {
    text: String,
    format: MetricsFormat,
}

/// The samples of one family being written. Values of labels stand in the order of the family's.
pub struct Samples<'e> {
    exposition: &'e mut Exposition,
    family: &'static Family,
}

impl Exposition {
    pub fn new(format: MetricsFormat) -> Exposition {
        Exposition { text: String::new(), format }
    }

    /// Begins a family, which begins only once.
    pub fn family(&mut self, family: &'static Family) -> Samples<'_> {
        let name = match self.format {
            MetricsFormat::Prometheus => family.name,
            // Its families have the names of their samples without the ending.
            MetricsFormat::OpenMetrics => family.name.trim_end_matches("_total").trim_end_matches("_info"),
        };
        let kind = match (self.format, family.kind) {
            // It knows no other word for what never changes.
            (MetricsFormat::Prometheus, Kind::Info) => "gauge",
            (_, kind) => kind.as_str(),
        };
        let help = family.help;
        // Writing to a string cannot fail, here and below.
        let _ = write!(self.text, "# HELP {name} {help}.\n# TYPE {name} {kind}\n");
        Samples { exposition: self, family }
    }

    /// The whole text.
    pub fn finish(mut self) -> String {
        if self.format == MetricsFormat::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

impl Samples<'_> {
    pub fn count(&mut self, labels: &[&str], value: u64) {
        self.line("", labels, None);
        let _ = writeln!(self.exposition.text, " {value}");
    }

    pub fn number(&mut self, labels: &[&str], value: f64) {
        self.line("", labels, None);
        let _ = writeln!(self.exposition.text, " {value}");
    }

    pub fn histogram(&mut self, labels: &[&str], distribution: &Distribution) {
        for (bound, us) in BUCKETS {
            self.line("_bucket", labels, Some(bound));
            let count = distribution.count_up_to(Duration::from_micros(us));
            let _ = writeln!(self.exposition.text, " {count}");
        }
        self.line("_bucket", labels, Some("+Inf"));
        let _ = writeln!(self.exposition.text, " {}", distribution.count());
        self.line("_count", labels, None);
        let _ = writeln!(self.exposition.text, " {}", distribution.count());
        self.line("_sum", labels, None);
        let (seconds, us) = (distribution.sum_us / 1_000_000, distribution.sum_us % 1_000_000);
        let _ = writeln!(self.exposition.text, " {seconds}.{us:06}");
    }

    /// Writes a sample up to its value.
    fn line(&mut self, ending: &str, labels: &[&str], bound: Option<&str>) {
        debug_assert_eq!(labels.len(), self.family.labels.len(), "{}", self.family.name);
        let text = &mut self.exposition.text;
        text.push_str(self.family.name);
        text.push_str(ending);
        let named = self.family.labels.iter().copied().zip(labels.iter().copied());
        for (place, (name, value)) in named.chain(bound.map(|bound| ("le", bound))).enumerate() {
            text.push(if place == 0 { '{' } else { ',' });
            text.push_str(name);
            text.push_str("=\"");
            escape(value, text);
            text.push('"');
        }
        if !labels.is_empty() || bound.is_some() {
            text.push('}');
        }
    }
}

fn escape(value: &str, text: &mut String) {
    for character in value.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::histogram::Histogram;

    static REQUESTS: Family =
        Family { name: "a_requests_total", kind: Kind::Counter, help: "Requests", labels: &["listener"] };
    static DURATION: Family =
        Family { name: "a_seconds", kind: Kind::Histogram, help: "Durations", labels: &[] };

    fn text(format: MetricsFormat) -> String {
        let mut exposition = Exposition::new(format);
        let mut samples = exposition.family(&REQUESTS);
        samples.count(&["web"], 7);
        samples.count(&["a\"b\\c\nd"], u64::MAX);
        let histogram = Histogram::default();
        histogram.record(900);
        histogram.record(400_000_000);
        exposition.family(&DURATION).histogram(&[], &Distribution::of([&histogram]));
        exposition.finish()
    }

    #[test]
    fn both_formats() {
        let prometheus = text(MetricsFormat::Prometheus);
        assert!(prometheus.starts_with(
            "# HELP a_requests_total Requests.\n# TYPE a_requests_total counter\na_requests_total{listener=\"web\"} 7\n\
             a_requests_total{listener=\"a\\\"b\\\\c\\nd\"} 18446744073709551615\n"
        ));
        for line in [
            "a_seconds_bucket{le=\"0.001\"} 1\n",
            "a_seconds_bucket{le=\"300.0\"} 1\n",
            "a_seconds_bucket{le=\"+Inf\"} 2\na_seconds_count 2\na_seconds_sum 400.000900\n",
        ] {
            assert!(prometheus.contains(line), "{line}");
        }
        let open_metrics = text(MetricsFormat::OpenMetrics);
        assert!(open_metrics.starts_with(
            "# HELP a_requests Requests.\n# TYPE a_requests counter\na_requests_total{listener=\"web\"} 7\n"
        ));
        assert!(open_metrics.ends_with("a_seconds_sum 400.000900\n# EOF\n"));
    }

    #[test]
    fn the_format_that_is_liked_better_is_given() {
        for (accept, format) in [
            ("", MetricsFormat::Prometheus),
            ("*/*", MetricsFormat::Prometheus),
            ("text/html, application/json", MetricsFormat::Prometheus),
            ("application/openmetrics-text", MetricsFormat::OpenMetrics),
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                 text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                MetricsFormat::OpenMetrics,
            ),
            (
                "text/plain;version=0.0.4, application/openmetrics-text;version=1.0.0;q=0.9",
                MetricsFormat::Prometheus,
            ),
            ("application/openmetrics-text;q=0", MetricsFormat::Prometheus),
        ] {
            assert_eq!(MetricsFormat::accepted_by(accept), format, "{accept}");
        }
    }
}
