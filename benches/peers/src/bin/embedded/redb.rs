//! redb: a copy-on-write B-tree.

use std::path::Path;

use redb::{Database, Durability, ReadableDatabase, TableDefinition};

use crate::Result;
use crate::keyed::{self, Change, Key, Table};

const PENDING: TableDefinition<&[u8], &[u8]> = TableDefinition::new("pending");
const FINISHED: TableDefinition<&[u8], &[u8]> = TableDefinition::new("finished");

pub struct Tables(Database);

impl Tables {
    pub fn open(folder: &Path) -> Result<Self> {
        let database = Database::create(folder.join("events.redb"))?;
        let transaction = database.begin_write()?;
        transaction.open_table(PENDING)?;
        transaction.open_table(FINISHED)?;
        transaction.commit()?;
        Ok(Self(database))
    }
}

impl keyed::Database for Tables {
    fn commit(&mut self, changes: Vec<Change>, durable: bool) -> Result<()> {
        let mut transaction = self.0.begin_write()?;
        transaction.set_durability(match durable {
            true => Durability::Immediate,
            false => Durability::None,
        })?;
        {
            let mut pending = transaction.open_table(PENDING)?;
            let mut finished = transaction.open_table(FINISHED)?;
            for change in changes {
                let (Change::Put(table, ..) | Change::Remove(table, ..)) = &change;
                let table = match table {
                    Table::Pending => &mut pending,
                    Table::Finished => &mut finished,
                };
                match change {
                    Change::Put(_, key, value) => drop(table.insert(&*key, &*value)?),
                    Change::Remove(_, key) => drop(table.remove(&*key)?),
                }
            }
        }
        Ok(transaction.commit()?)
    }

    fn scan(&self, from: Key, visit: &mut dyn FnMut(Key, &[u8]) -> bool) -> Result<()> {
        let transaction = self.0.begin_read()?;
        let pending = transaction.open_table(PENDING)?;
        for entry in pending.range(from.as_slice()..)? {
            let (key, value) = entry?;
            if !visit(Key::try_from(key.value())?, value.value()) {
                break;
            }
        }
        Ok(())
    }
}
