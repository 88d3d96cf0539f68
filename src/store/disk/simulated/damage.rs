//! Random damage to the files of the simulated disk.

use std::ops::Range;

use rand::Rng;
use rand::rngs::SmallRng;

use super::inode::Inode;
use super::machine::Machine;

impl Machine {
    /// Damages one file in one way. Returns a description of the damage.
    pub(super) fn damage(&mut self, rng: &mut SmallRng) -> String {
        let full = self.files_with_contents();
        let (name, at) = &full[rng.random_range(0..full.len())];
        let (other, from) = &full[rng.random_range(0..full.len())];
        let (at, from) = (*at, *from);
        let bytes = &mut self.inodes[at].bytes;
        let len = bytes.len();
        let start = rng.random_range(0..len);
        let most = [1, 8, 64, 512, 4_096, usize::MAX][rng.random_range(0..6)];
        let end = start + rng.random_range(1..=(len - start).min(most));
        let how = match rng.random_range(0..5) {
            0 => {
                let bit = rng.random_range(0..8);
                bytes[start] ^= 1 << bit;
                format!("{name}: bit {bit} of byte {start} is flipped")
            }
            1 => {
                bytes[start..end].fill_with(|| rng.random());
                format!("{name}: bytes {start} to {end} are noise")
            }
            2 => {
                bytes.truncate(start);
                format!("{name}: cut off at {start} of {len}")
            }
            3 => {
                bytes[start..end].fill(0);
                format!("{name}: bytes {start} to {end} of {len} are zero")
            }
            _ => {
                let (there, length) = self.swap(at, start..end, from, rng);
                format!("{name} at {start} and {other} at {there}: {length} bytes change places")
            }
        };
        for inode in [at, from] {
            let bytes = std::mem::take(&mut self.inodes[inode].bytes);
            self.inodes[inode] = Inode::durable(bytes);
        }
        how
    }

    /// Returns the names and inodes of the files whose damage matters: not empty, and with records in them.
    fn files_with_contents(&self) -> Vec<(String, usize)> {
        let named = self.names.iter().map(|(name, &at)| (name.clone(), at));
        named
            .filter(|(_, at)| !self.inodes[*at].bytes.is_empty())
            .filter(|(name, _)| !["reserve", "running"].contains(&name.as_str()))
            .collect()
    }

    /// Swaps bytes of one file with as many of another. Returns where the others lay, and how many there were.
    fn swap(
        &mut self,
        at: usize,
        range: Range<usize>,
        from: usize,
        rng: &mut SmallRng,
    ) -> (usize, usize) {
        let theirs = self.inodes[from].bytes.len();
        let length = range.len().min(theirs);
        let there = rng.random_range(0..=theirs - length);
        let copy = self.inodes[from].bytes[there..there + length].to_vec();
        let bytes = &mut self.inodes[at].bytes;
        let old: Vec<_> = bytes
            .splice(range.start..range.start + length, copy)
            .collect();
        if from != at {
            self.inodes[from].bytes[there..there + length].copy_from_slice(&old);
        }
        (there, length)
    }
}
