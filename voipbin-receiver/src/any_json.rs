//! Any JSON, for tests: with what is hard about strings and blanks in it.

use fastrand::Rng;

/// A value, nested so deep at most.
pub(crate) fn value(random: &mut Rng, depth: usize) -> String {
    const PIECES: &[&str] = &[
        "\\\"",
        "\\\\",
        "\\u0022",
        "\\ud83d\\ude00",
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "a",
        "é",
        " ",
        "eight by",
        "\\/",
    ];
    let kinds = if depth == 0 { 4 } else { 6 };
    match random.usize(..kinds) {
        0 => one(random, &["null", "true", "false"]).to_owned(),
        1 => one(random, &["0", "-1", "1.5e-7", "10000000000000000000000"]).to_owned(),
        2 | 3 => {
            let pieces = (0..random.usize(..6)).map(|_| PIECES[random.usize(..PIECES.len())]);
            format!("\"{}\"", pieces.collect::<String>())
        }
        4 => {
            let values: Vec<_> = (0..random.usize(..4))
                .map(|_| value(random, depth - 1) + blank(random))
                .collect();
            format!("[{}{}]", blank(random), values.join(","))
        }
        _ => object(random, depth - 1, &["tm_update", "id", "type", ""]),
    }
}

/// An object with some of these names, each as it is written between its quotes.
pub(crate) fn object(random: &mut Rng, depth: usize, names: &[&str]) -> String {
    let mut fields = Vec::new();
    for _ in 0..random.usize(..5) {
        let (name, value) = (one(random, names), value(random, depth));
        let [before, after, end] = std::array::from_fn(|_| blank(random));
        fields.push(format!("{before}\"{name}\"{after}:{before}{value}{end}"));
    }
    format!("{{{}{}}}", blank(random), fields.join(","))
}

fn blank(random: &mut Rng) -> &'static str {
    one(random, &["", "", "", " ", "\n\t"])
}

fn one<'a>(random: &mut Rng, from: &[&'a str]) -> &'a str {
    from[random.usize(..from.len())]
}
