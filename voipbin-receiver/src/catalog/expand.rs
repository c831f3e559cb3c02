//! What the rows of the catalogue make: [`EventType`](super::EventType), the unit structs of
//! [`events`](super::events) and [`CATALOG`](super::CATALOG).

macro_rules! catalog {
    ($($name:literal $variant:ident: $resource:ident $status:tt $summary:literal $quirks:literal;)+) => {
        /// The type of an event: the `type` of its envelope.
        ///
        /// There is a unit struct of the same name in [`events`] for each variant but
        /// [`Other`](Self::Other), which says more.
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum EventType {
            $(
                #[doc = concat!("`", $name, "`: ", $summary)]
                #[doc = ""]
                #[doc = concat!(
                    $crate::catalog::expand::status_doc!($status),
                    " ",
                    $quirks,
                )]
                $variant,
            )+
            /// A name that the catalogue does not hold, as it came. Made by
            /// [`parse`](Self::parse) alone: a later catalogue may know the name.
            Other(std::sync::Arc<str>),
        }

        impl EventType {
            /// Reads a name; one that the catalogue does not hold becomes [`EventType::Other`].
            #[must_use]
            pub fn parse(name: &str) -> Self {
                match Self::known(name) {
                    Some(known) => known.clone(),
                    None => Self::Other(name.into()),
                }
            }

            /// The type of a name that the catalogue holds.
            pub(crate) fn known(name: &str) -> Option<&'static Self> {
                Some(match name {
                    $($name => &Self::$variant,)+
                    _ => return None,
                })
            }

            /// The name as it stands in `type`.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $name,)+
                    Self::Other(name) => name,
                }
            }

            /// The resource that events of this type carry; `None` for a name out of the catalogue,
            /// and for one whose resource is not known.
            #[must_use]
            pub const fn resource(&self) -> Option<$crate::catalog::ResourceKind> {
                match self {
                    $(Self::$variant => $crate::catalog::expand::kind!($resource),)+
                    Self::Other(_) => None,
                }
            }

            /// The name under which the platform sends this event today: `call_hangup` for the
            /// older `call_hungup`. A handler registered for either name takes both.
            ///
            /// A name that stands for another one only under a condition, or for several, is its
            /// own.
            #[must_use]
            pub fn canonical(&self) -> Self {
                match self {
                    $(Self::$variant => $crate::catalog::expand::canonical!($variant $status),)+
                    Self::Other(name) => Self::Other(std::sync::Arc::clone(name)),
                }
            }

            /// What a handler for this name takes: events that come under it or under another name
            /// of the same, and what it stands for otherwise.
            pub(crate) fn selector(&self) -> $crate::catalog::Selector {
                #[allow(unused_mut)]
                let mut aliases = Vec::new();
                match self {
                    $(Self::$variant => $crate::catalog::expand::aliases!(aliases $status),)+
                    Self::Other(_) => {}
                }
                let matcher = $crate::catalog::selector::Matcher::Type(self.clone());
                $crate::catalog::Selector::new(matcher, aliases)
            }
        }

        /// Every name of the catalogue.
        pub const CATALOG: &[$crate::catalog::CatalogEntry] = &[
            $($crate::catalog::CatalogEntry {
                name: $name,
                variant: stringify!($variant),
                resource: $crate::catalog::expand::kind!($resource),
                status: $crate::catalog::expand::status!($status),
                summary: $summary,
                quirks: $quirks,
            },)+
        ];

        /// One unit struct per event type: what handlers are registered with.
        ///
        #[doc = include_str!("../../EVENTS.md")]
        pub mod events {
            use $crate::catalog::{EventSet, EventType, Selector};

            $(
                #[doc = concat!("`", $name, "`: ", $summary)]
                #[doc = ""]
                #[doc = $crate::catalog::expand::carries_doc!($resource)]
                #[doc = ""]
                #[doc = concat!(
                    $crate::catalog::expand::status_doc!($status),
                    " ",
                    $quirks,
                )]
                #[derive(Clone, Copy, Debug, PartialEq, Eq)]
                pub struct $variant;

                impl $variant {
                    /// The name as it stands in `type`.
                    pub const NAME: &'static str = $name;
                }

                impl From<$variant> for EventType {
                    fn from(_: $variant) -> Self {
                        Self::$variant
                    }
                }

                impl EventSet for $variant {
                    fn selectors(&self) -> Vec<Selector> {
                        vec![EventType::$variant.selector()]
                    }
                }

                $crate::catalog::expand::carries!($variant $resource);
            )+
        }
    };
}

