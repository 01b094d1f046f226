//! Windows in Redis: claims of points that all replicas share. Every failure is answered with "nobody knows", so that a
//! request never waits for a Redis that is away.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, RedisError, Script};

use super::{Bucket, Claim, WINDOW};
use crate::crypto::Secret;

/// How long a request waits for Redis.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long nobody asks after a failure.
const PAUSE_MS: i64 = 2_000;
/// The largest part of a limit that one process claims at once, and of what is left.
const PART_OF_LIMIT: u64 = 50;
const PART_OF_REST: u64 = 20;

/// Starts the window with its first claim. Times are those of the callers, in milliseconds; the expiry only cleans up.
const CLAIM: &str = r"
local now, window, limit, points, most, part = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]),
    tonumber(ARGV[5]), tonumber(ARGV[6])
local state = redis.call('HMGET', KEYS[1], 'counted', 'ends')
local counted, ends = tonumber(state[1] or '0'), tonumber(state[2] or '0')
if ends <= now then
    counted, ends = 0, now + window
end
local left = limit - counted
local granted = 0
if left >= points then
    granted = math.max(points, math.min(most, math.floor(left / part)))
end
redis.call('HSET', KEYS[1], 'counted', string.format('%.0f', counted + granted), 'ends', string.format('%.0f', ends))
redis.call('PEXPIRE', KEYS[1], window * 2)
return {granted, counted + granted, ends}
";

/// The windows that several replicas share.
pub struct SharedWindows {
    connection: ConnectionManager,
    claim: Script,
    /// Names this installation among others on the same Redis.
    namespace: String,
    is_away: AtomicBool,
    ask_again_at: AtomicI64,
}

impl SharedWindows {
    /// Connects when the first claim is made. `namespace` is the same in all replicas and in no other installation.
    ///
    /// # Errors
    /// A sentence, when the URL cannot be used. Whether Redis answers does not matter here.
    pub fn new(url: &Secret, namespace: String) -> Result<Self, String> {
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(1)
            .set_connection_timeout(Some(PATIENCE * 10))
            .set_response_timeout(Some(PATIENCE * 10));
        let client = Client::open(url.expose());
        let connection = client.and_then(|client| ConnectionManager::new_lazy_with_config(client, config));
        let connection = connection
            .map_err(|_| "NANGO_REDIS_URL: expected a URL such as `redis://host:6379`.".to_owned())?;
        Ok(SharedWindows {
            connection,
            claim: Script::new(CLAIM),
            namespace,
            is_away: AtomicBool::new(false),
            ask_again_at: AtomicI64::new(i64::MIN),
        })
    }

    /// Claims at least `points`; none when Redis does not answer.
    pub(super) async fn claim(
        &self,
        bucket: Bucket,
        points: u64,
        limit: u64,
        now: DateTime<Utc>,
    ) -> Option<Claim> {
        let now_ms = now.timestamp_millis();
        if now_ms < self.ask_again_at.load(Ordering::Relaxed) {
            return None;
        }
        match tokio::time::timeout(PATIENCE, self.ask(bucket, points, limit, now_ms)).await {
            Ok(Ok(claim)) => {
                self.note_answer();
                Some(claim)
            }
            Ok(Err(error)) => self.note_failure(&error.to_string(), now_ms),
            Err(_) => self.note_failure("no answer in time", now_ms),
        }
    }

    async fn ask(&self, bucket: Bucket, points: u64, limit: u64, now_ms: i64) -> Result<Claim, RedisError> {
        let most = (limit / PART_OF_LIMIT).max(points);
        let mut connection = self.connection.clone();
        let answer = self
            .claim
            .key(self.key(bucket))
            .arg(now_ms)
            .arg(WINDOW.num_milliseconds())
            // Beyond what Lua's numbers hold exactly, a limit is none.
            .arg(limit.min(1 << 52))
            .arg(points)
            .arg(most.min(1 << 52))
            .arg(PART_OF_REST)
            .invoke_async::<(u64, u64, i64)>(&mut connection)
            .await;
        let (granted, counted, ends_ms) = answer?;
        let ends_at = DateTime::from_timestamp_millis(ends_ms).unwrap_or(DateTime::<Utc>::MIN_UTC);
        Ok(Claim { granted, counted, ends_at })
    }

    fn key(&self, bucket: Bucket) -> String {
        let bucket = match bucket {
            Bucket::Secret(account) => format!("secret:{}", account.0),
            Bucket::SecretScript(account) => format!("secret-script:{}", account.0),
            Bucket::Global(account) => format!("global:{}", account.0),
            Bucket::Session(session) => format!("session:{}", session.0),
            Bucket::Address(address) => format!("address:{address}"),
            Bucket::FailedAuthentication(address) => format!("failed:{address}"),
            Bucket::FailedPassword(address) => format!("failed-password:{address}"),
            Bucket::FailedLogin(hash) => format!("failed-login:{}", hex::encode(hash)),
            Bucket::Webhook(name) => format!("webhook:{}", hex::encode(name)),
        };
        format!("hitchpost:limit:{}:{bucket}", self.namespace)
    }

    fn note_answer(&self) {
        if self.is_away.swap(false, Ordering::Relaxed) {
            tracing::info!("Redis answers again; rate limits are shared between replicas");
        }
    }

    /// Said once, however many requests notice.
    fn note_failure(&self, reason: &str, now_ms: i64) -> Option<Claim> {
        self.ask_again_at.store(now_ms.saturating_add(PAUSE_MS), Ordering::Relaxed);
        if !self.is_away.swap(true, Ordering::Relaxed) {
            tracing::warn!(reason, "Redis does not answer; rate limits are counted in this process alone");
        }
        None
    }
}
