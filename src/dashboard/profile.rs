//! The own account: name, password, second factor, and the browsers that are logged in.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;

use super::error::PageError;
use super::flash::Flash;
use super::form::Form;
use super::join::NAME;
use super::login::TOO_MANY;
use super::outside::Outside;
use super::page::Page;
use super::time::Moment;
use super::viewer::MemberViewer;
use crate::app::{App, SharedApp};
use crate::audit;
use crate::crypto::Secret;
use crate::db::{SessionId, member_sessions};
use crate::error::ApiError;
use crate::members::login::{Attempt, try_own_password};
use crate::members::sessions::LoggedIn;
use crate::members::two_factor::{self, Enrolment};
use crate::members::{self, MemberError};

const PROFILE: &str = "/me";

#[derive(Template)]
#[template(path = "dashboard/profile.html")]
struct ProfilePage<'a> {
    page: &'a Page,
    viewer: &'a LoggedIn,
    sessions: Vec<SessionRow>,
    enrolment: Option<Enrolment>,
    codes_left: i64,
    form: Form,
}

struct SessionRow {
    id: i64,
    browser: String,
    address: String,
    last_seen: Moment,
    is_this: bool,
}

impl<'a> ProfilePage<'a> {
    async fn load(app: &App, page: &'a Page, viewer: &'a LoggedIn, form: Form) -> Result<Self, PageError> {
        let sessions = member_sessions::list(&app.db, viewer.member.id, page.now).await?;
        let row = |session: member_sessions::Session| SessionRow {
            id: session.id.0,
            browser: describe(session.user_agent.as_deref().unwrap_or_default()),
            address: session.address.unwrap_or_default(),
            last_seen: page.moment(session.last_seen_at),
            is_this: session.id == viewer.session.id,
        };
        Ok(ProfilePage {
            page,
            viewer,
            sessions: sessions.into_iter().map(row).collect(),
            enrolment: two_factor::show_enrolment(app, &viewer.member).map_err(ApiError::from)?,
            codes_left: two_factor::count_codes(app, viewer.member.id).await?,
            form: form.or("name", &viewer.member.name),
        })
    }
}

/// A browser and its system, as people call them.
fn describe(user_agent: &str) -> String {
    // Browsers pretend to be those after them.
    let browsers = [
        ("Edg/", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
    ];
    let systems = [
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("CrOS", "ChromeOS"),
        ("Windows", "Windows"),
        ("Mac OS", "macOS"),
        ("Linux", "Linux"),
    ];
    let find = |names: &[(&str, &'static str)]| {
        names.iter().find(|(mark, _)| user_agent.contains(mark)).map(|(_, name)| *name)
    };
    match (find(&browsers), find(&systems)) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(browser), None) => browser.to_owned(),
        (None, Some(system)) => format!("Unknown browser on {system}"),
        (None, None) => "Unknown browser".to_owned(),
    }
}

/// Shows the own account.
pub async fn show_profile(
    State(app): State<SharedApp>,
    page: Page,
    MemberViewer(viewer): MemberViewer,
) -> Result<Response, PageError> {
    page.show(&ProfilePage::load(&app, &page, &viewer, Form::default()).await?)
}

/// Changes the own name.
pub async fn change_name(
    State(app): State<SharedApp>,
    page: Page,
    MemberViewer(viewer): MemberViewer,
    mut form: Form,
) -> Result<Response, PageError> {
    let name = form.checked_text("name", &NAME);
    if form.has_problems() {
        return page.show_again(&ProfilePage::load(&app, &page, &viewer, form).await?);
    }
    members::rename(&app, &viewer.member, &name).await.map_err(ApiError::from)?;
    Ok(page.redirect_with(PROFILE, &Flash::done("Name saved.")))
}

/// Changes the own password, and logs out everywhere else.
pub async fn change_password(
    State(app): State<SharedApp>,
    page: Page,
    outside: Outside,
    MemberViewer(viewer): MemberViewer,
    mut form: Form,
) -> Result<Response, PageError> {
    if is_right(&app, &outside, &viewer, &mut form, ("current", audit::Action::PasswordChanged)).await? {
        let new = Secret::new(form.value("password"));
        match members::change_password(&app, &viewer.member, &new, Some(viewer.session.id)).await {
            Ok(()) => {
                let text = "Password changed. Every other browser is logged out.";
                return Ok(page.redirect_with(PROFILE, &Flash::done(text)));
            }
            Err(MemberError::BadPassword(problem)) => form.problem("password", problem.to_string()),
            Err(error) => return Err(ApiError::from(error).into()),
        }
    }
    page.show_again(&ProfilePage::load(&app, &page, &viewer, form).await?)
}

