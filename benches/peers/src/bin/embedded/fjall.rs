//! fjall: a log-structured merge tree with a journal.

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use crate::Result;
use crate::keyed::{self, Change, Key, Table};

pub struct Tables {
    database: Database,
    pending: Keyspace,
    finished: Keyspace,
}

impl Tables {
    pub fn open(folder: &Path) -> Result<Self> {
        let database = Database::builder(folder).open()?;
        Ok(Self {
            pending: database.keyspace("pending", KeyspaceCreateOptions::default)?,
            finished: database.keyspace("finished", KeyspaceCreateOptions::default)?,
            database,
        })
    }

    fn of(&self, table: Table) -> &Keyspace {
        match table {
            Table::Pending => &self.pending,
            Table::Finished => &self.finished,
        }
    }
}

impl keyed::Database for Tables {
    fn commit(&mut self, changes: Vec<Change>, durable: bool) -> Result<()> {
        // redrive's store syncs with `fdatasync` too.
        let mode = match durable {
            true => PersistMode::SyncData,
            false => PersistMode::Buffer,
        };
        let mut batch = self.database.batch().durability(Some(mode));
        for change in changes {
            match change {
                Change::Put(table, key, value) => batch.insert(self.of(table), key, value),
                Change::Remove(table, key) => batch.remove(self.of(table), key),
            }
        }
        Ok(batch.commit()?)
    }

    fn scan(&self, from: Key, visit: &mut dyn FnMut(Key, &[u8]) -> bool) -> Result<()> {
        for entry in self.pending.range(from..) {
            let (key, value) = entry.into_inner()?;
            if !visit(Key::try_from(&*key)?, &value) {
                break;
            }
        }
        Ok(())
    }
}
