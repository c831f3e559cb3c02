#![doc = include_str!("guide/links.md")]
#![doc = ""]
#![doc = include_str!("../docs/README.md")]

/// The pages are files, whose links lead to files. Of two definitions of a link Markdown takes the
/// first: those of `links.md` lead to the modules of the documentation instead.
macro_rules! pages {
    ($($page:ident $file:literal,)+) => {
        $(
            #[doc = include_str!("guide/links.md")]
            #[doc = ""]
            #[doc = include_str!(concat!("../docs/", $file))]
            pub mod $page {}
        )+
    };
}

pages! {
    tutorial "tutorial.md",
    how_it_works "how-it-works.md",
    mounting "mounting.md",
    handlers "handlers.md",
    inboxes "inboxes.md",
    postgres "postgres.md",
    exactly_once "exactly-once.md",
    operations "operations.md",
    deployment "deployment.md",
    inspector "inspector.md",
    security "security.md",
    stability "stability.md",
    testing "testing.md",
    coming_from_flask_and_express "coming-from-flask-and-express.md",
    comparison "comparison.md",
    performance "performance.md",
}
