//! The rules of a listener: from what was checked to what is matched.

use std::borrow::Cow;
use std::sync::Arc;

use crate::config;
use crate::config::Config;
use crate::config::Report;
use crate::config::in_order;
use crate::control::build::conditions;
use crate::control::build::fixed_response::fixed_response;
use crate::control::build::gates;
use crate::control::build::limits::Counts;
use crate::control::build::limits::LimitOwner;
use crate::control::build::maintenance::Switches;
use crate::control::build::parts::Parts;
use crate::control::build::responses;
use crate::control::credentials::error_pages::LoadedPage;
use crate::control::credentials::ip_groups::LoadedIpGroup;
use crate::control::credentials::password_files::LoadedPasswordFile;
use crate::policy::balance::sticky::BackendToken;
use crate::policy::balance::sticky::BackendTokens;
use crate::policy::router::Condition;
use crate::policy::router::RegexError;
use crate::policy::router::Router;
use crate::policy::router::RuleText;
use crate::snapshot::maintenance::Maintenance;
use crate::snapshot::maintenance::MaintenanceOwner;
use crate::snapshot::responses::ResponseRules;
use crate::snapshot::routes::RouteSeries;
use crate::snapshot::rules::DisabledRules;
use crate::snapshot::rules::FinalAction;
use crate::snapshot::rules::GroupCookie;
use crate::snapshot::rules::HeaderEdits;
use crate::snapshot::rules::Mirror;
use crate::snapshot::rules::Rule;
use crate::snapshot::rules::Rules;
use crate::snapshot::rules::Targets;
use crate::snapshot::stream::StreamRule;
use crate::snapshot::stream::StreamRules;

/// What the rules of one listener come to.
pub(super) struct ListenerRules {
    pub compiled: Option<Rules>,
    /// The groups that the listener can forward to, as indices in the configuration: its default group first.
    pub groups: Vec<usize>,
    /// For responses.
    pub responses: Option<ResponseRules>,
    /// None: all are asked.
    pub disabled: Option<Box<DisabledRules>>,
    /// For connections that are relayed.
    pub stream: Option<StreamRules>,
}

/// Stands in tokens of groups where those of backends have the name of their group, and is none.
const GROUP_TOKENS: &str = "[[server_group]]";

/// What rules name by file.
#[derive(Clone, Copy)]
struct RuleFiles<'f> {
    passwords: &'f [LoadedPasswordFile],
    pages: &'f [LoadedPage],
}

/// Compiles the rules of all listeners, in their order; None after reporting what is too large.
pub(super) fn compile_all(
    parts: &Parts<'_>,
    (limits, switches): (&mut Counts, &mut Switches),
    report: &mut Report,
) -> Option<Vec<ListenerRules>> {
    let config = parts.config;
    let loaded = &parts.security.credentials.ip_groups;
    let all = with_ip_groups(config, loaded);
    let listeners = config.listeners.iter().enumerate();
    let compiled = listeners.map(|(index, listener)| {
        let rules = of_listener(&all, index);
        let groups = groups_of(listener, &rules);
        let credentials = &parts.security.credentials;
        let pages = credentials.error_pages.as_slice();
        let files = RuleFiles { passwords: &credentials.password_files, pages };
        if listener.http().is_none() {
            return stream_rules(&rules, &groups).map_or_else(
                |error| refuse(listener, &error, report),
                |stream| {
                    Some(ListenerRules { compiled: None, groups, responses: None, disabled: None, stream })
                },
            );
        }
        let both = compile(&rules, listener.http(), &groups, (limits, files, switches, parts))
            .and_then(|compiled| Ok((compiled, responses::compile(config, index, (loaded, pages))?)))
            .and_then(|(compiled, responses)| {
                Ok((compiled, responses, disabled_rules(&all, index, config)?))
            });
        match both {
            Ok((compiled, responses, disabled)) => {
                Some(ListenerRules { compiled, groups, responses, disabled, stream: None })
            }
            Err(error) => refuse(listener, &error, report),
        }
    });
    let compiled: Vec<_> = compiled.collect();
    compiled.into_iter().collect()
}

fn refuse(listener: &config::Listener, error: &RegexError, report: &mut Report) -> Option<ListenerRules> {
    let message = format!("the expressions of its rules cannot be used together: {}", error.message);
    let help = "spread the rules over several listeners, or simplify their expressions";
    report.error(listener.location, message, help);
    None
}

