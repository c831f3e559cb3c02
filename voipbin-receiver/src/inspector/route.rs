//! Which page a path means. The inspector does not know where it is mounted, and whether the server
//! has taken that part off: what counts is how the path ends.

use std::sync::LazyLock;

use sha2::{Digest, Sha256};

use super::filter::Filter;
use super::request::Request;
use crate::event::RecordId;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Route {
    Now,
    Events,
    Event(RecordId),
    /// The event with what is hidden of it.
    EventRevealed(RecordId),
    Retry(RecordId),
    Discard(RecordId),
    /// Handles it again with another body.
    Edit(RecordId),
    Dead,
    /// Those with the texts of their errors.
    DeadRevealed,
    /// Dead letters, to be retried or discarded together.
    Bulk,
    BulkCancel,
    Refused,
    Handlers,
    Pause,
    Resume,
    Settings,
    /// The events that a filter takes, as JSON lines.
    Export,
    /// What an open page shows by now.
    Live,
    SignIn,
    SignOut,
    Asset(&'static Asset),
}

/// A file that is in the program, under a name that changes with it.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Asset {
    pub(super) name: String,
    pub(super) content_type: &'static str,
    pub(super) content: &'static str,
}

impl Asset {
    fn new(
        (stem, extension): (&str, &str),
        content_type: &'static str,
        content: &'static str,
    ) -> Self {
        let digest = Sha256::digest(content);
        let digest: String = digest
            .iter()
            .take(6)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Self {
            name: format!("{stem}-{digest}.{extension}"),
            content_type,
            content,
        }
    }
}

/// The files that pages take.
pub(super) struct Assets {
    pub(super) style: Asset,
    pub(super) script: Asset,
    pub(super) icon: Asset,
}

pub(super) static ASSETS: LazyLock<Assets> = LazyLock::new(|| Assets {
    style: Asset::new(
        ("inspector", "css"),
        "text/css; charset=utf-8",
        include_str!("assets/inspector.css"),
    ),
    script: Asset::new(
        ("inspector", "js"),
        "text/javascript; charset=utf-8",
        include_str!("assets/inspector.js"),
    ),
    icon: Asset::new(
        ("icon", "svg"),
        "image/svg+xml",
        include_str!("assets/icon.svg"),
    ),
});

impl Assets {
    fn find(&'static self, name: &str) -> Option<&'static Asset> {
        let mut all = [&self.style, &self.script, &self.icon].into_iter();
        all.find(|asset| asset.name == name)
    }
}

impl Route {
    /// The query of a page that is kept up to date while it is open, with what the page reads alone
    /// and in one spelling: who looks at the same page shares it. `None` for any other page.
    pub(super) fn live_query(self, request: &Request) -> Option<String> {
        match self {
            Self::Now | Self::Event(_) | Self::Dead | Self::Handlers => Some(String::new()),
            Self::Refused => {
                let reason = request
                    .reason()
                    .map(|reason| format!("reason={}", reason.as_str()));
                Some(reason.unwrap_or_default())
            }
            // Else somebody would look into errors again and again.
            Self::Bulk if request.query("action").is_none() => Some(String::new()),
            Self::Events if request.query("before").is_none() => {
                let filter = request
                    .query("q")
                    .unwrap_or_default()
                    .parse::<Filter>()
                    .ok()?;
                let query = filter.query(None);
                (!filter.looks_into_bodies()).then(|| query.trim_start_matches('?').to_owned())
            }
            _ => None,
        }
    }

