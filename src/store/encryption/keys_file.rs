//! The format of the store's file `keys`.
//!
//! ```text
//! redrive keys 2 3a5f…           version, and a checksum of the rest
//! { "master": "key-90c4…",       the id of the master key that wraps the data keys
//!   "since": 1,                  the first segment of the log that is encrypted
//!   "keys": [ { "number": 1, "created_at": …, "wrapped": "…", "check": "…" } ] }
//! ```
//!
//! The checksum separates damage from a wrong master key. It is not a signature: the master key itself vouches for the origin of
//! the data keys, and each `check` ties a number, and the first encrypted segment, to its key.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::aead::{KEY_BYTES, fingerprint};
use super::encoding;
use super::keyring_error::{KeyringError, VERSION, damaged};
use super::master_key::MasterKey;
use super::wrapped_key::{WrappedKey, check, mistaken, unwrap};

const MAGIC: &str = "redrive keys";
/// A public key for the cipher: a fingerprint with it is a checksum.
const NO_KEY: [u8; KEY_BYTES] = [0; KEY_BYTES];

/// The contents of the file, as JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeysFile {
    pub(super) master: String,
    pub(super) since: u32,
    pub(super) keys: Vec<KeyEntry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyEntry {
    pub(super) number: u32,
    /// Milliseconds since 1970.
    pub(super) created_at: u64,
    /// Hex.
    pub(super) wrapped: String,
    /// The data key's fingerprint for its number, and for the segment from which on the store is encrypted.
    pub(super) check: String,
}

impl KeysFile {
    /// Returns the bytes of the file.
    pub(super) fn write(&self) -> Vec<u8> {
        let rest = serde_json::to_string_pretty(self).expect("text and numbers can be JSON");
        with_head(&rest).into_bytes()
    }

    /// Reads the file. It checks the order of the keys, and not the keys themselves.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, KeyringError> {
        let text = std::str::from_utf8(bytes).map_err(damaged)?;
        let (head, rest) = text.split_once('\n').unwrap_or((text, ""));
        let Some(checksum) = head.strip_prefix(&format!("{MAGIC} {VERSION} ")) else {
            return Err(foreign(head));
        };
        if checksum != fingerprint(&NO_KEY, rest.as_bytes()) {
            return Err(damaged("their checksum differs"));
        }
        let keys: Self = serde_json::from_str(rest).map_err(damaged)?;
        if !keys.keys.is_sorted_by(|a, b| a.number < b.number) {
            return Err(damaged("their numbers don't ascend"));
        }
        Ok(keys)
    }
}

/// Returns the text of a file whose JSON is `rest`.
pub(super) fn with_head(rest: &str) -> String {
    let checksum = fingerprint(&NO_KEY, rest.as_bytes());
    format!("{MAGIC} {VERSION} {checksum}\n{rest}")
}

/// Returns the error for a file whose first line is `head`.
fn foreign(head: &str) -> KeyringError {
    let mut words = head.strip_prefix(MAGIC).unwrap_or("").split_whitespace();
    match words.next().and_then(|word| word.parse().ok()) {
        Some(version) if version != VERSION => KeyringError::UnknownVersion { version },
        _ => damaged(format_args!("they don't begin with `{MAGIC} {VERSION}`")),
    }
}

impl KeyEntry {
    pub(super) fn new(key: &WrappedKey, since: u32) -> Self {
        let age = key.created_at.duration_since(SystemTime::UNIX_EPOCH);
        let created_at = age.map_or(0, |age| age.as_millis().try_into().unwrap_or(u64::MAX));
        Self {
            number: key.number,
            created_at,
            wrapped: encoding::to_hex(&key.wrapped),
            check: key.check(since),
        }
    }

    /// Returns the data key, unwrapped.
    pub(super) fn unwrap_with(
        self,
        master: &dyn MasterKey,
        since: u32,
    ) -> Result<WrappedKey, KeyringError> {
        let number = self.number;
        let wrapped = encoding::from_hex(self.wrapped.as_bytes())
            .ok_or_else(|| damaged(format_args!("data key {number} isn't hex")))?;
        let created_at = SystemTime::UNIX_EPOCH
            .checked_add(Duration::from_millis(self.created_at))
            .ok_or_else(|| damaged(format_args!("data key {number} is of no known time")))?;
        let key = unwrap(master, number, &wrapped)?;
        if self.check != check(number, since, &key) {
            return Err(mistaken(master, number));
        }
        Ok(WrappedKey {
            number,
            created_at,
            key: key.into(),
            wrapped: wrapped.to_vec(),
        })
    }
}
