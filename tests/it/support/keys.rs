//! API keys with other scopes than everything.

use hitchpost::db;
use hitchpost::db::api_keys::{self, KeyKind, NewKey};

use super::{Client, TestApp};

impl TestApp {
    /// A client of this environment whose key has exactly these scopes, written without `environment:`.
    pub async fn client_with(&self, scopes: &[&str]) -> Client {
        let scopes: Vec<String> = scopes.iter().map(|scope| format!("environment:{scope}")).collect();
        self.key(Some(self.environment_id), &scopes).await
    }

    /// A client with a key of the account, which belongs to no environment.
    pub async fn account_client(&self) -> Client {
        self.key(None, &["account:*".to_owned()]).await
    }

    async fn key(&self, environment_id: Option<db::EnvironmentId>, scopes: &[String]) -> Client {
        let account = db::accounts::find_first(&self.app.db).await.expect("the database answers");
        let secret = self.app.rng.uuid().to_string();
        let new = NewKey {
            account_id: account.expect("there is an account"),
            environment_id,
            kind: KeyKind::Api,
            display_name: "test",
            scopes,
            sealed_secret: &self.app.cipher.seal_text(&secret).expect("the key is sealed"),
            lookup_hash: &self.app.cipher.lookup_hash(&secret),
            now: self.now(),
        };
        api_keys::insert(&self.app.db, new).await.expect("the key is stored");
        self.client().with_secret(secret)
    }
}
