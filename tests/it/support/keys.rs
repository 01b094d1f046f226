//! API keys with other scopes than everything.

use hitchpost::db;
use hitchpost::db::api_keys::KeyKind;
use hitchpost::keys::{KeyOwner, insert_key};

use tokio::sync::OnceCell;

use super::{Client, TestApp};

static ACCOUNT_KEY: OnceCell<String> = OnceCell::const_new();

impl TestApp {
    /// A client of this environment whose key has exactly these scopes, written without `environment:`.
    pub async fn client_with(&self, scopes: &[&str]) -> Client {
        let scopes: Vec<String> = scopes.iter().map(|scope| format!("environment:{scope}")).collect();
        self.key(Some(self.environment_id), &scopes).await
    }

    /// A client with a key of the account, which belongs to no environment. One key for the whole process, because an
    /// account may have only so many.
    pub async fn account_client(&self) -> Client {
        self.client().with_secret(self.account_secret().await)
    }

    /// The key of [`Self::account_client`].
    pub async fn account_secret(&self) -> &'static str {
        let scopes = ["account:*".to_owned()];
        ACCOUNT_KEY.get_or_init(|| self.insert(None, KeyKind::Api, &scopes)).await
    }

    /// A client with a key of the account that has exactly these scopes, written without `account:`.
    pub async fn account_client_with(&self, scopes: &[&str]) -> Client {
        let scopes: Vec<String> = scopes.iter().map(|scope| format!("account:{scope}")).collect();
        self.key(None, &scopes).await
    }

    /// Gives the environment one more webhook signing key.
    pub async fn signing_key(&self) {
        self.insert(Some(self.environment_id), KeyKind::WebhookSigning, &[]).await;
    }

    async fn key(&self, environment_id: Option<db::EnvironmentId>, scopes: &[String]) -> Client {
        self.client().with_secret(self.insert(environment_id, KeyKind::Api, scopes).await)
    }

    async fn insert(
        &self,
        environment_id: Option<db::EnvironmentId>,
        kind: KeyKind,
        scopes: &[String],
    ) -> String {
        let account = db::accounts::find_first(&self.app.db).await.expect("the database answers");
        let owner = KeyOwner { account_id: account.expect("there is an account"), environment_id };
        let mut connection = self.app.db.acquire().await.expect("a database connection");
        // Names are unique among the live keys of an owner.
        let name = self.app.rng.alphanumeric(12);
        let created = insert_key(&self.app, &mut connection, owner, kind, &name, scopes).await;
        created.expect("the key is stored").secret.expose().to_owned()
    }
}
