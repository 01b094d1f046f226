//! Request bodies: byte-faithful by default, converted where the caller or the entry asks.

use bytes::Bytes;
use futures_util::stream;
use serde_json::json;

use crate::support::run;
use crate::support::target::{Target, WorldPlan};

#[test]
fn bytes_pass_unchanged() {
    run(async {
        let target = Target::recording().await;
        let world = WorldPlan::new(target.url()).build().await;
        let binary: Vec<u8> = (0..=255).cycle().take(3 << 20).collect();
        let mut multipart =
            b"--B\r\ncontent-disposition: form-data; name=\"f\"; filename=\"x\"\r\n\r\n".to_vec();
        multipart.extend_from_slice(&binary[..1000]);
        multipart.extend_from_slice(b"\r\n--B--\r\n");
        let cases: Vec<(&str, Option<&str>, Vec<u8>, &str)> = vec![
            ("application/octet-stream", None, binary, "application/octet-stream"),
            (
                "multipart/form-data; boundary=B",
                Some("multipart/form-data"),
                multipart,
                "multipart/form-data; boundary=B",
            ),
            (
                "application/json",
                None,
                br#"{ "n": 12345678901234567890123, "n": 1.10, "u": "\u00e9" } "#.to_vec(),
                "application/json",
            ),
            ("application/json", None, b"{broken \xff".to_vec(), "application/json"),
            ("text/plain", Some("text/csv"), b"100% a,b".to_vec(), "text/csv"),
            (
                "application/x-www-form-urlencoded",
                None,
                b"a=1&a=2&b[]=%".to_vec(),
                "application/x-www-form-urlencoded",
            ),
        ];
        for (given, asked, body, expected) in cases {
            let mut ask = world.call("POST", "/b").header("content-type", given).bytes(body.clone());
            if let Some(asked) = asked {
                ask = ask.header("nango-proxy-content-type", asked);
            }
            ask.expect(200).await;
            let seen = target.last();
            assert!(seen.body == body, "{given}");
            assert_eq!(seen.header("content-type"), Some(expected));
            assert_eq!(seen.header("content-length"), Some(body.len().to_string().as_str()));
            assert_eq!(seen.header("transfer-encoding"), None);
        }
    });
}

#[test]
fn chunked_uploads_stream() {
    run(async {
        let target = Target::recording().await;
        let world = WorldPlan::new(target.url()).build().await;
        let chunks = (0..200).map(|index| Ok::<_, std::io::Error>(Bytes::from(vec![index as u8; 50_000])));
        let response = plain_client()
            .post(format!("{}/proxy/up", world.app.url()))
            .bearer_auth(&world.app.secret)
            .header("provider-config-key", "acme")
            .header("connection-id", "c1")
            .header("content-type", "application/json")
            .body(reqwest::Body::wrap_stream(stream::iter(chunks)))
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
        let seen = target.last();
        assert_eq!(seen.body.len(), 10_000_000);
        assert!(
            seen.body
                .chunks(50_000)
                .enumerate()
                .all(|(index, chunk)| chunk.iter().all(|b| *b == index as u8))
        );
        assert_eq!(seen.header("transfer-encoding"), Some("chunked"));
    });
}

