//! From the tables as written to the finished configuration: one function per table, then what
//! holds between them. Everything wrong is reported; nothing stops at the first error.

mod access_log;
mod address;
mod admin;
mod algorithm;
mod annotations;
mod bound_twice;
mod ca;
mod certificate;
mod client_auth;
mod connection_values;
mod compression;
mod datagram_listener;
mod defaults;
mod disabled;
mod elb_api;
mod error_page;
mod file_path;
mod group_tls;
mod hash_key;
mod health_check;
mod health_path;
mod http3;
mod identity;
mod ip_group;
mod kind;
mod limits;
mod log_destination;
mod log_headers;
mod listener;
mod metrics;
mod listener_tls;
mod maintenance;
mod media_type;
mod names;
mod nearest;
mod passive_check;
mod payload;
mod ports;
mod process;
mod quic_pairs;
mod queue;
mod references;
mod relayed_group;
mod response_headers;
mod retry_on;
mod route_test;
mod rule;
mod section;
mod server_group;
mod source_address;
mod statuses;
mod stream_listener;
mod sticky;
mod tls_policy;
mod tracing;
mod vocabulary;

use serde_json::Value as Json;

use crate::config::Config;
use crate::config::ElbApi;
use crate::config::RouteTest;
use crate::config::TlsPolicy;
use crate::config::check::names::Known;
use crate::config::check::references::Wanted;
use crate::config::check::section::Output;
use crate::config::effective::Effective;
use crate::config::raw;
use crate::config::report::Location;
use crate::config::report::Report;
use crate::config::report::Source;
use crate::config::schema;
use crate::config::schema::Presence;
use crate::config::schema::SchemaTables;

/// The version of the rules that a configuration is written for.
const CONFIG_VERSION: i128 = 1;

const TABLES: [&str; 15] = [
    "config_version",
    "process",
    "admin",
    "metrics",
    "access_log",
    "tracing",
    "certificate",
    "ca",
    "tls_policy",
    "ip_group",
    "listener",
    "server_group",
    "rule",
    "defaults",
    "error_page",
];

/// The configuration that all roots make together. It is of use only when the report has no errors.
pub(super) fn check(roots: &[raw::Table], report: Report) -> (Config, Effective, Report) {
    let mut output = Output::new(report);
    let config = read_all(roots, &mut output);
    (config, output.effective, output.report)
}

/// What every key can be; `describe` tells what a key of a table means.
pub(super) fn json_schema(describe: impl Fn(&str, &str) -> Option<String>) -> Json {
    let source = Source::made_up("example", vocabulary::COMPLETE_EXAMPLE.text().to_owned());
    let mut output = Output::new(Report::new(vec![source]));
    output.schema = Some(SchemaTables::default());
    let root = raw::read(0, &mut output.report);
    // The example has every table, and keys are asked for whether they are there or not.
    read_all(std::slice::from_ref(&root), &mut output);
    output.schema.unwrap_or_default().document(&defaults::TABLES, describe)
}

