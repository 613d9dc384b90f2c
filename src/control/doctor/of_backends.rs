//! What backends that cannot be reached mean.

use std::collections::BTreeMap;

use crate::config::Report;
use crate::control::doctor::backends::MAX_PROBED;
use crate::control::doctor::backends::Reached;
use crate::control::doctor::finding::Finding;

/// Lines about the backends of one group.
const MAX_TOLD: usize = 8;

/// `all`: how many backends there are; `report` knows where they are configured.
pub fn judge(reached: &[Reached], all: usize, report: &Report) -> Vec<Finding> {
    let mut groups: BTreeMap<&str, Vec<&Reached>> = BTreeMap::new();
    reached.iter().for_each(|one| groups.entry(&one.group).or_default().push(one));
    let mut found: Vec<_> =
        groups.into_iter().flat_map(|(group, backends)| of_group(group, &backends, report)).collect();
    if all > MAX_PROBED {
        let message = format!("{all} backends are configured, and {MAX_PROBED} of them were connected to");
        found.push(Finding::note("backend", message, "health checks watch the others: ringway status"));
    }
    found
}

fn of_group(group: &str, backends: &[&Reached], report: &Report) -> Vec<Finding> {
    let away: Vec<_> = backends.iter().filter_map(|one| Some((*one, one.refusal.as_ref()?))).collect();
    let is_whole = away.len() == backends.len();
    let told = away.iter().take(MAX_TOLD).enumerate().map(|(index, (one, refusal))| {
        let place = report.place(one.location);
        let backend = &one.backend;
        // The first line is of the group as well.
        if is_whole && index == 0 {
            let message =
                format!("{place}: no backend of group {group} can be reached; {backend}: {refusal}");
            return Finding::error("backend", message, cure(one));
        }
        let message = format!("{place}: {backend} of group {group} cannot be reached: {refusal}");
        Finding::warning("backend", message, cure(one))
    });
    let mut found: Vec<_> = told.collect();
    if let more @ 1.. = away.len().saturating_sub(MAX_TOLD) {
        let message = format!("{more} more backends of group {group} cannot be reached");
        found.push(Finding::warning("backend", message, "see ringway status"));
    }
    found
}

fn cure(away: &Reached) -> String {
    let backend = &away.backend;
    match backend.strip_prefix("unix:") {
        _ if away.lacks_source => "correct source_address of the group".to_owned(),
        Some(path) => format!("start what listens there, or see its permissions: ls -l {path}"),
        None => format!("start it, or see what is in between: curl -v telnet://{backend}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Location;
    use crate::config::Source;

    fn reached(group: &str, backend: &str, refusal: Option<&str>) -> Reached {
        Reached {
            group: group.to_owned(),
            backend: backend.to_owned(),
            location: Location::default(),
            refusal: refusal.map(str::to_owned),
            lacks_source: false,
        }
    }

    fn report() -> Report {
        Report::new(vec![Source::made_up("a.toml", "x = 1\n".to_owned())])
    }

    #[test]
    fn a_group_without_any_backend_is_worse_than_one_without_some() {
        let refused = Some("Connection refused");
        let found = judge(
            &[
                reached("a", "10.0.0.1:80", None),
                reached("a", "10.0.0.2:80", refused),
                reached("b", "unix:/run/b.sock", refused),
                reached("b", "10.0.0.4:80", refused),
                reached("c", "10.0.0.3:80", None),
            ],
            5,
            &report(),
        );
        let told: Vec<_> =
            found.iter().map(|found| (found.severity.as_str(), found.message.as_str())).collect();
        assert_eq!(
            told,
            [
                ("warning", "a.toml:1: 10.0.0.2:80 of group a cannot be reached: Connection refused"),
                (
                    "error",
                    "a.toml:1: no backend of group b can be reached; unix:/run/b.sock: Connection refused"
                ),
                ("warning", "a.toml:1: 10.0.0.4:80 of group b cannot be reached: Connection refused"),
            ]
        );
        assert!(found[1].cure.ends_with("ls -l /run/b.sock"));
    }

    #[test]
    fn a_large_group_is_told_of_in_few_lines() {
        let mut backends: Vec<_> =
            (0..100).map(|number| reached("a", &format!("10.0.0.{number}:80"), Some("timed out"))).collect();
        backends.push(reached("a", "10.0.1.0:80", None));
        let found = judge(&backends, 1_000, &report());
        assert_eq!(found.len(), MAX_TOLD + 2);
        assert_eq!(found[MAX_TOLD].message, "92 more backends of group a cannot be reached");
    }
}
