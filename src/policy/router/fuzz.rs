//! Rules and requests made of any bytes: the matcher against asking every rule, and paths in their one spelling.

use std::net::IpAddr;
use std::net::Ipv4Addr;

use crate::http::headers::Headers;
use crate::policy::router::Condition;
use crate::policy::router::Pattern;
use crate::policy::router::Regex;
use crate::policy::router::RegexText;
use crate::policy::router::Router;
use crate::policy::router::RoutingFacts;
use crate::policy::router::RuleText;
use crate::policy::router::RuleVerdict;
use crate::policy::router::TextTest;
use crate::policy::router::normalize::is_normal;
use crate::policy::router::normalize::normalize;

/// Rules of one case.
const MAX_RULES: usize = 12;

/// Lines of text: conditions until an empty line, then requests. A condition is `hTEXT`, `pTEXT` or `n` for the next
/// rule.
pub fn fuzz_router(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut lines = text.split('\n');
    let mut rules: Vec<Vec<Condition>> = vec![Vec::new()];
    for line in lines.by_ref().take_while(|line| !line.is_empty()) {
        if line == "n" && rules.len() < MAX_RULES {
            rules.push(Vec::new());
        }
        let (Some(rule), Some(condition)) = (rules.last_mut(), condition(line)) else { continue };
        rule.push(condition);
    }
    let texts: Vec<_> = rules.iter().map(|rule| RuleText { conditions: rule, captures: true }).collect();
    let Ok(router) = Router::new(&texts) else { return };
    let mut scratch = router.scratch();
    let headers = Headers::new();
    for line in lines {
        let (host, path) = line.split_once(' ').unwrap_or(("", line));
        check_spelling(path.as_bytes());
        if host.len() > super::MAX_HOST_BYTES {
            continue;
        }
        let facts = RoutingFacts {
            host: host.as_bytes(),
            path: path.as_bytes(),
            query: b"",
            method: b"GET",
            headers: &headers,
            source: IpAddr::V4(Ipv4Addr::LOCALHOST),
            alpn: b"",
        };
        let verdicts = router.explain(&facts, &mut scratch);
        let expected = verdicts.iter().position(|verdict| *verdict == RuleVerdict::Holds);
        assert_eq!(router.find(&facts, &mut scratch), expected, "{rules:?} {host:?} {path:?}");
        if let Some(rule) = expected {
            let captures = router.captures(rule, path.as_bytes(), &mut scratch);
            assert!((1..10).all(|group| captures.group(group).len() <= path.len()));
        }
    }
}

fn condition(line: &str) -> Option<Condition> {
    let (kind, text) = line.split_at_checked(1)?;
    let test = match text.strip_prefix('~') {
        Some(text) => {
            let text = RegexText { text: text.to_owned(), ignores_case: kind == "h" };
            text.check().ok()?;
            TextTest::Regex(Regex::new(text))
        }
        None => match text.strip_prefix('=') {
            Some(root) if root.starts_with('/') => TextTest::Subtree(root.to_owned()),
            _ => TextTest::Pattern(Pattern::new(text)),
        },
    };
    match kind {
        "h" => Some(Condition::Host(vec![test])),
        "p" => Some(Condition::Path(vec![test])),
        _ => None,
    }
}

/// A spelling is its own spelling, and what passes for one is one.
fn check_spelling(path: &[u8]) {
    let mut once = Vec::new();
    let outcome = normalize(path, &mut once);
    if path.starts_with(b"/") && is_normal(path) {
        assert_eq!((outcome, once.as_slice()), (Ok(()), path));
    }
    if outcome.is_ok() && path.starts_with(b"/") {
        let mut twice = Vec::new();
        assert_eq!((normalize(&once, &mut twice), &twice), (Ok(()), &once));
        assert!(once.starts_with(b"/") && !once.windows(2).any(|pair| pair == b"//"));
        assert!(!once.split(|&byte| byte == b'/').any(|segment| matches!(segment, b"." | b"..")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_all_kinds() {
        const SEEDS: [&str; 3] = [
            "ha.example\np=/a\nn\np~^/a/(.*)$\nn\np*.php\n\na.example /a/b\nb /a/c\nb /x.php\n /..",
            "h*\np*\nn\nh~^a\n\naa /%2e%2e/\n",
            "p/?*\nn\np=/\n\nx //a/./b/%41\nx /a;b\n\n",
        ];
        for seed in SEEDS {
            fuzz_router(seed.as_bytes());
            for at in 0..seed.len() {
                for byte in *b"\n /.*?~=%;ahpn2^\\" {
                    let mut bytes = seed.as_bytes().to_vec();
                    bytes[at] = byte;
                    fuzz_router(&bytes);
                    bytes.insert(at, byte);
                    fuzz_router(&bytes);
                }
            }
        }
        fuzz_router(&[0xff, b'\n']);
    }
}
