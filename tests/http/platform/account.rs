//! What holds for the stand-in and for a real account.

use std::time::Duration;

use support::{platform, within};
use tokio::sync::{Mutex, MutexGuard};
use voipbin_receiver::platform::{
    Credential, Customer, DestinationErrorKind, NewAccessKey, Platform, PlatformErrorKind, Target,
};

use crate::platform::{HOOK, client};

/// One test at a time: there may be one account.
async fn account() -> (Platform, MutexGuard<'static, ()>) {
    static TURN: Mutex<()> = Mutex::const_new(());
    let turn = TURN.lock().await;
    let platform = match std::env::var_os("VOIPBIN_TEST_CREDENTIAL") {
        Some(file) => {
            let credential = Credential::from_file(file).unwrap();
            Platform::builder().credential(credential).build().unwrap()
        }
        None => client(&platform::Platform::start().await),
    };
    (platform, turn)
}

/// What a change of the webhook must leave alone.
fn others(customer: &Customer) -> [String; 5] {
    let Customer {
        name,
        detail,
        email,
        phone_number,
        address,
        ..
    } = customer.clone();
    [name, detail, email, phone_number, address]
}

#[tokio::test]
async fn a_put_takes_seven_fields_and_the_other_five_survive_a_change() {
    within(async {
        let (platform, _turn) = account().await;
        let before = platform.customer().await.unwrap();
        let change = platform
            .destination()
            .without_probe()
            .set(HOOK, "POST")
            .await
            .unwrap();
        let after = platform.customer().await.unwrap();
        assert_eq!(others(&after), others(&before));
        assert_eq!(
            (&*after.webhook_uri, &*after.webhook_method),
            (HOOK, "POST")
        );
        assert!(change.is_change() && change.after().uri() == HOOK);
        assert_eq!(change.before().uri(), before.webhook_uri);

        let undone = platform.destination().undo(&change).await.unwrap();
        let restored = platform.customer().await.unwrap();
        assert_eq!(others(&restored), others(&before));
        assert_eq!(restored.webhook_uri, before.webhook_uri);
        assert_eq!(restored.webhook_method, before.webhook_method);
        assert_eq!(undone.after(), change.before());
    })
    .await;
}

#[tokio::test]
async fn what_is_empty_is_absent_and_read_as_empty() {
    within(async {
        let (platform, _turn) = account().await;
        let destination = platform.destination().without_probe();
        let set = destination.set(HOOK, "POST").await.unwrap();
        let off = destination.disable().await.unwrap();
        let target = destination.get().await.unwrap();
        assert!(target.is_off());
        assert_eq!(target, Target::new("", "POST"));
        assert_eq!(off.before(), set.after());
        let _ = destination.undo(&off).await.unwrap();
        let _ = destination.undo(&set).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn the_webhooks_of_the_tutorial_are_no_route() {
    within(async {
        let (platform, _turn) = account().await;
        let error = platform.webhooks().list().await.unwrap_err();
        assert_eq!(error.kind(), PlatformErrorKind::NoRoute);
        assert_eq!(error.reason(), Some("ROUTE_NOT_FOUND"));
        assert!(error.request_id().is_some());
    })
    .await;
}

#[tokio::test]
async fn the_customer_has_the_secret_that_events_are_signed_with() {
    within(async {
        let (platform, _turn) = account().await;
        let customer = platform.customer().await.unwrap();
        let length = customer.webhook_secret.unwrap().expose().len();
        assert!([32, 64].contains(&length), "{length}");
        assert!(!customer.id.is_empty());
    })
    .await;
}

#[tokio::test]
async fn an_access_key_is_shown_once_listed_renamed_and_deleted() {
    within(async {
        let (platform, _turn) = account().await;
        let keys = platform.access_keys();
        let day = Duration::from_secs(86_400);
        let short = keys
            .create(&NewAccessKey::new("test", day / 2))
            .await
            .unwrap_err();
        assert_eq!(short.kind(), PlatformErrorKind::Request);

        let mut made = Vec::new();
        for name in ["one", "two", "three"] {
            made.push(
                keys.create(&NewAccessKey::new(name, day).detail("a test"))
                    .await
                    .unwrap(),
            );
        }
        let own = platform
            .with_credential(&made[0].credential().unwrap())
            .unwrap();
        own.customer().await.unwrap();

        // More than a page of the stand-in.
        let listed = keys.list().await.unwrap();
        for key in &made {
            let listed = listed.iter().find(|listed| listed.id == key.id).unwrap();
            assert_eq!(listed.name, key.name);
            assert!(listed.credential().is_none() && listed.token_prefix.starts_with("vb_"));
        }
        keys.rename(&made[0].id, "another", "").await.unwrap();
        assert_eq!(keys.get(&made[0].id).await.unwrap().name, "another");
        for key in &made {
            keys.delete(&key.id).await.unwrap();
        }
        let gone = own.customer().await.unwrap_err();
        assert_eq!(gone.kind(), PlatformErrorKind::Authentication);
    })
    .await;
}

#[tokio::test]
async fn a_change_of_another_account_is_not_undone_here() {
    within(async {
        let (platform, _turn) = account().await;
        let here = platform.destination().get().await.unwrap();
        let change = voipbin_receiver::platform::Change::new("another", Target::new("", ""), here);
        let error = platform.destination().undo(&change).await.unwrap_err();
        assert_eq!(error.kind(), &DestinationErrorKind::OtherCustomer);
    })
    .await;
}
