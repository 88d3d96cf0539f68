//! The open files of the log: the growing segment, and the segments that were read last.
//!
//! A log may have thousands of segments, and a process may have few files open. So a bounded number stays open; any other
//! segment is opened for a read.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use super::files::{self, File, Files};
use super::segment_file;

/// The maximum number of files that stay open for reading.
pub(super) const OPEN_MAX: usize = 8;

pub(super) struct OpenSegments {
    files: Arc<dyn Files>,
    open: Mutex<OpenFiles>,
}

#[derive(Default)]
struct OpenFiles {
    /// The segment that grows.
    last: Option<(u32, Arc<dyn File>)>,
    /// Others, the last used one first.
    read: VecDeque<(u32, Arc<dyn File>)>,
}

impl OpenSegments {
    pub(super) fn new(files: Arc<dyn Files>) -> Self {
        Self {
            files,
            open: Mutex::default(),
        }
    }

    /// Makes this segment the growing one.
    pub(super) fn begin(&self, number: u32, file: Arc<dyn File>) {
        let mut open = self.open.lock();
        let before = open.last.replace((number, file));
        before.into_iter().for_each(|before| open.keep(before));
    }

    /// Returns the file of a segment, and opens it if necessary.
    pub(super) fn get(&self, number: u32) -> io::Result<Arc<dyn File>> {
        let mut open = self.open.lock();
        if let Some(file) = open.find(number) {
            return Ok(file);
        }
        let name = segment_file::name(number);
        let file = match self.files.open(&name, false) {
            // Closing the others frees a descriptor.
            Err(error) if files::is_short(&error) && !open.read.is_empty() => {
                open.read.clear();
                self.files.open(&name, false)?
            }
            opened => opened?,
        };
        open.keep((number, file.clone()));
        Ok(file)
    }

    /// Closes a segment whose file was replaced or removed.
    pub(super) fn close(&self, number: u32) {
        self.open.lock().read.retain(|(other, _)| *other != number);
    }

    /// Closes all files that are open for reading. Returns whether there were any.
    pub(super) fn close_all(&self) -> bool {
        !std::mem::take(&mut self.open.lock().read).is_empty()
    }
}

impl OpenFiles {
    fn find(&mut self, number: u32) -> Option<Arc<dyn File>> {
        if let Some((_, file)) = self.last.as_ref().filter(|(last, _)| *last == number) {
            return Some(file.clone());
        }
        let at = self.read.iter().position(|(other, _)| *other == number)?;
        let found = self.read.remove(at)?;
        let file = found.1.clone();
        self.read.push_front(found);
        Some(file)
    }

    fn keep(&mut self, segment: (u32, Arc<dyn File>)) {
        self.read.truncate(OPEN_MAX - 1);
        self.read.push_front(segment);
    }
}