    /// The page, and the way from it to the inspector's root.
    pub(super) fn find(path: &str) -> Option<(Self, &'static str)> {
        let mut last = path.rsplit('/');
        let (name, folder, above) = (last.next()?, last.next(), last.next());
        if above == Some("events")
            && let Some(Ok(id)) = folder.map(str::parse)
        {
            let of_event = match name {
                "revealed" => Some(Self::EventRevealed(id)),
                "retry" => Some(Self::Retry(id)),
                "discard" => Some(Self::Discard(id)),
                "edit" => Some(Self::Edit(id)),
                _ => None,
            };
            if let Some(route) = of_event {
                return Some((route, "../../"));
            }
        }
        let below = match (folder, name) {
            (Some("events"), id) => id.parse().ok().map(Self::Event),
            (Some("dead"), "revealed") => Some(Self::DeadRevealed),
            (Some("bulk"), "cancel") => Some(Self::BulkCancel),
            (Some("assets"), name) => ASSETS.find(name).map(Self::Asset),
            (Some("handlers"), "pause") => Some(Self::Pause),
            (Some("handlers"), "resume") => Some(Self::Resume),
            _ => None,
        };
        if let Some(below) = below {
            return Some((below, "../"));
        }
        let route = match name {
            "" => Self::Now,
            "events" => Self::Events,
            "dead" => Self::Dead,
            "bulk" => Self::Bulk,
            "refused" => Self::Refused,
            "handlers" => Self::Handlers,
            "settings" => Self::Settings,
            "export" => Self::Export,
            "live" => Self::Live,
            "sign-in" => Self::SignIn,
            "sign-out" => Self::SignOut,
            _ => return None,
        };
        Some((route, "./"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspector::access::Access;

    #[test]
    fn a_page_is_found_under_any_prefix_and_knows_its_way_back() {
        let id = RecordId::new(12);
        let asset = format!("/assets/{}", ASSETS.icon.name);
        for (path, route, root) in [
            ("/", Route::Now, "./"),
            ("/events", Route::Events, "./"),
            ("/events/12", Route::Event(id), "../"),
            ("/events/12/revealed", Route::EventRevealed(id), "../../"),
            ("/events/12/retry", Route::Retry(id), "../../"),
            ("/events/12/discard", Route::Discard(id), "../../"),
            ("/dead/revealed", Route::DeadRevealed, "../"),
            (asset.as_str(), Route::Asset(&ASSETS.icon), "../"),
            ("/live", Route::Live, "./"),
            ("/export", Route::Export, "./"),
            ("/handlers/pause", Route::Pause, "../"),
            ("/sign-in", Route::SignIn, "./"),
            ("/bulk", Route::Bulk, "./"),
            ("/bulk/cancel", Route::BulkCancel, "../"),
        ] {
            for prefix in ["", "/inspector", "/a/b/c", "/events", "/dead", "/assets"] {
                let found = Route::find(&format!("{prefix}{path}"));
                assert_eq!(found, Some((route, root)), "{prefix}{path}");
            }
        }
    }

    #[test]
    fn what_a_page_does_not_read_makes_no_other_page_of_it() {
        let query = |path: &str, query: &str| {
            let (route, root) = Route::find(path).unwrap();
            route.live_query(&Request::of_page(Access::Read, root, query))
        };
        for (path, same, written) in [
            ("/", ["", "a=b"], ""),
            (
                "/refused",
                ["a=b&reason=rate", "reason=rate&c"],
                "reason=rate",
            ),
            ("/refused", ["", "reason=none"], ""),
            (
                "/events",
                ["q=state%3Adead&a=b", "q=++state:dead"],
                "q=state%3Adead",
            ),
        ] {
            for one in same {
                assert_eq!(query(path, one).as_deref(), Some(written), "{path}?{one}");
            }
        }
        for (path, none) in [
            ("/events", "before=7"),
            ("/events", "q=text%3Aa"),
            ("/events", "q=a"),
            ("/bulk", "action=retry"),
            ("/settings", ""),
        ] {
            assert_eq!(query(path, none), None, "{path}?{none}");
        }
    }

    #[test]
    fn whatever_is_no_page_is_none() {
        for path in [
            "/inspector",
            "/events/x",
            "/events/-1",
            "/events/99999999999999999999",
            "/assets/inspector.css",
            "/assets/..",
            "/events/12/other",
            "x",
        ] {
            assert_eq!(Route::find(path), None, "{path}");
        }
    }
}
