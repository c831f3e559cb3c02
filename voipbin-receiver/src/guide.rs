#![doc = "[tutorial]: tutorial"]
#![doc = "[mounting]: mounting"]
#![doc = "[handlers]: handlers"]
#![doc = "[inboxes]: inboxes"]
#![doc = "[operations]: operations"]
#![doc = "[security]: security"]
#![doc = "[testing]: testing"]
#![doc = "[coming-from]: coming_from_flask_and_express"]
#![doc = "[comparison]: comparison"]
#![doc = "[performance]: performance"]
#![doc = "[events]: crate::events"]
#![doc = ""]
#![doc = include_str!("../docs/README.md")]

/// The pages are read in two places: here, and as files. Their links lead from file to file. What stands before
/// them here gives the same names to items, and of two definitions Markdown takes the first.
///
/// An item that is not there without its feature leads to the table of features.
macro_rules! pages {
    ($($page:ident $file:literal,)+) => {
        $(
            #[doc = include_str!("guide/links.md")]
            #[cfg_attr(feature = "actix", doc = include_str!("guide/actix.md"))]
            #[cfg_attr(feature = "disk-system", doc = include_str!("guide/disk.md"))]
            #[cfg_attr(feature = "metrics", doc = include_str!("guide/metrics.md"))]
            #[cfg_attr(feature = "platform", doc = include_str!("guide/platform.md"))]
            #[cfg_attr(feature = "server", doc = include_str!("guide/server.md"))]
            #[cfg_attr(feature = "testing", doc = include_str!("guide/testing.md"))]
            #[doc = include_str!("guide/without.md")]
            #[doc = include_str!(concat!("../docs/", $file))]
            pub mod $page {}
        )+
    };
}

pages! {
    tutorial "tutorial.md",
    mounting "mounting.md",
    handlers "handlers.md",
    inboxes "inboxes.md",
    operations "operations.md",
    security "security.md",
    testing "testing.md",
    coming_from_flask_and_express "coming-from-flask-and-express.md",
    comparison "comparison.md",
    performance "performance.md",
}
