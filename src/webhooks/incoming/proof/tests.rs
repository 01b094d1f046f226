//! Vectors from the documentation of providers where they publish some; the others were computed with OpenSSL and Python.

use serde_json::{Map, Value, json};

use super::*;
use crate::auth::RsaKey;

/// The examples of the providers' documentation, as checks of the built-in sections judge them: name, check, names, body,
/// the time at which it was signed.
struct Vector {
    name: &'static str,
    check: Value,
    names: Value,
    body: &'static str,
    signed_at: i64,
}

const SLACK_BODY: &str = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V\
    &channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2F\
    hooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.\
    803a0bc887a14d10d2c447fce8b6703c";
const HUBSPOT_BODY: &str = r#"[{"eventId":1,"subscriptionId":12345,"portalId":62515,"occurredAt":1564113600000,"subscriptionType":"contact.creation","attemptNumber":0,"objectId":123,"changeSource":"CRM","changeFlag":"NEW","appId":54321}]"#;
const SENDGRID_BODY: &str = "[{\"email\":\"hello@world.com\",\"event\":\"dropped\",\"reason\":\"Bounced Address\",\"sg_event_id\":\"ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA\",\"sg_message_id\":\"LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0\",\"smtp-id\":\"<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>\",\"timestamp\":1600112492}]\r\n";
/// What OpenSSL made with `src/auth/test_rsa_key.pem`.
const RSA_SIGNATURE: &str = "NgUfzP7zUPNxlH6ojZv3Meh3/zsOmCK3ymsK4Xs2I/Xj/rrgTMxZMa0TmQ5DUryDWwh4lCTIG7vS3dHREv8zSxCJnkEC+qLomuERepfgWYd6tjaRvBBj/mw0dOm2in4FiLtTE52IxkZuCCYxDUZIvPnTm4DJIqs5RF1YqM92kE75qTLc0upjqRjVFwaq+DSyX6iI08Lozy55Hrrroxe+kTPimqOoNabC7WHsKvsstuAlUtwtJXYAsWpPmuY5aRZMIlR/NN7Yvsa3NRtRoPvzV1hRMCJwAc+lgUjuYmqzs6iOF1A2DhBRZCmuw5RtgSlx9yNw2lKUy/PwKWwBm1uWVQ==";
const RSA_PUBLIC: &str = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAxSS5Gck+PLTsN/6FwbWilVgW05+zQ/IURor2C4VNJJAZdJE0xuiMcZz+9OWpEmpwVXW+30OBFdAyGbhdcrerxBDrWwhzpEihrnfKNbXkfL4v0Wt1muXRSiDHsET6DSLX7pDNp3CrOv/PeRVBpV+DAHl7+q0utpve9yJlByCGpZ+loNjdjuGbxirsMVh0P1PkB6HSdjSuP14wAel9B5//hvZsMeI2zgLzAxrlHox7tHXh6WM393NYFWCbl2tcfG8OZqwq6cQrTrbD+9ne6SFUjArYtL9Kx3XT3XpYkX8x4CHe4JCTCvBs1XvbSSuJOJ1GvUqAeTVSCcWlKH+zH7f9awIDAQAB";
const MODULUS: &str = "xSS5Gck-PLTsN_6FwbWilVgW05-zQ_IURor2C4VNJJAZdJE0xuiMcZz-9OWpEmpwVXW-30OBFdAyGbhdcrerxBDrWwhzpEihrnfKNbXkfL4v0Wt1muXRSiDHsET6DSLX7pDNp3CrOv_PeRVBpV-DAHl7-q0utpve9yJlByCGpZ-loNjdjuGbxirsMVh0P1PkB6HSdjSuP14wAel9B5__hvZsMeI2zgLzAxrlHox7tHXh6WM393NYFWCbl2tcfG8OZqwq6cQrTrbD-9ne6SFUjArYtL9Kx3XT3XpYkX8x4CHe4JCTCvBs1XvbSSuJOJ1GvUqAeTVSCcWlKH-zH7f9aw";

