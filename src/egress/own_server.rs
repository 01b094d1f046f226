//! A bare request to this machine's own server, for container health checks.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Empty;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use super::error::{EgressError, classify_hyper_error};

pub async fn ask(url: &str, limit: Duration) -> Result<StatusCode, EgressError> {
    let request = Request::get(url)
        .body(Empty::<Bytes>::new())
        .map_err(|_| EgressError::Other("the URL cannot be used".to_owned()))?;
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let answer =
        tokio::time::timeout(limit, client.request(request)).await.map_err(|_| EgressError::Timeout)?;
    answer.map(|response| response.status()).map_err(|error| classify_hyper_error(&error))
}
