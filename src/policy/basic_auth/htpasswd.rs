//! Password files: a user, a colon and a hash on each line.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::hash::RandomState;

use aws_lc_rs::digest;

use crate::policy::basic_auth::LoginPair;
use crate::policy::basic_auth::password_hash::HashFault;
use crate::policy::basic_auth::password_hash::PasswordHash;

/// The users of a password file.
#[derive(Default)]
pub struct Htpasswd {
    /// By name, the index of the hash.
    users: HashMap<Vec<u8>, usize>,
    hashes: Vec<PasswordHash>,
    /// Of the file: another content knows others.
    digest: Vec<u8>,
    stand_ins: RandomState,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HtpasswdFault {
    /// Counts from 1.
    pub line: usize,
    pub message: String,
    pub help: &'static str,
}

const MAKE_ONE: &str = "make one by `htpasswd -B FILE USER` or `openssl passwd -6`";

impl Htpasswd {
    /// Reads a file. Empty lines and those that begin with `#` are skipped; so is what stands behind a second colon.
    ///
    /// # Errors
    /// All lines with faults, and no hash of any.
    pub fn parse(text: &str) -> Result<Htpasswd, Vec<HtpasswdFault>> {
        let digest = digest::digest(&digest::SHA256, text.as_bytes()).as_ref().to_vec();
        let mut known = Htpasswd { digest, ..Htpasswd::default() };
        let mut faults = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Err((message, help)) = known.add(line) {
                faults.push(HtpasswdFault { line: index + 1, message, help });
            }
        }
        if faults.is_empty() { Ok(known) } else { Err(faults) }
    }

    fn add(&mut self, line: &str) -> Result<(), (String, &'static str)> {
        let mut fields = line.split(':');
        let (user, hash) = (fields.next().unwrap_or_default(), fields.next());
        let Some(hash) = hash.filter(|_| !user.is_empty()) else {
            return Err(("it has no user and hash with a colon between them".to_owned(), MAKE_ONE));
        };
        let hash = PasswordHash::parse(hash).map_err(|fault| {
            let what = match fault {
                HashFault::Weak(kind) => format!("is {kind}, which is not accepted"),
                HashFault::Unknown => "is of no known kind".to_owned(),
                HashFault::Malformed(kind) => format!("is malformed {kind}"),
                HashFault::TooCostly(kind) => format!("is {kind}, which takes too long to verify"),
            };
            (format!("the hash of \"{}\" {what}", user.escape_debug()), MAKE_ONE)
        })?;
        if self.users.insert(user.as_bytes().to_vec(), self.hashes.len()).is_some() {
            let message = format!("the user \"{}\" stands there twice", user.escape_debug());
            return Err((message, "remove one of the lines"));
        }
        self.hashes.push(hash);
        Ok(())
    }

    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// Differs between files that know different users or passwords.
    pub fn digest(&self) -> &[u8] {
        &self.digest
    }

    /// Whether the file knows this user with this password. Takes tens of milliseconds and more, and as long for a user
    /// that it does not know: then the hash of another one is verified in vain, always of the same.
    pub fn knows(&self, pair: &LoginPair) -> bool {
        let known = self.users.get(&pair.user).copied();
        let stand_in = || (self.stand_ins.hash_one(&pair.user) % self.hashes.len().max(1) as u64) as usize;
        let hash = self.hashes.get(known.unwrap_or_else(stand_in));
        hash.is_some_and(|hash| hash.verify(&pair.password)) && known.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All of the password `secret`, made by htpasswd, openssl and argon2 with as little work as they allow.
    pub(super) const USERS: &str = "# people\n\
        bob:$2y$04$qbcEnJTO29l/dEKchCc0LuoRz/5biRYV2NDw.RelWjLdOwMwYvMy6\n\n\
        eve:$6$oedAZ9M854nNhsNg$aGyagInjOkgR.cEsNZawW/9lwOhTf2B6/4jLdRuRx.HTxP1nRYcthVOnnzXrlcKh8J6NnOQfge/AYDbdBI9fw/:a comment\n\
        ada:$argon2id$v=19$m=16,t=1,p=1$AsU6gIVXbRHygO7BM0r7Pw$vLkG2ie/e9NXtEMQL2LXQoNJECx3F4Jm5V6M407ASbk\n";

    fn pair(user: &str, password: &str) -> LoginPair {
        LoginPair { user: user.into(), password: password.into() }
    }

    #[test]
    fn users_of_every_kind_are_known_by_their_password_alone() {
        let file = Htpasswd::parse(USERS).unwrap_or_default();
        for user in ["bob", "eve", "ada"] {
            assert!(file.knows(&pair(user, "secret")), "{user}");
            for wrong in ["Secret", "", "secret ", "secre"] {
                assert!(!file.knows(&pair(user, wrong)), "{user}: {wrong}");
            }
        }
        for nobody in ["", "mallory", "Bob"] {
            assert!(!file.knows(&pair(nobody, "secret")), "{nobody}");
        }
        assert!(!Htpasswd::default().knows(&pair("", "")));
    }

    #[test]
    fn another_content_has_another_digest() {
        let one = Htpasswd::parse(USERS).unwrap_or_default();
        let other = Htpasswd::parse("").unwrap_or_default();
        assert!(one.digest() != other.digest() && other.is_empty() && !one.is_empty());
    }

    #[test]
    fn what_cannot_be_verified_is_told_with_its_line() {
        for (hash, said) in [
            ("$apr1$abc$0123456789012345678901", "is MD5 (apr1)"),
            ("{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "is SHA-1"),
            ("secret", "is a plain text or DES"),
            ("", "is a plain text or DES"),
            ("$5$salt$abc", "is SHA-256-crypt"),
            ("$7$abc", "is of no known kind"),
            ("$2y$05$short", "is malformed bcrypt"),
            ("$2y$31$L6Bc/AlTQHyd9liGgGEZyOFLPHNgyxeEPfgYfBCVxJ7JIlwxyVU3u", "takes too long"),
            ("$6$salt$short", "is malformed SHA-512-crypt"),
            ("$argon2id$v=19$m=16", "is malformed Argon2"),
        ] {
            let faults = Htpasswd::parse(&format!("\nann:{hash}\n")).err().unwrap_or_default();
            assert_eq!((faults.len(), faults[0].line), (1, 2), "{hash}");
            assert!(faults[0].message.contains(said), "{hash}: {}", faults[0].message);
            assert!(hash.is_empty() || !faults[0].message.contains(hash), "a hash is nothing for a log");
        }
        let faults = Htpasswd::parse(&format!("nobody\n{USERS}{USERS}")).err().unwrap_or_default();
        assert_eq!(faults.iter().map(|fault| fault.line).collect::<Vec<_>>(), [1, 8, 10, 11]);
    }
}
