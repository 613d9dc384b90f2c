//! Bearer tokens (RFC 6750): a file of them holds digests, so that nobody who reads it can ask with them.
//!
//! A token is 32 random bytes, so a fast digest is as good as a slow one: there is nothing to be guessed.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::SHA256;
use aws_lc_rs::digest::digest;
use aws_lc_rs::rand;

use crate::policy::hexadecimal;

/// Lines of a file that are read.
const MAX_TOKENS: usize = 1_000;

/// Bytes of a token, before they are written as text.
const TOKEN_BYTES: usize = 32;

/// The tokens of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BearerTokens {
    tokens: Vec<BearerToken>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct BearerToken {
    role: String,
    name: String,
    digest: Vec<u8>,
}

/// What is wrong with a line; it never repeats what may be a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenFault {
    /// Counts from 1.
    pub line: usize,
    pub message: String,
}

impl BearerTokens {
    /// Reads lines of a role, a name and the SHA-256 of a token in hexadecimal. Empty lines and those that begin with `#`
    /// are skipped.
    ///
    /// # Errors
    /// All lines with faults.
    pub fn parse(text: &str, roles: &[&str]) -> Result<BearerTokens, Vec<TokenFault>> {
        let mut known = BearerTokens::default();
        let mut faults = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Err(message) = known.add(line, roles) {
                faults.push(TokenFault { line: index + 1, message });
            }
        }
        if faults.is_empty() { Ok(known) } else { Err(faults) }
    }

    fn add(&mut self, line: &str, roles: &[&str]) -> Result<(), String> {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [role, name, digits] = fields[..] else {
            return Err("it is not a role, a name and a digest with spaces between them".to_owned());
        };
        if !roles.contains(&role) {
            return Err(format!("its first word is no role; roles are {}", roles.join(", ")));
        }
        let is_usual = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
        if name.len() > 64 || !name.chars().all(is_usual) {
            return Err(
                "its name has other characters than letters, digits, `-`, `_`, `.` and `@`".to_owned()
            );
        }
        let digest = hexadecimal::to_bytes(digits).filter(|digest| digest.len() == SHA256.output_len());
        let digest = digest.ok_or("its digest is not 64 hexadecimal digits")?;
        if self.tokens.iter().any(|known| known.name == name) {
            return Err(format!("the name \"{name}\" stands there twice"));
        }
        if self.tokens.len() == MAX_TOKENS {
            return Err(format!("the file has more than {MAX_TOKENS} tokens"));
        }
        self.tokens.push(BearerToken { role: role.to_owned(), name: name.to_owned(), digest });
        Ok(())
    }

    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// The name and the role of who has this token.
    pub fn find(&self, token: &str) -> Option<(&str, &str)> {
        let digest = digest(&SHA256, token.as_bytes());
        let is_it = |known: &&BearerToken| verify_slices_are_equal(&known.digest, digest.as_ref()).is_ok();
        self.tokens.iter().find(is_it).map(|known| (known.name.as_str(), known.role.as_str()))
    }
}

/// A new token, and its digest as a file has it. None: the system has no random bytes.
pub fn new_token() -> Option<(String, String)> {
    let mut bytes = [0; TOKEN_BYTES];
    rand::fill(&mut bytes).ok()?;
    let token = format!("rw_{}", hexadecimal::of_bytes(bytes));
    let digest = hexadecimal::of_bytes(digest(&SHA256, token.as_bytes()));
    Some((token, digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLES: [&str; 2] = ["read", "write"];

    #[test]
    fn a_token_is_found_by_its_digest() {
        let (token, digest) = new_token().unwrap();
        let (other, other_digest) = new_token().unwrap();
        assert!(token != other && digest.len() == 64 && !digest.contains(&token));
        let text = format!("# tokens\n\nread top {other_digest}\n write  ci@example  {digest}\n");
        let tokens = BearerTokens::parse(&text, &ROLES).unwrap();
        assert_eq!(tokens.find(&token), Some(("ci@example", "write")));
        assert_eq!(tokens.find(&other), Some(("top", "read")));
        assert_eq!(tokens.find(&digest), None);
        assert_eq!(tokens.find(""), None);
    }

    #[test]
    fn faults_name_their_line_and_show_no_token() {
        let (token, digest) = new_token().unwrap();
        let text = format!(
            "read a {digest}\nroot b {digest}\nread a {digest}\nread c {token}\nread d\nread e: {digest}\nread f {}",
            &digest[2..]
        );
        let faults = BearerTokens::parse(&text, &ROLES).unwrap_err();
        let lines: Vec<usize> = faults.iter().map(|fault| fault.line).collect();
        assert_eq!(lines, [2, 3, 4, 5, 6, 7]);
        assert!(!format!("{faults:?}").contains(&token));
    }
}
