//! What is seen of a destination before it is set.

use axum::Router;
use axum::response::Redirect;
use axum::routing::post;
use http::StatusCode;
use support::platform::Platform;
use support::{PATH, builder as receiver, serve_app, serve_hyper, within};
use voipbin_receiver::catalog::Any;
use voipbin_receiver::platform::Warning;

use crate::platform::client;

async fn warnings(uri: &str) -> Vec<Warning> {
    let stand_in = Platform::start().await;
    let destination = client(&stand_in).destination().allow_private_hosts();
    let change = destination.set(uri, "POST").await.unwrap();
    assert_eq!(stand_in.customer()["webhook_uri"], uri);
    // Whoever answers there is not shown who asks.
    change.warnings().to_vec()
}

#[tokio::test]
async fn a_receiver_of_this_crate_is_recognised() {
    within(async {
        let receiver = receiver().on(Any, || async {}).build().unwrap();
        let address = serve_hyper(receiver.service()).await;
        let uri = format!("http://{address}{PATH}");
        assert_eq!(warnings(&uri).await, [Warning::PlainHttp]);
        assert_eq!(receiver.stats().accepted, 0);
    })
    .await;
}

#[tokio::test]
async fn anything_else_is_warned_of() {
    within(async {
        let app = Router::new()
            .route("/moved", post(|| async { Redirect::permanent("/hook") }))
            .route("/hook", post(|| async { r#"{"status":"received"}"# }))
            .route(
                "/login",
                post(|| async { (StatusCode::UNAUTHORIZED, "who are you?") }),
            );
        let address = serve_app(app).await;
        let uri = |path: &str| format!("http://{address}{path}");
        for (path, warning) in [
            ("/moved", Warning::Redirects(StatusCode::PERMANENT_REDIRECT)),
            ("/hook", Warning::NotThisReceiver(StatusCode::OK)),
            ("/login", Warning::NotThisReceiver(StatusCode::UNAUTHORIZED)),
            ("/nowhere", Warning::NotThisReceiver(StatusCode::NOT_FOUND)),
        ] {
            assert_eq!(
                warnings(&uri(path)).await,
                [Warning::PlainHttp, warning],
                "{path}"
            );
        }
        let nobody = warnings("http://127.0.0.1:1/").await;
        assert_eq!(nobody, [Warning::PlainHttp, Warning::NoAnswer]);
    })
    .await;
}