macro_rules! kind {
    (Json) => {
        None
    };
    ($resource:ident) => {
        Some($crate::catalog::ResourceKind::$resource)
    };
}

macro_rules! carries {
    ($variant:ident Json) => {
        impl $crate::catalog::Carries<serde_json::Value> for $variant {}
    };
    ($variant:ident $resource:ident) => {
        impl $crate::catalog::Carries<$crate::resource::$resource> for $variant {
            fn read(json: &str) -> serde_json::Result<$crate::resource::$resource> {
                $crate::resource::Resource::read(json)
            }
        }
        impl $crate::catalog::Carries<serde_json::Value> for $variant {}
    };
}

macro_rules! carries_doc {
    (Json) => {
        "What it carries is not known: ask for a `serde_json::Value`."
    };
    ($resource:ident) => {
        concat!(
            "Carries a [`",
            stringify!($resource),
            "`](crate::resource::",
            stringify!($resource),
            ")."
        )
    };
}

macro_rules! status {
    ([sent]) => {
        $crate::catalog::Status::Sent
    };
    ([unreachable]) => {
        $crate::catalog::Status::Unreachable
    };
    ([not_sent]) => {
        $crate::catalog::Status::NotSent
    };
    ([alias $target:ident]) => {
        $crate::catalog::Status::AliasOf(events::$target::NAME)
    };
    ([when $target:ident, $field:literal = $value:literal]) => {
        $crate::catalog::Status::AliasWhen {
            name: events::$target::NAME,
            field: $field,
            value: $value,
        }
    };
    ([each $($target:ident)+]) => {
        $crate::catalog::Status::Pattern(&[$(events::$target::NAME),+])
    };
}

macro_rules! status_doc {
    ([sent]) => {
        "The platform sends it."
    };
    ([unreachable]) => {
        "The platform **does not send it** today: it has the code, and nothing that runs it."
    };
    ([not_sent]) => {
        "The platform **does not send it**, and nothing replaces it."
    };
    ([alias $target:ident]) => {
        concat!(
            "An older or documented name of [`",
            stringify!($target),
            "`](struct@crate::catalog::events::",
            stringify!($target),
            "), which is what the platform sends. A handler for either takes both."
        )
    };
    ([when $target:ident, $field:literal = $value:literal]) => {
        concat!(
            "An older name of [`",
            stringify!($target),
            "`](struct@crate::catalog::events::",
            stringify!($target),
            ") where `",
            $field,
            "` is `",
            $value,
            "`. A handler takes those."
        )
    };
    ([each $($target:ident)+]) => {
        concat!(
            "One name for several. A handler takes each of:",
            $(
                " [`",
                stringify!($target),
                "`](struct@crate::catalog::events::",
                stringify!($target),
                ")",
            )+
            "."
        )
    };
}

macro_rules! canonical {
    ($variant:ident [alias $target:ident]) => {
        Self::$target
    };
    ($variant:ident $status:tt) => {
        Self::$variant
    };
}

macro_rules! aliases {
    ($aliases:ident [when $target:ident, "direction" = $value:literal]) => {
        $aliases.push($crate::catalog::selector::Matcher::When(
            Self::$target,
            $crate::catalog::selector::Condition { direction: $value },
        ))
    };
    ($aliases:ident [each $($target:ident)+]) => {
        $aliases.extend([$($crate::catalog::selector::Matcher::Type(Self::$target)),+])
    };
    ($aliases:ident $status:tt) => {{}};
}

pub(super) use {aliases, canonical, carries, carries_doc, catalog, kind, status, status_doc};
