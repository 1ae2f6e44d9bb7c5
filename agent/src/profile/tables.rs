//! Unwind tables in the kernel: one for each build id, shared by the processes that map it, the least recently used
//! going when there is no room.

use std::{collections::HashMap, sync::Arc};

use anyhow::Result;
use honeyguide_common::unwind::{
    CHUNK_WORDS, FIXED_RULES, MAPPING_WORDS, MAX_RULES, Mapping as KernelMapping, Process, RULE_UNSUPPORTED,
    Rule,
};
use honeyguide_symbolizer::unwind::{Elf, Error, Table, compile};
use log::debug;
use object::ReadCache;
use zerocopy::IntoBytes as _;

use super::{
    model::{BuildId, Mapping},
    objects::Placed,
};
use crate::load::{Arena, Room};

/// Tables that are remembered, most of them as having none.
const MAX_TABLES: usize = 8_192;

/// What a table is known by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    BuildId(BuildId),
    Object(u64),
}

/// A table in the kernel; without pages where there is none.
#[derive(Debug, Default)]
struct Loaded {
    directory: u32,
    first_page: u32,
    pages: u32,
    rooms: Vec<Room>,
    /// By the count of processes that were given mappings.
    used: u64,
}

/// A process that the kernel knows.
#[derive(Debug)]
struct Installed {
    room: Room,
    keys: Vec<Key>,
}

#[derive(Debug)]
pub(super) struct Tables {
    arena: Arena,
    loaded: HashMap<Key, Loaded>,
    processes: HashMap<u32, Installed>,
    rules: HashMap<Rule, u16>,
    clock: u64,
    pub(super) counters: TableCounters,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableCounters {
    /// Files whose tables were compiled.
    pub compiled: u64,
    /// Files that have no unwind information, or damaged.
    pub without: u64,
    /// Tables that were taken out for others.
    pub evicted: u64,
    /// Tables for which there was no room: frame pointers are followed there.
    pub no_room: u64,
    /// Rules for which there was no room in the kernel.
    pub rules_dropped: u64,
    /// Rows, and those of them whose rule is not followed.
    pub rows: u64,
    pub unsupported_rows: u64,
}

impl Tables {
    pub(super) fn new(mut arena: Arena) -> Result<Self> {
        let mut rules = HashMap::new();
        for (index, rule) in (0..).zip(FIXED_RULES) {
            arena.set_rule(index, rule)?;
            rules.insert(rule, index);
        }
        Ok(Self {
            arena,
            loaded: HashMap::new(),
            processes: HashMap::new(),
            rules,
            clock: 0,
            counters: TableCounters::default(),
        })
    }

