//! Signing in with the token, and out.

use askama::Template;
use http::StatusCode;

use super::{Answer, Call, Problem, problem};
use crate::inspector::access::{Anyone, Reader};
use crate::inspector::response::PageResponse;
use crate::inspector::route::ASSETS;
use crate::inspector::site::Site;

#[derive(Template)]
#[template(path = "inspector/sign_in.html")]
struct Form<'a> {
    root: &'a str,
    icon: &'static str,
    told: &'a str,
}

/// What somebody without access is answered, whatever they ask for.
pub(in crate::inspector) fn refuse(site: &Site, root: &str) -> PageResponse {
    match site.authority.has_token() {
        true => unauthorized(root, ""),
        false => problem(StatusCode::FORBIDDEN, root, "You may not see this page."),
    }
}

fn unauthorized(root: &str, told: &str) -> PageResponse {
    let form = form(root, told).status(StatusCode::UNAUTHORIZED);
    form.authenticate("Bearer")
}

fn form(root: &str, told: &str) -> PageResponse {
    let icon = &ASSETS.icon.name;
    PageResponse::page(&Form { root, icon, told })
}

pub(super) async fn sign_in_page(Call { site, request, .. }: Call<Reader>) -> Answer {
    match site.authority.has_token() {
        true => Ok(form(request.root, "")),
        false => Err(Problem::NotFound),
    }
}

pub(super) async fn sign_in(Call { site, request, .. }: Call<Anyone>) -> Answer {
    let given = request.form("token").unwrap_or_default();
    if site.authority.is_token(given) {
        let home = PageResponse::see_other(request.root.to_owned());
        return Ok(home.cookie(site.authority.sign_in(site.now())));
    }
    if site.sign_ins.allow(site.journal.monotonic()) {
        tracing::warn!(
            "somebody tried to sign in to the inspector with a wrong token; of more tries, one a minute is told here"
        );
    }
    Ok(match site.authority.has_token() {
        true => unauthorized(request.root, "This is not the token."),
        false => problem(
            StatusCode::FORBIDDEN,
            request.root,
            "You may not see this page.",
        ),
    })
}

pub(super) async fn sign_out(Call { site, request, .. }: Call<Reader>) -> Answer {
    let home = PageResponse::see_other(request.root.to_owned());
    Ok(home.cookie(site.authority.sign_out()))
}
