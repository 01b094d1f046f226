//! One delivery: a request, tried again while that makes sense.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::egress::{Answer, BufferedClient, OutgoingRequest};

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How a destination is asked.
#[derive(Clone)]
pub struct Courier {
    pub client: BufferedClient,
    pub headers: HeaderMap,
    pub timeout: Duration,
    /// Further attempts after the first.
    pub retries: u32,
    /// A stopping server does not wait for anybody's recovery.
    pub stopping: CancellationToken,
}

/// Why a destination has not got something, fit for the process log: no address, no header, no body.
#[derive(Debug, thiserror::Error)]
pub enum Undelivered {
    #[error("{0}")]
    NoAnswer(String),
    #[error("the answer was {0}")]
    Refused(StatusCode),
}

impl Courier {
    /// Sends a request, again when the destination cannot be reached or is too busy. Any 2xx is an answer; so are the statuses
    /// of `expected`.
    pub async fn deliver(
        &self,
        method: Method,
        url: &Url,
        content_type: &'static str,
        body: Bytes,
        expected: &[u16],
    ) -> Result<Answer, Undelivered> {
        let mut pause = FIRST_PAUSE;
        let mut attempt = 0;
        loop {
            let failure = match self.send_once(&method, url, content_type, &body).await {
                Ok(answer) if answer.status.is_success() || expected.contains(&answer.status.as_u16()) => {
                    return Ok(answer);
                }
                Ok(answer) => Undelivered::Refused(answer.status),
                Err(failure) => failure,
            };
            if attempt >= self.retries || !failure.may_pass() || self.stopping.is_cancelled() {
                return Err(failure);
            }
            tokio::select! {
                () = self.stopping.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
            attempt += 1;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn send_once(
        &self,
        method: &Method,
        url: &Url,
        content_type: &'static str,
        body: &Bytes,
    ) -> Result<Answer, Undelivered> {
        let mut headers = self.headers.clone();
        if !body.is_empty() {
            headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(content_type));
        }
        let (method, url, body) = (method.clone(), url.clone(), body.clone());
        let request = OutgoingRequest { method, url, headers, body, follow: false };
        let sent = self.client.send_within(request, self.timeout).await;
        sent.map_err(|error| Undelivered::NoAnswer(error.to_string()))
    }
}

impl Undelivered {
    /// Whether the same request may succeed later (OTLP 1.5, "Retryable Response Codes"; the bulk API says the same).
    fn may_pass(&self) -> bool {
        match self {
            Undelivered::NoAnswer(_) => true,
            Undelivered::Refused(status) => matches!(status.as_u16(), 429 | 502 | 503 | 504),
        }
    }
}
