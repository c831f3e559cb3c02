//! The tables and functions, and their creation.

use super::error::{PostgresInboxError, PostgresInboxErrorKind as Kind};
use super::server::{Connection, Trouble, get, single};

/// `meta.version` of what this release creates.
const VERSION: i32 = 4;

const SCHEMA: &str = include_str!("schema.sql");

/// The name of a schema, safe to write into a statement.
#[derive(Clone, Debug)]
pub(super) struct Schema(String);

impl Schema {
    pub(super) fn new(name: &str) -> Result<Self, PostgresInboxError> {
        let first = |c: char| c.is_ascii_lowercase() || c == '_';
        let valid = name.len() <= 48
            && name.starts_with(first)
            && name.chars().all(|c| first(c) || c.is_ascii_digit())
            && !name.starts_with("pg_");
        match valid {
            true => Ok(Self(name.to_owned())),
            false => Err(PostgresInboxError::new(Kind::Address)),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.0
    }

    /// A statement in which `inbox.` stands for the schema.
    pub(super) fn sql(&self, template: &str) -> String {
        template
            .replace("inbox.", &format!("{}.", self.0))
            .replace("EXISTS inbox;", &format!("EXISTS {};", self.0))
    }

    /// Brings the schema to this release's version, or refuses it. Two processes do not do it at
    /// once.
    pub(super) async fn prepare(
        &self,
        connection: &Connection,
        partitions: u16,
    ) -> Result<(), PostgresInboxError> {
        if self.check(connection, partitions).await? {
            return Ok(());
        }
        let create = format!(
            "BEGIN;\n\
             SELECT pg_advisory_xact_lock(hashtextextended('{name}.create', 0));\n\
             {tables}\n\
             INSERT INTO {name}.meta VALUES ({VERSION}, {partitions}, '{release}');\n\
             INSERT INTO {name}.partition SELECT generate_series(0, {partitions} - 1);\n\
             COMMIT;",
            name = self.0,
            tables = self.sql(SCHEMA),
            release = env!("CARGO_PKG_VERSION"),
        );
        let created = connection.batch(&create).await;
        if created.is_err() {
            // What a failed transaction leaves; and somebody else may have been faster.
            let _ = connection.batch("ROLLBACK").await;
        }
        match (self.check(connection, partitions).await?, created) {
            (true, _) => Ok(()),
            (false, Err(trouble)) => Err(refused(trouble)),
            (false, Ok(())) => Err(PostgresInboxError::new(Kind::Schema)),
        }
    }

    /// False when there is none.
    async fn check(
        &self,
        connection: &Connection,
        partitions: u16,
    ) -> Result<bool, PostgresInboxError> {
        let exists = format!("SELECT to_regclass('{}.meta') IS NOT NULL", self.0);
        let rows = connection.call(&exists, &[]).await.map_err(refused)?;
        if !single::<bool>(&rows).map_err(refused)? {
            return Ok(false);
        }
        let meta = self.sql("SELECT version, partitions FROM inbox.meta");
        let rows = connection.call(&meta, &[]).await.map_err(refused)?;
        let row = rows
            .first()
            .ok_or_else(|| PostgresInboxError::new(Kind::Schema))?;
        let version: i32 = get(row, 0).map_err(refused)?;
        match (version, get::<i32>(row, 1).map_err(refused)?) {
            (VERSION, found) if found == i32::from(partitions) => Ok(true),
            (VERSION, found) => Err(PostgresInboxError::new(Kind::Schema).because(format!(
                "it was created with {found} partitions, not {partitions}"
            ))),
            (version, _) if version > VERSION => Err(PostgresInboxError::new(Kind::NewerFormat)),
            _ => Err(PostgresInboxError::new(Kind::OlderFormat)),
        }
    }
}

fn refused(trouble: Trouble) -> PostgresInboxError {
    PostgresInboxError::new(Kind::Schema).because(trouble)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_change_a_statement() {
        for bad in [
            "",
            "1a",
            "A",
            "a b",
            "a;b",
            "a\"",
            "pg_x",
            "é",
            &"a".repeat(49),
        ] {
            assert!(Schema::new(bad).is_err(), "{bad}");
        }
        let schema = Schema::new("calls_2").unwrap();
        assert_eq!(schema.sql("FROM inbox.seen"), "FROM calls_2.seen");
        let all = schema.sql(SCHEMA);
        assert!(!all.contains("inbox."), "{all}");
    }
}
