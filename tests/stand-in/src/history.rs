//! What is kept of events: lists of resources, their timelines, and rows that are aggregated.

use std::collections::BTreeMap;
use std::time::SystemTime;

use bytes::Bytes;
use http::{Method, Response};
use http_body_util::Full;
use serde_json::Value;
use voipbin_receiver::event::Time;

use crate::{Platform, answer, refuse};

/// The largest page of a timeline; of another size there are 100.
const LARGEST_PAGE: usize = 1000;
const LISTS: [&str; 6] = [
    "activeflows",
    "calls",
    "conferences",
    "emails",
    "messages",
    "recordings",
];
/// The largest page of a list.
const LARGEST_LIST: usize = 100;

pub(crate) struct History {
    rows: Vec<Row>,
    largest_page: usize,
    /// Whether data is rendered otherwise than the webhook's.
    rerendered: bool,
}

impl Default for History {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            largest_page: LARGEST_PAGE,
            rerendered: false,
        }
    }
}

struct Row {
    /// When the history took it: Unix time in milliseconds.
    at: i128,
    name: String,
    data: String,
    object: Value,
    /// What somebody else wrote; in no timeline.
    forged: bool,
}

impl Row {
    fn new(at: SystemTime, name: &str, data: &str, forged: bool) -> Self {
        Self {
            at: Time::try_from(at).unwrap().as_unix_nanos() / 1_000_000,
            name: name.to_owned(),
            data: data.to_owned(),
            object: serde_json::from_str(data).unwrap(),
            forged,
        }
    }

    fn field(&self, name: &str) -> &str {
        self.object[name].as_str().unwrap_or_default()
    }

    fn created(&self) -> Time {
        self.field("tm_create").parse().unwrap()
    }

    /// The name up to its first `_`.
    fn segment(&self) -> &str {
        self.name.split('_').next().unwrap_or_default()
    }
}

fn time(at: i128) -> String {
    Time::from_unix_nanos(at * 1_000_000).unwrap().to_string()
}

impl History {
    pub(crate) fn add(&mut self, at: SystemTime, name: &str, data: &str) {
        self.rows.push(Row::new(at, name, data, false));
    }

    pub(crate) fn route(
        &self,
        method: &Method,
        path: &str,
        query: Option<&str>,
    ) -> Response<Full<Bytes>> {
        let pairs = query.unwrap_or_default().split('&');
        let query: BTreeMap<&str, &str> = pairs.filter_map(|pair| pair.split_once('=')).collect();
        let parts: Vec<&str> = path.split('/').collect();
        match (method, &*parts) {
            (&Method::GET, ["timelines", kind, id, "events"]) => self.timeline(kind, id, &query),
            (&Method::GET, ["aggregated-events"]) => self.aggregated(&query),
            (&Method::GET, ["recordings", id]) => match self.resources("recording").get(*id) {
                Some(row) => answer(200, self.data(row).into()),
                None => refuse(404, "RECORDING_NOT_FOUND"),
            },
            (&Method::GET, [list]) if LISTS.contains(list) => {
                self.list(list.trim_end_matches('s'), &query)
            }
            _ => refuse(404, "ROUTE_NOT_FOUND"),
        }
    }

    fn timeline(
        &self,
        kind: &str,
        id: &str,
        query: &BTreeMap<&str, &str>,
    ) -> Response<Full<Bytes>> {
        let Some(segment @ ("call" | "conference" | "activeflow")) = kind.strip_suffix('s') else {
            return refuse(404, "ROUTE_NOT_FOUND");
        };
        let of_resource = |row: &&Row| row.segment() == segment && row.field("id") == id;
        let deleted = format!("{segment}_deleted");
        let rows = self.rows.iter().filter(|row| !row.forged);
        let rows: Vec<&Row> = rows.filter(of_resource).collect();
        if rows.is_empty() {
            return refuse(404, "NOT_FOUND");
        }
        if rows.iter().any(|row| row.name == deleted) {
            match segment {
                "call" => return refuse(409, "STATE_INVALID"),
                "activeflow" => return refuse(404, "ACTIVEFLOW_NOT_FOUND"),
                _ => {}
            }
        }
        self.page(rows, query)
    }

