//! What holds at a listener for https and not at the QUIC listener that its clients may change over to.

use crate::config::HttpListener;
use crate::config::Listener;
use crate::config::ResponseRule;
use crate::config::Rule;
use crate::config::check::references::Wanted;
use crate::config::report::Report;

/// Names that a message has room for.
const MAX_NAMES: usize = 3;

/// Warns of each pair of which clients meet less at the QUIC listener than before they have changed over. Certificates and
/// `client_auth` were compared before: these have to be the same.
pub(super) fn check(
    (listeners, wanted): (&[Listener], &[Wanted]),
    (rules, response_rules): (&[Rule], &[ResponseRule]),
    report: &mut Report,
) {
    // What was refused may be what the two have in common.
    if report.has_errors() {
        return;
    }
    for (index, (listener, wanted)) in listeners.iter().zip(wanted).enumerate() {
        let Some((http, reference)) = listener.http().zip(wanted.quic_listener.as_ref()) else { continue };
        let Some(target) = http.quic_listener.filter(|_| listener.enabled) else { continue };
        let Some((quic, quic_http)) = listeners.get(target).and_then(|quic| Some((quic, quic.http()?)))
        else {
            continue;
        };
        let of_rules = rules.iter().filter(|rule| rule.enabled).map(|rule| (&rule.name, &rule.listeners));
        let of_responses = response_rules.iter().filter(|rule| rule.enabled);
        let of_responses = of_responses.map(|rule| (&rule.name, &rule.listeners));
        let missed = of_rules
            .chain(of_responses)
            .filter(|(_, listeners)| listeners.contains(&index) && !listeners.contains(&target));
        let missed: Vec<&str> = missed.map(|(name, _)| name.as_str()).collect();
        let has_missed_rules = !missed.is_empty();
        let mut lacking: Vec<String> = rule_words(&missed).into_iter().collect();
        lacking
            .extend(keys(listener, quic).chain(keys_of_http(http, quic_http)).map(|key| format!("`{key}`")));
        if lacking.is_empty() {
            continue;
        }
        let message = format!(
            "what holds at \"{}\" is missing or different at \"{}\", to which its clients may change over: {}",
            listener.name,
            quic.name,
            lacking.join(", ")
        );
        let help = match has_missed_rules {
            true => format!(
                "name both in the rules, listener = [\"{}\", \"{}\"], and write the keys in both; or write http3 = true instead",
                listener.name, quic.name
            ),
            false => "write the same in both listeners; or write http3 = true instead".to_owned(),
        };
        report.warning(reference.location, message, help);
    }
}

fn rule_words(names: &[&str]) -> Option<String> {
    let shown = names.get(..MAX_NAMES.min(names.len())).unwrap_or_default().join("\", \"");
    match names.len() {
        0 => None,
        1 => Some(format!("the rule \"{shown}\"")),
        count @ ..=MAX_NAMES => Some(format!("the {count} rules \"{shown}\"")),
        count => Some(format!("{count} rules, \"{shown}\" and others")),
    }
}

/// What the first listener has and the other one has not, or has differently.
fn keys(own: &Listener, other: &Listener) -> impl Iterator<Item = &'static str> {
    let is_lost = |own: u64, other: u64| own > 0 && other == 0;
    let (mine, theirs) = (&own.per_client, &other.per_client);
    let per_client = [
        (u64::from(mine.requests_per_second), u64::from(theirs.requests_per_second)),
        (u64::from(mine.connections_per_second), u64::from(theirs.connections_per_second)),
        (u64::from(mine.max_connections), u64::from(theirs.max_connections)),
        (mine.bandwidth_bytes_per_second, theirs.bandwidth_bytes_per_second),
    ];
    let refuses_unknown = |of: &Listener| of.tls.as_ref().is_some_and(|tls| tls.refuses_unknown_sni);
    let found = [
        ("default_group", own.default_group != other.default_group),
        ("allow", own.access.allow.is_some() && own.access.allow != other.access.allow),
        ("deny", own.access.deny.iter().any(|group| !other.access.deny.contains(group))),
        ("max_connections", is_lost(own.max_connections.into(), other.max_connections.into())),
        (
            "connections_per_second",
            is_lost(own.connections_per_second.into(), other.connections_per_second.into()),
        ),
        ("per_client", per_client.into_iter().any(|(own, other)| is_lost(own, other))),
        ("unknown_sni", refuses_unknown(own) && !refuses_unknown(other)),
    ];
    found.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key)
}

