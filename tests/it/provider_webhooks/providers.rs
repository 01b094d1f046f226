//! Every routing script of the published catalog that this server has: a right request reaches its connection, a wrong or
//! unsigned one nobody. Signatures are computed here with the schemes of the specification's table.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hitchpost::crypto::{hmac_sha256, sha256};
use ring::hmac;
use serde_json::{Value, json};

use super::{CLIENT_SECRET, HOOK_SECRET, World, accepted, hmac_hex, refused};
use crate::support::client::Ask;
use crate::support::run;

/// How a provider signs: the headers of a request with this body at this time (seconds).
type Sign = fn(body: &str, time: i64) -> Vec<(&'static str, String)>;

struct Row {
    script: &'static str,
    sign: Sign,
    /// What the right connection has.
    config: Value,
    metadata: Value,
    /// Further headers, and the query.
    headers: &'static [(&'static str, &'static str)],
    query: &'static str,
    body: &'static str,
    event: Option<&'static str>,
}

const UNSIGNED: Sign = |_, _| Vec::new();
const CONNECTION_SECRET: &str = "of the connection";
/// 32 bytes.
const STANDARD_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=";

fn base64_hmac(key: &str, body: &str) -> String {
    STANDARD.encode(hmac_sha256(key.as_bytes(), body.as_bytes()))
}

fn sha1_hmac(key: &str, body: &str) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key.as_bytes());
    hmac::sign(&key, body.as_bytes()).as_ref().to_vec()
}

