use std::fmt::Write;

/// A table for people.
pub(super) struct Table {
    pub(super) title: String,
    pub(super) columns: Vec<&'static str>,
    pub(super) rows: Vec<Vec<String>>,
}

impl Table {
    /// In columns of the same width: the first to the left, the others to the right.
    pub(super) fn text(&self) -> String {
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|column| {
                let cells = self.rows.iter().map(|row| row[column].chars().count());
                cells.chain([self.columns[column].len()]).max().unwrap()
            })
            .collect();
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let mut line = String::new();
            for (place, (cell, width)) in cells.zip(&widths).enumerate() {
                match place {
                    0 => write!(line, "{cell:<width$}").unwrap(),
                    _ => write!(line, "  {cell:>width$}").unwrap(),
                }
            }
            line.trim_end().to_owned() + "\n"
        };
        let mut text = format!("\n{}\n", self.title);
        text += &line(&mut self.columns.iter().copied());
        for row in &self.rows {
            text += &line(&mut row.iter().map(String::as_str));
        }
        text
    }

    pub(super) fn markdown(&self) -> String {
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let cells: Vec<String> = cells.map(escaped).collect();
            format!("| {} |\n", cells.join(" | "))
        };
        let mut text = format!("\n{}\n\n", self.title);
        text += &line(&mut self.columns.iter().copied());
        let rules = (0..self.columns.len()).map(|place| if place == 0 { "---" } else { "---:" });
        text += &line(&mut rules.into_iter());
        for row in &self.rows {
            text += &line(&mut row.iter().map(String::as_str));
        }
        text
    }
}

/// What Markdown would take for something else.
fn escaped(cell: &str) -> String {
    cell.replace('|', "\\|")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
