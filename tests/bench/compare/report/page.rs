use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Comparison, Machine, Scale, plot, tables};

/// A folder with figures, and the pictures and the page that show them.
///
/// Nothing in it but the words around the figures is written by people.
pub(crate) struct Page {
    folder: PathBuf,
    /// The page that has tables between two marks.
    page: Option<PathBuf>,
}

/// The rate whose times are shown as a picture: most servers can take it.
const SHOWN_RATE: usize = 1_000;

impl Page {
    /// The page of the documentation.
    pub(crate) fn published() -> Self {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../voipbin-receiver/docs");
        Self {
            folder: docs.join("performance"),
            page: Some(docs.join("performance.md")),
        }
    }

    /// A folder without a page.
    pub(crate) fn in_folder(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            page: None,
        }
    }

    /// Keeps figures, to be shown.
    pub(crate) fn keep(&self, name: &str, figures: &impl Serialize) {
        fs::create_dir_all(&self.folder).unwrap();
        let json = serde_json::to_string(figures).unwrap();
        fs::write(self.folder.join(name), json + "\n").unwrap();
    }

    /// All files that show the figures, with what belongs into them.
    pub(crate) fn files(&self) -> Vec<(PathBuf, String)> {
        let comparison: Option<Comparison> = self.read(Comparison::FILE);
        let scale: Option<Scale> = self.read(Scale::FILE);
        let mut files = Vec::new();
        if let Some(comparison) = &comparison {
            let throughput = plot::throughput(comparison);
            files.push((self.folder.join("throughput.svg"), throughput));
            if let Some(latency) = plot::latency(comparison, SHOWN_RATE) {
                files.push((self.folder.join("latency.svg"), latency));
            }
        }
        if let Some(page) = &self.page {
            let mut text = fs::read_to_string(page).unwrap();
            if let Some(comparison) = comparison {
                replace(&mut text, "comparison", &comparison.markdown());
            }
            if let Some(scale) = scale {
                replace(&mut text, "scale", &scale.markdown());
            }
            files.push((page.clone(), text));
        }
        files
    }

    /// Writes all that shows the figures.
    pub(crate) fn write(&self) {
        for (path, text) in self.files() {
            fs::write(path, text).unwrap();
        }
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let text = fs::read_to_string(self.folder.join(name)).ok()?;
        Some(serde_json::from_str(&text).unwrap())
    }
}

/// Puts tables between the marks of this name.
fn replace(text: &mut String, name: &str, tables: &str) {
    let mark = |what: &str| format!("<!-- {what} of the {name}, written by the benchmark -->\n");
    let (begin, end) = (mark("begin"), mark("end"));
    let from = text.find(&begin).expect("the page has a mark") + begin.len();
    let to = text.find(&end).expect("the page has a mark");
    text.replace_range(from..to, &format!("{tables}\n"));
}

impl Comparison {
    /// Where it is kept.
    pub(crate) const FILE: &str = "compare.json";

    pub(crate) fn text(&self) -> String {
        let tables = tables::of_comparison(self);
        let text: String = tables.iter().map(|table| table.text()).collect();
        text + &self.without()
    }

    fn markdown(&self) -> String {
        let tables = tables::of_comparison(self);
        let tables: String = tables.iter().map(|table| table.markdown()).collect();
        let versions = self.versions.iter();
        let versions: Vec<String> = versions.map(|(name, of)| format!("{name} {of}")).collect();
        let without = self.without();
        format!(
            "\n{}; {}.\n{tables}{without}",
            self.machine.words(),
            versions.join(", ")
        )
    }

    /// Who could not take part.
    fn without(&self) -> String {
        let words =
            |skipped: &super::Skipped| format!("\nWithout {}: {}.\n", skipped.what, skipped.why);
        self.skipped.iter().map(words).collect()
    }
}

impl Scale {
    /// Where it is kept.
    pub(crate) const FILE: &str = "scale.json";

    pub(crate) fn text(&self) -> String {
        let tables = tables::of_scale(self);
        tables.iter().map(|table| table.text()).collect()
    }

    fn markdown(&self) -> String {
        let tables = tables::of_scale(self);
        let tables: String = tables.iter().map(|table| table.markdown()).collect();
        format!(
            "\n{}; rounds of {} s.\n{tables}",
            self.machine.words(),
            self.seconds
        )
    }
}

impl Machine {
    fn words(&self) -> String {
        format!("{}, {} cores, {}", self.processor, self.cores, self.system)
    }
}
