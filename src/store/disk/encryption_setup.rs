//! Encrypted folders: opening one with its master key, and rotating its keys.

use std::sync::Arc;

use super::cipher::{Encrypt, Renewed, Ring, Unlocked};
use super::settings::Disk;
use crate::error::{StoreError, StoreErrorKind};
use crate::store::encryption::MasterKey;
use crate::store::encryption::keyring::Keyring;

impl Disk {
    /// Encrypts payloads, results and failures with XChaCha20-Poly1305, under a data key that `master` wraps. Each ciphertext
    /// is bound to its event and to the plain fields of its record: function, times, and everything else that an event has
    /// from its acceptance. A record that was changed on the disk, moved to another event, function or time, or put there in
    /// plaintext, does not decrypt: the event stays in the folder, and an error names the file and the byte.
    ///
    /// An encrypted folder opens only with its master key and its file `keys`; with others it is refused, and nothing is
    /// touched. A folder with events in plaintext is encrypted from here on: the plaintext stays until it is no longer needed.
    ///
    /// Request ids, function names, times, deduplication keys and trace headers are not encrypted. The encryption does not
    /// protect against removed records, nor against a forged end without a result: that an event was cancelled, or that its
    /// dead letter was purged.
    pub fn encrypted_with(self, master: impl MasterKey) -> Self {
        self.unlocked_by(MasterKeys {
            master: Arc::new(master),
            former: None,
            fresh_data_key: false,
        })
    }

    /// Encrypts as [`encrypted_with`](Self::encrypted_with), and changes the master key to `master` if the folder still has
    /// `former`. The data keys are wrapped anew; no event is rewritten. The call may stay in the code until every folder was
    /// opened with it once.
    pub fn with_rotated_master_key(self, master: impl MasterKey, former: impl MasterKey) -> Self {
        self.unlocked_by(MasterKeys {
            master: Arc::new(master),
            former: Some(Arc::new(former)),
            fresh_data_key: false,
        })
    }

    /// Encrypts as [`encrypted_with`](Self::encrypted_with), with a fresh data key for new records. Existing records decrypt
    /// with the old ones.
    pub fn with_rotated_data_key(self, master: impl MasterKey) -> Self {
        self.unlocked_by(MasterKeys {
            master: Arc::new(master),
            former: None,
            fresh_data_key: true,
        })
    }

    fn unlocked_by(mut self, master: MasterKeys) -> Self {
        let master = Arc::new(master);
        self.unlock = Some(Arc::new(move |keys| master.clone().unlock(keys)));
        self
    }
}

/// Returns the ring in the content of a file `keys`, unverified. A build without encryption returns the named one.
pub(super) fn claimed(keys: &[u8], _named: Option<Ring>) -> Result<Option<Ring>, StoreError> {
    let (id, since) = Keyring::claimed(keys)?;
    Ok(Some(Ring { id, since }))
}

struct MasterKeys {
    master: Arc<dyn MasterKey>,
    former: Option<Arc<dyn MasterKey>>,
    fresh_data_key: bool,
}

impl MasterKeys {
    fn unlock(self: Arc<Self>, keys: Option<Vec<u8>>) -> Result<Unlocked, StoreError> {
        let Some(keys) = keys else {
            return Ok(Unlocked {
                ring: None,
                renew: Box::new(move |since, now| {
                    Ok(changed(Keyring::create(&*self.master, since, now)?))
                }),
            });
        };
        let former = self.former.as_ref();
        let former = former.filter(|former| Keyring::is_wrapped_by(&keys, &***former));
        let is_former = former.is_some();
        let ring = Keyring::load(&keys, &**former.unwrap_or(&self.master))?;
        Ok(Unlocked {
            ring: Some(ring.ring()),
            renew: Box::new(move |_, now| match self.fresh_data_key {
                _ if is_former => Ok(changed(ring.rotate_master(&*self.master)?)),
                true => Ok(changed(ring.rotate_data_key(&*self.master, now)?)),
                false => Ok(Renewed {
                    encrypt: Box::new(ring),
                    keys: None,
                }),
            }),
        })
    }
}

fn changed(ring: Keyring) -> Renewed {
    Renewed {
        keys: Some(ring.to_bytes()),
        encrypt: Box::new(ring),
    }
}

impl Encrypt for Keyring {
    fn ring(&self) -> Ring {
        Ring {
            id: self.id(),
            since: self.since(),
        }
    }

    fn encrypt(&self, associated: &[u8], plain: &[u8]) -> Result<(u32, Vec<u8>), StoreError> {
        let (number, key) = self.current();
        Ok((number, key.encrypt(associated, plain)?))
    }

    fn decrypt(
        &self,
        key: u32,
        associated: &[u8],
        encrypted: &[u8],
    ) -> Result<Vec<u8>, StoreError> {
        let unknown = || {
            let message = format!(
                "it is encrypted with data key {key}, which the store doesn't have: restore its file `keys`"
            );
            StoreError::of(StoreErrorKind::Key, message)
        };
        let opened = self
            .get(key)
            .ok_or_else(unknown)?
            .decrypt(associated, encrypted);
        opened.map_err(|broken| StoreError::of(StoreErrorKind::Damaged, broken.to_string()))
    }
}