    /// Each row twice, with rows among them that are nobody's webhook, and those of others.
    fn aggregated(&self, query: &BTreeMap<&str, &str>) -> Response<Full<Bytes>> {
        let (call, activeflow) = (query.get("call_id"), query.get("activeflow_id"));
        if call.is_some() == activeflow.is_some() {
            return refuse(400, "INVALID_ARGUMENT");
        }
        let rows = self.rows.iter().filter(|row| {
            let ids = [row.field("id"), row.field("reference_id")];
            call.is_some_and(|call| ids.contains(call))
                || activeflow.is_some_and(|id| row.field("activeflow_id") == *id)
        });
        self.page(rows.flat_map(|row| [row, row]).collect(), query)
    }

    /// Newest first. What has the time of the last row of a page, and is not on it, is on none.
    fn page(&self, mut rows: Vec<&Row>, query: &BTreeMap<&str, &str>) -> Response<Full<Bytes>> {
        let size: usize = query
            .get("page_size")
            .map_or(0, |size| size.parse().unwrap());
        let size = match (1..=LARGEST_PAGE).contains(&size) {
            true => size.min(self.largest_page),
            false => 100,
        };
        rows.sort_by_key(|row| std::cmp::Reverse(row.at));
        if let Some(token) = query.get("page_token") {
            let token: Time = token.parse().unwrap();
            rows.retain(|row| row.at * 1_000_000 < token.as_unix_nanos());
        }
        let more = rows.len() > size;
        rows.truncate(size);
        let items: Vec<String> = rows
            .iter()
            .map(|row| {
                format!(
                    r#"{{"timestamp":"{}","event_type":"{}","data":{}}}"#,
                    time(row.at),
                    row.name,
                    self.data(row)
                )
            })
            .collect();
        let token = rows.last().filter(|_| more).map(|row| time(row.at));
        list(&items, token)
    }

    /// Today's rows, newest first by when they were made. What is deleted is hidden, except for
    /// messages. Each page that is not empty has a token.
    fn list(&self, segment: &str, query: &BTreeMap<&str, &str>) -> Response<Full<Bytes>> {
        let size: usize = query
            .get("page_size")
            .map_or(LARGEST_LIST, |size| size.parse().unwrap());
        let mut rows: Vec<&Row> = self.resources(segment).into_values().collect();
        rows.retain(|row| segment == "message" || !row.name.ends_with("_deleted"));
        rows.sort_by_key(|row| std::cmp::Reverse(row.created()));
        if let Some(token) = query.get("page_token") {
            let token: Time = token.parse().unwrap();
            rows.retain(|row| row.created() < token);
        }
        rows.truncate(size.min(LARGEST_LIST));
        let items: Vec<String> = rows.iter().map(|row| self.data(row)).collect();
        list(&items, rows.last().map(|row| row.created().to_string()))
    }

    /// The latest row of each resource.
    fn resources(&self, segment: &str) -> BTreeMap<&str, &Row> {
        let rows = self.rows.iter().filter(|row| !row.forged);
        let rows =
            rows.filter(|row| row.segment() == segment && !row.field("tm_create").is_empty());
        rows.map(|row| (row.field("id"), row)).collect()
    }

    fn data(&self, row: &Row) -> String {
        match self.rerendered {
            true => row.data.replacen('{', "{ ", 1),
            false => row.data.clone(),
        }
    }
}

fn list(items: &[String], token: Option<String>) -> Response<Full<Bytes>> {
    let token = token.map_or(String::new(), |token| {
        format!(r#","next_page_token":"{token}""#)
    });
    answer(
        200,
        format!(r#"{{"result":[{}]{token}}}"#, items.join(",")).into(),
    )
}

impl Platform {
    /// Somebody else's row among those that are aggregated.
    pub fn forge(&self, at: SystemTime, name: &str, data: &str) {
        let row = Row::new(at, name, data, true);
        self.state().history.rows.push(row);
    }

    /// Has no page of a timeline be larger.
    pub fn page_timelines_by(&self, rows: usize) {
        self.state().history.largest_page = rows;
    }

    /// Renders what the history has otherwise than the webhook's, from now on.
    pub fn rerender_history(&self) {
        self.state().history.rerendered = true;
    }
}
