//! The configuration: text in, [`Config`] out, or every error with its place.
//!
//! [`load`] takes texts, never files. It reads them (`raw`), checks every table (`check`) and leaves
//! nothing to be parsed later: the types here hold values, not words.

mod admin;
mod check;
mod checked;
pub mod cipher_suites;
mod connection_facts;
pub mod edit;
mod effective;
pub mod embedded;
mod error_page;
mod format;
mod gates;
pub mod in_order;
mod ip_group;
mod limits;
mod listener;
pub mod log_fields;
mod maintenance;
mod named_file;
mod objects;
mod process;
mod protection;
mod raw;
pub mod reference;
mod report;
mod route_test;
mod rule;
mod schema;
mod server_group;
mod subject;
#[cfg(test)]
mod tests;
pub mod tls_policies;
mod tracing;
mod units;
mod uses;

pub use admin::Admin;
pub use admin::AdminRole;
pub use admin::AdminTls;
pub use admin::ElbApi;
pub use checked::Config;
pub use cipher_suites::CipherSuite;
pub use cipher_suites::TlsVersion;
pub use effective::Effective;
pub use effective::Offered;
pub use effective::toml_string;
pub use effective::toml_value;
pub use error_page::ErrorPage;
pub use format::Formatted;
pub use format::format;
pub use gates::BasicAuth;
pub use gates::Gates;
pub use ip_group::Access;
pub use ip_group::IpGroup;
pub use limits::PerClient;
pub use limits::RequestRates;
pub use listener::Carriers;
pub use listener::ClientAuth;
pub use listener::ClientAuthMode;
pub use listener::DatagramListener;
pub use listener::FingerprintHash;
pub use listener::Forwarded;
pub use listener::HalfClose;
pub use listener::Http2Limits;
pub use listener::HttpListener;
pub use listener::ListenAddress;
pub use listener::Listener;
pub use listener::ListenerProtocol;
pub use listener::ListenerTls;
pub use listener::ProxyProtocol;
pub use listener::SniMatch;
pub use listener::StreamListener;
pub use maintenance::Maintenance;
pub use named_file::Authority;
pub use named_file::Certificate;
pub use named_file::NamedFile;
pub use named_file::is_credential;
pub use objects::Object;
pub use objects::ObjectKind;
pub use objects::ObjectPath;
pub use objects::etag;
pub use process::AccessLog;
pub use process::AccessLogFormat;
pub use process::HealthCpu;
pub use process::IoDriver;
pub use process::LogDestination;
pub use process::LogHeaders;
pub use process::Metrics;
pub use process::Process;
pub use process::SyslogForm;
pub use process::SyslogTerms;
pub use process::Workers;
pub use protection::Protection;
pub use report::Diagnostic;
pub use report::Location;
pub use report::Report;
pub use report::Severity;
pub use report::Source;
pub use route_test::RouteTest;
pub use rule::Actions;
pub use rule::FinalAction;
pub use rule::FixedResponse;
pub use rule::GroupSticky;
pub use rule::ResponseRule;
pub use rule::Rule;
pub use rule::WeightedGroup;
pub use server_group::Backend;
pub use server_group::BackendAddress;
pub use server_group::CheckMethod;
pub use server_group::CheckProtocol;
pub use server_group::GroupProtocol;
pub use server_group::GroupTls;
pub use server_group::HealthCheck;
pub use server_group::InitialState;
pub use server_group::OnDrain;
pub use server_group::PassiveCheck;
pub use server_group::Queue;
pub use server_group::Role;
pub use server_group::ServerGroup;
pub use server_group::SourceAddress;
pub use server_group::Sticky;
pub use server_group::Verify;
pub use subject::ObjectKey;
pub use tls_policies::TlsPolicy;
pub use tracing::Collector;
pub use tracing::CollectorUrl;
pub use tracing::Tracing;
pub use tracing::frames_requests;
pub use units::parse_duration;
pub use uses::users_of;

/// What came of loading.
pub struct Loaded {
    /// None when the report has errors.
    pub config: Option<Config>,
    /// Where the control commands get in, if that much can be read.
    pub admin: Admin,
    /// Complete only when there is a `config`.
    pub effective: Effective,
    pub report: Report,
    roots: Vec<raw::Table>,
}

impl Loaded {
    /// The objects as they are written.
    pub fn objects(&self) -> Vec<Object> {
        objects::objects(&self.roots)
    }

    /// Which object, and which key of it, stands at a place.
    pub fn subject(&self, location: Location) -> ObjectKey {
        subject::subject(&self.roots, location)
    }
}

/// The JSON Schema of the configuration, each key with what the reference says of it.
pub fn json_schema() -> serde_json::Value {
    let rows = reference::key_rows();
    check::json_schema(|table, key| reference::describe(&rows, table, key))
}

/// Reads a table of requests for `ringway test`.
pub fn load_route_tests(source: Source) -> (Vec<RouteTest>, Report) {
    let mut report = Report::new(vec![source]);
    if let Some(failure) = report.sources()[0].failure().map(str::to_owned) {
        report.error(Location::new(0, 0..0), failure, "name a readable file of UTF-8 text");
    }
    let root = raw::read(0, &mut report);
    check::check_route_tests(&root, report)
}

/// What `[admin.elb_api]` says, for who adds the text that stands for its objects. None: no text has that table.
pub fn elb_api(sources: &[Source]) -> Option<ElbApi> {
    // Most have none, and are not read twice.
    let mut naming = sources.iter().filter(|source| source.text().contains("elb_api"));
    naming.find_map(|source| {
        let mut report = Report::new(vec![source.with_text(source.text().to_owned())]);
        let root = raw::read(0, &mut report);
        check::elb_api(&root, report)
    })
}

/// Reads and checks all sources as one configuration, in the given order.
pub fn load(sources: Vec<Source>) -> Loaded {
    let mut report = Report::new(sources);
    let count = report.sources().len();
    let failures: Vec<_> =
        (0..count).filter_map(|index| Some((index, report.sources()[index].failure()?.to_owned()))).collect();
    for (index, failure) in failures {
        let help = if report.sources()[index].is_generated() {
            "put a copy of it back; where there is no such file, nothing is made of it"
        } else {
            "name a readable file of UTF-8 text, or a folder with *.toml files, each once"
        };
        report.error(Location::new(index, 0..0), failure, help);
    }
    let roots: Vec<_> = (0..count).map(|index| raw::read(index, &mut report)).collect();
    let (config, effective, report) = check::check(&roots, report);
    let admin = config.admin.clone();
    Loaded { config: (!report.has_errors()).then_some(config), admin, effective, report, roots }
}
