//! Redirects that lead their clients around in circles. Only what is certain is reported.

use crate::config::FinalAction;
use crate::config::HttpListener;
use crate::config::Listener;
use crate::config::Rule;
use crate::config::check::rule::shadow;
use crate::config::in_order;
use crate::config::report::Report;
use crate::policy::header_edits::HeaderEdit;
use crate::policy::redirect::Port;
use crate::policy::redirect::Redirect;
use crate::policy::redirect::UrlScheme;
use crate::policy::router::Condition;
use crate::policy::router::TextTest;
use crate::policy::template::Template;

/// Comparing each redirect with the rules before it takes time that grows with their product.
const MAX_COMPARED: usize = 2_000;

/// Reports rules that take again what they redirect.
pub(super) fn check(rules: &[Rule], listeners: &[Listener], report: &mut Report) {
    for (index, listener) in listeners.iter().enumerate() {
        let mut own: Vec<&Rule> =
            rules.iter().filter(|rule| rule.enabled && rule.listeners.contains(&index)).collect();
        in_order::sort_by_key(&mut own, |rule| rule.priority);
        let Some(http) = listener.http() else { continue };
        if own.len() > MAX_COMPARED || http.redirect_to.is_some() {
            continue;
        }
        for (place, rule) in own.iter().enumerate() {
            let FinalAction::Redirect(redirect) = &rule.actions.last else { continue };
            let way = Way::of(redirect, index, listeners);
            let earlier = own.get(..place).unwrap_or_default();
            let sets_cookies = sets_cookies(&http.response_headers);
            if way.is_some_and(|way| !sets_cookies && loops(rule, redirect, &way, earlier)) {
                let message = format!(
                    "the rule \"{}\" redirects in circles: at the listener \"{}\" it takes the requests to which it leads",
                    rule.name, listener.name
                );
                let help = match way {
                    Some(Way::Through(other)) => format!(
                        "the listener \"{other}\" sends them back by redirect_to: forward them here, or remove that"
                    ),
                    _ => "lead to another host, port or path, or let a condition not hold for the new URL"
                        .to_owned(),
                };
                report.error(rule.location, message, help);
            }
        }
    }
}

/// How what is redirected comes back to the listener.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way<'l> {
    Directly,
    /// By the `redirect_to` of the listener with this name, which changes nothing about it.
    Through(&'l str),
}

impl Way<'_> {
    /// None: it goes elsewhere, or that is not known.
    fn of<'l>(redirect: &Redirect, index: usize, listeners: &'l [Listener]) -> Option<Way<'l>> {
        let listener = listeners.get(index)?;
        let own = if listener.tls.is_some() { UrlScheme::Https } else { UrlScheme::Http };
        let scheme = redirect.protocol.unwrap_or(own);
        let port = match redirect.port {
            Some(Port::Number(port)) => Some(port),
            Some(Port::Listener) => None,
            // The client repeats the port that it has asked.
            None if redirect.protocol.is_none() && redirect.host.is_none() => None,
            None => Some(scheme.default_port()),
        };
        let listens_at = |listener: &Listener, port: u16| {
            listener.addresses.iter().any(|listening| listening.address.port() == port)
        };
        if scheme == own && port.is_none_or(|port| listens_at(listener, port)) {
            return Some(Way::Directly);
        }
        let returns = |other: &&Listener| {
            let returns = |http: &HttpListener| http.redirect_to == Some(index) && !http.redirect_spares_acme;
            other.http().is_some_and(returns)
                && other.tls.is_none()
                && port.is_some_and(|port| listens_at(other, port))
        };
        let is_certain = scheme == UrlScheme::Http && listener.addresses.len() == 1;
        let through = listeners.iter().find(returns).filter(|_| is_certain)?;
        Some(Way::Through(&through.name))
    }
}

/// What is known of the request that a client makes next.
struct NextRequest<'r> {
    /// None: as before.
    host: Option<&'r str>,
    path: NextPath<'r>,
    keeps_query: bool,
}

