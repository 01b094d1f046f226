//! People with accounts.

use hitchpost::access::Role;
use hitchpost::crypto::Secret;
use hitchpost::db::members::{self, NewMember};
use hitchpost::db::{AccountId, MemberId, accounts};
use hitchpost::members::passwords;

use super::{Browser, Reply, TestApp};

pub const PASSWORD: &str = "correct horse battery";

/// A member, and their browser.
pub struct Person {
    pub id: MemberId,
    pub email: String,
    pub browser: Browser,
}

impl Person {
    /// A member of the account that every test shares, logged in.
    pub async fn with_role(app: &TestApp, role: Role) -> Self {
        let account = accounts::find_first(&app.app.db).await.unwrap().unwrap();
        Self::of(app, account, role).await
    }

    /// A member of an account, logged in.
    pub async fn of(app: &TestApp, account: AccountId, role: Role) -> Self {
        let email = format!("{}@acme.test", app.app.rng.alphanumeric(12).to_lowercase());
        let hash = passwords::hash(&app.app, &Secret::new(PASSWORD)).await.unwrap();
        let new = NewMember {
            account_id: account,
            email: &email,
            name: "Ada <b>Lovelace</b>",
            role,
            password_hash: Some(&hash),
            identity: None,
            now: app.now(),
        };
        let id = members::insert(&app.app.db, new).await.unwrap();
        let person = Person { id, email, browser: Browser::new(app) };
        let reply = person.log_in(PASSWORD).await;
        assert_eq!(reply.status, 303, "{}", reply.text());
        person
    }

    /// Types e-mail address and password into the login page.
    pub async fn log_in(&self, password: &str) -> Reply {
        log_in(&self.browser, &self.email, password).await
    }
}

/// Types e-mail address and password into the login page.
pub async fn log_in(browser: &Browser, email: &str, password: &str) -> Reply {
    browser.submit("/login", "/login", &[("email", email), ("password", password)]).await
}