#[test]
fn empty_bodies_follow_their_content_type() {
    run(async {
        let target = Target::recording().await;
        let world = WorldPlan::new(target.url()).build().await;
        let form = "application/x-www-form-urlencoded";
        let cases = [
            ("POST", Some(form), None, "{}", Some("application/json"), Some("2")),
            ("PUT", Some("application/json; charset=utf-8"), None, "{}", Some("application/json"), Some("2")),
            ("POST", Some(form), Some(form), "", Some(form), Some("0")),
            (
                "POST",
                Some("application/json"),
                Some("application/vnd.x+json"),
                "{}",
                Some("application/vnd.x+json"),
                Some("2"),
            ),
            ("POST", None, None, "", None, Some("0")),
            ("PATCH", Some("text/plain"), None, "", None, Some("0")),
            ("DELETE", Some("application/json"), None, "", None, None),
            ("GET", Some("application/json"), None, "", None, None),
        ];
        for (method, given, asked, body, content_type, length) in cases {
            let mut ask = world.call(method, "/e");
            for (name, value) in [("content-type", given), ("nango-proxy-content-type", asked)] {
                if let Some(value) = value {
                    ask = ask.header(name, value);
                }
            }
            ask.expect(200).await;
            let seen = target.last();
            let found = (seen.text(), seen.header("content-type"), seen.header("content-length"));
            assert_eq!(found, (body.to_owned(), content_type, length), "{method} {given:?} {asked:?}");
        }
    });
}

#[test]
fn json_becomes_a_form_or_multipart_when_asked() {
    run(async {
        let target = Target::recording().await;
        let world = WorldPlan::new(target.url()).build().await;
        let ask = || world.call("POST", "/c").json(&json!({"a": [1, "x y"], "b": {"c": true}}));
        let form = "application/x-www-form-urlencoded";
        ask().header("nango-proxy-content-type", form).expect(200).await;
        let seen = target.last();
        assert_eq!(seen.text(), "a%5B%5D=1&a%5B%5D=x%20y&b%5Bc%5D=true");
        assert_eq!(seen.header("content-type"), Some(form));
        ask().header("nango-proxy-content-type", "multipart/form-data").expect(200).await;
        let seen = target.last();
        let boundary = seen.header("content-type").unwrap().split_once("boundary=").unwrap().1.to_owned();
        assert!(seen.text().contains("name=\"b[c]\"\r\n\r\ntrue\r\n"));
        assert!(seen.text().ends_with(&format!("--{boundary}--\r\n")));
        let broken = world.call("POST", "/c").header("content-type", "application/json").bytes("{broken");
        let reply = broken.header("nango-proxy-content-type", form).send().await;
        assert_eq!((reply.status.as_u16(), reply.code().as_str()), (400, "invalid_json"));
    });
}

#[test]
fn values_of_the_entry_are_merged_into_the_body() {
    run(async {
        let target = Target::recording().await;
        let world = WorldPlan::new(target.url())
            .proxy(json!({"body": {"auth": {"key": "${apiKey}", "no": "${connectionConfig.no}"}}}))
            .build()
            .await;
        let json = "application/json";
        for (method, given, sent, expected) in [
            (
                "POST",
                json,
                r#"{"big": 12345678901234567890123}"#,
                r#"{"big":12345678901234567890123,"auth":{"key":"key-0123456789"}}"#,
            ),
            ("POST", json, "", r#"{"auth":{"key":"key-0123456789"}}"#),
            ("POST", json, "[1]", "[1]"),
            ("DELETE", "application/x-www-form-urlencoded", "a=1", "a=1&auth%5Bkey%5D=key-0123456789"),
            ("POST", "text/plain", "a=1", "a=1"),
            ("GET", json, "", ""),
        ] {
            world.call(method, "/m").header("content-type", given).bytes(sent).expect(200).await;
            assert_eq!(target.last().text(), expected, "{method} {given} {sent}");
        }
    });
}

#[test]
fn a_get_with_a_stated_length_keeps_its_body() {
    run(async {
        let target = Target::recording().await;
        let world = WorldPlan::new(target.url()).build().await;
        world.get("/_search").json(&json!({"query": {}})).expect(200).await;
        assert_eq!(target.last().text(), r#"{"query":{}}"#);
    });
}

#[expect(clippy::disallowed_methods, reason = "the tests' own client, which only talks to this machine")]
pub fn plain_client() -> reqwest::Client {
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("protocol versions")
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    reqwest::Client::builder().tls_backend_preconfigured(tls).no_gzip().build().expect("a client")
}