fn keys_of_http(own: &HttpListener, other: &HttpListener) -> impl Iterator<Item = &'static str> {
    let is_lost = |own: u64, other: u64| own > 0 && other == 0;
    let lost_edits = own.response_headers.iter().filter(|edit| !other.response_headers.contains(edit));
    // Where HTTP/3 is, is for those to know that do not use it yet.
    let lost_edits = lost_edits.map(|edit| edit.name()).filter(|name| !name.eq_ignore_ascii_case("alt-svc"));
    let (hsts, edits): (Vec<&str>, Vec<&str>) =
        lost_edits.partition(|name| name.eq_ignore_ascii_case("strict-transport-security"));
    let found = [
        ("hsts", !hsts.is_empty()),
        ("response_headers", !edits.is_empty()),
        ("forwarded", own.forwarded != other.forwarded),
        ("trusted_proxies", own.trusted_proxies != other.trusted_proxies),
        ("real_ip_header", own.real_ip_header != other.real_ip_header),
        ("requests_per_second", is_lost(own.requests_per_second.into(), other.requests_per_second.into())),
        (
            "bandwidth_bytes_per_second",
            is_lost(own.bandwidth_bytes_per_second, other.bandwidth_bytes_per_second),
        ),
        ("max_body_bytes", is_lost(own.max_body_bytes, other.max_body_bytes)),
        ("path_normalization", own.normalizes_paths && !other.normalizes_paths),
    ];
    found.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key)
}

#[cfg(test)]
mod tests {
    use crate::config::Source;
    use crate::config::load;

    /// What is said of a pair whose listeners have these lines, and of these rules for the first of them.
    fn said(https: &str, quic: &str, rules: &[&str]) -> String {
        let listener = |name: &str, port: u16, lines: &str| {
            format!(
                "[[listener]]\nname = \"{name}\"\naddress = \"127.0.0.1:{port}\"\ncertificates = [\"site\"]\n\
                 default_group = \"app\"\n{lines}\n"
            )
        };
        let rules = rules.iter().enumerate().map(|(index, lines)| {
            format!("[[rule]]\nname = \"r{index}\"\npriority = {}\npath = \"/{index}\"\n{lines}\n", index + 1)
        });
        let text = format!(
            "config_version = 1\n[[certificate]]\nname = \"site\"\nchain = \"/c\"\nkey = \"/k\"\n{}{}\
             [[ip_group]]\nname = \"bad\"\nentries = [\"192.0.2.0/24\"]\n\
             [[server_group]]\nname = \"app\"\n[[server_group.backend]]\naddress = \"127.0.0.1:9001\"\n{}",
            listener("web", 8443, &format!("protocol = \"https\"\nquic_listener = \"fast\"\n{https}")),
            listener("fast", 8444, &format!("protocol = \"quic\"\n{quic}")),
            rules.collect::<String>()
        );
        load(vec![Source::made_up("ringway.toml", text)]).report.to_text(false)
    }

    const OF_WEB: &str = "listener = \"web\"\ngroup = \"app\"";
    const DENY: &str = "deny = [\"bad\"]";

    #[test]
    fn what_one_has_and_the_other_has_not_is_told_in_one_warning() {
        let many = "hsts = { max_age = \"180d\" }\nresponse_headers = [{ set_header = { name = \"x-a\", value = \"1\" } }]\n\
                    deny = [\"bad\"]\nper_client = { requests_per_second = 5 }\nforwarded = { x_real_ip = true }\n\
                    max_body_bytes = \"1MiB\"\nunknown_sni = \"reject\"";
        let all = "change over: the rule \"r0\", `deny`, `per_client`, `unknown_sni`, `hsts`, `response_headers`, `forwarded`, `max_body_bytes`";
        let text = said(many, "", &[OF_WEB]);
        assert!(text.contains(all) && text.matches("warning").count() == 1, "{text}");
        assert!(text.contains("listener = [\"web\", \"fast\"]"), "{text}");
        let several = said(DENY, DENY, &[OF_WEB; 4]);
        assert!(several.contains("over: 4 rules, \"r0\", \"r1\", \"r2\" and others\n"), "{several}");
    }

    #[test]
    fn pairs_that_are_alike_are_not_told_of() {
        let both = OF_WEB.replace("\"web\"", "[\"web\", \"fast\"]");
        let off = format!("{OF_WEB}\nenabled = false");
        for (https, quic, rules) in [
            ("", "", &[][..]),
            (DENY, DENY, &[both.as_str()]),
            // Another limit is a limit, and less may be let in by HTTP/3.
            ("max_connections = 5", "max_connections = 9\ndeny = [\"bad\"]", &[both.as_str()]),
        ] {
            let text = said(https, quic, rules);
            assert!(!text.contains("change over"), "{text}");
        }
        assert!(!said(DENY, DENY, &[off.as_str()]).contains("change over"));
    }
}
