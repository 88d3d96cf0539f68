//! The salvage of a whole folder.

use std::path::Path;
use std::sync::Arc;

use super::report::Salvage;
use super::segment::SalvagedSegment;
use super::source::SalvageSource;
use crate::error::StoreError;
use crate::store::disk::atomic_file;
use crate::store::disk::file_error;
use crate::store::disk::files::{Files, Folder};
use crate::store::disk::recovery;
use crate::store::disk::settings::Disk;
use crate::store::disk::verify::verify_files;

impl Disk {
    /// Saves the readable part of this folder into the folder `into`, and returns a report of both parts: the way out when
    /// a folder is refused as damaged and there is no backup. Blocks until it is done, and the copy is durable then.
    ///
    /// This folder must not be in use. Nothing in it is changed, but for its file `lock`. `into` must not exist yet, or be
    /// empty; it needs as much room as this folder, and opens afterwards as any folder does. A copy of an encrypted folder is
    /// encrypted: a salvage needs no key, and readers of the copy detect forged records.
    ///
    /// **A lost part may be the settlement of an event**: then the event waits again in the copy, and runs once more. Look at
    /// [`Salvage::lost`] before you start the copy.
    ///
    /// ```no_run
    /// let salvage = redrive::Disk::new("data").salvage("data-salvaged")?;
    /// for lost in &salvage.lost {
    ///     println!("{} at byte {}: {} bytes: {}", lost.name, lost.at, lost.bytes, lost.what);
    /// }
    /// println!("{} events wait in the copy", salvage.saved.pending);
    /// # Ok::<(), redrive::StoreError>(())
    /// ```
    ///
    /// # Errors
    /// When this folder doesn't exist, is in use, of another version, or a file of it can't be read at all; when `into` isn't
    /// empty or can't be written. Remove the partial copy in `into` then.
    pub fn salvage(&self, into: impl AsRef<Path>) -> Result<Salvage, StoreError> {
        if !self.path.is_dir() {
            let path = self.path.display();
            return Err(StoreError::new(format!(
                "there is no folder `{path}` to salvage"
            )));
        }
        let folder = |path: &Path| {
            Folder::new(path.to_owned()).map_err(|error| {
                StoreError::new(format!(
                    "can't make the folder `{}`: {error}",
                    path.display()
                ))
            })
        };
        let from = folder(&self.path)?;
        let into: Arc<dyn Files> = Arc::new(folder(into.as_ref())?);
        salvage(&from, &into)
    }
}

/// Copies the readable part of one folder into another, empty one.
pub(in crate::store::disk) fn salvage(
    from: &dyn Files,
    into: &Arc<dyn Files>,
) -> Result<Salvage, StoreError> {
    let _locks = [recovery::lock(from)?, recovery::lock(&**into)?];
    require_empty(&**into)?;
    let source = SalvageSource::read(from)?;
    let mut lost = source.lost.clone();
    let (mut next, mut previous) = (1, None);
    for number in source.numbers() {
        let mut part = SalvagedSegment::read(from, &source, number, next)?;
        lost.append(&mut part.lost);
        part.opened.previous = previous;
        next = part.next;
        let is_last = number == source.last;
        let length = part.write(&**into, previous.is_none(), is_last)?;
        previous = Some((number, length));
    }
    for (name, bytes) in &source.companions {
        atomic_file::write(&**into, name, bytes)?;
    }
    let saved = verify_files(into)?;
    Ok(Salvage { lost, saved })
}

fn require_empty(into: &dyn Files) -> Result<(), StoreError> {
    let names = into.list();
    let names = names.map_err(|error| file_error::io_error(into, "", "list", &error))?;
    match names.iter().find(|name| *name != recovery::LOCK) {
        None => Ok(()),
        Some(name) => Err(StoreError::new(format!(
            "`{}` exists: a salvage needs an empty folder",
            into.path(name)
        ))),
    }
}