/// Standard Webhooks; the id is the name of its header.
fn standard(secret: &str, names: [&'static str; 3], body: &str, time: i64) -> Vec<(&'static str, String)> {
    let key = STANDARD.decode(secret.trim_start_matches("whsec_")).expect("base64");
    let digest = hmac_sha256(&key, format!("{}.{time}.{body}", names[0]).as_bytes());
    let signature = format!("v1,AAAA v1,{}", STANDARD.encode(digest));
    vec![(names[0], names[0].to_owned()), (names[1], time.to_string()), (names[2], signature)]
}

const OWN: [&str; 3] = ["webhook-id", "webhook-timestamp", "webhook-signature"];
const SVIX: [&str; 3] = ["svix-id", "svix-timestamp", "svix-signature"];

fn row(script: &'static str, sign: Sign, config: Value, body: &'static str) -> Row {
    Row { script, sign, config, metadata: json!({}), headers: &[], query: "", body, event: None }
}

impl Row {
    fn event(self, event: &'static str) -> Self {
        Row { event: Some(event), ..self }
    }

    fn metadata(self, metadata: Value) -> Self {
        Row { metadata, ..self }
    }

    fn headers(self, headers: &'static [(&'static str, &'static str)]) -> Self {
        Row { headers, ..self }
    }

    fn query(self, query: &'static str) -> Self {
        Row { query, ..self }
    }
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn rows() -> Vec<Row> {
    vec![
        row("airtableWebhookRouting", UNSIGNED, json!({}), r#"{"webhook":{"id":"w1"}}"#)
            .metadata(json!({"webhooks": ["w0", "w1"]})),
        row(
            "attioWebhookRouting",
            |body, _| vec![("attio-signature", hmac_hex(HOOK_SECRET, body))],
            json!({"workspace_id": "w1"}),
            r#"{"events":[{"event_type":"record.created","id":{"workspace_id":"w1"}}]}"#,
        )
        .event("record.created"),
        row(
            "attioWebhookRouting",
            |body, _| vec![("x-attio-signature", hmac_hex(HOOK_SECRET, body))],
            json!({"workspace_id": "w1"}),
            r#"{"events":[{"id":{"workspace_id":"w1"}}]}"#,
        ),
        row(
            "autotaskWebhookRouting",
            |body, _| vec![("x-hook-signature", format!("sha1={}", STANDARD.encode(sha1_hmac(HOOK_SECRET, body))))],
            json!({"webhookGuid": "g1"}),
            r#"{"Guid":"g1","EntityType":"Account"}"#,
        )
        .event("Account"),
        row(
            "calComWebhookRouting",
            |body, _| vec![("x-cal-signature-256", hmac_hex(HOOK_SECRET, body))],
            json!({}),
            r#"{"triggerEvent":"BOOKING_CREATED"}"#,
        )
        .query("?nangoConnectionId=right")
        .event("BOOKING_CREATED"),
        row(
            "calComWebhookRouting",
            |body, _| vec![("x-cal-signature-256", hmac_hex(HOOK_SECRET, body))],
            json!({}),
            r#"{"nangoConnectionId":"right"}"#,
        ),
        row(
            "calendlyWebhookRouting",
            |body, time| {
                let signature = hmac_hex(HOOK_SECRET, &format!("{time}.{body}"));
                vec![("calendly-webhook-signature", format!("t={time},v1={signature}"))]
            },
            json!({"owner": "https://api.calendly.com/users/A"}),
            r#"{"event":"invitee.created","created_by":"https://api.calendly.com/users/A"}"#,
        )
        .event("invitee.created"),
        row(
            "checkrPartnerWebhookRouting",
            |body, _| vec![("x-checkr-signature", hmac_hex(HOOK_SECRET, body))],
            json!({"checkr_account_id": "a1"}),
            r#"{"type":"report.completed","account_id":"a1"}"#,
        )
        .event("report.completed"),
        row(
            "fathomWebhookRouting",
            |body, time| standard(STANDARD_SECRET, OWN, body, time),
            json!({}),
            r#"{"recorded_by":{"email":"a@b.c"}}"#,
        )
        .metadata(json!({"emailAddress": "a@b.c"})),
        row(
            "fathomWebhookRouting",
            |body, time| standard(STANDARD_SECRET, SVIX, body, time),
            json!({}),
            r#"{"recorded_by":{"email":"a@b.c"}}"#,
        )
        .metadata(json!({"emailAddress": "a@b.c"})),
        row("filloutWebhookRouting", UNSIGNED, json!({}), r#"[{"formId":"f1","type":"submission"}]"#)
            .metadata(json!({"formId": "f1"}))
            .event("submission"),
        row(
            "folkWebhookRouting",
            |body, time| standard(STANDARD_SECRET, OWN, body, time - 4000),
            json!({}),
            r#"{"type":"person.created"}"#,
        )
        .query("?nangoConnectionId=right")
        .event("person.created"),
        row(
            "gitlabWebhookRouting",
            |_, _| vec![("x-gitlab-token", CONNECTION_SECRET.to_owned())],
            json!({}),
            r#"{"nangoConnectionId":"right"}"#,
        )
        .metadata(json!({"webhookSecret": CONNECTION_SECRET}))
        .headers(&[("x-gitlab-event", "Push Hook")])
        .event("Push Hook"),
        row(
            "gitlabWebhookRouting",
            |body, time| standard(STANDARD_SECRET, OWN, body, time),
            json!({}),
            "{}",
        )
        .metadata(json!({"webhookSecret": STANDARD_SECRET}))
        .query("?nangoConnectionId=right"),
        row(
            "googleWebhookRouting",
            |_, _| vec![("x-goog-channel-token", HOOK_SECRET.to_owned())],
            json!({}),
            "",
        )
        .metadata(json!({"googleCalendarWatchResourceUris": ["https://www.googleapis.com/x"]}))
        .headers(&[("x-goog-resource-uri", "https://www.googleapis.com/x"), ("x-goog-resource-state", "sync")])
        .event("sync"),
        row(
            "googleCalendarWebhookRouting",
            |_, _| vec![("x-goog-channel-token", HOOK_SECRET.to_owned())],
            json!({"emailAddressHash": "5add75e13c8e3e64453b46dad8578739075c2ee7cc5e9c8fbc805a0909c39864"}),
            "",
        )
        .headers(&[
            (
                "x-goog-resource-uri",
                "https://www.googleapis.com/calendar/v3/calendars/jane%40example.com/events?alt=json",
            ),
            ("x-goog-resource-state", "exists"),
        ])
        .event("exists"),
        row(
            "googleDriveWebhookRouting",
            |_, _| vec![("x-goog-channel-token", HOOK_SECRET.to_owned())],
            json!({}),
            "{}",
        )
        .metadata(json!({"googleDriveWatchResourceIds": ["r1"]}))
        .headers(&[("x-goog-resource-id", "r1"), ("x-goog-resource-state", "change")])
        .event("change"),
        row(
            "hubspotWebhookRouting",
            |body, _| {
                let digest = sha256(format!("{CLIENT_SECRET}{body}").as_bytes());
                vec![("x-hubspot-signature", hex::encode(digest))]
            },
            json!({"portalId": "62515"}),
            r#"[{"subscriptionType":"contact.creation","portalId":62515,"objectId":1}]"#,
        )
        .event("contact.creation"),
        row(
            "jiraWebhookRouting",
            |body, _| vec![("x-hub-signature", format!("sha256={}", hmac_hex(HOOK_SECRET, body)))],
            json!({"baseUrl": "https://acme.atlassian.net"}),
            r#"{"webhookEvent":"jira:issue_created","issue":{"self":"https://acme.atlassian.net/rest/api/2/issue/1"}}"#,
        )
        .event("jira:issue_created"),
        row(
            "jobberWebhookRouting",
            |body, _| vec![("x-jobber-hmac-sha256", base64_hmac(CLIENT_SECRET, body))],
            json!({"accountId": "a1"}),
            r#"{"data":{"webHookEvent":{"topic":"CLIENT_CREATE","accountId":"a1"}}}"#,
        )
        .event("CLIENT_CREATE"),
        row(
            "linearWebhookRouting",
            |body, _| vec![("linear-signature", hmac_hex(HOOK_SECRET, body))],
            json!({"organizationId": "o1"}),
            r#"{"type":"Issue","organizationId":"o1"}"#,
        )
        .event("Issue"),
        row("microsoftTeamsWebhookRouting", UNSIGNED, json!({"tenantId": "t1"}), r#"{"type":"message","channelData":{"tenant":{"id":"t1"}}}"#)
            .event("message"),
        row(
            "notionWebhookRouting",
            |body, _| vec![("x-notion-signature", format!("sha256={}", hmac_hex(HOOK_SECRET, body)))],
            json!({"workspace_id": "w1"}),
            r#"{"id":"e1","type":"page.created","workspace_id":"w1"}"#,
        )
        .event("page.created"),
        row(
            "pagerdutyWebhookRouting",
            |body, _| vec![("x-pagerduty-signature", format!("v1=00,v1={}", hmac_hex(CONNECTION_SECRET, body)))],
            json!({}),
            r#"{"event":{"id":"e1","event_type":"incident.triggered"}}"#,
        )
        .metadata(json!({"webhookSecret": [CONNECTION_SECRET]}))
        .headers(&[("x-nango-connection-id", "right")])
        .event("incident.triggered"),
        row("salesforceWebhookRouting", UNSIGNED, json!({}), r#"{"nango":{"connectionId":"right","eventType":"a"}}"#)
            .event("a"),
        row(
            "sellsyWebhookRouting",
            |body, _| {
                let digest = ring::digest::digest(
                    &ring::digest::SHA1_FOR_LEGACY_USE_ONLY,
                    format!("{HOOK_SECRET}{body}").as_bytes(),
                );
                vec![("x-webhook-signature", hex::encode(digest))]
            },
            json!({"corpid": "c1"}),
            r#"{"corpid":"c1","relatedtype":"client","event":"created"}"#,
        )
        .event("client.created"),
        row(
            "sentryOauthWebhookRouting",
            |body, _| vec![("sentry-hook-signature", hmac_hex(CLIENT_SECRET, body))],
            json!({"installation_id": "i1"}),
            r#"{"action":"triggered","installation":{"id":"i1"}}"#,
        )
        .event("triggered"),
        row("shipstationWebhookRouting", UNSIGNED, json!({}), r#"{"resource_type":"ORDER_NOTIFY","resource_url":"https://ssapi.shipstation.com/orders?storeID=se-12&batch=1"}"#)
            .metadata(json!({"storeId": 12}))
            .event("ORDER_NOTIFY"),
        row("shipstationWebhookRouting", UNSIGNED, json!({}), "{}").headers(&[("x-nango-connection-id", "right")]),
        row(
            "shopifyWebhookRouting",
            |body, _| vec![("x-shopify-hmac-sha256", base64_hmac(CLIENT_SECRET, body))],
            json!({"subdomain": "acme"}),
            r#"{"id":1}"#,
        )
        .headers(&[("x-shopify-shop-domain", "acme.myshopify.com"), ("x-shopify-topic", "orders/create")])
        .event("orders/create"),
        row(
            "shopifyWebhookRouting",
            |body, _| vec![("x-shopify-hmac-sha256", base64_hmac(HOOK_SECRET, body))],
            json!({"subdomain": "acme"}),
            r#"{"id":2}"#,
        )
        .headers(&[("x-shopify-shop-domain", "acme.myshopify.com")]),
        row(
            "slackWebhookRouting",
            |body, time| {
                let signature = hmac_hex(HOOK_SECRET, &format!("v0:{time}:{body}"));
                vec![("x-slack-signature", format!("v0={signature}")), ("x-slack-request-timestamp", time.to_string())]
            },
            json!({"team.id": "T1"}),
            r#"{"type":"event_callback","team_id":"T1"}"#,
        )
        .event("event_callback"),
        row(
            "streakWebhookRouting",
            |_, _| vec![("x-streak-webhook-token", "tok".to_owned())],
            json!({"streakWebhookToken": "tok"}),
            "{}",
        ),
        row("unauthenticatedWebhookRouting", UNSIGNED, json!({}), r#"{"connectionId":"right","type":"t"}"#).event("t"),
        row(
            "videoaskWebhookRouting",
            |_, _| vec![("nango-webhook-secret", HOOK_SECRET.to_owned())],
            json!({}),
            r#"{"type":"form_response"}"#,
        )
        .headers(&[("nango-connection-id", "right")])
        .event("form_response"),
        row(
            "xeroWebhookRouting",
            |body, _| vec![("x-xero-signature", base64_hmac(HOOK_SECRET, body))],
            json!({"tenant_id": "t1"}),
            r#"{"events":[{"eventType":"UPDATE","tenantId":"t1"}]}"#,
        )
        .event("UPDATE"),
        row(
            "zoomWebhookRouting",
            |body, time| {
                let signature = hmac_hex(HOOK_SECRET, &format!("v0:{time}:{body}"));
                vec![("x-zm-signature", format!("v0={signature}")), ("x-zm-request-timestamp", time.to_string())]
            },
            json!({"accountId": "a1"}),
            r#"{"event":"meeting.started","payload":{"account_id":"a1"}}"#,
        )
        .event("meeting.started"),
    ]
}

impl Row {
    fn request(&self, world: &World, body: &str, signed: &[(&str, String)]) -> Ask {
        let mut request = world.post(&format!("{}{}", self.script, self.query), body);
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        signed.iter().fold(request, |request, (name, value)| request.header(name, value))
    }
}

#[test]
fn each_provider_reaches_its_connection_and_no_forger_does() {
    run(async {
        let rows = rows();
        let mut scripts: Vec<&str> = rows.iter().map(|row| row.script).collect();
        scripts.dedup();
        let world = World::start(&scripts, json!({})).await;
        for row in &rows {
            let client = world.app.client();
            for id in ["right", "other"] {
                let path = format!("/connections/{id}?provider_config_key={}", row.script);
                client.delete(path).send().await;
            }
            world.connect(row.script, "right", row.config.clone(), row.metadata.clone()).await;
            world.connect(row.script, "other", json!({}), json!({"webhookSecret": "x"})).await;
            if row.script.starts_with("fathom") || row.script.starts_with("folk") {
                let credentials = json!({"type": "OAUTH2", "client_id": "client", "client_secret": CLIENT_SECRET,
                    "webhook_secret": STANDARD_SECRET});
                world.change(row.script, json!({ "credentials": credentials })).await;
            }
            let before = world.forwarded().await.len();
            let signed = (row.sign)(row.body, world.app.now().timestamp());
            if !signed.is_empty() {
                let (status, code) = refused(row.request(&world, row.body, &[])).await;
                assert_eq!((status, code.contains("missing")), (401, true), "{}: {code}", row.script);
                let wrong: Vec<_> = signed.iter().map(|(name, value)| (*name, spoil(value))).collect();
                let found = refused(row.request(&world, row.body, &wrong)).await;
                let is_streak = row.script.starts_with("streak");
                let expected = if is_streak { "webhook_invalid_secret" } else { "webhook_invalid_signature" };
                assert_eq!(found, (401, expected.to_owned()), "{}", row.script);
            }
            assert_eq!(world.forwarded().await.len(), before, "{}: nothing unproved", row.script);
            accepted(row.request(&world, row.body, &signed)).await;
            let forwarded = world.forwarded().await.split_off(before);
            let found: Vec<_> =
                forwarded.iter().map(|one| (one.connection_id.as_deref(), one.event.as_deref())).collect();
            assert_eq!(found, [(Some("right"), row.event)], "{}", row.script);
        }
    });
}

/// Another signature of the same form.
fn spoil(signature: &str) -> String {
    let last = if signature.ends_with(['0', '=']) { "1" } else { "0" };
    // Before the padding, where a change changes the bytes.
    let body = signature.trim_end_matches('=');
    let cut = body.len() - 2;
    format!("{}{last}{last}{}", &body[..cut], &signature[body.len()..])
}

#[test]
fn providers_without_signatures_may_concern_everybody_or_nobody() {
    run(async {
        let scripts = ["affinityWebhookRouting", "highlevelWebhookRouting", "jobdivaWebhookRouting"];
        let world = World::start(&scripts, json!({})).await;
        let [affinity, highlevel, jobdiva] = scripts;
        for script in scripts {
            world.connect(script, "one", json!({"locationId": "L1", "companyId": "C1"}), json!({})).await;
            world.connect(script, "two", json!({"companyId": "C1"}), json!({})).await;
        }
        let both = [Some("one".to_owned()), Some("two".to_owned())];
        accepted(world.post(affinity, r#"{"type":"list_entry.created"}"#)).await;
        assert_eq!(world.receivers().await, both);
        assert_eq!(world.forwarded().await[0].event.as_deref(), Some("list_entry.created"));
        let body = r#"{"type":"candidate","operation":"update"}"#;
        let signature = format!("sha1={}", hex::encode(sha1_hmac(HOOK_SECRET, body)));
        accepted(world.post(jobdiva, body).header("x-hub-signature", &signature)).await;
        assert_eq!(world.receivers().await[2..], both);
        assert_eq!(world.forwarded().await[2].event.as_deref(), Some("candidate update"));

        world.change(highlevel, json!({"accept_unverified_webhooks": true})).await;
        world.forget_secret(highlevel).await;
        for (body, expected) in [
            (r#"{"locationId":"L1","companyId":"C1"}"#, vec![Some("one".to_owned())]),
            (r#"{"altId":"L1","altType":"location"}"#, vec![Some("one".to_owned())]),
            (r#"{"locationId":"L2","companyId":"C1"}"#, vec![None]),
            (r#"{"companyId":"C1"}"#, both.to_vec()),
            (r#"{"altId":"L1","altType":"user"}"#, vec![None]),
        ] {
            let before = world.receivers().await.len();
            accepted(world.post(highlevel, body)).await;
            assert_eq!(world.receivers().await[before..], expected, "{body}");
        }
    });
}

#[test]
fn each_connection_gets_its_own_events_only() {
    run(async {
        let scripts = ["hubspotWebhookRouting", "microsoftClientCredentialsWebhookRouting"];
        let world = World::start(&scripts, json!({})).await;
        let [hubspot, graph] = scripts;
        for id in ["1", "2"] {
            world.connect(hubspot, id, json!({"portalId": id}), json!({})).await;
            world.connect(graph, id, json!({"tenantId": id}), json!({})).await;
        }
        let body = r#"[{"portalId":1,"a":1},{"portalId":2,"a":2},{"portalId":1,"a":3,"changeSource":"IMPORT"},{"portalId":1,"a":4},{"portalId":3,"a":5}]"#;
        let digest = hex::encode(sha256(format!("{CLIENT_SECRET}{body}").as_bytes()));
        accepted(world.post(hubspot, body).header("x-hubspot-signature", &digest)).await;
        let payloads: Vec<_> =
            world.forwarded().await.into_iter().map(|one| (one.connection_id, one.body)).collect();
        assert_eq!(payloads[0].1["payload"], json!([{"portalId": 1, "a": 1}, {"portalId": 1, "a": 4}]));
        assert_eq!(payloads[1].1["payload"], json!([{"portalId": 2, "a": 2}]));
        assert_eq!(payloads[2], (None, json!([{"portalId": 3, "a": 5}])));

        let item = |tenant: &str, state: &str| json!({"tenantId": tenant, "clientState": state, "changeType": "updated"});
        let send = |items: Vec<Value>| world.post(graph, json!({"value": items, "x": 1}).to_string());
        accepted(send(vec![item("1", HOOK_SECRET), item("2", "forged")])).await;
        let last = world.forwarded().await.pop().expect("a webhook");
        assert_eq!((last.connection_id.as_deref(), last.event.as_deref()), (Some("1"), Some("updated")));
        assert_eq!(last.body["payload"], json!({"value": [item("1", HOOK_SECRET)], "x": 1}));
        let count = world.receivers().await.len();
        let found = refused(send(vec![item("1", "forged")])).await;
        assert_eq!(found, (401, "webhook_invalid_signature".to_owned()));
        assert_eq!(world.receivers().await.len(), count);
    });
}

#[test]
fn google_says_everything_in_headers() {
    run(async {
        let script = "googleCalendarWebhookRouting";
        let world = World::start(&[script], json!({})).await;
        world.forget_secret(script).await;
        let uri = "https://www.googleapis.com/calendar/v3/calendars/bob@example.com/events";
        world.connect(script, "mail", json!({}), json!({"email": "bob@example.com"})).await;
        let request = world.post(script, "").header("x-goog-resource-uri", uri).header("authorization", "x");
        accepted(request.header("x-goog-channel-id", "c")).await;
        let forwarded = world.forwarded().await.pop().expect("a webhook");
        assert_eq!(forwarded.connection_id.as_deref(), Some("mail"));
        let payload = &forwarded.body["payload"];
        assert_eq!(
            (&payload["x-goog-resource-uri"], &payload["x-goog-channel-id"]),
            (&json!(uri), &json!("c"))
        );
        assert_eq!(payload.get("authorization"), None);
    });
}