fn read_all(roots: &[raw::Table], output: &mut Output) -> Config {
    for root in roots {
        section::report_unknown(&root.entries, &TABLES, "", &mut output.report);
    }
    check_version(roots, output);
    let filled = defaults::apply(roots, &mut output.report);
    let roots = filled.as_deref().unwrap_or(roots);
    let process = single(roots, "process", process::process, output);
    let admin = single(roots, "admin", admin::admin, output);
    let metrics = single(roots, "metrics", metrics::metrics, output);
    tracing::conceal_secrets(roots, &mut output.report);
    let tracing = single(roots, "tracing", tracing::tracing, output);
    let access_logs = access_log::access_logs(roots, output);
    let certificates = each(roots, "certificate", output, certificate::certificate);
    let policies = each(roots, "tls_policy", output, tls_policy::tls_policy);
    let authorities = each(roots, "ca", output, ca::ca);
    let ip_groups = each(roots, "ip_group", output, ip_group::ip_group);
    let known = Known {
        certificates: certificate::names(&certificates, &output.report),
        authorities: ca::names(&authorities, &output.report),
        tls_policies: tls_policy::names(&policies, &output.report),
        ip_groups: ip_group::names(&ip_groups, &output.report),
        defined_policies: &policies,
    };
    admin::check_references(&admin, (&known.certificates, &known.authorities), &mut output.report);
    let listeners =
        each(roots, "listener", output, |table, output| listener::listener(table, &known, output));
    let (listeners, wanted): (Vec<_>, Vec<_>) = listeners.into_iter().unzip();
    let groups = each(roots, "server_group", output, |table, output| {
        server_group::server_group(table, &known, output)
    });
    let rules = each(roots, "rule", output, |table, output| rule::rule(table, &known, output));
    let error_pages = each(roots, "error_page", output, error_page::error_page);

    let report = &mut output.report;
    let (rules, response_rules) = rule::resolve(rules, &listeners, &groups, report);
    let error_pages = error_page::resolve(error_pages, &listeners, report);
    let access_logs = access_log::resolve(access_logs, &listeners, report);
    let mut config = Config {
        process,
        admin,
        metrics,
        tracing,
        access_logs,
        certificates,
        authorities,
        ip_groups,
        listeners,
        server_groups: groups,
        rules,
        error_pages,
        response_rules,
    };
    check_names(&config, &policies, report);
    check_references(&mut config, &wanted, &policies, report);
    if !report.is_broken_anywhere() {
        check_listeners(roots, report);
    }
    config
}

/// Looks names up that are left, and reports what does not go together.
fn check_references(config: &mut Config, wanted: &[Wanted], policies: &[TlsPolicy], report: &mut Report) {
    let Config {
        admin,
        certificates,
        authorities,
        ip_groups,
        listeners,
        server_groups,
        rules,
        response_rules,
        ..
    } = config;
    references::resolve_default_groups(listeners, wanted, server_groups, report);
    references::resolve_redirects(listeners, wanted, report);
    client_auth::resolve(listeners, wanted, authorities, report);
    http3::resolve(listeners, wanted, report);
    bound_twice::check(listeners, admin, report);
    // A protocol that was refused says nothing about what goes together.
    if !report.has_errors() {
        references::check_protocols((listeners, wanted), server_groups, rules, report);
    }
    if !report.is_broken_anywhere() {
        rule::check_redirects(rules, listeners, report);
        references::check_use((listeners, wanted), server_groups, rules, report);
        references::check_calls(listeners, server_groups, report);
        disabled::check((listeners, wanted), server_groups, rules, report);
        certificate::check_use(certificates, listeners, (server_groups, admin), report);
        tls_policy::check_use(policies, listeners, report);
        client_auth::check_use(wanted, authorities, (server_groups, admin), report);
        ip_group::check_use(ip_groups, listeners, (rules, response_rules, server_groups), report);
        quic_pairs::check((listeners, wanted), (rules, response_rules), report);
        connection_values::check(listeners, rules, response_rules, report);
    }
}

/// Names are unique within their kind of table.
fn check_names(config: &Config, policies: &[TlsPolicy], report: &mut Report) {
    let Config { rules, listeners, authorities, ip_groups, server_groups, certificates, .. } = config;
    let names = rules.iter().map(|rule| (rule.name.as_str(), rule.location));
    let names = names.chain(config.response_rules.iter().map(|rule| (rule.name.as_str(), rule.location)));
    references::check_names("rule", names, report);
    references::check_names("listener", listeners.iter().map(|l| (l.name.as_str(), l.location)), report);
    references::check_names("CA", authorities.iter().map(|ca| (ca.name.as_str(), ca.location)), report);
    references::check_names("IP group", ip_groups.iter().map(|g| (g.name.as_str(), g.location)), report);
    references::check_names(
        "server group",
        server_groups.iter().map(|g| (g.name.as_str(), g.location)),
        report,
    );
    references::check_names(
        "certificate",
        certificates.iter().map(|c| (c.name.as_str(), c.location)),
        report,
    );
    let pages = config.error_pages.iter().map(|page| (page.name.as_str(), page.location));
    references::check_names("error page", pages, report);
    references::check_names("TLS policy", policies.iter().map(|p| (p.name.as_str(), p.location)), report);
}

