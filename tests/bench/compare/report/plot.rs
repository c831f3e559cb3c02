use std::fmt::Write;

use support::figures::Spread;

use super::{Comparison, Server};

const WIDTH: f64 = 860.0;
/// Where bars begin: names stand left of it.
const LEFT: f64 = 230.0;
/// Where the longest ends: its value stands right of it.
const RIGHT: f64 = 690.0;
const TOP: f64 = 58.0;
const ROW: f64 = 26.0;

/// Requests a second of each server, as bars with a line from the least to the most of the rounds.
pub(super) fn throughput(comparison: &Comparison) -> String {
    let measure = &comparison.servers[0];
    let rows: Vec<(&Server, Spread)> = comparison
        .servers
        .iter()
        .filter_map(|server| Some((server, server.per_second()?)))
        .collect();
    let most = rows
        .iter()
        .map(|(_, spread)| spread.most)
        .fold(1.0, f64::max);
    let at = |value: f64| LEFT + (RIGHT - LEFT) * value / most;
    let mut plot = Plot::new(
        "Requests a second, on one core",
        &format!(
            "{} connections, signed bodies of {} bytes; median, least and most of {} rounds, and the ratio to the first",
            comparison.connections,
            comparison.body_length,
            measure.closed.len()
        ),
        rows.len(),
    );
    for (place, (server, spread)) in rows.into_iter().enumerate() {
        let middle = plot.name(place, server);
        let end = at(spread.middle);
        plot.rect(LEFT, middle - 8.0, end - LEFT, 16.0, color(server));
        plot.line(at(spread.least), at(spread.most), middle, "#111827");
        let ratio = server.ratio(measure).map_or(1.0, |ratio| ratio.middle);
        let value = format!("{:.1} k ({ratio:.2})", spread.middle / 1000.0);
        plot.text(at(spread.most) + 8.0, middle + 4.0, "start", &value);
    }
    plot.end()
}

/// Times of answers at one rate, from the median to the 99.9th percentile, on a logarithmic scale.
pub(super) fn latency(comparison: &Comparison, rate: usize) -> Option<String> {
    let middle = |server: &Server, of: fn(&support::figures::Round) -> f64| {
        let rounds = server.open.get(&rate)?;
        Some(
            Spread::of(rounds.iter().map(|round| of(&round.round)))?
                .middle
                .max(0.01),
        )
    };
    let rows: Vec<(&Server, [f64; 3])> = comparison
        .servers
        .iter()
        .filter_map(|server| {
            let times = [
                middle(server, |round| round.p50)?,
                middle(server, |round| round.p99)?,
                middle(server, |round| round.p999)?,
            ];
            Some((server, times))
        })
        .collect();
    let all = || rows.iter().flat_map(|(_, times)| times);
    let least = all().fold(f64::MAX, |a, b| a.min(*b)).log10().floor();
    let most = all().fold(0.0_f64, |a, b| a.max(*b)).log10().ceil();
    if rows.is_empty() {
        return None;
    }
    let at = |value: f64| LEFT + (RIGHT - LEFT) * (value.log10() - least) / (most - least).max(1.0);
    let mut plot = Plot::new(
        &format!("Times of answers, with {rate} events offered a second"),
        "milliseconds from when an event was due: median, 99 % and 99.9 %; medians of the rounds",
        rows.len() + 1,
    );
    for power in least as i32..=most as i32 {
        let value = 10_f64.powi(power);
        plot.grid(at(value), &format!("{value}"));
    }
    for (place, (server, [p50, p99, p999])) in rows.into_iter().enumerate() {
        let middle = plot.name(place, server);
        plot.line(at(p50), at(p999), middle, color(server));
        for (value, radius) in [(p50, 5.0), (p99, 4.0), (p999, 3.0)] {
            plot.dot(at(value), middle, radius, color(server));
        }
        let value = format!("{p50:.2} / {p99:.2} / {p999:.2}");
        plot.text(RIGHT + 12.0, middle + 4.0, "start", &value);
    }
    Some(plot.end())
}

fn color(server: &Server) -> &'static str {
    match server.name.as_str() {
        name if name.starts_with("receiver") => "#2563eb",
        "hyper" | "axum" | "actix" => "#9ca3af",
        _ => "#d97706",
    }
}

/// A picture whose rows have a name each.
struct Plot {
    svg: String,
    height: f64,
}

impl Plot {
    fn new(title: &str, below: &str, rows: usize) -> Self {
        let height = TOP + ROW * rows as f64 + 14.0;
        let mut plot = Self {
            svg: format!(
                "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
                 font-family=\"sans-serif\" font-size=\"12\" fill=\"#111827\">\n"
            ),
            height,
        };
        plot.rect(0.0, 0.0, WIDTH, height, "#ffffff");
        let bold = format!("<tspan font-size=\"15\" font-weight=\"bold\">{title}</tspan>");
        writeln!(plot.svg, "<text x=\"16\" y=\"24\">{bold}</text>").unwrap();
        plot.text(16.0, 42.0, "start", below);
        plot
    }

    /// Writes the name of a row, and tells where its middle is.
    fn name(&mut self, place: usize, server: &Server) -> f64 {
        let middle = TOP + ROW * (place as f64 + 0.5);
        self.text(LEFT - 10.0, middle + 4.0, "end", &server.what);
        middle
    }

    fn rect(&mut self, x: f64, y: f64, width: f64, height: f64, color: &str) {
        writeln!(
            self.svg,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{color}\"/>"
        )
        .unwrap();
    }

    fn line(&mut self, from: f64, to: f64, y: f64, color: &str) {
        writeln!(
            self.svg,
            "<line x1=\"{from:.1}\" x2=\"{to:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"{color}\" stroke-width=\"2\"/>"
        )
        .unwrap();
    }

    fn dot(&mut self, x: f64, y: f64, radius: f64, color: &str) {
        writeln!(
            self.svg,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" fill=\"{color}\"/>"
        )
        .unwrap();
    }

    fn grid(&mut self, x: f64, label: &str) {
        let (from, to) = (TOP, self.height - 26.0);
        writeln!(
            self.svg,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{from:.1}\" y2=\"{to:.1}\" stroke=\"#e5e7eb\"/>"
        )
        .unwrap();
        self.text(x, to + 14.0, "middle", label);
    }

    fn text(&mut self, x: f64, y: f64, anchor: &str, text: &str) {
        let text = text
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;");
        writeln!(
            self.svg,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"
        )
        .unwrap();
    }

    fn end(mut self) -> String {
        self.svg.push_str("</svg>\n");
        self.svg
    }
}
