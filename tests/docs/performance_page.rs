//! The page with the figures.

#[allow(
    dead_code,
    unused_imports,
    reason = "shared with the benchmark, which measures"
)]
#[path = "../bench/compare/report/mod.rs"]
mod report;

use std::fs;

use report::Page;

/// `cargo bench -p voipbin-receiver-tests --bench compare -- --render` writes them anew.
#[test]
fn the_page_and_its_plots_show_the_figures_that_were_measured() {
    for (path, expected) in Page::published().files() {
        let shown = fs::read_to_string(&path).unwrap_or_default();
        assert!(shown == expected, "{} shows other figures", path.display());
    }
}
