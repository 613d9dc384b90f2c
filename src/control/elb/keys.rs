//! Access keys of the ELB API: who may ask, with which secret, for which project.

use crate::config::AdminRole;
use crate::config::in_order;

/// Lines of a file that are read.
const MAX_KEYS: usize = 1_000;

/// The keys of a file, by their access keys.
#[derive(Clone, Debug, Default)]
pub struct ElbKeys {
    keys: Vec<(String, ElbKey)>,
}

/// What is known of an access key.
#[derive(Clone)]
pub struct ElbKey {
    /// What signatures are made with: no digest would do.
    pub secret: String,
    pub project: String,
    pub role: AdminRole,
}

impl std::fmt::Debug for ElbKey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "ElbKey of {} ({})", self.project, self.role.as_str())
    }
}

/// What is wrong with a line; it repeats nothing of it, for that may be a secret.
#[derive(Debug, PartialEq, Eq)]
pub struct ElbKeyFault {
    /// Counts from 1.
    pub line: usize,
    pub message: &'static str,
}

impl ElbKeys {
    /// Reads lines of an access key, a secret key, a project and, if it is not `write`, a role. Empty lines and those that
    /// begin with `#` are skipped.
    ///
    /// # Errors
    /// All lines with faults.
    pub fn parse(text: &str) -> Result<ElbKeys, Vec<ElbKeyFault>> {
        let (mut known, mut faults) = (ElbKeys::default(), Vec::new());
        let lines = text.lines().map(str::trim).enumerate();
        for (index, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
            if let Err(message) = known.add(line) {
                faults.push(ElbKeyFault { line: index + 1, message });
            }
        }
        in_order::sort_by(&mut known.keys, |(left, _), (right, _)| left.cmp(right));
        if faults.is_empty() { Ok(known) } else { Err(faults) }
    }

    fn add(&mut self, line: &str) -> Result<(), &'static str> {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let ([access, secret, project], role) = match words[..] {
            [access, secret, project] => ([access, secret, project], "write"),
            [access, secret, project, role] => ([access, secret, project], role),
            _ => return Err("it is not an access key, a secret key and a project with spaces between them"),
        };
        let role = AdminRole::WORDS.into_iter().find(|(word, _)| *word == role);
        let (_, role) = role.ok_or("its fourth word is no role; roles are read, operate, write")?;
        let is_name = |text: &str, most: usize| {
            text.len() <= most
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        if !is_name(access, 64) || !is_name(project, 64) {
            return Err(
                "its access key or project has other characters than letters, digits, `-` and `_`, or more than 64",
            );
        }
        if !(8..=256).contains(&secret.len()) {
            return Err("its secret key has not 8 to 256 characters");
        }
        if self.keys.iter().any(|(known, _)| known == access) {
            return Err("its access key stands there twice");
        }
        if self.keys.len() == MAX_KEYS {
            return Err("the file has more than 1000 keys");
        }
        let key = ElbKey { secret: secret.to_owned(), project: project.to_owned(), role };
        self.keys.push((access.to_owned(), key));
        Ok(())
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub fn find(&self, access_key: &str) -> Option<&ElbKey> {
        let at = self.keys.binary_search_by(|(known, _)| known.as_str().cmp(access_key)).ok()?;
        self.keys.get(at).map(|(_, key)| key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_by_their_access_keys() {
        let text = "# ours\n\nZED secret-of-zed p1\n  ADA  secret/of+ada= p2 read\n";
        let keys = ElbKeys::parse(text).unwrap();
        let of = |access: &str| {
            keys.find(access).map(|key| (key.secret.as_str(), key.project.as_str(), key.role.as_str()))
        };
        assert_eq!(of("ADA"), Some(("secret/of+ada=", "p2", "read")));
        assert_eq!(of("ZED"), Some(("secret-of-zed", "p1", "write")));
        assert_eq!((of(""), of("ada")), (None, None));
        assert!(!format!("{keys:?}").contains("secret"));
    }

    #[test]
    fn faults_name_their_line_and_show_no_secret() {
        let text =
            "A s3cr3t-1 p\nA s3cr3t-2 p\nB s3cr3t\nC s3cr3t-3 p root\nD short p\nE! s3cr3t-4 p\nF a b c d\n";
        let faults = ElbKeys::parse(text).unwrap_err();
        let lines: Vec<usize> = faults.iter().map(|fault| fault.line).collect();
        assert_eq!(lines, [2, 3, 4, 5, 6, 7]);
        assert!(!format!("{faults:?}").contains("s3cr3t"));
    }
}