/// What `[admin.elb_api]` says, where it stands in one of the texts. What is wrong with it is told by [`check`].
pub(super) fn elb_api(root: &raw::Table, report: Report) -> Option<ElbApi> {
    let raw::Kind::Table(admin) = &root.find("admin")?.value.kind else { return None };
    let raw::Kind::Table(table) = &admin.find("elb_api")?.value.kind else { return None };
    elb_api::elb_api(table, &mut Output::new(report))
}

/// The requests of a table for `ringway test`.
pub(super) fn check_route_tests(root: &raw::Table, report: Report) -> (Vec<RouteTest>, Report) {
    let mut output = Output::new(report);
    section::report_unknown(&root.entries, &["request"], "", &mut output.report);
    let tests = each(std::slice::from_ref(root), "request", &mut output, route_test::route_test);
    if tests.is_empty() && !output.report.has_errors() {
        let help = "add [[request]] with url = \"https://www.example.com/\" and rule = \"…\"";
        output.report.error(Location::default(), "there is no [[request]]: nothing would be tested", help);
    }
    (tests, output.report)
}

/// Every table of a list, in the order of the texts.
fn each<T>(
    roots: &[raw::Table],
    key: &str,
    output: &mut Output,
    check: impl Fn(&raw::Table, &mut Output) -> T,
) -> Vec<T> {
    let tables = elements(roots, key, &mut output.report);
    tables.into_iter().map(|table| check(table, output)).collect()
}

/// Listeners may be made later, by the management API. But most files without one have lost it.
fn check_listeners(roots: &[raw::Table], report: &mut Report) {
    if !roots.iter().any(|root| root.find("listener").is_some()) {
        let help = "add [[listener]] with name = \"web\" and address = \"0.0.0.0:8080\", or write listener = [] \
                    if others will be made later";
        report.warning(Location::default(), "there is no [[listener]]: nothing is served", help);
    }
}

/// One of the texts must name the version; each that does must name the right one.
fn check_version(roots: &[raw::Table], output: &mut Output) {
    let fix = "write config_version = 1 above the first table";
    let mut versions = roots.iter().filter_map(|root| root.find("config_version")).peekable();
    let from = versions.peek().map(|entry| entry.value.location);
    if from.is_none() && !output.report.is_broken_anywhere() {
        output.report.error(Location::default(), "`config_version` is missing", fix);
    }
    for entry in versions {
        let message = match entry.value.kind {
            raw::Kind::Integer(CONFIG_VERSION) => continue,
            raw::Kind::Integer(other) => format!("`config_version` {other} is not known to this version"),
            _ => format!("`config_version` must be an integer, not {}", entry.value.kind_name()),
        };
        output.report.error(entry.value.location, message, "write config_version = 1");
    }
    if let Some(schema) = &mut output.schema {
        let version = schema::integer(CONFIG_VERSION as u64..=CONFIG_VERSION as u64);
        schema.add("", "config_version", (version, Presence::Optional));
    }
    output.effective.set("config_version", Json::from(1), from);
}

/// The table that may stand in one of the texts only. What another one says is looked at all the same.
fn single<T>(
    roots: &[raw::Table],
    key: &str,
    check: fn(Option<&raw::Table>, &mut Output) -> T,
    output: &mut Output,
) -> T {
    let entries: Vec<_> = roots.iter().filter_map(|root| root.find(key)).collect();
    let report = &mut output.report;
    for other in entries.iter().skip(1) {
        let message = format!("[{key}] is defined twice, first at {}", report.place(entries[0].key_location));
        report.error(other.key_location, message, "keep it in one of the files");
    }
    let title = format!("[{key}]");
    let tables: Vec<_> =
        entries.into_iter().filter_map(|entry| section::table_of(entry, &title, report)).collect();
    let mut tables = tables.into_iter();
    let first = check(tables.next(), output);
    tables.for_each(|table| drop(check(Some(table), output)));
    first
}

/// The tables of a list, from all texts in their order.
fn elements<'t>(roots: &'t [raw::Table], key: &str, report: &mut Report) -> Vec<&'t raw::Table> {
    let entries = roots.iter().filter_map(|root| root.find(key));
    entries.flat_map(|entry| section::elements_of(entry, &format!("[[{key}]]"), report)).collect()
}
