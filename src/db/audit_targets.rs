//! Which of the things that the audit trail names are still there, so that pages can lead to them.

use sqlx::PgExecutor;

use super::AccountId;

/// Ids that events name, by kind.
#[derive(Debug, Default)]
pub struct Named {
    pub connections: Vec<i64>,
    pub integrations: Vec<i64>,
    /// Of environments' API keys.
    pub api_keys: Vec<i64>,
    pub environments: Vec<i64>,
    pub members: Vec<i64>,
}

/// Something that is still there.
#[derive(Debug)]
pub struct Living {
    /// The kind in the words of the trail.
    pub kind: String,
    pub id: i64,
    /// The name of the environment that it belongs to, or is; empty for members.
    pub environment: String,
    /// The name in the address of an integration's page.
    pub key: String,
}

/// What is still there of what was named.
pub async fn list_living(
    db: impl PgExecutor<'_>,
    account: AccountId,
    named: &Named,
) -> sqlx::Result<Vec<Living>> {
    sqlx::query_as!(
        Living,
        r#"WITH open AS (SELECT id, name FROM environments WHERE account_id = $1 AND deleted_at IS NULL)
           SELECT 'connection' AS "kind!", c.id AS "id!", e.name AS "environment!", '' AS "key!"
           FROM connections c JOIN open e ON e.id = c.environment_id WHERE c.id = ANY($2) AND c.deleted_at IS NULL
           UNION ALL
           SELECT 'integration', i.id, e.name, i.unique_key
           FROM integrations i JOIN open e ON e.id = i.environment_id WHERE i.id = ANY($3) AND i.deleted_at IS NULL
           UNION ALL
           SELECT 'api_key', k.id, e.name, ''
           FROM api_keys k JOIN open e ON e.id = k.environment_id WHERE k.id = ANY($4) AND k.deleted_at IS NULL
           UNION ALL
           SELECT 'environment', id, name, '' FROM open WHERE id = ANY($5)
           UNION ALL
           SELECT 'member', m.id, '', '' FROM members m WHERE m.account_id = $1 AND m.id = ANY($6)"#,
        account as AccountId,
        &named.connections,
        &named.integrations,
        &named.api_keys,
        &named.environments,
        &named.members
    )
    .fetch_all(db)
    .await
}
