//! Passwords: which are refused, how they are hashed and compared. Hashing takes a while on purpose, so it happens on
//! threads for blocking work, and never inside a transaction.

use std::collections::HashSet;
use std::sync::LazyLock;

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash};

use super::MemberError;
use crate::app::App;
use crate::crypto::Secret;

/// Characters.
pub const MIN_LENGTH: usize = 12;
/// Longer ones only keep the server busy.
const MAX_LENGTH: usize = 1000;
/// What a password is compared with when there is none, so that the time does not tell who has an account.
static NOBODY: LazyLock<Option<String>> = LazyLock::new(|| hash_now("nobody's password", &[7; 16]));

// The 1,000 most common of leaked passwords, as `zxcvbn` ranks them (MIT, `assets/common_passwords.license.txt`).
static COMMON: LazyLock<HashSet<&str>> =
    LazyLock::new(|| include_str!("../../assets/common_passwords.txt").lines().collect());

/// Why a password is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("Use at least {MIN_LENGTH} characters.")]
    TooShort,
    #[error("Use at most {MAX_LENGTH} characters.")]
    TooLong,
    #[error(
        "This is one of the first passwords that anybody would try. A sentence is easy to remember and hard to guess."
    )]
    TooCommon,
}

/// Refuses passwords that are short, common, or the e-mail address.
pub fn check(password: &str, email: &str) -> Result<(), Problem> {
    let length = password.chars().count();
    if length < MIN_LENGTH {
        return Err(Problem::TooShort);
    }
    if length > MAX_LENGTH {
        return Err(Problem::TooLong);
    }
    if is_common(password) || normal(password) == normal(email) {
        return Err(Problem::TooCommon);
    }
    Ok(())
}

/// Whether a password is a common one, or a common one with something before or after it that everybody adds: digits and
/// punctuation. One character again and again counts too.
fn is_common(password: &str) -> bool {
    let normal = normal(password);
    let core = normal.trim_matches(|c: char| !c.is_alphabetic());
    let half = &normal[..normal.len() / 2 - usize::from(!normal.is_char_boundary(normal.len() / 2))];
    let is_twice = !half.is_empty() && normal == format!("{half}{half}");
    let first = normal.chars().next();
    core.is_empty()
        || normal.chars().all(|c| Some(c) == first)
        || [normal.as_str(), core].iter().any(|text| COMMON.contains(text))
        || (is_twice && COMMON.contains(half))
}

/// In lower case, with the usual replacements undone.
fn normal(password: &str) -> String {
    let plain = |c: char| match c {
        '@' => 'a',
        '$' => 's',
        '0' => 'o',
        '3' => 'e',
        c => c,
    };
    let lower = password.trim().to_lowercase();
    // Digits at the end are a suffix, not letters in disguise.
    let word = lower.trim_end_matches(|c: char| c.is_ascii_digit());
    let suffix = &lower[word.len()..];
    word.chars().map(plain).chain(suffix.chars()).collect()
}

/// The hash under which a password is stored (argon2id with the parameters that OWASP recommends).
pub async fn hash(app: &App, password: &Secret) -> Result<String, MemberError> {
    let salt = app.rng.bytes::<16>();
    let password = password.clone();
    let work = tokio::task::spawn_blocking(move || hash_now(password.expose(), &salt));
    work.await.ok().flatten().ok_or(MemberError::NotHashed)
}

fn hash_now(password: &str, salt: &[u8]) -> Option<String> {
    let hash = Argon2::default().hash_password_with_salt(password.as_bytes(), salt).ok()?;
    let hash: argon2::password_hash::phc::PasswordHash = hash;
    Some(hash.to_string())
}

/// Whether a password is the one behind a hash. Takes as long when there is none.
pub async fn verify(hash: Option<&str>, password: &Secret) -> bool {
    let (hash, password) = (hash.map(str::to_owned), password.clone());
    let work = tokio::task::spawn_blocking(move || {
        let is_known = hash.is_some();
        let hash = hash.or_else(|| NOBODY.clone()).unwrap_or_default();
        let parsed = PasswordHash::new(&hash);
        let is_right = parsed
            .is_ok_and(|hash| Argon2::default().verify_password(password.expose().as_bytes(), &hash).is_ok());
        is_right && is_known
    });
    work.await.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn easy_passwords_are_refused() {
        for (password, expected) in [
            ("short", Err(Problem::TooShort)),
            ("elevenchars", Err(Problem::TooShort)),
            ("ünïcödé tät ", Ok(())),
            ("correct horse battery", Ok(())),
            ("password1234", Err(Problem::TooCommon)),
            ("P@ssw0rd!2026", Err(Problem::TooCommon)),
            ("qwertyuiop!!", Err(Problem::TooCommon)),
            ("123456789012", Err(Problem::TooCommon)),
            ("aaaaaaaaaaaaaa", Err(Problem::TooCommon)),
            ("iloveyouiloveyou", Err(Problem::TooCommon)),
            ("Ada@Acme.test", Err(Problem::TooCommon)),
            ("émoji🦀émoji🦀", Ok(())),
        ] {
            assert_eq!(check(password, "ada@acme.test"), expected, "{password}");
        }
        assert_eq!(check(&"x1".repeat(600), "a@b.test"), Err(Problem::TooLong));
        assert_eq!(COMMON.len(), 1000);
    }

    #[tokio::test]
    async fn a_hash_knows_its_password_alone() {
        let hash = hash_now("correct horse battery", &[1; 16]).unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(verify(Some(&hash), &Secret::new("correct horse battery")).await);
        assert!(!verify(Some(&hash), &Secret::new("correct horse batterz")).await);
        assert!(!verify(None, &Secret::new("nobody's password")).await);
        assert!(!verify(Some("nonsense"), &Secret::new("x")).await);
    }
}