/// Whether a field holds the viewer's password; notes the problem beside it when not.
async fn is_right(
    app: &App,
    outside: &Outside,
    viewer: &LoggedIn,
    form: &mut Form,
    (field, action): (&str, audit::Action),
) -> Result<bool, PageError> {
    let password = Secret::new(form.value(field));
    let attempt = try_own_password(app, &viewer.member, &password, outside.address(), action).await;
    match attempt.map_err(ApiError::from)? {
        Attempt::Right(_) => return Ok(true),
        Attempt::TooMany => form.problem(field, TOO_MANY),
        Attempt::Wrong | Attempt::NeedsCode(_) => form.problem(field, "The password is wrong."),
    }
    Ok(false)
}

/// Logs one of the own browsers out.
pub async fn end_session(
    State(app): State<SharedApp>,
    page: Page,
    MemberViewer(viewer): MemberViewer,
    Path(id): Path<i64>,
) -> Result<Response, PageError> {
    member_sessions::delete(&app.db, viewer.member.id, SessionId(id)).await?;
    Ok(page.redirect_with(PROFILE, &Flash::done("That browser is logged out.")))
}

/// Makes the secret of a new authenticator, which waits for its first code.
pub async fn enrol(
    State(app): State<SharedApp>,
    page: Page,
    MemberViewer(viewer): MemberViewer,
) -> Result<Response, PageError> {
    if viewer.member.totp_confirmed {
        return Ok(page.redirect_with(PROFILE, &Flash::refused("The second factor is on already.")));
    }
    two_factor::enrol(&app, &viewer.member).await.map_err(ApiError::from)?;
    Ok(page.redirect("/me#second-factor"))
}

/// Turns the second factor on with the first code of the authenticator.
pub async fn confirm(
    State(app): State<SharedApp>,
    page: Page,
    MemberViewer(viewer): MemberViewer,
    mut form: Form,
) -> Result<Response, PageError> {
    if viewer.member.totp_confirmed {
        return Ok(page.redirect(PROFILE));
    }
    match two_factor::confirm(&app, &viewer.member, form.text("code")).await {
        Ok(codes) => {
            let text = "The second factor is on. Keep these recovery codes where you keep passwords: each opens the \
                        door once, and they are not shown again.";
            Ok(page.redirect_with(PROFILE, &Flash::done(text).with_secret(codes.join(" "))))
        }
        Err(error @ MemberError::WrongCode) => {
            form.problem("code", error.to_string());
            page.show_again(&ProfilePage::load(&app, &page, &viewer, form).await?)
        }
        Err(error) => Err(ApiError::from(error).into()),
    }
}

/// Turns the second factor off, for somebody who knows the password.
pub async fn switch_off(
    State(app): State<SharedApp>,
    page: Page,
    outside: Outside,
    MemberViewer(viewer): MemberViewer,
    mut form: Form,
) -> Result<Response, PageError> {
    let needed = ("password_again", audit::Action::MfaDisabled);
    if !is_right(&app, &outside, &viewer, &mut form, needed).await? {
        return page.show_again(&ProfilePage::load(&app, &page, &viewer, form).await?);
    }
    two_factor::switch_off(&app, &viewer.member).await.map_err(ApiError::from)?;
    Ok(page.redirect_with(PROFILE, &Flash::done("The second factor is off.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_are_called_by_their_names() {
        for (user_agent, expected) in [
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0 Safari/537.36",
                "Chrome on Linux",
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 \
                 Safari/605.1.15",
                "Safari on macOS",
            ),
            ("Mozilla/5.0 (Windows NT 10.0; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Windows"),
            ("curl/8.5.0", "Unknown browser"),
            ("<script>", "Unknown browser"),
        ] {
            assert_eq!(describe(user_agent), expected, "{user_agent}");
        }
    }
}