/// The rules of a listener that relays connections. `groups` are those of the listener, as [`groups_of`] gives them.
///
/// # Errors
/// Their regular expressions are too large together.
fn stream_rules(rules: &[&config::Rule], groups: &[usize]) -> Result<Option<StreamRules>, RegexError> {
    if rules.is_empty() {
        return Ok(None);
    }
    // A router finds hosts by an index, and a name is to a connection what the host is to a request.
    let by_host = |condition: &Condition| match condition {
        Condition::Sni(tests) => Condition::Host(tests.clone()),
        other => other.clone(),
    };
    let conditions: Vec<Vec<Condition>> =
        rules.iter().map(|rule| rule.conditions.iter().map(by_host).collect()).collect();
    let texts: Vec<_> =
        conditions.iter().map(|conditions| RuleText { conditions, captures: false }).collect();
    let build = |rule: &&config::Rule| StreamRule {
        name: Arc::from(rule.name.as_str()),
        priority: rule.priority,
        targets: match &rule.actions.last {
            config::FinalAction::Forward(targets) => weighted(targets, groups, None),
            // The check lets nothing else pass.
            config::FinalAction::Redirect(_) | config::FinalAction::Respond(_) => weighted(&[], groups, None),
        },
        series: RouteSeries::default(),
    };
    Ok(Some(StreamRules::new(Router::new(&texts)?, rules.iter().map(build).collect())))
}

/// `groups` are those of the listener.
fn weighted(
    targets: &[config::WeightedGroup],
    groups: &[usize],
    cookie: Option<Box<GroupCookie>>,
) -> Targets {
    let own_index = |group: usize| groups.iter().position(|known| *known == group);
    let known = targets.iter().filter_map(|target| Some((own_index(target.group)?, target.weight)));
    Targets::new(known, cookie)
}

/// All rules, with what is in the IP groups that they ask for.
fn with_ip_groups<'c>(config: &'c Config, loaded: &[LoadedIpGroup]) -> Vec<Cow<'c, config::Rule>> {
    let filled = config.rules.iter().map(|rule| match conditions::filled(&rule.conditions, loaded) {
        Cow::Borrowed(_) => Cow::Borrowed(rule),
        Cow::Owned(conditions) => Cow::Owned(config::Rule { conditions, ..rule.clone() }),
    });
    filled.collect()
}

