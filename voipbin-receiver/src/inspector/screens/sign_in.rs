//! Signing in with the token, and out.

use askama::Template;
use http::StatusCode;

use super::{Endpoint, Problem, problem};
use crate::inspector::access::{Anyone, Permit, Reader};
use crate::inspector::request::Request;
use crate::inspector::response::PageResponse;
use crate::inspector::route::ASSETS;
use crate::inspector::site::Site;

pub(super) struct SignInPage;
pub(super) struct SignIn;
pub(super) struct SignOut;

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

impl Endpoint for SignInPage {
    type Needs = Reader;

    async fn answer(
        self,
        site: &Site,
        asked: &Request,
        _: Permit<Reader>,
    ) -> Result<PageResponse, Problem> {
        match site.authority.has_token() {
            true => Ok(form(asked.root, "")),
            false => Err(Problem::NotFound),
        }
    }
}

impl Endpoint for SignIn {
    type Needs = Anyone;

    async fn answer(
        self,
        site: &Site,
        asked: &Request,
        _: Permit<Anyone>,
    ) -> Result<PageResponse, Problem> {
        let given = asked.form("token").unwrap_or_default();
        if site.authority.is_token(given) {
            let home = PageResponse::see_other(asked.root.to_owned());
            return Ok(home.cookie(site.authority.sign_in(site.now())));
        }
        if site.sign_ins.allow(site.journal.monotonic()) {
            tracing::warn!(
                "somebody tried to sign in to the inspector with a wrong token; of more tries, one a minute is told here"
            );
        }
        Ok(match site.authority.has_token() {
            true => unauthorized(asked.root, "This is not the token."),
            false => problem(
                StatusCode::FORBIDDEN,
                asked.root,
                "You may not see this page.",
            ),
        })
    }
}

impl Endpoint for SignOut {
    type Needs = Reader;

    async fn answer(
        self,
        site: &Site,
        asked: &Request,
        _: Permit<Reader>,
    ) -> Result<PageResponse, Problem> {
        let home = PageResponse::see_other(asked.root.to_owned());
        Ok(home.cookie(site.authority.sign_out()))
    }
}
