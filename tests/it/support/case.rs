//! Tables of refusals: one row per way in which an endpoint says no.

use super::client::Ask;

pub struct Case {
    pub name: &'static str,
    pub request: Ask,
    pub status: u16,
    pub code: &'static str,
}

/// Sends every request of the table and compares status and code.
pub async fn check(cases: Vec<Case>) {
    for case in cases {
        let reply = case.request.send().await;
        let found = (reply.status.as_u16(), reply.code());
        assert_eq!(found, (case.status, case.code.to_owned()), "{}: {}", case.name, reply.text());
    }
}
