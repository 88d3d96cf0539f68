//! The data keys of a store: the newest encrypts, the older ones still decrypt the records that they encrypted.
//!
//! They lie wrapped by the master key in the store's file `keys` (`keys_file.rs`), which the store reads and writes.

use std::fmt;
use std::iter;
use std::time::SystemTime;

use super::data_key::DataKey;
use super::keyring_error::{KeyringError, damaged};
use super::keys_file::{KeyEntry, KeysFile};
use super::master_key::MasterKey;
use super::wrapped_key::WrappedKey;

/// A store's data keys: at least one, of which the newest encrypts and the others still decrypt.
///
/// A keyring doesn't change. A rotation makes another one, which must be durable before it takes the place of this one:
/// otherwise a power cut loses the records that it encrypted.
pub(crate) struct Keyring {
    /// The id of the one master key that wrapped them all.
    master: String,
    /// The first segment of the log that is encrypted.
    since: u32,
    /// Numbers ascend, and the current one is above them.
    older: Vec<WrappedKey>,
    current: WrappedKey,
}

impl Keyring {
    /// Returns a keyring with one new data key, for the records from segment `since` of the log on.
    pub(crate) fn create(
        master: &dyn MasterKey,
        since: u32,
        now: SystemTime,
    ) -> Result<Self, KeyringError> {
        Ok(Self {
            master: master.id(),
            since,
            older: Vec::new(),
            current: WrappedKey::create(1, master, now)?,
        })
    }

    /// Reads the bytes that [`to_bytes`](Self::to_bytes) returned.
    pub(crate) fn load(bytes: &[u8], master: &dyn MasterKey) -> Result<Self, KeyringError> {
        let file = KeysFile::read(bytes)?;
        require(&file.master, master)?;
        let since = file.since;
        let entries = file.keys.into_iter();
        let entries = entries.map(|key| key.unwrap_with(master, since));
        let mut older: Vec<WrappedKey> = entries.collect::<Result<_, _>>()?;
        let current = older.pop().ok_or_else(|| damaged("there is none"))?;
        Ok(Self {
            master: file.master,
            since,
            older,
            current,
        })
    }

    /// Returns whether this master key wraps the keys in `bytes`; `false` for bytes that can't be read.
    pub(crate) fn is_wrapped_by(bytes: &[u8], master: &dyn MasterKey) -> bool {
        KeysFile::read(bytes).is_ok_and(|file| file.master == master.id())
    }

    /// Returns the contents of the store's file `keys`.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        KeysFile {
            master: self.master.clone(),
            since: self.since,
            keys: self
                .ascending()
                .map(|entry| KeyEntry::new(entry, self.since))
                .collect(),
        }
        .write()
    }

    /// Returns the data key to encrypt with, and its number, which must be stored beside the ciphertext.
    pub(crate) fn current(&self) -> (u32, &DataKey) {
        (self.current.number, &self.current.key)
    }

    /// Returns the data key to decrypt with.
    pub(crate) fn get(&self, number: u32) -> Option<&DataKey> {
        let mut descending = iter::once(&self.current).chain(self.older.iter().rev());
        let entry = descending.find(|entry| entry.number == number)?;
        Some(&entry.key)
    }

    /// Returns this keyring under another master key. Every data key is wrapped again; the encrypted records stay as they are.
    ///
    /// The data keys are the same: if others know the old master key, rotate the data key too. With the old file as well,
    /// they can still decrypt the records that were written until then.
    pub(crate) fn rotate_master(&self, new: &dyn MasterKey) -> Result<Self, KeyringError> {
        let rewrap = |key: &WrappedKey| key.rewrap(new);
        Ok(Self {
            master: new.id(),
            since: self.since,
            older: self.older.iter().map(rewrap).collect::<Result<_, _>>()?,
            current: rewrap(&self.current)?,
        })
    }

    /// Returns this keyring with a new data key, for records from now on.
    pub(crate) fn rotate_data_key(
        &self,
        master: &dyn MasterKey,
        now: SystemTime,
    ) -> Result<Self, KeyringError> {
        require(&self.master, master)?;
        let number = self.current.number.checked_add(1);
        Ok(Self {
            master: self.master.clone(),
            since: self.since,
            older: self.ascending().cloned().collect(),
            current: WrappedKey::create(number.ok_or(KeyringError::Full)?, master, now)?,
        })
    }

    /// Returns the id of this keyring, which no rotation changes.
    pub(crate) fn id(&self) -> u64 {
        let first = self.older.first().unwrap_or(&self.current);
        id_of(&first.check(self.since))
    }

    /// The first segment of the log that is encrypted.
    pub(crate) fn since(&self) -> u32 {
        self.since
    }

    /// Returns the id and the first encrypted segment, as a file of keys says, without the proof of the master key.
    pub(crate) fn claimed(bytes: &[u8]) -> Result<(u64, u32), KeyringError> {
        let file = KeysFile::read(bytes)?;
        let first = file.keys.first().ok_or_else(|| damaged("there is none"))?;
        Ok((id_of(&first.check), file.since))
    }

    /// Returns a file of keys with these contents, as a forger can write it.
    #[cfg(test)]
    pub(crate) fn forged(rest: &str) -> Vec<u8> {
        super::keys_file::with_head(rest).into_bytes()
    }

    fn ascending(&self) -> impl Iterator<Item = &WrappedKey> {
        self.older.iter().chain([&self.current])
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.ascending().count();
        write!(f, "Keyring({count} keys, wrapped by `{}`)", self.master)
    }
}

/// Refuses a master key that isn't the one named `wanted`.
fn require(wanted: &str, master: &dyn MasterKey) -> Result<(), KeyringError> {
    match master.id() {
        given if given == wanted => Ok(()),
        given => Err(KeyringError::WrongMaster {
            wanted: wanted.to_owned(),
            given,
        }),
    }
}

/// Returns the first half of a check as a number; 0 if it isn't hex.
fn id_of(check: &str) -> u64 {
    let half = check.get(..16).unwrap_or_default();
    u64::from_str_radix(half, 16).unwrap_or_default()
}

#[cfg(test)]
mod tests;
