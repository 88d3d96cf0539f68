//! Opening a folder whose secrets are sealed, and changing its keys.

use std::sync::Arc;

use super::cipher::{Encrypt, Renewed, Ring, Unlocked};
use super::settings::Disk;
use crate::error::{StoreError, StoreErrorKind};
use crate::store::encryption::MasterKey;
use crate::store::encryption::keyring::Keyring;

impl Disk {
    /// Encrypt what is written of payloads, results and failures, with XChaCha20-Poly1305 under a data key that `master` wraps.
    /// The seal binds it to its event and to what its record says in the clear: function, times, and all that belongs to an
    /// event as it was accepted. A record that was changed on the disk, moved to another event, function or time, or put
    /// there unsealed, doesn't open: the event stays in the folder, and an error names the file and the byte.
    ///
    /// A folder that is sealed can be opened with its master key and its file `keys` only; with others it is refused, and
    /// nothing is touched. One that isn't sealed yet is from here on: what lies in it already stays as it is until it is no
    /// longer needed.
    ///
    /// Not sealed are request ids, function names, times, deduplication keys and trace headers. Not protected from who can
    /// write to the folder is that records are removed, or that an end without a result is put there: that an event was
    /// cancelled, or its dead letter purged.
    pub fn encrypted_with(self, master: impl MasterKey) -> Self {
        self.unlocked_by(Sealing {
            master: Arc::new(master),
            former: None,
            fresh_data_key: false,
        })
    }

    /// Changes the master key to `master` if the folder is still sealed with `former`: the data keys are wrapped anew, and no
    /// event is written again. May stay in the code until every folder was opened with it once.
    pub fn with_rotated_master_key(self, master: impl MasterKey, former: impl MasterKey) -> Self {
        self.unlocked_by(Sealing {
            master: Arc::new(master),
            former: Some(Arc::new(former)),
            fresh_data_key: false,
        })
    }

    /// As [`encrypted_with`](Self::encrypted_with), and what is written from now on is sealed with a fresh data key. What lies
    /// there opens with the old ones.
    pub fn with_rotated_data_key(self, master: impl MasterKey) -> Self {
        self.unlocked_by(Sealing {
            master: Arc::new(master),
            former: None,
            fresh_data_key: true,
        })
    }

    fn unlocked_by(mut self, sealing: Sealing) -> Self {
        let sealing = Arc::new(sealing);
        self.unlock = Some(Arc::new(move |keys| sealing.clone().unlock(keys)));
        self
    }
}

/// The ring in a file of keys, as far as it can be told without the master key.
pub(super) fn claimed(keys: &[u8]) -> Result<Ring, StoreError> {
    let (id, since) = Keyring::claimed(keys)?;
    Ok(Ring { id, since })
}

struct Sealing {
    master: Arc<dyn MasterKey>,
    former: Option<Arc<dyn MasterKey>>,
    fresh_data_key: bool,
}

impl Sealing {
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
                    seals: Box::new(ring),
                    keys: None,
                }),
            }),
        })
    }
}

fn changed(ring: Keyring) -> Renewed {
    Renewed {
        keys: Some(ring.to_bytes()),
        seals: Box::new(ring),
    }
}

impl Encrypt for Keyring {
    fn ring(&self) -> Ring {
        Ring {
            id: self.id(),
            since: self.since(),
        }
    }

    fn seal(&self, identity: &[u8], plain: &[u8]) -> Result<(u32, Vec<u8>), StoreError> {
        let (number, key) = self.current();
        Ok((number, key.encrypt(identity, plain)?))
    }

    fn open(&self, key: u32, identity: &[u8], sealed: &[u8]) -> Result<Vec<u8>, StoreError> {
        let unknown = || {
            let message = format!(
                "it is sealed with data key {key}, which the store doesn't have: restore its file `keys`"
            );
            StoreError::of(StoreErrorKind::Key, message)
        };
        let opened = self.get(key).ok_or_else(unknown)?.decrypt(identity, sealed);
        opened.map_err(|broken| StoreError::of(StoreErrorKind::Damaged, broken.to_string()))
    }
}
