//! Texts and lists of handlers that are stored once each.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use rusqlite::Connection;

use super::error::{DiskInboxError, Result};
use super::row::cached;
use crate::event::HandlerName;
use crate::inbox::HandlerSet;

/// All that the file has.
#[derive(Debug, Default)]
pub(super) struct Names {
    ids: HashMap<Arc<str>, i64>,
    texts: HashMap<i64, Arc<str>>,
    lists: HashMap<i64, Arc<HandlerList>>,
    by_names: HashMap<Vec<HandlerName>, Arc<HandlerList>>,
}

/// The handlers of an event.
#[derive(Debug)]
pub(super) struct HandlerList {
    pub(super) id: i64,
    pub(super) jobs: HandlerSet,
    /// The ids of their names, in the same order.
    pub(super) ids: Vec<i64>,
}

impl HandlerList {
    /// The place of a handler.
    pub(super) fn place(&self, handler: &HandlerName) -> Option<usize> {
        self.jobs.iter().position(|name| name == handler)
    }
}

impl Names {
    pub(super) fn load(connection: &Connection) -> Result<Self> {
        let mut names = Self::default();
        let mut select = connection.prepare("SELECT id, text FROM name")?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            names.add_name(row.get(0)?, &row.get::<_, String>(1)?);
        }
        let mut select = connection.prepare("SELECT id, names FROM handlers")?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            let ids = serde_json::from_str(&row.get::<_, String>(1)?);
            let ids = ids.map_err(|_| DiskInboxError::damaged())?;
            names.add_list(row.get(0)?, ids)?;
        }
        Ok(names)
    }

    fn add_name(&mut self, id: i64, text: &str) {
        let text: Arc<str> = text.into();
        self.ids.insert(Arc::clone(&text), id);
        self.texts.insert(id, text);
    }

    fn add_list(&mut self, id: i64, ids: Vec<i64>) -> Result<Arc<HandlerList>> {
        let texts = ids.iter().map(|id| self.texts.get(id));
        let names: Option<Vec<_>> = texts.map(|text| Some(HandlerName::new(text?))).collect();
        let names = names.ok_or_else(DiskInboxError::damaged)?;
        let jobs = names.iter().cloned().collect();
        let list = Arc::new(HandlerList { id, jobs, ids });
        self.lists.insert(id, Arc::clone(&list));
        self.by_names.insert(names, Arc::clone(&list));
        Ok(list)
    }

    /// The id of a text, which is stored if it is new.
    pub(super) fn name(&mut self, connection: &Connection, text: &str) -> Result<i64> {
        if let Some(id) = self.ids.get(text) {
            return Ok(*id);
        }
        cached(connection, "INSERT INTO name (text) VALUES (?)")?.execute([text])?;
        let id = connection.last_insert_rowid();
        self.add_name(id, text);
        Ok(id)
    }

    /// The list of these handlers, which is stored if it is new.
    pub(super) fn list(
        &mut self,
        connection: &Connection,
        jobs: &HandlerSet,
    ) -> Result<Arc<HandlerList>> {
        if let Some(list) = self.by_names.get(jobs.0.as_slice()) {
            return Ok(Arc::clone(list));
        }
        let mut ids = Vec::with_capacity(jobs.len());
        for name in jobs {
            ids.push(self.name(connection, name.as_str())?);
        }
        let text = serde_json::to_string(&ids).unwrap_or_default();
        cached(connection, "INSERT INTO handlers (names) VALUES (?)")?.execute([text])?;
        self.add_list(connection.last_insert_rowid(), ids)
    }

    /// All handlers that there are lists of.
    pub(super) fn handlers(&self) -> BTreeSet<HandlerName> {
        let lists = self.lists.values();
        lists.flat_map(|list| list.jobs.iter().cloned()).collect()
    }

    pub(super) fn text(&self, id: i64) -> Option<&Arc<str>> {
        self.texts.get(&id)
    }

    pub(super) fn by_id(&self, id: i64) -> Option<&Arc<HandlerList>> {
        self.lists.get(&id)
    }
}
