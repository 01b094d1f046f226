//! Mails to members, when the operator named a mail server.

use lettre::message::header::ContentType;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};

use crate::app::{App, SharedApp};
use crate::config::SmtpConfig;

/// What a member is told.
pub struct Mail {
    pub to: String,
    pub subject: &'static str,
    pub text: String,
}

impl Mail {
    /// Invites somebody.
    pub fn invitation(to: &str, from: &str, link: &str) -> Self {
        let text = format!(
            "Hello,\n\n{from} invites you to the Hitchpost dashboard. Choose your password here; the link works once, for \
             seven days:\n\n{link}\n\nIf you do not know what this is about, ignore this mail.\n"
        );
        Mail { to: to.to_owned(), subject: "Invitation to Hitchpost", text }
    }

    /// Lets a member choose a new password.
    pub fn reset(to: &str, link: &str) -> Self {
        let text = format!(
            "Hello,\n\nchoose a new password for the Hitchpost dashboard here; the link works once, for 24 hours:\n\n{link}\n\n\
             If you did not ask for it, ignore this mail: your password stays as it is.\n"
        );
        Mail { to: to.to_owned(), subject: "A new password for Hitchpost", text }
    }
}

/// Whether mails can be sent at all.
pub fn is_possible(app: &App) -> bool {
    app.config.dashboard.smtp.is_some()
}

/// Sends a mail after the answer, so that the time of the answer tells nobody whether a mail was sent. A mail that cannot be
/// delivered is told in the log; nobody else could do anything about it.
pub fn send_later(app: &SharedApp, mail: Mail) {
    let app = app.clone();
    app.lifecycle.tasks.clone().spawn(async move {
        let Some(smtp) = &app.config.dashboard.smtp else { return };
        if let Err(reason) = send(smtp, mail).await {
            tracing::error!(error.reason = reason, "a mail could not be sent");
        }
    });
}

async fn send(smtp: &SmtpConfig, mail: Mail) -> Result<(), String> {
    let message = Message::builder()
        .from(smtp.from.parse().map_err(|_| "SMTP_FROM is not an e-mail address".to_owned())?)
        .to(mail.to.parse().map_err(|_| "the recipient is not an e-mail address".to_owned())?)
        .subject(mail.subject)
        .header(ContentType::TEXT_PLAIN)
        .body(mail.text)
        .map_err(|error| error.to_string())?;
    let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(smtp.url.expose());
    let transport = transport.map_err(|_| "SMTP_URL is not the address of a mail server".to_owned())?;
    transport.build().send(message).await.map(drop).map_err(|error| error.to_string())
}
