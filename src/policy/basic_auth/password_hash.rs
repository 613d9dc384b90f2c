//! Hashes of passwords that can be verified: bcrypt, Argon2 and SHA-512-crypt.

use argon2::Argon2;
use argon2::PasswordHash as PhcString;
use argon2::PasswordVerifier;
use sha_crypt::ShaCrypt;

/// The most work of one verification, which takes some seconds: one user must not keep all others waiting.
const MAX_BCRYPT_COST: u32 = 15;
/// Rounds of a hash of SHA-crypt; a password of more takes seconds to verify.
const MAX_SHA_ROUNDS: u32 = 5_000_000;
/// In KiB.
const MAX_ARGON2_MEMORY: u32 = 256 * 1_024;
/// Passes over that memory.
const MAX_ARGON2_PASSES: u32 = 64;

/// The hash of a password, in the form of the library that verifies it.
pub struct PasswordHash {
    kind: HashKind,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HashKind {
    Bcrypt,
    Argon2,
    Sha512Crypt,
}

/// Why a hash cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashFault {
    /// A kind that is not verified; the words name it.
    Weak(&'static str),
    Unknown,
    Malformed(&'static str),
    /// Verifying it would take too long.
    TooCostly(&'static str),
}

impl PasswordHash {
    /// Reads a hash as password files have it.
    ///
    /// # Errors
    /// It is of a kind that is not verified, malformed, or too costly.
    pub fn parse(text: &str) -> Result<PasswordHash, HashFault> {
        let kind = if ["$2a$", "$2b$", "$2y$"].iter().any(|prefix| text.starts_with(prefix)) {
            check_bcrypt(text)?;
            HashKind::Bcrypt
        } else if text.starts_with("$argon2") {
            check_argon2(text)?;
            HashKind::Argon2
        } else if let Some(rest) = text.strip_prefix("$6$") {
            check_sha512(rest)?;
            HashKind::Sha512Crypt
        } else {
            return Err(refused(text));
        };
        Ok(PasswordHash { kind, text: text.to_owned() })
    }

    /// Whether it is the hash of this password. Takes as long as it was made to: tens of milliseconds and more.
    pub fn verify(&self, password: &[u8]) -> bool {
        match self.kind {
            HashKind::Bcrypt => bcrypt::verify(password, &self.text).unwrap_or(false),
            HashKind::Argon2 => PhcString::new(&self.text)
                .is_ok_and(|hash| Argon2::default().verify_password(password, &hash).is_ok()),
            HashKind::Sha512Crypt => ShaCrypt::SHA512.verify_password(password, self.text.as_str()).is_ok(),
        }
    }
}

/// Why a hash of no kind that is known here is refused.
fn refused(text: &str) -> HashFault {
    let weak = [
        ("$apr1$", "MD5 (apr1)"),
        ("$1$", "MD5"),
        ("{SHA}", "SHA-1"),
        ("{SSHA}", "SHA-1"),
        ("$5$", "SHA-256-crypt"),
        ("$2x$", "bcrypt of a faulty implementation ($2x$)"),
    ];
    match weak.iter().find(|(prefix, _)| text.starts_with(prefix)) {
        Some((_, name)) => HashFault::Weak(name),
        None if text.starts_with('$') => HashFault::Unknown,
        None => HashFault::Weak("a plain text or DES"),
    }
}

fn check_bcrypt(text: &str) -> Result<(), HashFault> {
    let parts: bcrypt::HashParts = text.parse().map_err(|_| HashFault::Malformed("bcrypt"))?;
    match parts.get_cost() {
        4..=MAX_BCRYPT_COST => Ok(()),
        0..4 => Err(HashFault::Malformed("bcrypt")),
        _ => Err(HashFault::TooCostly("bcrypt with a cost above 15")),
    }
}

fn check_argon2(text: &str) -> Result<(), HashFault> {
    let malformed = HashFault::Malformed("Argon2");
    let hash = PhcString::new(text).map_err(|_| malformed)?;
    let is_known = ["argon2id", "argon2i", "argon2d"].contains(&hash.algorithm.as_str());
    if !is_known || hash.hash.is_none() || hash.salt.is_none() {
        return Err(malformed);
    }
    let params = argon2::Params::try_from(&hash).map_err(|_| malformed)?;
    if params.m_cost() > MAX_ARGON2_MEMORY || params.t_cost() > MAX_ARGON2_PASSES {
        return Err(HashFault::TooCostly("Argon2 with more than 256 MiB or 64 passes"));
    }
    Ok(())
}

/// What stands behind `$6$`: rounds if they are not 5000, a salt, and the hash.
fn check_sha512(rest: &str) -> Result<(), HashFault> {
    let malformed = HashFault::Malformed("SHA-512-crypt");
    let fields: Vec<&str> = rest.split('$').collect();
    let (rounds, salt, hash) = match fields.as_slice() {
        [salt, hash] => (None, *salt, *hash),
        [rounds, salt, hash] => (Some(rounds.strip_prefix("rounds=").ok_or(malformed)?), *salt, *hash),
        _ => return Err(malformed),
    };
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/');
    let is_salt = (1..=16).contains(&salt.len()) && salt.bytes().all(is_digit);
    if !is_salt || hash.len() != 86 || !hash.bytes().all(is_digit) {
        return Err(malformed);
    }
    match rounds.map(str::parse::<u32>) {
        None | Some(Ok(1_000..=MAX_SHA_ROUNDS)) => Ok(()),
        Some(Ok(0..1_000) | Err(_)) => Err(malformed),
        Some(Ok(_)) => Err(HashFault::TooCostly("SHA-512-crypt with more than 5000000 rounds")),
    }
}
