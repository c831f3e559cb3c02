use std::collections::BTreeSet;
use std::future::pending;
use std::net::SocketAddr;

use actix_web::{App, HttpServer};
use axum::Router;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use support::{serve_app, within};
use tokio::net::TcpListener;
use voipbin_receiver::inbox::RecordState;
use voipbin_receiver::mount::Server;

use crate::fixture::{Fixture, TOKEN};

async fn fixture() -> Fixture {
    let fixture = Fixture::new().await;
    for number in 0..60 {
        let body = format!(r#"{{"type":"call_hangup","data":{{"id":"fails-{number}"}}}}"#);
        fixture.deliver(body).await;
    }
    fixture.deliver_forged("{}").await;
    fixture.latest(RecordState::Dead).await;
    fixture
}

/// Follows all links from a page, and looks at what forms lead to. Each must be there, and below
/// the page.
async fn walk(address: SocketAddr, home: &str) {
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let (mut seen, mut open) = (BTreeSet::new(), vec![home.to_owned()]);
    while let Some(path) = open.pop() {
        if !seen.insert(path.clone()) {
            continue;
        }
        assert!(path.starts_with(home), "{path} is not below {home}");
        let request = http::Request::get(format!("http://{address}{path}"))
            .header("authorization", format!("Bearer {TOKEN}"))
            .body(Full::default())
            .unwrap();
        let response = within(client.request(request)).await.unwrap();
        let status = response.status();
        assert!(
            status.is_success()
                || [
                    "/sign-out",
                    "/retry",
                    "/discard",
                    "/cancel",
                    "/pause",
                    "/edit"
                ]
                .iter()
                .any(|form| path.ends_with(form)),
            "{path}: {status}"
        );
        let page = response.into_body().collect().await.unwrap().to_bytes();
        let page = String::from_utf8(page.to_vec()).unwrap();
        for attribute in [" href=\"", " action=\"", " src=\""] {
            for link in page.split(attribute).skip(1) {
                let link = link
                    .split('"')
                    .next()
                    .unwrap()
                    .replace("&#38;", "&")
                    .replace("&amp;", "&");
                assert!(
                    !link.starts_with('/') && !link.contains("://"),
                    "{path}: {link}"
                );
                if !link.starts_with('#') {
                    open.push(resolve(&path, &link));
                }
            }
        }
    }
    for page in [
        "events",
        "dead",
        "dead/revealed",
        "refused",
        "handlers",
        "settings",
        "bulk",
    ] {
        assert!(
            seen.contains(&format!("{home}{page}")),
            "{page} of {seen:?}"
        );
    }
    let events = seen.iter().filter(|path| path.contains("/events/"));
    assert!(events.count() > 100, "both pages of events: {seen:?}");
}

/// RFC 3986, section 5.2, for the links that there are.
fn resolve(base: &str, link: &str) -> String {
    let base = base.split('?').next().unwrap();
    let folder = base.rsplit_once('/').unwrap().0;
    let mut segments: Vec<&str> = folder.split('/').collect();
    let (path, query) = match link.split_once('?') {
        Some((path, query)) => (path, format!("?{query}")),
        None => (link, String::new()),
    };
    let parts: Vec<&str> = path.split('/').collect();
    let (last, folders) = parts.split_last().unwrap();
    for part in folders {
        match *part {
            "." => {}
            ".." => drop(segments.pop()),
            part => segments.push(part),
        }
    }
    format!("{}/{last}{query}", segments.join("/"))
}

#[tokio::test]
async fn all_links_lead_somewhere_below_a_prefix_that_axum_takes_off() {
    let fixture = fixture().await;
    let app = Router::new().nest_service("/ops/inspector/", fixture.inspector.clone());
    walk(serve_app(app).await, "/ops/inspector/").await;
}

#[tokio::test]
async fn all_links_lead_somewhere_below_a_prefix_that_is_left_on() {
    let fixture = fixture().await;
    let app = Router::new()
        .route_service("/events/dead/{*rest}", fixture.inspector.clone())
        .route_service("/events/dead/", fixture.inspector.clone());
    walk(serve_app(app).await, "/events/dead/").await;
}

#[tokio::test]
async fn all_links_lead_somewhere_at_the_root_of_a_server_of_its_own() {
    let fixture = fixture().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let inspector = fixture.inspector.clone();
    tokio::spawn(async { Server::new().serve(listener, inspector, pending()).await });
    walk(address, "/").await;
}

#[tokio::test]
async fn all_links_lead_somewhere_in_a_scope_of_actix_web() {
    let fixture = fixture().await;
    let inspector = fixture.inspector.clone();
    let server = HttpServer::new(move || {
        let scope = actix_web::web::scope("/ops").service(inspector.actix("/inspector"));
        App::new().service(scope)
    });
    let server = server
        .workers(1)
        .disable_signals()
        .bind("127.0.0.1:0")
        .unwrap();
    let address = server.addrs()[0];
    tokio::spawn(server.run());
    walk(address, "/ops/inspector/").await;
}
