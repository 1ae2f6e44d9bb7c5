//! The arena of unwind tables (`honeyguide_common::unwind`): room in the kernel's chunks, and what is written there.
//!
//! A chunk is filled through memory that it shares with the kernel: by system calls it would be one for each row.
//! What the kernel may still be reading is not given out again at once: see [`Arena::release`].

use std::{collections::VecDeque, ptr::NonNull, time::Duration, time::Instant};

use anyhow::{Context as _, Result, ensure};
use aya::maps::{Array, ArrayOfMaps, HashMap, Map, MapData};
use honeyguide_common::unwind::{CHUNK_FLAGS, CHUNK_WORDS, MAX_CHUNKS, Process, Rule};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use zerocopy::transmute;

/// A walk lasts microseconds; after this nobody reads what was taken away before.
pub const GRACE: Duration = Duration::from_millis(100);

type Chunk = Array<MapData, [u32; CHUNK_WORDS]>;

/// Room in the arena: `words` from a position on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Room {
    pub position: u32,
    pub words: u32,
}

/// The kernel's tables of the unwinder.
pub struct Arena {
    chunks: Map,
    /// The chunks there are, in their places.
    mapped: Vec<Mapped>,
    rules: Array<MapData, [u32; 4]>,
    processes: HashMap<MapData, u32, [u32; 2]>,
    free: Free,
    released: VecDeque<(Instant, Room)>,
    /// The most chunks there may be.
    limit: usize,
}

impl std::fmt::Debug for Arena {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Arena")
            .field("mapped", &self.mapped)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl Arena {
    /// `budget`: the most bytes of tables.
    pub(super) fn new(chunks: Map, rules: Map, processes: Map, budget: u64) -> Result<Self> {
        let limit = usize::try_from(budget / (4 * CHUNK_WORDS as u64))?.clamp(1, MAX_CHUNKS);
        Ok(Self {
            chunks,
            mapped: Vec::new(),
            rules: Array::try_from(rules)?,
            processes: HashMap::try_from(processes)?,
            free: Free::default(),
            released: VecDeque::new(),
            limit,
        })
    }

    /// Room that lies within one chunk; none where the budget is spent. Of an even position.
    ///
    /// # Errors
    /// Where the kernel gives no memory.
    pub fn take(&mut self, words: u32) -> Result<Option<Room>> {
        while self.released.front().is_some_and(|(since, _)| since.elapsed() >= GRACE) {
            if let Some((_, room)) = self.released.pop_front() {
                self.free.put(room);
            }
        }
        let words = words.max(2).next_multiple_of(2);
        ensure!(words as usize <= CHUNK_WORDS - 2, "no room is that large");
        if let Some(room) = self.free.take(words) {
            return Ok(Some(room));
        }
        if self.mapped.len() >= self.limit {
            return Ok(None);
        }
        self.add_chunk()?;
        Ok(self.free.take(words))
    }

    /// Room that nothing points to any more; it is given out again when no walk can be in it.
    pub fn release(&mut self, room: Room) {
        self.released.push_back((Instant::now(), room));
    }

    /// Fills room from its beginning.
    pub fn write(&mut self, room: Room, words: &[u32]) {
        let (chunk, index) = (room.position as usize / CHUNK_WORDS, room.position as usize % CHUNK_WORDS);
        debug_assert!(words.len() <= room.words as usize);
        if let Some(mapped) = self.mapped.get_mut(chunk) {
            mapped.write(index, words);
        }
    }

    /// # Errors
    /// Where the table has no such place.
    pub fn set_rule(&mut self, index: u16, rule: Rule) -> Result<()> {
        let words: [u32; 4] = transmute!(rule);
        self.rules.set(u32::from(index), words, 0).context("a rule was not stored")
    }

    /// # Errors
    /// Where the table is full (`unwind::MAX_PROCESSES`).
    pub fn set_process(&mut self, pid: u32, process: Process) -> Result<()> {
        self.processes
            .insert(pid, [process.mappings, process.count], 0)
            .with_context(|| format!("the mappings of process {pid} were not stored"))
    }

    /// A process that is not known is no error.
    pub fn remove_process(&mut self, pid: u32) {
        let _ = self.processes.remove(&pid);
    }

    /// Bytes of the chunks there are.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        (self.mapped.len() * CHUNK_WORDS * 4) as u64
    }

