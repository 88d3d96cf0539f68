//! Slots with stable numbers, in chunks: growing copies nothing, and an empty chunk is freed.

use std::ops::{Index, IndexMut};

/// No slot.
pub(crate) const NONE: u32 = u32::MAX;

const CHUNK: usize = 1024;

#[derive(Debug)]
pub(crate) struct Slab<T> {
    chunks: Vec<Chunk<T>>,
    /// Chunks with room, the last one first. Every chunk that isn't full stands here once.
    roomy: Vec<u32>,
}

#[derive(Debug)]
struct Chunk<T> {
    cells: Vec<Cell<T>>,
    /// First free cell; the free ones are linked.
    free: u32,
    used: u32,
}

#[derive(Debug)]
enum Cell<T> {
    Used(T),
    /// To be filled by its owner.
    Reserved,
    Free {
        next: u32,
    },
}

impl<T> Slab<T> {
    pub(crate) const fn new() -> Self {
        Self {
            chunks: Vec::new(),
            roomy: Vec::new(),
        }
    }

    pub(crate) fn insert_with(&mut self, make: impl FnOnce(u32) -> T) -> u32 {
        let index = self.reserve();
        self.fill(index, make(index));
        index
    }

    /// Reserves a slot to be filled, and returns its number. Until then the slot counts as empty.
    pub(crate) fn reserve(&mut self) -> u32 {
        let number = match self.roomy.last() {
            Some(&number) => number,
            None => self.grow(),
        };
        let chunk = &mut self.chunks[number as usize];
        let cell = chunk.vacancy(number > 0);
        chunk.cells[cell as usize] = Cell::Reserved;
        chunk.used += 1;
        if chunk.used as usize == CHUNK {
            self.roomy.pop();
        }
        number * CHUNK as u32 + cell
    }

    /// Fills a reserved slot.
    #[inline]
    pub(crate) fn fill(&mut self, index: u32, value: T) {
        self.chunks[index as usize / CHUNK].cells[index as usize % CHUNK] = Cell::Used(value);
    }

    /// Frees a reserved slot that was not filled.
    pub(crate) fn release(&mut self, index: u32) {
        self.vacate(index);
    }

    fn grow(&mut self) -> u32 {
        let number = self.chunks.len() as u32;
        self.chunks.push(Chunk {
            cells: Vec::new(),
            free: NONE,
            used: 0,
        });
        self.roomy.push(number);
        number
    }

    /// Empties a slot that is in use, and returns its value.
    pub(crate) fn remove(&mut self, index: u32) -> T {
        let Cell::Used(value) = self.vacate(index) else {
            panic!("slot {index} was empty already")
        };
        value
    }

    fn vacate(&mut self, index: u32) -> Cell<T> {
        let number = index as usize / CHUNK;
        let cell = index % CHUNK as u32;
        let chunk = &mut self.chunks[number];
        if chunk.used as usize == CHUNK {
            self.roomy.push(number as u32);
        }
        let free = Cell::Free { next: chunk.free };
        let content = std::mem::replace(&mut chunk.cells[cell as usize], free);
        chunk.free = cell;
        chunk.used -= 1;
        // The first chunk stays: most functions never need another, and would allocate for every event.
        if chunk.used == 0 && number > 0 {
            (chunk.cells, chunk.free) = (Vec::new(), NONE);
        }
        content
    }

    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        match self
            .chunks
            .get(index as usize / CHUNK)?
            .cells
            .get(index as usize % CHUNK)?
        {
            Cell::Used(value) => Some(value),
            Cell::Reserved | Cell::Free { .. } => None,
        }
    }

    fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        match self
            .chunks
            .get_mut(index as usize / CHUNK)?
            .cells
            .get_mut(index as usize % CHUNK)?
        {
            Cell::Used(value) => Some(value),
            Cell::Reserved | Cell::Free { .. } => None,
        }
    }

    /// Returns the used slots with their numbers, from number `from` on.
    pub(crate) fn iter(&self, from: u32) -> impl Iterator<Item = (u32, &T)> {
        let first = from as usize / CHUNK;
        self.chunks
            .iter()
            .enumerate()
            .skip(first)
            .flat_map(move |(number, chunk)| {
                let skip = if number == first {
                    from as usize % CHUNK
                } else {
                    0
                };
                chunk
                    .cells
                    .iter()
                    .enumerate()
                    .skip(skip)
                    .filter_map(move |(cell, content)| match content {
                        Cell::Used(value) => Some(((number * CHUNK + cell) as u32, value)),
                        Cell::Reserved | Cell::Free { .. } => None,
                    })
            })
    }
}

impl<T> Chunk<T> {
    /// Returns a free cell. A chunk beyond the first is allocated at once: growing it would copy it.
    fn vacancy(&mut self, whole: bool) -> u32 {
        if self.free != NONE {
            let cell = self.free;
            if let Cell::Free { next } = self.cells[cell as usize] {
                self.free = next;
            }
            return cell;
        }
        if whole && self.cells.capacity() == 0 {
            self.cells.reserve_exact(CHUNK);
        }
        self.cells.push(Cell::Free { next: NONE });
        self.cells.len() as u32 - 1
    }
}

impl<T> Index<u32> for Slab<T> {
    type Output = T;

    fn index(&self, index: u32) -> &T {
        self.get(index).expect("a linked slot is in use")
    }
}

impl<T> IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, index: u32) -> &mut T {
        self.get_mut(index).expect("a linked slot is in use")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_stable_and_empty_chunks_are_freed() {
        let mut slab = Slab::new();
        let numbers: Vec<u32> = (0..5_000_u32).map(|n| slab.insert_with(|_| n)).collect();
        assert!(numbers.iter().zip(0..).all(|(&index, n)| slab[index] == n));
        for &index in &numbers[10..] {
            slab.remove(index);
        }
        assert_eq!(
            slab.chunks
                .iter()
                .map(|chunk| chunk.cells.capacity())
                .filter(|&c| c > 0)
                .count(),
            1
        );
        assert_eq!(
            slab.iter(3).map(|(_, &n)| n).collect::<Vec<_>>(),
            [3, 4, 5, 6, 7, 8, 9]
        );
        let again: Vec<u32> = (0..5_000_u32).map(|n| slab.insert_with(|_| n)).collect();
        assert_eq!(slab.iter(0).count(), 5_010);
        assert!(again.iter().all(|&index| (10..5_120).contains(&index)));
    }
}
