//! The second factor: codes of an authenticator (RFC 6238), and recovery codes for the day on which it is lost.

use qrcode::QrCode;
use qrcode::render::svg;
use totp_rs::{Algorithm, Builder, Totp};

use super::{MemberError, target};
use crate::app::App;
use crate::audit::{self, Action, Event};
use crate::crypto::Secret;
use crate::db::members::{self, Member};
use crate::db::{MemberId, recovery_codes};

/// What authenticators show beside the code.
const ISSUER: &str = "Hitchpost";
const STEP_SECONDS: u64 = 30;
/// Steps by which the clocks may differ.
const DRIFT: u16 = 1;
const SECRET_BYTES: usize = 20;
const RECOVERY_CODES: usize = 10;

/// What an authenticator has to be told.
pub struct Enrolment {
    /// In base32, for those who cannot scan.
    pub secret: Secret,
    /// The picture to scan, as an SVG element.
    pub picture: String,
}

/// Makes a new secret, which counts once it is confirmed.
pub async fn enrol(app: &App, member: &Member) -> Result<(), MemberError> {
    let sealed = app.cipher.seal(&app.rng.bytes::<SECRET_BYTES>())?;
    let mut transaction = app.db.begin().await?;
    members::update_totp(&mut *transaction, member.id, Some(&sealed)).await?;
    recovery_codes::delete_all(&mut *transaction, member.id).await?;
    let event = Event::of_account(member.account_id, Action::MfaEnrolled).target(target(member));
    audit::record(app, &mut *transaction, event).await?;
    transaction.commit().await?;
    Ok(())
}

/// The secret that waits for its confirmation.
pub fn show_enrolment(app: &App, member: &Member) -> Result<Option<Enrolment>, MemberError> {
    let Some(totp) = totp_of(app, member)?.filter(|_| !member.totp_confirmed) else { return Ok(None) };
    let Ok(url) = totp.to_url() else { return Ok(None) };
    let Ok(code) = QrCode::new(url.as_bytes()) else { return Ok(None) };
    // Dark on light in both themes: not every camera reads the opposite.
    let picture = code.render::<svg::Color<'_>>().min_dimensions(192, 192).build();
    // Inside a page there is no place for the declaration of an XML document.
    let picture = picture.split_once("?>").map_or(picture.as_str(), |(_, svg)| svg).to_owned();
    let secret = url::Url::parse(&url).ok().and_then(|url| {
        url.query_pairs().find(|(name, _)| name == "secret").map(|(_, value)| value.into_owned())
    });
    Ok(secret.map(|secret| Enrolment { secret: Secret::new(secret), picture }))
}

/// Turns the second factor on with a first code; the recovery codes are shown this one time.
///
/// # Errors
/// The code is wrong.
pub async fn confirm(app: &App, member: &Member, code: &str) -> Result<Vec<String>, MemberError> {
    let Some(step) = matching_step(app, member, code)? else { return Err(MemberError::WrongCode) };
    let codes = new_codes(app);
    let hashes: Vec<Vec<u8>> = codes.iter().map(|code| app.cipher.lookup_hash(&plain(code))).collect();
    let mut transaction = app.db.begin().await?;
    members::use_totp_step(&mut *transaction, member.id, step).await?;
    members::confirm_totp(&mut *transaction, member.id).await?;
    recovery_codes::delete_all(&mut *transaction, member.id).await?;
    recovery_codes::insert(&mut *transaction, member.id, &hashes).await?;
    let event = Event::of_account(member.account_id, Action::MfaEnabled).target(target(member));
    audit::record(app, &mut *transaction, event).await?;
    transaction.commit().await?;
    Ok(codes)
}

/// Turns the second factor off.
pub async fn switch_off(app: &App, member: &Member) -> Result<(), MemberError> {
    let mut transaction = app.db.begin().await?;
    members::update_totp(&mut *transaction, member.id, None).await?;
    recovery_codes::delete_all(&mut *transaction, member.id).await?;
    let event = Event::of_account(member.account_id, Action::MfaDisabled).target(target(member));
    audit::record(app, &mut *transaction, event).await?;
    transaction.commit().await?;
    Ok(())
}

/// Uses up a code of the authenticator, or a recovery code; `false` when it is neither, or was used before.
pub async fn use_code(app: &App, member: &Member, code: &str) -> Result<bool, MemberError> {
    if let Some(step) = matching_step(app, member, code)? {
        return Ok(members::use_totp_step(&app.db, member.id, step).await?);
    }
    let hashes = app.cipher.lookup_hashes(&plain(code));
    Ok(recovery_codes::use_up(&app.db, member.id, &hashes).await?)
}

/// How many recovery codes a member has left.
pub async fn count_codes(app: &App, member: MemberId) -> sqlx::Result<i64> {
    recovery_codes::count(&app.db, member).await
}

/// The time step whose code this is, within the drift.
fn matching_step(app: &App, member: &Member, code: &str) -> Result<Option<i64>, MemberError> {
    let Some(totp) = totp_of(app, member)? else { return Ok(None) };
    let code = plain(code);
    let is_code = code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit());
    let now = u64::try_from(app.clock.now().timestamp()).unwrap_or_default();
    let step = is_code.then(|| totp.check(&code, now)).flatten();
    Ok(step.and_then(|step| i64::try_from(step).ok()))
}

fn totp_of(app: &App, member: &Member) -> Result<Option<Totp>, MemberError> {
    let Some(sealed) = &member.totp_secret else { return Ok(None) };
    let secret = app.cipher.open(sealed)?;
    Ok(build(&secret, &member.email))
}

fn build(secret: &[u8], email: &str) -> Option<Totp> {
    let builder = Builder::new()
        .with_algorithm(Algorithm::SHA1)
        .with_digits(6)
        .with_skew(DRIFT)
        .with_step_duration(STEP_SECONDS)
        .with_secret(secret)
        .with_account_name(email.replace(':', " "))
        .with_issuer(Some(ISSUER));
    builder.build().ok()
}

fn new_codes(app: &App) -> Vec<String> {
    let code = || {
        let text = app.rng.alphanumeric(12).to_lowercase();
        format!("{}-{}-{}", &text[..4], &text[4..8], &text[8..])
    };
    std::iter::repeat_with(code).take(RECOVERY_CODES).collect()
}

/// A code without what people put between its parts.
fn plain(code: &str) -> String {
    code.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_standard_within_one_step() {
        // RFC 6238, appendix B: the last six of the eight digits.
        let totp = build(b"12345678901234567890", "ada@acme.test").unwrap();
        for (time, code) in [(59, "287082"), (1_111_111_109, "081804"), (20_000_000_000, "353130")] {
            let step = time / STEP_SECONDS;
            for (now, expected) in [
                (time, Some(step)),
                (time + STEP_SECONDS, Some(step)),
                (time.saturating_sub(STEP_SECONDS), Some(step)),
                (time + 2 * STEP_SECONDS, None),
            ] {
                assert_eq!(totp.check(code, now), expected, "{code} at {now}");
            }
        }
    }

    #[test]
    fn codes_are_read_as_people_type_them() {
        assert_eq!(plain(" 123 456 "), "123456");
        assert_eq!(plain("AbCd-1234 "), "abcd1234");
    }
}
