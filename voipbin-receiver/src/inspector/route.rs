//! Which page a path means. The inspector does not know where it is mounted, and whether the server
//! has taken that part off: what counts is how the path ends.

use crate::event::RecordId;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Now,
    Events,
    Event(RecordId),
    /// The event with what is hidden of it.
    EventRevealed(RecordId),
    Retry(RecordId),
    Discard(RecordId),
    Dead,
    /// Those with the texts of their errors.
    DeadRevealed,
    Refused,
    Handlers,
    Settings,
    SignIn,
    SignOut,
    Asset(&'static Asset),
}

/// A file that is in the program.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asset {
    pub(super) name: &'static str,
    pub(super) content_type: &'static str,
    pub(super) content: &'static str,
}

pub(super) const ASSETS: &[Asset] = &[
    Asset {
        name: "inspector.css",
        content_type: "text/css; charset=utf-8",
        content: include_str!("assets/inspector.css"),
    },
    Asset {
        name: "icon.svg",
        content_type: "image/svg+xml",
        content: include_str!("assets/icon.svg"),
    },
];

impl Route {
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
                _ => None,
            };
            if let Some(route) = of_event {
                return Some((route, "../../"));
            }
        }
        let below = match (folder, name) {
            (Some("events"), id) => id.parse().ok().map(Self::Event),
            (Some("dead"), "revealed") => Some(Self::DeadRevealed),
            (Some("assets"), name) => {
                let asset = ASSETS.iter().find(|asset| asset.name == name);
                asset.map(Self::Asset)
            }
            _ => None,
        };
        if let Some(below) = below {
            return Some((below, "../"));
        }
        let route = match name {
            "" => Self::Now,
            "events" => Self::Events,
            "dead" => Self::Dead,
            "refused" => Self::Refused,
            "handlers" => Self::Handlers,
            "settings" => Self::Settings,
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

    #[test]
    fn a_page_is_found_under_any_prefix_and_knows_its_way_back() {
        let id = RecordId::new(12);
        for (path, route, root) in [
            ("/", Route::Now, "./"),
            ("/events", Route::Events, "./"),
            ("/events/12", Route::Event(id), "../"),
            ("/events/12/revealed", Route::EventRevealed(id), "../../"),
            ("/events/12/retry", Route::Retry(id), "../../"),
            ("/events/12/discard", Route::Discard(id), "../../"),
            ("/dead/revealed", Route::DeadRevealed, "../"),
            ("/assets/icon.svg", Route::Asset(&ASSETS[1]), "../"),
            ("/sign-in", Route::SignIn, "./"),
        ] {
            for prefix in ["", "/inspector", "/a/b/c", "/events", "/dead", "/assets"] {
                let found = Route::find(&format!("{prefix}{path}"));
                assert_eq!(found, Some((route, root)), "{prefix}{path}");
            }
        }
    }

    #[test]
    fn whatever_is_no_page_is_none() {
        for path in [
            "/inspector",
            "/events/x",
            "/events/-1",
            "/events/99999999999999999999",
            "/assets/inspector.css.map",
            "/assets/..",
            "/events/12/other",
            "x",
        ] {
            assert_eq!(Route::find(path), None, "{path}");
        }
    }
}