enum NextPath<'r> {
    AsBefore,
    Exactly(&'r str),
    BeginsWith(&'r str),
}

impl<'r> NextRequest<'r> {
    fn of(redirect: &'r Redirect) -> NextRequest<'r> {
        let changed = |template: &'r Option<Template>, itself: &str| {
            template.as_ref().map(Template::as_str).filter(|text| *text != itself)
        };
        let path = match changed(&redirect.path, "${path}") {
            None => NextPath::AsBefore,
            Some(text) => match text.split_once("${") {
                None => NextPath::Exactly(text),
                Some((begin, _)) => NextPath::BeginsWith(begin),
            },
        };
        NextRequest {
            host: changed(&redirect.host, "${host}"),
            path,
            keeps_query: changed(&redirect.query, "${query}").is_none(),
        }
    }

    /// Whether a condition certainly holds for it, if it held for the request before.
    fn surely_holds(&self, condition: &Condition, status: u16) -> bool {
        match condition {
            Condition::Host(tests) => self.host.is_none_or(|host| is_one_of(tests, host)),
            Condition::Path(tests) => match self.path {
                NextPath::AsBefore => true,
                NextPath::Exactly(path) => is_one_of(tests, path),
                NextPath::BeginsWith(begin) => tests.iter().any(|test| holds_below(test, begin)),
            },
            // What is no GET or HEAD becomes a GET, except with these.
            Condition::Method(methods) => {
                matches!(status, 307 | 308)
                    || methods.iter().any(|method| method == "GET" || method == "HEAD")
            }
            Condition::Query(_) => self.keeps_query,
            Condition::SourceIp(_) => true,
            // Of connections, which nothing redirects.
            Condition::Sni(_) | Condition::Alpn(_) => false,
            // Clients may send other ones.
            Condition::Header(_) | Condition::Cookie(_) => false,
        }
    }

    /// Whether a rule that did not take the request before may take this one.
    fn may_be_taken_by(&self, rule: &Rule) -> bool {
        let is_changed = |condition: &Condition| match condition {
            Condition::Host(_) => self.host.is_some(),
            Condition::Path(_) => !matches!(self.path, NextPath::AsBefore),
            Condition::Query(_) => !self.keeps_query,
            // Clients may send other ones.
            Condition::Header(_) | Condition::Cookie(_) => true,
            Condition::Method(_) | Condition::SourceIp(_) | Condition::Sni(_) | Condition::Alpn(_) => false,
        };
        let surely_fails = |condition: &Condition| match (condition, &self.path, self.host) {
            (Condition::Path(tests), NextPath::Exactly(path), _) => is_none_of(tests, path),
            (Condition::Host(tests), _, Some(host)) => is_none_of(tests, host),
            _ => false,
        };
        rule.conditions.iter().any(is_changed) && !rule.conditions.iter().any(surely_fails)
    }
}

/// Whether the rule takes what it leads to, for ever.
fn loops(rule: &Rule, redirect: &Redirect, way: &Way<'_>, earlier: &[&Rule]) -> bool {
    let next = NextRequest::of(redirect);
    let is_same = next.host.is_none() && next.keeps_query && matches!(next.path, NextPath::AsBefore);
    // A host that is no fixed text, and what a response may set on the client's side.
    let is_unknown =
        next.host.is_some_and(|host| host.contains("${")) || sets_cookies(&rule.actions.response_headers);
    if is_unknown || *way != Way::Directly && !is_same {
        return false;
    }
    // A host that is not asked for may be another server's.
    let names_host = |condition: &Condition| matches!(condition, Condition::Host(_));
    if next.host.is_some() && !rule.conditions.iter().any(names_host) {
        return false;
    }
    rule.conditions.iter().all(|condition| next.surely_holds(condition, redirect.status))
        && !earlier.iter().any(|earlier| next.may_be_taken_by(earlier))
        && !earlier.iter().any(|earlier| shadow::covers(&earlier.conditions, &rule.conditions))
}

/// Whether the client may be told to send another cookie next time.
fn sets_cookies(edits: &[HeaderEdit]) -> bool {
    edits.iter().any(|edit| edit.name().eq_ignore_ascii_case("set-cookie"))
}

/// Whether one of the tests surely holds.
fn is_one_of(tests: &[TextTest], text: &str) -> bool {
    tests.iter().any(|test| holds(test, text) == Some(true))
}

/// Whether none of the tests can hold.
fn is_none_of(tests: &[TextTest], text: &str) -> bool {
    tests.iter().all(|test| holds(test, text) == Some(false))
}

/// None: it is not known here.
fn holds(test: &TextTest, text: &str) -> Option<bool> {
    match test {
        TextTest::Pattern(pattern) => Some(pattern.matches(text.as_bytes())),
        TextTest::Subtree(root) => {
            let rest = text.strip_prefix(root.as_str());
            Some(
                rest.is_some_and(|rest| {
                    root.ends_with('/') || rest.is_empty() || rest.starts_with(['/', ';'])
                }),
            )
        }
        TextTest::Regex(_) => None,
    }
}

/// Whether a test holds for every path that begins like this.
fn holds_below(test: &TextTest, begin: &str) -> bool {
    match test {
        TextTest::Pattern(pattern) => {
            pattern.is_prefix() && begin.as_bytes().starts_with(pattern.literal_prefix())
        }
        TextTest::Subtree(root) => begin.starts_with(&format!("{}/", root.trim_end_matches('/'))),
        TextTest::Regex(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Source;
    use crate::config::load;

    /// What is said of these rules: the errors.
    fn said(listeners: &str, rules: &[&str]) -> String {
        let mut text = format!(
            "config_version = 1\n[[server_group]]\nname = \"app\"\n[[server_group.backend]]\n\
             address = \"127.0.0.1:1\"\n{listeners}"
        );
        for (index, rule) in rules.iter().enumerate() {
            text += &format!(
                "[[rule]]\nname = \"r{index}\"\nlistener = \"web\"\npriority = {}\n{rule}\n",
                10 + index
            );
        }
        load(vec![Source::made_up("test.toml", text)]).report.to_text(false)
    }

    const WEB: &str = "[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:80\"\ndefault_group = \"app\"\n";

    #[test]
    fn circles_are_found() {
        for rules in [
            &["path = \"/a\"\nredirect = { protocol = \"http\" }"][..],
            &["redirect = { query = \"x=1\" }\npath = \"/*\""],
            &["path_prefix = \"/\"\nredirect = { path = \"/new\" }"],
            &["path_prefix = \"/\"\nmethod = \"GET\"\nredirect = { path = \"/new\", code = 301 }"],
            &["path_prefix = \"/a\"\nredirect = { path = \"/a/b${path}\" }"],
            &["host = [\"a.example\", \"b.example\"]\nredirect = { host = \"b.example\" }"],
            &["path = \"/other\"\ngroup = \"app\"", "path_prefix = \"/\"\nredirect = { path = \"/new\" }"],
            &["method = \"POST\"\nredirect = { path = \"/x\", code = 307 }"],
            &["source_ip = \"10.0.0.0/8\"\nredirect = { port = 80, path = \"/x\" }"],
        ] {
            let said = said(WEB, rules);
            assert!(said.contains("redirects in circles"), "{rules:?}: {said}");
        }
    }

    #[test]
    fn two_listeners_can_send_clients_to_each_other() {
        let other = |port: u16, lines: &str| {
            format!(
                "[[listener]]\nname = \"plain\"\naddress = \"127.0.0.1:{port}\"\nredirect_to = \"web\"\n{lines}\n"
            )
        };
        let secure = "[[certificate]]\nname = \"site\"\nchain = \"tls/site.crt\"\n\
             key = \"tls/site.key\"\n[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:443\"\n\
             protocol = \"https\"\ncertificates = [\"site\"]\ndefault_group = \"app\"\n"
            .to_owned();
        let back = "path_prefix = \"/a\"\nredirect = { protocol = \"http\" }";
        let through = "sends them back by redirect_to";
        assert!(said(&(secure.clone() + &other(80, "")), &[back]).contains(through));
        for listeners in
            [secure.clone() + &other(8080, ""), secure.clone() + &other(80, "redirect_spares_acme = true")]
        {
            let said = said(&listeners, &[back]);
            assert!(!said.contains("in circles"), "{said}");
        }
        let itself = "path_prefix = \"/a\"\nredirect = { protocol = \"https\" }";
        assert!(said(&secure, &[itself]).contains("in circles"));
    }

    #[test]
    fn what_may_end_is_none() {
        for rules in [
            &["path_prefix = \"/\"\nredirect = { protocol = \"https\" }"][..],
            &["path_prefix = \"/old\"\nredirect = { path = \"/new\" }"],
            &["path_prefix = \"/old\"\nredirect = { path = \"/new${path}\" }"],
            &["path = \"/new\"\ngroup = \"app\"", "path_prefix = \"/\"\nredirect = { path = \"/new\" }"],
            &["path = \"~^/n\"\ngroup = \"app\"", "path_prefix = \"/\"\nredirect = { path = \"/new\" }"],
            &["host = \"b.example\"\ngroup = \"app\"", "redirect = { host = \"b.example\" }"],
            &["redirect = { host = \"b.example\" }"],
            &["host = \"a.example\"\nredirect = { host = \"b.example\" }"],
            &["path_prefix = \"/\"\nredirect = { port = 8080 }"],
            &["method = \"POST\"\nredirect = { path = \"/x\" }"],
            &["query = { name = \"old\" }\nredirect = { query = \"\" }"],
            &["header = { name = \"x-a\" }\nredirect = { path = \"/x\" }"],
            &[
                "cookie = { name = \"seen\" }\ngroup = \"app\"",
                "set_response_header = { name = \"set-cookie\", value = \"seen=1\" }\nredirect = { query = \"x\" }",
            ],
            &["cookie = { name = \"seen\" }\ngroup = \"app\"", "redirect = { path = \"/x\" }"],
            &["path = \"~^/(.*)/$\"\nredirect = { path = \"/${1}\" }"],
        ] {
            let said = said(WEB, rules);
            assert!(!said.contains("in circles"), "{rules:?}: {said}");
        }
    }
}
