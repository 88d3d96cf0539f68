//! A file of the simulated disk: its contents as the process sees them, as they are on the disk, and the changes between.

use rand::Rng;
use rand::rngs::SmallRng;

/// The number of bytes that a disk writes as a whole.
const SECTOR: u64 = 512;

#[derive(Clone, Default)]
pub(super) struct Inode {
    /// The contents as the process sees them.
    pub(super) bytes: Vec<u8>,
    durable: Vec<u8>,
    /// Not synced yet.
    pub(super) changes: Vec<FileChange>,
    /// Never synced: the sync that was to write them failed, and the OS takes them for written.
    pub(super) lost: Vec<FileChange>,
}

#[derive(Clone)]
pub(super) enum FileChange {
    Bytes { at: u64, bytes: Vec<u8> },
    Length(u64),
}

impl Inode {
    /// Returns a file whose contents are on the disk.
    pub(super) fn durable(bytes: Vec<u8>) -> Self {
        Self {
            durable: bytes.clone(),
            bytes,
            ..Self::default()
        }
    }

    pub(super) fn change(&mut self, change: FileChange) {
        change.apply(&mut self.bytes);
        self.changes.push(change);
    }

    pub(super) fn sync(&mut self) {
        for change in self.changes.drain(..) {
            change.apply(&mut self.durable);
            if let FileChange::Length(length) = change {
                self.lost.iter_mut().for_each(|lost| lost.cut(length));
            }
        }
    }

    /// Returns the contents after a loss of power: any of the unsynced sectors, and any length since the last sync.
    pub(super) fn after_power_cut(&self, rng: &mut SmallRng) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        let mut lengths = vec![bytes.len()];
        let share = [0.0, 0.1, 0.5, 0.9, 1.0][rng.random_range(0..5)];
        let mut longest = bytes.len();
        for change in self.lost.iter().chain(&self.changes) {
            match change {
                FileChange::Length(length) => longest = *length as usize,
                FileChange::Bytes { bytes, .. } if bytes.is_empty() => {}
                FileChange::Bytes { at, bytes: written } => {
                    longest = longest.max(*at as usize + written.len());
                    let mut from = 0;
                    while from < written.len() {
                        let place = at + from as u64;
                        let upto = written.len().min(from + (SECTOR - place % SECTOR) as usize);
                        if rng.random_bool(share) {
                            write(&mut bytes, place, &written[from..upto]);
                        }
                        from = upto;
                    }
                }
            }
            lengths.push(longest);
        }
        bytes.resize(lengths[rng.random_range(0..lengths.len())], 0);
        bytes
    }
}

impl FileChange {
    /// Drops the part behind `length`, which was cut off.
    fn cut(&mut self, length: u64) {
        match self {
            Self::Bytes { at, bytes } if *at >= length => bytes.clear(),
            Self::Bytes { at, bytes } => bytes.truncate((length - *at) as usize),
            Self::Length(old) => *old = length.min(*old),
        }
    }

    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Bytes { at, bytes } => write(to, *at, bytes),
            Self::Length(length) => to.resize(*length as usize, 0),
        }
    }
}

fn write(to: &mut Vec<u8>, at: u64, bytes: &[u8]) {
    let (at, end) = (at as usize, at as usize + bytes.len());
    if to.len() < end {
        to.resize(end, 0);
    }
    to[at..end].copy_from_slice(bytes);
}
