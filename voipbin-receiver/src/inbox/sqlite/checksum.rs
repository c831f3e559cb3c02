//! The checksums of rows.

use crc32fast::Hasher;
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, Row, params_from_iter};

use super::error::{DiskInboxError, Result};
use super::row::cached;

/// Runs a statement that takes the values of a row and, after them, its checksum. Tells how many
/// rows it wrote.
pub(super) fn write(
    connection: &Connection,
    sql: &str,
    table: &str,
    values: &[&dyn ToSql],
) -> Result<usize> {
    let sum = checksum(of_table(table), values)?;
    let values = values.iter().copied().chain([&sum as &dyn ToSql]);
    Ok(cached(connection, sql)?.execute(params_from_iter(values))?)
}

/// Compares the checksum of a row, its last column, with what is there.
pub(super) fn check(row: &Row<'_>, table: &str) -> Result<()> {
    let columns = row.as_ref().column_count() - 1;
    let mut sum = Checksum::new(of_table(table));
    for column in 0..columns {
        sum.add(row.get_ref(column)?)?;
    }
    match row.get::<_, u32>(columns)? == sum.finish() {
        true => Ok(()),
        false => Err(DiskInboxError::damaged()),
    }
}

/// The checksum of values, which goes on from that of others.
pub(super) fn checksum(before: u32, values: &[&dyn ToSql]) -> Result<u32> {
    let mut sum = Checksum::new(before);
    for value in values {
        match value.to_sql()? {
            ToSqlOutput::Borrowed(value) => sum.add(value)?,
            ToSqlOutput::Owned(value) => sum.add(ValueRef::from(&value))?,
            _ => return Err(DiskInboxError::damaged()),
        }
    }
    Ok(sum.finish())
}

/// CRC-32 of values, each with its kind and its length.
struct Checksum {
    before: u32,
    bytes: Vec<u8>,
}

impl Checksum {
    fn new(before: u32) -> Self {
        Self {
            before,
            bytes: Vec::with_capacity(256),
        }
    }

    fn add(&mut self, value: ValueRef<'_>) -> Result<()> {
        let (number, text): (Option<i64>, &[u8]) = match value {
            ValueRef::Null => (None, &[]),
            ValueRef::Integer(number) => (Some(number), &[]),
            ValueRef::Text(text) | ValueRef::Blob(text) => (Some(text.len() as i64), text),
            ValueRef::Real(_) => return Err(DiskInboxError::damaged()),
        };
        self.bytes.push(u8::from(number.is_some()));
        self.bytes
            .extend_from_slice(&number.unwrap_or_default().to_le_bytes());
        self.bytes.extend_from_slice(text);
        Ok(())
    }

    fn finish(self) -> u32 {
        let mut hasher = Hasher::new_with_initial(self.before);
        hasher.update(&self.bytes);
        hasher.finalize()
    }
}

/// What the checksum of a row of this table begins with.
pub(super) fn of_table(table: &str) -> u32 {
    crc32fast::hash(table.as_bytes())
}

pub(super) fn body_sum(seq: i64, body: &[u8]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(&seq.to_le_bytes());
    hasher.update(body);
    hasher.finalize()
}