    fn add_chunk(&mut self) -> Result<()> {
        let index = u32::try_from(self.mapped.len())?;
        let chunk = Chunk::create(1, u32::try_from(CHUNK_FLAGS)?).context("no memory for unwind tables")?;
        ArrayOfMaps::<&mut MapData, Chunk>::try_from(&mut self.chunks)?
            .set(index, &chunk, 0)
            .context("a chunk of unwind tables was not stored")?;
        // A handle of no type: only that shows its descriptor.
        let handle: MapData = ArrayOfMaps::<&MapData, MapData>::try_from(&self.chunks)?.get(&index, 0)?;
        self.mapped.push(Mapped::new(handle)?);
        // Position 0 stands for no table.
        let start = if index == 0 { 2 } else { 0 };
        let position = index * CHUNK_WORDS as u32 + start;
        self.free.put(Room { position, words: CHUNK_WORDS as u32 - start });
        Ok(())
    }
}

/// A chunk's memory, shared with the kernel.
#[derive(Debug)]
struct Mapped {
    memory: NonNull<u32>,
    /// The kernel keeps the memory for as long as it is mapped, and the descriptor for what may want it.
    _handle: MapData,
}

// SAFETY: the memory belongs to the process, not to a thread, and is written through `&mut` alone.
#[allow(unsafe_code)]
unsafe impl Send for Mapped {}

impl Mapped {
    #[allow(unsafe_code)] // Sharing memory with the kernel has no safe form.
    fn new(handle: MapData) -> Result<Self> {
        use std::os::fd::AsFd as _;
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at a place the kernel chooses, of a map that has as many bytes.
        let memory = unsafe {
            mmap(std::ptr::null_mut(), 4 * CHUNK_WORDS, protection, MapFlags::SHARED, handle.fd().as_fd(), 0)
        }
        .context("the memory of unwind tables cannot be mapped")?;
        let memory = NonNull::new(memory.cast()).context("mapped at address 0")?;
        Ok(Self { memory, _handle: handle })
    }

    /// Writes what fits behind `index`.
    #[allow(unsafe_code)] // As above.
    fn write(&mut self, index: usize, words: &[u32]) {
        let count = words.len().min(CHUNK_WORDS.saturating_sub(index));
        // SAFETY: within the mapping, which is aligned to a page, and no other reference of this process is to it.
        // A kernel program that reads it meanwhile takes any value: it bounds each.
        unsafe { std::ptr::copy_nonoverlapping(words.as_ptr(), self.memory.add(index).as_ptr(), count) };
    }
}

impl Drop for Mapped {
    #[allow(unsafe_code)] // As above.
    fn drop(&mut self) {
        // SAFETY: the mapping of `new`, of which no reference is left.
        if let Err(error) = unsafe { munmap(self.memory.as_ptr().cast(), 4 * CHUNK_WORDS) } {
            log::debug!("a chunk stays mapped: {error}");
        }
    }
}

/// What nobody uses, by position; neighbours within a chunk are one.
#[derive(Debug, Default)]
struct Free(std::collections::BTreeMap<u32, u32>);

impl Free {
    /// The smallest that suffices: large ones are for pages full of rows.
    fn take(&mut self, words: u32) -> Option<Room> {
        let (&position, &size) =
            self.0.iter().filter(|(_, size)| **size >= words).min_by_key(|(_, size)| **size)?;
        self.0.remove(&position);
        if size > words {
            self.0.insert(position + words, size - words);
        }
        Some(Room { position, words })
    }

    fn put(&mut self, room: Room) {
        let Room { mut position, mut words } = room;
        let chunk = |position: u32| position as usize / CHUNK_WORDS;
        if let Some((&before, &size)) = self.0.range(..position).next_back()
            && before + size == position
            && chunk(before) == chunk(position)
        {
            self.0.remove(&before);
            (position, words) = (before, size + words);
        }
        let behind = position + words;
        if chunk(behind) == chunk(position)
            && let Some(size) = self.0.remove(&behind)
        {
            words += size;
        }
        self.0.insert(position, words);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_that_is_given_back_becomes_one_again() {
        let mut free = Free::default();
        free.put(Room { position: 2, words: 98 });
        let rooms: Vec<Room> = (0..3).map(|_| free.take(30).unwrap()).collect();
        assert_eq!(rooms.iter().map(|room| room.position).collect::<Vec<_>>(), [2, 32, 62]);
        assert_eq!(free.take(30), None);
        for index in [0, 2, 1] {
            free.put(rooms[index]);
        }
        assert_eq!(free.0.into_iter().collect::<Vec<_>>(), [(2, 98)]);
    }

    #[test]
    fn the_smallest_room_that_suffices_is_taken() {
        let mut free = Free::default();
        free.put(Room { position: 0, words: 100 });
        free.put(Room { position: 200, words: 20 });
        assert_eq!(free.take(10), Some(Room { position: 200, words: 10 }));
    }

    #[test]
    fn chunks_stay_apart() {
        let mut free = Free::default();
        let border = CHUNK_WORDS as u32;
        free.put(Room { position: border, words: 10 });
        free.put(Room { position: border - 10, words: 10 });
        assert_eq!(free.0.len(), 2);
    }
}