fn vectors() -> Vec<Vector> {
    let header = |name: &str, value: &str, key: (&str, &str)| {
        let mut names = json!({"header": {}});
        names["header"][name] = value.into();
        names[key.0] = key.1.into();
        names
    };
    let with = |name: &str, value: Value, mut names: Value| {
        names[name] = value;
        names
    };
    let secret = |text| ("webhookSecret", text);
    vec![
        Vector {
            name: "GitHub: validating webhook deliveries, testing",
            check: json!({"signature": "${header.x-hub-signature-256}", "prefix": "sha256=",
                "algorithm": "hmac-sha256", "key": "${webhookSecret}"}),
            names: header(
                "x-hub-signature-256",
                "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
                secret("It's a Secret to Everybody"),
            ),
            body: "Hello, World!",
            signed_at: 0,
        },
        Vector {
            name: "Slack: verifying requests, step by step",
            check: json!({"signature": "${header.x-slack-signature}", "prefix": "v0=",
                "algorithm": "hmac-sha256", "signed": "v0:${timestamp}:${body}", "key": "${webhookSecret}",
                "timestamp": {"value": "${header.time}"}}),
            names: json!({"webhookSecret": "8f742231b10e8888abcd99yyyzzz85a5", "header": {"time": "1531420618",
                "x-slack-signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"}}),
            body: SLACK_BODY,
            signed_at: 1_531_420_618,
        },
        Vector {
            name: "Standard Webhooks: the example of the specification's libraries",
            check: json!({"signature": "${header.webhook-signature}", "separator": " ", "prefix": "v1,",
                "algorithm": "hmac-sha256", "encoding": "base64", "key": "${webhookSecret}",
                "signed": "${header.webhook-id}.${timestamp}.${body}", "key_encoding": "base64", "key_prefix": "whsec_",
                "timestamp": {"value": "${header.webhook-timestamp}"}}),
            names: json!({"webhookSecret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "header": {
                "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp": "1614265330",
                "webhook-signature": "v1a,AAAA v1,AAAA v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}}),
            body: "{\"test\": 2432232314}",
            signed_at: 1_614_265_330,
        },
        Vector {
            name: "HubSpot: validating requests, version 1",
            check: json!({"signature": "${header.x-hubspot-signature}", "algorithm": "sha256",
                "signed": "${clientSecret}${body}", "key": "${clientSecret}"}),
            names: header(
                "x-hubspot-signature",
                "232db2615f3d666fe21a8ec971ac7b5402d33b9a925784df3ca654d05f4817de",
                ("clientSecret", "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy"),
            ),
            body: HUBSPOT_BODY,
            signed_at: 0,
        },
        Vector {
            name: "SendGrid: the example of its event webhook libraries",
            check: json!({"signature": "${header.signature}", "algorithm": "ecdsa-sha256", "encoding": "base64",
                "signed": "${timestamp}${body}", "key": "${webhookSecret}", "timestamp": {"value": "${header.time}"}}),
            names: json!({"header": {"time": "1600112502",
                    "signature": "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM="},
                "webhookSecret": "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g=="}),
            body: SENDGRID_BODY,
            signed_at: 1_600_112_502,
        },
        Vector {
            name: "Stripe's scheme, computed",
            check: json!({"signature": "${header.stripe-signature}", "separator": ",", "prefix": "v1=",
                "algorithm": "hmac-sha256", "signed": "${timestamp}.${body}", "key": "${webhookSecret}",
                "timestamp": {"value": "${header.stripe-signature}", "prefix": "t="}}),
            names: header(
                "stripe-signature",
                "t=1614556800,v1=00,v1=c9cb540d8a14ce2b2811da6d5b041eb6542b7a3dcb7d92b8c4bcd960cf628ef9,v0=6f",
                secret("whsec_test_secret"),
            ),
            body: r#"{"id":"evt_1","object":"event","account":"acct_1"}"#,
            signed_at: 1_614_556_800,
        },
        Vector {
            name: "Shopify's scheme, computed",
            check: json!({"signature": "${header.hmac}", "algorithm": "hmac-sha256", "encoding": "base64",
                "key": ["${clientSecret}", "${webhookSecret}"]}),
            names: header("hmac", "VnKUjZsLuN5iZWjn5EntcBVCF9kMN43LglzCE1/GSeY=", secret("hush")),
            body: r#"{"id":1}"#,
            signed_at: 0,
        },
        Vector {
            name: "HighLevel's scheme, computed",
            check: json!({"signature": "${header.x-wh-signature}", "algorithm": "rsa-sha256", "encoding": "base64",
                "key": "${webhookSecret}"}),
            names: header("x-wh-signature", RSA_SIGNATURE, secret(RSA_PUBLIC)),
            body: r#"{"type":"ContactCreate","locationId":"L1"}"#,
            signed_at: 0,
        },
        Vector {
            name: "SHA-1, without the prefix, computed",
            check: json!({"signature": "${header.s}", "prefix": ["sha1=", ""], "algorithm": "hmac-sha1",
                "key": "${webhookSecret}"}),
            names: header("s", "70bbf6819d1037aa94ca7e7f537cbea25fe49283", secret("key")),
            body: "body",
            signed_at: 0,
        },
        Vector {
            name: "Square's SDK: the address and the body",
            check: json!({"signature": "${header.s}", "algorithm": "hmac-sha256", "encoding": "base64",
                "signed": "${requestUrl}${body}", "key": "${webhookSecret}"}),
            names: with(
                "requestUrl",
                json!("https://webhook.site/679a4f3a-dcfa-49ee-bac5-9d0edad886b9"),
                header("s", "GF4YkrJgGBDZ9NIYbNXBnMzqb2HoL4RW/S6vkZ9/2N4=", secret("Ibxx_5AKakO-3qeNVR61Dw")),
            ),
            body: r#"{"merchant_id":"MLEFBHHSJGVHD","type":"webhooks.test_notification","event_id":"ac3ac95b-f97d-458c-a6e6-18981597e05f","created_at":"2022-07-13T20:30:59.037339943Z","data":{"type":"webhooks","id":"bc368e64-01aa-407e-b46e-3231809b1129"}}"#,
            signed_at: 0,
        },
        Vector {
            name: "Twilio's SDK: JSON, whose digest is in the address",
            check: json!({"signature": "${header.s}", "algorithm": "hmac-sha1", "encoding": "base64",
                "signed": "${requestUrl}", "key": "${webhookSecret}", "body_digest": "${query.bodySHA256}"}),
            names: with(
                "requestUrl",
                json!(
                    "https://mycompany.com/myapp.php?bodySHA256=0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620"
                ),
                with(
                    "query",
                    json!({"bodySHA256": "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620"}),
                    header("s", "y77kIzt2vzLz71DgmJGsen2scGs=", secret("12345")),
                ),
            ),
            body: r#"{"property": "value", "boolean": true}"#,
            signed_at: 0,
        },
        Vector {
            name: "SHA-512, computed",
            check: json!({"signature": "${header.s}", "algorithm": "hmac-sha512", "key": "${webhookSecret}"}),
            names: header(
                "s",
                "b71e82b42ece244182aae00f5c418d84b5b0ac844874765e658e91b26261b32df39e9fcbf44424d0e3b53bab192e78a4936224ec940cf953164b70aacdd4c845",
                secret("key"),
            ),
            body: "body",
            signed_at: 0,
        },
        Vector {
            name: "Sellsy's scheme, computed",
            check: json!({"signature": "${header.s}", "algorithm": "sha1", "signed": "${webhookSecret}${body}",
                "key": "${webhookSecret}"}),
            names: header("s", "f13ff5b70758591952b07918cc00c4c316547a2d", secret("s")),
            body: "body",
            signed_at: 0,
        },
    ]
}

fn judge_one(check: &Value, names: &Value, body: &[u8], now: i64) -> Result<Proof, Unproven> {
    let check: Check = serde_json::from_value(check.clone()).unwrap();
    let names = names.as_object().unwrap();
    let now = DateTime::from_timestamp(now, 0).unwrap();
    judge(&[check], &Context::new(now, "").credentials(names), body, now, Elsewhere::default())
}

#[test]
fn published_and_computed_vectors_hold() {
    for vector in vectors() {
        let (check, names, body) = (&vector.check, &vector.names, vector.body.as_bytes());
        let judged = judge_one(check, names, body, vector.signed_at);
        assert!(judged.as_ref().is_ok_and(|proof| proof.is_given), "{}: {judged:?}", vector.name);
        assert_eq!(judged.unwrap().once.is_some(), vector.signed_at > 0, "{}", vector.name);

        let other_body = [body, b" "].concat();
        let refused = judge_one(check, names, &other_body, vector.signed_at);
        assert_eq!(refused, Err(Unproven::WrongSignature), "{}: another body", vector.name);
        if vector.signed_at > 0 {
            for offset in [-301, 301] {
                let late = judge_one(check, names, body, vector.signed_at + offset);
                assert_eq!(late, Err(Unproven::WrongTime), "{}: {offset} s", vector.name);
            }
            assert!(judge_one(check, names, body, vector.signed_at + 300).is_ok());
        }
        let mut keyless = names.clone();
        keyless.as_object_mut().unwrap().retain(|name, _| name == "header");
        let judged = judge_one(check, &keyless, body, vector.signed_at);
        assert_eq!(judged, Err(Unproven::NoKey), "{}: no key", vector.name);
        let mut unsigned = names.clone();
        unsigned["header"] = json!({});
        let judged = judge_one(check, &unsigned, body, vector.signed_at);
        assert_eq!(judged, Err(Unproven::MissingSignature), "{}: no signature", vector.name);
    }
}

#[test]
fn signatures_that_are_none_fit_nothing() {
    let vector = &vectors()[0];
    for text in ["sha256=", "sha256=75", "sha256=zz", "757107", "sha1=757107", "sha256=é", "\u{0}"] {
        let mut names = vector.names.clone();
        names["header"]["x-hub-signature-256"] = text.into();
        let judged = judge_one(&vector.check, &names, vector.body.as_bytes(), 0);
        assert_eq!(judged, Err(Unproven::WrongSignature), "{text:?}");
    }
}

#[test]
fn tokens_are_compared_and_optional_checks_wait_for_a_key() {
    let check = json!({"signature": "${header.token}", "algorithm": "token", "key": "${webhookSecret}"});
    let judge_token = |names: Value| judge_one(&check, &names, b"", 0);
    assert!(judge_token(json!({"header": {"token": "a"}, "webhookSecret": "a"})).unwrap().is_given);
    for (names, expected) in [
        (json!({"header": {"token": "b"}, "webhookSecret": "a"}), Unproven::WrongSignature),
        (json!({"header": {"token": "aa"}, "webhookSecret": "a"}), Unproven::WrongSignature),
        (json!({"header": {"token": ""}, "webhookSecret": "a"}), Unproven::MissingToken),
        (json!({"header": {}, "webhookSecret": "a"}), Unproven::MissingToken),
        (json!({"header": {"token": "a"}, "webhookSecret": ""}), Unproven::NoKey),
        (json!({"header": {}}), Unproven::NoKey),
    ] {
        assert_eq!(judge_token(names.clone()), Err(expected), "{names}");
    }
    let mut optional = check.clone();
    optional["optional"] = true.into();
    assert_eq!(judge_one(&optional, &json!({"header": {"token": "x"}}), b"", 0), Ok(Proof::NONE));
    let refused = judge_one(&optional, &json!({"header": {}, "webhookSecret": "a"}), b"", 0);
    assert_eq!(refused, Err(Unproven::MissingToken));
}

#[test]
fn a_key_of_the_connection_or_of_a_document_is_asked_for_last() {
    for (key, more) in [
        ("${metadata.s}", json!({})),
        ("${fetchedKey}", json!({"key_document": {"url": "${body.u}", "origins": [], "member": "k"}})),
    ] {
        let mut check = json!({"signature": "${header.s}", "algorithm": "hmac-sha256", "key": key});
        check.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        assert_eq!(judge_one(&check, &json!({"header": {}}), b"", 0), Err(Unproven::MissingSignature));
        assert_eq!(judge_one(&check, &json!({"header": {"s": "00"}}), b"", 0), Err(Unproven::NoKey));
    }
}

#[test]
fn times_may_be_in_the_body_and_absent_there() {
    let check = json!({"signature": "${header.s}", "algorithm": "token", "key": "k", "timestamp":
        {"value": "${body.at}", "unit": "milliseconds", "tolerance": 60, "optional": true}});
    let judge_at =
        |at: Value| judge_one(&check, &json!({"header": {"s": "k"}, "body": {"at": at}}), b"", 100);
    assert_eq!(judge_at(json!(100_000)).unwrap().once.as_deref(), Some("k"));
    assert_eq!(judge_at(json!(null)).unwrap().once, None);
    for at in [json!(161_000), json!("soon"), json!(i64::MAX)] {
        assert_eq!(judge_at(at), Err(Unproven::WrongTime));
    }
}

#[test]
fn tokens_of_an_issuer_are_judged() {
    let check: Check = serde_json::from_value(json!({
        "signature": "${header.authorization}", "prefix": "Bearer ", "algorithm": "jwt",
        "jwt": {"keys": "https://keys.test", "issuer": "https://accounts.google.com", "audience": ["${webhookUrl}"]},
    }))
    .unwrap();
    let rsa = RsaKey::read(include_str!("../../../auth/test_rsa_key.pem")).unwrap();
    let keys = json!({"keys": [{"kid": "other", "n": "AQAB", "e": "AQAB"}, {"kid": "a", "n": MODULUS, "e": "AQAB"}]});
    let now = DateTime::from_timestamp(1_000, 0).unwrap();
    let judge_claims = |claims: &Value, keys: Option<&Value>, spoil: bool| {
        let token = rsa.sign_jwt(claims).unwrap();
        let token = if spoil { token.replace('.', ".A") } else { token };
        let mut names = Map::new();
        names.insert("header".to_owned(), json!({"authorization": format!("Bearer {token}")}));
        names.insert("webhookUrl".to_owned(), json!("https://me.test/hook"));
        let elsewhere = Elsewhere { document: keys, ..Elsewhere::default() };
        judge(std::slice::from_ref(&check), &Context::new(now, "").credentials(&names), b"", now, elsewhere)
    };
    let good = json!({"iss": "https://accounts.google.com", "aud": "https://me.test/hook", "exp": 1_060});
    assert!(judge_claims(&good, Some(&keys), false).unwrap().is_given);
    let cases = [
        (json!({"iss": "https://evil.test"}), Unproven::WrongSignature),
        (json!({"aud": "https://you.test/hook"}), Unproven::WrongSignature),
        (json!({"aud": null}), Unproven::WrongSignature),
        (json!({"exp": 940}), Unproven::WrongTime),
        (json!({"exp": null}), Unproven::WrongTime),
        (json!({"nbf": 1_061}), Unproven::WrongTime),
    ];
    for (change, expected) in cases {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        assert_eq!(judge_claims(&claims, Some(&keys), false), Err(expected), "{change}");
    }
    let mut several = good.clone();
    several["aud"] = json!(["x", "https://me.test/hook"]);
    assert!(judge_claims(&several, Some(&keys), false).is_ok());
    assert_eq!(judge_claims(&good, Some(&keys), true), Err(Unproven::WrongSignature));
    assert_eq!(judge_claims(&good, None, false), Err(Unproven::NoKey));
    let others = json!({"keys": [{"kid": "b", "n": "AQAB", "e": "AQAB"}]});
    assert_eq!(judge_claims(&good, Some(&others), false), Err(Unproven::WrongSignature));
}