/// The enabled rules of the listener with this index, in the order in which they are asked.
fn of_listener<'r>(all: &'r [Cow<'_, config::Rule>], listener: usize) -> Vec<&'r config::Rule> {
    own_rules(all, listener, true)
}

fn own_rules<'r>(all: &'r [Cow<'_, config::Rule>], listener: usize, enabled: bool) -> Vec<&'r config::Rule> {
    let own = all.iter().filter(|rule| rule.enabled == enabled && rule.listeners.contains(&listener));
    let mut own: Vec<_> = own.map(AsRef::as_ref).collect();
    in_order::sort_by_key(&mut own, |rule| rule.priority);
    own
}

/// The disabled rules of the listener with this index.
///
/// # Errors
/// Their regular expressions are too large together.
fn disabled_rules(
    all: &[Cow<'_, config::Rule>],
    listener: usize,
    config: &Config,
) -> Result<Option<Box<DisabledRules>>, RegexError> {
    let own = own_rules(all, listener, false);
    let of_responses = config.response_rules.iter();
    let of_responses = of_responses.filter(|rule| !rule.enabled && rule.listeners.contains(&listener));
    let mut of_responses: Vec<_> = of_responses.map(|rule| (rule.name.clone(), rule.priority)).collect();
    if own.is_empty() && of_responses.is_empty() {
        return Ok(None);
    }
    in_order::sort_by_key(&mut of_responses, |(_, priority)| *priority);
    let texts: Vec<_> =
        own.iter().map(|rule| RuleText { conditions: &rule.conditions, captures: false }).collect();
    Ok(Some(Box::new(DisabledRules {
        asked: Rules::new(Router::new(&texts)?, Vec::new(), false),
        rules: own.iter().map(|rule| (rule.name.clone(), rule.priority)).collect(),
        of_responses: of_responses.into(),
    })))
}

/// Its groups, each once.
fn groups_of(listener: &config::Listener, rules: &[&config::Rule]) -> Vec<usize> {
    let mut groups: Vec<usize> = listener.default_group.into_iter().collect();
    for rule in rules {
        for group in rule.actions.groups() {
            if !groups.contains(&group) {
                groups.push(group);
            }
        }
    }
    groups
}

/// Compiles rules. `groups` are those of their listener, as [`groups_of`] gives them.
///
/// # Errors
/// Their regular expressions are too large together.
fn compile(
    rules: &[&config::Rule],
    http: Option<&config::HttpListener>,
    groups: &[usize],
    (limits, files, switches, parts): (&mut Counts, RuleFiles<'_>, &mut Switches, &Parts<'_>),
) -> Result<Option<Rules>, RegexError> {
    if rules.is_empty() {
        return Ok(None);
    }
    let texts: Vec<_> = rules
        .iter()
        .map(|rule| RuleText { conditions: &rule.conditions, captures: wants_captures(&rule.actions) })
        .collect();
    let router = Router::new(&texts)?;
    let rewrites = rules.iter().any(|rule| rule.actions.rewrite.is_some());
    let normalizes = http.is_some_and(|http| http.normalizes_paths) && (router.looks_at_path() || rewrites);
    let build = |rule: &&config::Rule| {
        let owner = (MaintenanceOwner::Rule, rule.name.as_str());
        let maintenance = switches.build(owner, rule.maintenance.as_ref(), parts);
        let cookie = group_cookie(rule, parts);
        build(rule, groups, (maintenance, cookie), (&mut *limits, files))
    };
    let rules = rules.iter().map(build).collect();
    Ok(Some(Rules::new(router, rules, normalizes)))
}

/// The cookie by which clients come back to their group. Groups of the same name have the same tokens in all rules.
fn group_cookie(rule: &config::Rule, parts: &Parts<'_>) -> Option<Box<GroupCookie>> {
    let (wanted, config::FinalAction::Forward(targets)) = (rule.group_sticky.as_ref()?, &rule.actions.last)
    else {
        return None;
    };
    let timeout_s = u32::try_from(wanted.timeout.as_secs()).unwrap_or(u32::MAX);
    let token = |target: &config::WeightedGroup| {
        let name = parts.config.server_groups.get(target.group).map_or("", |group| group.name.as_str());
        let (tag, mask) = parts.security.sticky_key.token(GROUP_TOKENS, name);
        BackendToken { tag, mask }
    };
    Some(Box::new(GroupCookie {
        name: wanted.cookie.clone(),
        timeout_s,
        attributes: wanted.attributes.write(timeout_s),
        tokens: BackendTokens::new(targets.iter().map(token).collect()),
    }))
}

fn wants_captures(actions: &config::Actions) -> bool {
    let redirected = match &actions.last {
        config::FinalAction::Redirect(redirect) => redirect.wants_captures(),
        config::FinalAction::Forward(_) | config::FinalAction::Respond(_) => false,
    };
    redirected || actions.rewrite.as_ref().is_some_and(|rewrite| rewrite.wants_captures())
}

fn build(
    rule: &config::Rule,
    groups: &[usize],
    (maintenance, cookie): (Maintenance, Option<Box<GroupCookie>>),
    (limits, files): (&mut Counts, RuleFiles<'_>),
) -> Rule {
    let actions = &rule.actions;
    let own_index = |group: usize| groups.iter().position(|known| *known == group);
    let last = match &actions.last {
        config::FinalAction::Forward(targets) => FinalAction::Forward(weighted(targets, groups, cookie)),
        config::FinalAction::Redirect(redirect) => FinalAction::Redirect(redirect.clone()),
        config::FinalAction::Respond(response) => FinalAction::Respond(fixed_response(response, files.pages)),
    };
    Rule {
        name: Arc::from(rule.name.as_str()),
        priority: rule.priority,
        cors: actions.cors.clone().map(Box::new),
        mirror: actions.mirror.and_then(|mirror| Some(Mirror { group: own_index(mirror.group)?, ..mirror })),
        maintenance,
        gates: gates::build(&actions.gates, own_index, files.passwords),
        request_headers: HeaderEdits::new(actions.request_headers.iter().cloned()),
        response_headers: HeaderEdits::new(actions.response_headers.iter().cloned()),
        limit: actions.limit.and_then(|rates| limits.request_limit((LimitOwner::Rule, &rule.name), rates)),
        bandwidth: limits
            .bandwidth(
                (LimitOwner::Rule, &rule.name),
                actions.overrides.bandwidth_bytes_per_second.unwrap_or(0),
            )
            .map(Box::new),
        overrides: actions.overrides,
        rewrite: actions.rewrite.clone(),
        last,
        series: RouteSeries::default(),
        knows_host: rule.conditions.iter().any(|condition| matches!(condition, Condition::Host(_))),
    }
}
