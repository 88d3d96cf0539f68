//! The open files of the log: the one that grows, and those that something was read from last.
//!
//! A log may have thousands of segments, and a process may have few files open. So a bounded number is kept open; any
//! other is opened when something is read from it.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use super::files::{self, File, Files};
use super::segment_file;

/// Files that are kept open for reading.
pub(super) const OPEN_MAX: usize = 8;

pub(super) struct OpenSegments {
    files: Arc<dyn Files>,
    open: Mutex<OpenFiles>,
}

#[derive(Default)]
struct OpenFiles {
    /// The segment that grows.
    last: Option<(u32, Arc<dyn File>)>,
    /// Others; the one that was asked for last comes first.
    read: VecDeque<(u32, Arc<dyn File>)>,
}

impl OpenSegments {
    pub(super) fn new(files: Arc<dyn Files>) -> Self {
        Self {
            files,
            open: Mutex::default(),
        }
    }

    /// This one grows from now on.
    pub(super) fn begin(&self, number: u32, file: Arc<dyn File>) {
        let mut open = self.open.lock();
        let before = open.last.replace((number, file));
        before.into_iter().for_each(|before| open.keep(before));
    }

    /// The file of a segment, opened if it isn't.
    pub(super) fn get(&self, number: u32) -> io::Result<Arc<dyn File>> {
        let mut open = self.open.lock();
        if let Some(file) = open.find(number) {
            return Ok(file);
        }
        let name = segment_file::name(number);
        let file = match self.files.open(&name, false) {
            // One of these can be spared.
            Err(error) if files::is_short(&error) && !open.read.is_empty() => {
                open.read.clear();
                self.files.open(&name, false)?
            }
            opened => opened?,
        };
        open.keep((number, file.clone()));
        Ok(file)
    }

    /// The file is not what it was, or gone.
    pub(super) fn close(&self, number: u32) {
        self.open.lock().read.retain(|(other, _)| *other != number);
    }

    /// Gives back descriptors. Answers whether there were any.
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
