//! What the sources say of the fields of payloads and of the words that they hold: lists in the
//! macros `resource!`, `object!` and `words!`, a declaration a line.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Objects and sets of words by the names of their types.
#[derive(Default)]
pub(crate) struct Payloads {
    objects: BTreeMap<String, Object>,
    words: BTreeMap<String, Vec<String>>,
}

pub(crate) struct Object {
    /// The first paragraph of its documentation.
    pub(crate) summary: String,
    pub(crate) fields: Vec<Field>,
}

pub(crate) struct Field {
    /// The name in JSON.
    pub(crate) name: String,
    /// The name in Rust.
    rust: String,
    kind: String,
    summary: String,
}

impl Payloads {
    pub(crate) fn read() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../voipbin-receiver/src/resource");
        let mut payloads = Self::default();
        for file in fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            // The macros themselves have examples of what they take.
            if path.extension().is_some_and(|ending| ending == "rs") && !path.ends_with("object.rs")
            {
                payloads.add(&fs::read_to_string(path).unwrap());
            }
        }
        payloads
    }

    fn add(&mut self, code: &str) {
        let resources = code.split("\nresource! {\n").skip(1);
        for block in resources.chain(code.split("\nobject! {\n").skip(1)) {
            let (docs, name, body) = declaration(block, "struct");
            let fields = body.lines().fold((Vec::new(), Vec::new()), field).0;
            let object = Object {
                summary: paragraph(&docs),
                fields,
            };
            self.objects.insert(name, object);
        }
        for block in code.split("\nwords! {\n").skip(1) {
            let (_, name, body) = declaration(block, "enum");
            let words = body.lines().filter_map(|line| line.split_once(" = \""));
            let words = words.map(|(_, word)| word.trim_end_matches("\",").to_owned());
            self.words.insert(name, words.collect());
        }
    }

    pub(crate) fn object(&self, name: &str) -> &Object {
        &self.objects[name]
    }

    /// The objects that are no payloads, but parts of some.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (&String, &Object)> {
        let used = self.objects.values().flat_map(|object| &object.fields);
        let used: Vec<_> = used.map(|field| innermost(&field.kind)).collect();
        self.objects
            .iter()
            .filter(move |(name, _)| used.contains(&name.as_str()))
    }

    /// A row of a table: the name, what JSON has there, what it means.
    pub(crate) fn row(&self, field: &Field) -> String {
        let Field {
            name,
            rust,
            summary,
            ..
        } = field;
        let kind = self.describe(&field.kind);
        let rust = if rust == name {
            String::new()
        } else {
            format!(" In Rust: `{rust}`.")
        };
        format!("| `{name}` | {kind} | {summary}{rust} |\n")
    }

    fn describe(&self, kind: &str) -> String {
        if let Some(element) = inside(kind, "Vec<") {
            return match element {
                "Id" => "list of ids".to_owned(),
                "String" => "list of texts".to_owned(),
                _ => format!("list of {}", self.describe(element)),
            };
        }
        match inside(kind, "Option<").unwrap_or(kind) {
            "Id" => "id".to_owned(),
            "Time" => "time".to_owned(),
            "String" => "text".to_owned(),
            "i64" => "number".to_owned(),
            "bool" => "boolean".to_owned(),
            "Map<String, Value>" => "object".to_owned(),
            "RawJson" => "any JSON".to_owned(),
            name if self.objects.contains_key(name) => {
                format!("[`{name}`](#{})", name.to_lowercase())
            }
            name => {
                let words: Vec<_> = self.words[name]
                    .iter()
                    .map(|word| format!("`{word}`"))
                    .collect();
                words.join(", ")
            }
        }
    }
}

/// The documentation, name and body of the type that a macro's block begins with.
fn declaration<'c>(block: &'c str, what: &str) -> (Vec<&'c str>, String, &'c str) {
    let (docs, rest) = block.split_once(&format!("    pub {what} ")).unwrap();
    let (head, rest) = rest.split_once(" {\n").unwrap();
    let (body, _) = rest.split_once("\n    }\n}").unwrap();
    let name = head.split(' ').next().unwrap();
    (
        docs.lines().filter_map(doc).collect(),
        name.to_owned(),
        body,
    )
}

/// Takes a line of an object's body: documentation of the field that follows, or the field.
fn field<'c>(
    (mut fields, mut docs): (Vec<Field>, Vec<&'c str>),
    line: &'c str,
) -> (Vec<Field>, Vec<&'c str>) {
    if let Some(text) = doc(line) {
        docs.push(text);
    } else if let Some((name, rest)) = line.trim().split_once(": ") {
        let (kind, _) = rest.split_once(" = ").unwrap();
        let (rust, wire) = name.split_once(" as ").unwrap_or((name, name));
        fields.push(Field {
            name: wire.trim_matches('"').to_owned(),
            rust: rust.to_owned(),
            kind: kind.to_owned(),
            summary: paragraph(&docs),
        });
        docs.clear();
    }
    (fields, docs)
}

fn doc(line: &str) -> Option<&str> {
    Some(line.trim().strip_prefix("///")?.trim())
}

/// The first paragraph, without links to items.
fn paragraph(docs: &[&str]) -> String {
    let lines = docs.iter().take_while(|line| !line.is_empty());
    let text = lines.copied().collect::<Vec<_>>().join(" ");
    let mut parts = text.split("](");
    let first = parts.next().unwrap().replace('[', "");
    parts.fold(first, |text, part| text + part.split_once(')').unwrap().1)
}

fn inside<'k>(kind: &'k str, container: &str) -> Option<&'k str> {
    kind.strip_prefix(container)?.strip_suffix('>')
}

fn innermost(kind: &str) -> &str {
    let element = inside(kind, "Vec<").unwrap_or(kind);
    inside(element, "Option<").unwrap_or(element)
}
