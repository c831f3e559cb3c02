//! The page of all events, written from the catalogue.

use std::fmt;

use voipbin_receiver::catalog::{CATALOG, CatalogEntry, ResourceKind, Status};

use super::fields::{Object, Payloads};

/// How much the catalogue holds. Made by [`counts`].
#[derive(Default)]
pub(crate) struct Counts {
    /// Event names.
    pub(crate) names: usize,
    /// Names that the platform sends today.
    pub(crate) sent: usize,
    /// Names that the platform has code for and never sends.
    pub(crate) unreachable: usize,
    /// Names that stand for another one, always or under a condition.
    pub(crate) aliases: usize,
    /// Names that stand for several.
    pub(crate) patterns: usize,
    /// Names that are never sent and that nothing replaces.
    pub(crate) not_sent: usize,
    /// Kinds of resources.
    pub(crate) resources: usize,
    /// Fields of all resources, those of nested objects not counted.
    pub(crate) fields: usize,
}

/// Counts what the catalogue holds.
pub(crate) fn counts() -> Counts {
    let mut counts = Counts {
        names: CATALOG.len(),
        resources: ResourceKind::ALL.len(),
        fields: ResourceKind::ALL
            .iter()
            .map(|kind| kind.fields().len())
            .sum(),
        ..Counts::default()
    };
    for entry in CATALOG {
        let count = match entry.status {
            Status::Sent => &mut counts.sent,
            Status::Unreachable => &mut counts.unreachable,
            Status::AliasOf(_) | Status::AliasWhen { .. } => &mut counts.aliases,
            Status::Pattern(_) => &mut counts.patterns,
            Status::NotSent => &mut counts.not_sent,
            other => panic!("{other:?} is not counted"),
        };
        *count += 1;
    }
    counts
}

/// A table, one count a line.
impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, count) in [
            ("event names", self.names),
            ("  sent today", self.sent),
            ("  aliases", self.aliases),
            ("  patterns", self.patterns),
            ("  unreachable", self.unreachable),
            ("  never sent", self.not_sent),
            ("resources", self.resources),
            ("fields", self.fields),
        ] {
            writeln!(f, "{what:<16}{count:>5}")?;
        }
        Ok(())
    }
}

/// The catalogue as a page of Markdown, one section for each resource.
pub(crate) fn reference() -> String {
    let counts = counts();
    let mut page = format!(
        "# Events\n\n\
         Generated from the catalogue: {} names, {} resources with {} fields.\n\n\
         A handler is registered with the name in the second column, `#[on(CallHangup)]`, and takes the \
         event under any of its names. Its payload is the struct that heads the section, `Event<Call>`.\n\n\
         | status | names | means |\n\
         | --- | --- | --- |\n\
         | sent | {} | VoIPBIN sends it today |\n\
         | alias | {} | VoIPBIN sends it under the other name; a handler for either takes both |\n\
         | each of | {} | stands for several that are sent |\n\
         | unreachable | {} | VoIPBIN has code for it that nothing runs |\n\
         | never sent | {} | documents know it, or the inside of the platform does |\n\n",
        counts.names,
        counts.resources,
        counts.fields,
        counts.sent,
        counts.aliases,
        counts.patterns,
        counts.unreachable,
        counts.not_sent,
    );
    // A kind has the name of its struct.
    let links: Vec<_> = ResourceKind::ALL
        .iter()
        .map(|kind| format!("{kind:?}"))
        .map(|name| format!("[{name}](#{})", name.to_lowercase()))
        .collect();
    page.push_str(&links.join(", "));
    page.push_str(".\n");
    page.push_str(
        "\nAny field may be missing. Of its types, an id is a UUID, and a time UTC as \
         `2026-09-01T12:30:45.123456Z`; where there are words, others may come, and read as `Other`. What \
         payloads have in common is in [Parts](#parts).\n",
    );
    let payloads = Payloads::read();
    for kind in ResourceKind::ALL {
        let name = format!("{kind:?}");
        section(&mut page, &format!("`{name}`"), Some(*kind));
        let object = payloads.object(&name);
        assert!(
            object
                .fields
                .iter()
                .map(|field| &*field.name)
                .eq(kind.fields().iter().copied())
        );
        table(&mut page, &payloads, object);
    }
    section(&mut page, "Without a known payload", None);
    page.push_str("\n## Parts\n");
    for (name, object) in payloads.parts() {
        page.push_str(&format!("\n### `{name}`\n\n{}\n", object.summary));
        table(&mut page, &payloads, object);
    }
    page
}

fn table(page: &mut String, payloads: &Payloads, object: &Object) {
    page.push_str("\n| field | type or words | what it is |\n| --- | --- | --- |\n");
    for field in &object.fields {
        page.push_str(&payloads.row(field));
    }
}

fn section(page: &mut String, title: &str, resource: Option<ResourceKind>) {
    page.push_str(&format!(
        "\n## {title}\n\n\
         | event | handler | status | when | worth knowing |\n\
         | --- | --- | --- | --- | --- |\n"
    ));
    for CatalogEntry {
        name,
        variant,
        status,
        summary,
        quirks,
        ..
    } in CATALOG.iter().filter(|entry| entry.resource == resource)
    {
        let status = describe(*status);
        page.push_str(&format!(
            "| `{name}` | `{variant}` | {status} | {summary} | {quirks} |\n"
        ));
    }
}

fn describe(status: Status) -> String {
    match status {
        Status::Sent => "sent".to_owned(),
        Status::Unreachable => "unreachable".to_owned(),
        Status::AliasOf(name) => format!("alias of `{name}`"),
        Status::AliasWhen { name, field, value } => {
            format!("alias of `{name}` where `{field}` is `{value}`")
        }
        Status::Pattern(names) => format!("each of {}", code_list(names)),
        Status::NotSent => "never sent".to_owned(),
        other => panic!("{other:?} has no description"),
    }
}

fn code_list(names: &[&str]) -> String {
    names
        .iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ")
}