    /// Gives the kernel a process's mappings with their tables; those it had stay until then.
    ///
    /// # Errors
    /// Where the kernel has no room, or refuses.
    pub(super) fn install(&mut self, pid: u32, mappings: &[(Arc<Mapping>, Arc<Placed>)]) -> Result<()> {
        self.clock += 1;
        let mut keys = Vec::new();
        let mut words = Vec::with_capacity(mappings.len() * MAPPING_WORDS);
        for (mapping, placed) in mappings {
            let mut kernel = KernelMapping {
                start: mapping.start,
                end: mapping.end,
                bias: mapping.bias,
                ..KernelMapping::default()
            };
            if placed.is_elf() && !placed.go {
                let key = placed.object.build_id.clone().map_or(Key::Object(placed.object.id), Key::BuildId);
                self.load(&key, placed)?;
                if let Some(loaded) = self.loaded.get_mut(&key) {
                    loaded.used = self.clock;
                    kernel.directory = loaded.directory;
                    kernel.first_page = loaded.first_page;
                    kernel.pages = loaded.pages;
                }
                if !keys.contains(&key) {
                    keys.push(key);
                }
            }
            words.extend(
                kernel
                    .as_bytes()
                    .chunks_exact(4)
                    .map(|word| u32::from_le_bytes(word.try_into().unwrap_or_default())),
            );
        }
        let Some(room) = self.room(u32::try_from(words.len())?)? else {
            anyhow::bail!("no room for the mappings of process {pid}");
        };
        self.arena.write(room, &words);
        let process = Process { mappings: room.position, count: u32::try_from(mappings.len())? };
        self.arena.set_process(pid, process)?;
        if let Some(before) = self.processes.insert(pid, Installed { room, keys }) {
            self.arena.release(before.room);
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, pid: u32) {
        if let Some(process) = self.processes.remove(&pid) {
            self.arena.remove_process(pid);
            self.arena.release(process.room);
        }
    }

    pub(super) fn has(&self, pid: u32) -> bool {
        self.processes.contains_key(&pid)
    }

    pub(super) fn processes(&self) -> usize {
        self.processes.len()
    }

    pub(super) fn installed(&self) -> Vec<u32> {
        self.processes.keys().copied().collect()
    }

    /// Bytes of the kernel's memory.
    pub(super) fn bytes(&self) -> u64 {
        self.arena.bytes()
    }

    fn load(&mut self, key: &Key, placed: &Placed) -> Result<()> {
        if self.loaded.contains_key(key) {
            return Ok(());
        }
        if self.loaded.len() >= MAX_TABLES {
            self.loaded.retain(|_, loaded| !loaded.rooms.is_empty());
        }
        let loaded = match compiled(placed) {
            Ok(table) => {
                self.counters.compiled += 1;
                self.counters.rows += table.rows.len() as u64;
                self.counters.unsupported_rows += table.unsupported;
                let loaded = self.store(&table)?;
                if loaded.is_none() {
                    // Not remembered: there may be room the next time.
                    self.counters.no_room += 1;
                    return Ok(());
                }
                loaded.unwrap_or_default()
            }
            Err(error) => {
                self.counters.without += 1;
                debug!("{}: {error}", placed.object.path);
                Loaded::default()
            }
        };
        self.loaded.insert(key.clone(), loaded);
        Ok(())
    }

    fn store(&mut self, table: &Table) -> Result<Option<Loaded>> {
        let numbers: Vec<u16> = table.rules.iter().map(|rule| self.number(*rule)).collect::<Result<_>>()?;
        let (first_page, pages) =
            table.pages(|rule| numbers.get(usize::from(rule)).copied().unwrap_or(RULE_UNSUPPORTED));
        let mut loaded = Loaded { first_page, pages: u32::try_from(pages.len())?, ..Loaded::default() };
        let mut directory = Vec::with_capacity(pages.len() * 2);
        // Neighbouring pages lie in one piece: thousands of small ones would be found more slowly.
        let mut batch: Vec<u32> = Vec::new();
        let mut batched: Vec<(usize, usize)> = Vec::new();
        for (index, page) in pages.iter().enumerate() {
            directory.extend([0, u32::try_from(page.len())?]);
            if batch.len() + page.len() > CHUNK_WORDS / 4
                && !self.flush(&mut batch, &mut batched, &mut directory, &mut loaded)?
            {
                return Ok(None);
            }
            batched.push((index, batch.len()));
            batch.extend_from_slice(page);
        }
        if !self.flush(&mut batch, &mut batched, &mut directory, &mut loaded)? {
            return Ok(None);
        }
        let words = u32::try_from(directory.len())?;
        // 4 GiB of code have 65,536 pages.
        let Some(room) = self.room(words)? else {
            self.discard(&mut loaded);
            return Ok(None);
        };
        self.arena.write(room, &directory);
        loaded.rooms.push(room);
        loaded.directory = room.position;
        Ok(Some(loaded))
    }

    /// Stores a batch of pages; false, with nothing of the table left, where there is no room.
    fn flush(
        &mut self,
        batch: &mut Vec<u32>,
        batched: &mut Vec<(usize, usize)>,
        directory: &mut [u32],
        loaded: &mut Loaded,
    ) -> Result<bool> {
        if batch.is_empty() {
            batched.clear();
            return Ok(true);
        }
        let Some(room) = self.room(u32::try_from(batch.len())?)? else {
            self.discard(loaded);
            return Ok(false);
        };
        self.arena.write(room, batch);
        loaded.rooms.push(room);
        for (page, start) in batched.drain(..) {
            if let Some(position) = directory.get_mut(page * 2) {
                *position = room.position + u32::try_from(start)?;
            }
        }
        batch.clear();
        Ok(true)
    }

    fn discard(&mut self, loaded: &mut Loaded) {
        for room in loaded.rooms.drain(..) {
            self.arena.release(room);
        }
    }

    /// Room, if need be that of tables that were not used for the longest time.
    fn room(&mut self, words: u32) -> Result<Option<Room>> {
        loop {
            if let Some(room) = self.arena.take(words)? {
                return Ok(Some(room));
            }
            if !self.evict() {
                return Ok(None);
            }
        }
    }

    /// Takes out what was not used for the longest time; the processes that used it are learned anew when they are
    /// sampled again. False where everything is in use by the process in hand.
    fn evict(&mut self) -> bool {
        let oldest = self
            .loaded
            .iter()
            .filter(|(_, loaded)| !loaded.rooms.is_empty() && loaded.used < self.clock)
            .min_by_key(|(_, loaded)| loaded.used)
            .map(|(key, _)| key.clone());
        let Some(key) = oldest else { return false };
        let users: Vec<u32> = self
            .processes
            .iter()
            .filter(|(_, process)| process.keys.contains(&key))
            .map(|(pid, _)| *pid)
            .collect();
        for pid in users {
            self.remove(pid);
        }
        if let Some(mut loaded) = self.loaded.remove(&key) {
            self.discard(&mut loaded);
        }
        self.counters.evicted += 1;
        // What was released is free after a moment; this thread has nothing better to do.
        std::thread::sleep(crate::load::ARENA_GRACE);
        true
    }

    fn number(&mut self, rule: Rule) -> Result<u16> {
        if let Some(number) = self.rules.get(&rule) {
            return Ok(*number);
        }
        if self.rules.len() >= MAX_RULES {
            self.counters.rules_dropped += 1;
            return Ok(RULE_UNSUPPORTED);
        }
        let number = u16::try_from(self.rules.len())?;
        self.arena.set_rule(number, rule)?;
        self.rules.insert(rule, number);
        Ok(number)
    }
}

fn compiled(placed: &Placed) -> Result<Table, Error> {
    if let Some(image) = &placed.object.image {
        return compile(&Elf::parse(&**image)?);
    }
    let file = placed.object.open().map_err(|_| Error::Damaged("it cannot be read"))?;
    let cache = ReadCache::new(file);
    compile(&Elf::parse(&cache)?)
}
