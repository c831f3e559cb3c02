//! What the stand-in does that a real account cannot be told to do.

use http::Method;
use serde_json::{Value, json};
use support::platform::{ACCESS_KEY, Fault, LOGIN, Platform, SEVEN, TOKENS};
use support::within;
use voipbin_receiver::gate::Secret;
use voipbin_receiver::platform::{
    Credential, DestinationErrorKind, PlatformErrorKind, Target, UnfitDestination, WebhookFields,
};

use crate::platform::{HOOK, builder, client};

fn texts(stand_in: &Platform) -> [String; 7] {
    let customer = stand_in.customer();
    SEVEN.map(|field| customer[field].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_put_that_leaves_fields_out_empties_them() {
    within(async {
        let stand_in = Platform::start().await;
        let put = http::Request::put(format!("{}/v1.0/customer", stand_in.url()))
            .header("cookie", format!("accesskey={ACCESS_KEY}"))
            .body(http_body_util::Full::new(bytes::Bytes::from(
                json!({"webhook_uri": HOOK, "webhook_method": "POST"}).to_string(),
            )))
            .unwrap();
        let answer = support::http_client().request(put).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(texts(&stand_in), ["", "", "", "", "", "POST", HOOK]);

        // Which a change of ours reads as what it is.
        let change = client(&stand_in).destination().disable().await.unwrap();
        assert!(change.is_change());
        assert_eq!(texts(&stand_in), ["", "", "", "", "", "POST", ""]);
    })
    .await;
}

#[tokio::test]
async fn no_put_is_sent_when_nothing_changes() {
    within(async {
        let stand_in = Platform::start().await;
        let destination = client(&stand_in).destination().without_probe();
        let _ = destination.set(HOOK, "POST").await.unwrap();
        let again = destination.set(HOOK, "POST").await.unwrap();
        assert!(!again.is_change());
        let puts = stand_in
            .lines()
            .into_iter()
            .filter(|line| line.starts_with("PUT"));
        assert_eq!(puts.count(), 1);
        let put = stand_in
            .seen()
            .into_iter()
            .find(|seen| seen.line.starts_with("PUT"))
            .unwrap();
        let body: Value = serde_json::from_slice(&put.body).unwrap();
        assert_eq!(body.as_object().unwrap().len(), 7);
        assert!(SEVEN.iter().all(|field| body[field].is_string()));
    })
    .await;
}

#[tokio::test]
async fn a_change_of_another_client_between_read_and_write_is_seen_and_told() {
    within(async {
        for field in SEVEN {
            let stand_in = Platform::start().await;
            stand_in.meddle(Method::GET, 2, move |customer| {
                customer.insert(field.to_owned(), "of another client".into());
            });
            let error = client(&stand_in)
                .destination()
                .without_probe()
                .set(HOOK, "POST")
                .await
                .unwrap_err();
            assert_eq!(error.kind(), &DestinationErrorKind::Changed(vec![field]));
            assert!(error.to_string().contains(field));
            assert!(!stand_in.lines().iter().any(|line| line.starts_with("PUT")));
            assert_eq!(stand_in.customer()[field], "of another client");
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_not_stored_as_it_was_written_is_told() {
    within(async {
        let stand_in = Platform::start().await;
        stand_in.meddle(Method::GET, 3, |customer| {
            customer.insert("email".to_owned(), "".into());
            customer.insert(
                "webhook_uri".to_owned(),
                "https://other.example.com/".into(),
            );
        });
        let destination = client(&stand_in).destination().without_probe();
        let error = destination.set(HOOK, "POST").await.unwrap_err();
        let expected = DestinationErrorKind::NotStored(vec!["email", "webhook_uri"]);
        assert_eq!(error.kind(), &expected);
        assert!(!error.to_string().contains("example.com"));
    })
    .await;
}

#[tokio::test]
async fn an_undo_restores_what_was_there_and_not_over_somebody_elses_change() {
    within(async {
        let stand_in = Platform::start().await;
        stand_in.edit(|customer| {
            customer.insert("webhook_uri".to_owned(), "http://10.0.0.1/old".into());
            customer.insert("webhook_method".to_owned(), "".into());
        });
        let before = texts(&stand_in);
        let destination = client(&stand_in).destination().without_probe();
        let change = destination.set(HOOK, "PUT").await.unwrap();
        // Other fields may change; they are kept.
        stand_in.edit(|customer| {
            customer.insert("name".to_owned(), "Renamed".into());
        });
        // What was there would be refused today.
        let undone = destination.undo(&change).await.unwrap();
        let mut expected = before;
        expected[0] = "Renamed".to_owned();
        assert_eq!(texts(&stand_in), expected);
        assert_eq!(undone.after(), &Target::new("http://10.0.0.1/old", ""));

        let redone = destination.undo(&undone).await.unwrap();
        assert_eq!(redone.after().uri(), HOOK);

        let error = destination.undo(&undone).await.unwrap_err();
        let fields = DestinationErrorKind::Changed(vec!["webhook_method", "webhook_uri"]);
        assert_eq!(error.kind(), &fields);
        assert_eq!(destination.get().await.unwrap().uri(), HOOK);
    })
    .await;
}

#[tokio::test]
async fn what_would_not_arrive_is_refused_before_anything_is_asked() {
    within(async {
        let stand_in = Platform::start().await;
        let destination = client(&stand_in).destination();
        let long = format!("https://hooks.example.com/{}", "a".repeat(1000));
        for (uri, method, refusal) in [
            ("ftp://hooks.example.com/", "POST", UnfitDestination::Scheme),
            (
                "https://jo:pw@hooks.example.com/",
                "POST",
                UnfitDestination::UserInfo,
            ),
            (
                "https://hooks.example.com/#a",
                "POST",
                UnfitDestination::Fragment,
            ),
            (
                "https://192.168.0.1/",
                "POST",
                UnfitDestination::PrivateHost,
            ),
            (
                "http://localhost:5000/",
                "POST",
                UnfitDestination::PrivateHost,
            ),
            ("http://0x7f.1/", "POST", UnfitDestination::NumericHost),
            (&long, "POST", UnfitDestination::TooLong),
            ("hooks.example.com", "POST", UnfitDestination::NotAUri),
            (HOOK, "post", UnfitDestination::Method),
            (HOOK, "", UnfitDestination::Method),
        ] {
            let error = destination.set(uri, method).await.unwrap_err();
            assert_eq!(
                error.kind(),
                &DestinationErrorKind::Refused(refusal),
                "{uri}"
            );
        }
        assert!(stand_in.seen().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_429_with_retry_after_is_waited_for_and_sent_again() {
    within(async {
        let stand_in = Platform::start().await;
        stand_in.fail([Fault::Limited(Some(1)), Fault::Limited(Some(0))]);
        let start = std::time::Instant::now();
        client(&stand_in).customer().await.unwrap();
        assert!(start.elapsed().as_secs() >= 1);
        assert_eq!(stand_in.seen().len(), 3);
    })
    .await;
}

#[tokio::test]
async fn a_429_without_retry_after_is_tried_again_and_given_up() {
    within(async {
        let stand_in = Platform::start().await;
        stand_in.fail([Fault::Limited(None); 3]);
        let error = client(&stand_in).customer().await.unwrap_err();
        assert_eq!(error.kind(), PlatformErrorKind::RateLimited);
        assert_eq!((error.retry_after(), stand_in.seen().len()), (None, 3));

        // Longer than anybody waits at a prompt.
        stand_in.fail([Fault::Limited(Some(3600))]);
        let error = client(&stand_in).customer().await.unwrap_err();
        assert_eq!(error.retry_after().unwrap().as_secs(), 3600);
        assert_eq!(stand_in.seen().len(), 4);
    })
    .await;
}

#[tokio::test]
async fn the_credential_is_a_cookie_and_never_in_a_url() {
    within(async {
        let stand_in = Platform::start().await;
        let platform = client(&stand_in);
        let password = Secret::from(LOGIN.1);
        let token = platform.login(LOGIN.0, &password).await.unwrap();
        platform.customer().await.unwrap();
        platform
            .with_credential(&token)
            .unwrap()
            .customer()
            .await
            .unwrap();
        let cookies: Vec<_> = stand_in
            .seen()
            .iter()
            .map(|seen| {
                assert!(seen.query.is_none() && !seen.headers.contains_key("authorization"));
                let cookie = seen.headers.get("cookie");
                cookie.map(|cookie| cookie.to_str().unwrap().to_owned())
            })
            .collect();
        let key = format!("accesskey={ACCESS_KEY}");
        let token = format!("token={}", TOKENS[0].0);
        assert_eq!(cookies, [None, Some(key), Some(token)]);

        let wrong = platform
            .login(LOGIN.0, &Secret::from("wrong"))
            .await
            .unwrap_err();
        assert_eq!(wrong.kind(), PlatformErrorKind::Authentication);
    })
    .await;
}

#[tokio::test]
async fn a_manager_reads_and_does_not_write_and_an_agent_does_neither() {
    within(async {
        let stand_in = Platform::start().await;
        let of = |place: usize| {
            let credential = Credential::token(TOKENS[place].0);
            builder(&stand_in).credential(credential).build().unwrap()
        };
        let (manager, agent) = (of(1), of(2));
        assert!(manager.destination().get().await.is_ok());
        let error = manager
            .destination()
            .without_probe()
            .set(HOOK, "POST")
            .await
            .unwrap_err();
        let denied = DestinationErrorKind::Platform(PlatformErrorKind::Permission);
        assert_eq!(error.kind(), &denied);
        assert_eq!(
            error.platform().unwrap().reason(),
            Some("PERMISSION_DENIED")
        );
        let error = agent.customer().await.unwrap_err();
        assert_eq!(error.kind(), PlatformErrorKind::Permission);

        stand_in.freeze();
        let error = of(0).customer().await.unwrap_err();
        assert_eq!(error.reason(), Some("ACCOUNT_FROZEN"));
    })
    .await;
}

#[tokio::test]
async fn a_platform_that_serves_the_tutorials_webhooks_is_asked_as_the_tutorial_asks() {
    within(async {
        let stand_in = Platform::start().await;
        stand_in.serve_webhooks();
        let webhooks = client(&stand_in).webhooks();
        let fields = WebhookFields {
            name: Some("calls".to_owned()),
            uri: Some(HOOK.to_owned()),
            method: Some("POST".to_owned()),
            event_types: Some(vec!["call_hungup".to_owned()]),
            ..WebhookFields::default()
        };
        let made = webhooks.create(&fields).await.unwrap();
        assert_eq!((&*made.status, &*made.uri), ("active", HOOK));
        let fields = WebhookFields {
            event_types: Some(vec![
                "call.status".to_owned(),
                "message.received".to_owned(),
            ]),
            ..WebhookFields::default()
        };
        let updated = webhooks.update(&made.id, &fields).await.unwrap();
        assert_eq!((updated.event_types.len(), &*updated.name), (2, "calls"));
        assert_eq!(webhooks.list().await.unwrap().len(), 1);
        webhooks.delete(&made.id).await.unwrap();
        assert!(webhooks.list().await.unwrap().is_empty());
        let gone = webhooks.delete(&made.id).await.unwrap_err();
        assert_eq!(gone.kind(), PlatformErrorKind::NotFound);
    })
    .await;
}
