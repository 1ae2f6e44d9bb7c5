//! The static and the dynamic table (RFC 7541 section 2.3 and appendix A).

use std::collections::VecDeque;

/// What an index stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry<'a> {
    Field {
        name: &'a [u8],
        value: &'a [u8],
    },
    /// A field whose name nobody asked for.
    Ignored {
        name_length: usize,
    },
    /// Inserted while nobody watched, or with a name from such an entry.
    Unknown,
}

/// Entries by insertion, the newest first.
///
/// An index counts from the newest entry, so what was inserted before the first block that was seen
/// does not shift what was inserted since: the former is unknown, the latter exact. Evictions take the
/// oldest first, so they too meet the unknown before the known.
#[derive(Debug)]
pub(super) struct Table {
    entries: VecDeque<Stored>,
    size: usize,
    /// As the encoder set it.
    max_size: usize,
    /// No more is held, whatever the encoder set.
    hard_limit: usize,
    /// There may be older entries than those that are held.
    incomplete: bool,
}

#[derive(Debug)]
struct Stored {
    size: usize,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Field { bytes: Box<[u8]>, name_length: usize },
    Ignored { name_length: usize },
    Unknown,
}

/// RFC 9113 section 6.5.2: SETTINGS_HEADER_TABLE_SIZE.
pub(super) const INITIAL_SIZE: usize = 4096;
/// RFC 7541 section 4.1: what an entry takes beyond its name and value.
pub(super) const OVERHEAD: usize = 32;

impl Table {
    pub(super) fn new(hard_limit: usize) -> Self {
        Self { entries: VecDeque::new(), size: 0, max_size: INITIAL_SIZE, hard_limit, incomplete: false }
    }

    /// Forgets all: what the encoder holds is not known any more.
    pub(super) fn taint(&mut self) {
        self.entries.clear();
        self.size = 0;
        // Entries are kept for at least as long as the encoder may refer to them.
        self.max_size = self.hard_limit;
        self.incomplete = true;
    }

    #[cfg(test)]
    pub(super) fn is_incomplete(&self) -> bool {
        self.incomplete
    }

    pub(super) fn set_max_size(&mut self, max_size: usize) {
        self.max_size = max_size;
        self.evict(0);
        if max_size == 0 {
            self.incomplete = false;
        }
    }

    /// Bytes of names and values that are held, and what holding them takes.
    pub(super) fn buffered(&self) -> usize {
        let bytes = |stored: &Stored| match &stored.kind {
            Kind::Field { bytes, .. } => bytes.len(),
            Kind::Ignored { .. } | Kind::Unknown => 0,
        };
        self.entries.iter().map(bytes).sum::<usize>() + self.entries.capacity() * size_of::<Stored>()
    }

    /// `None` for an index that an encoder in its right mind would not use.
    pub(super) fn entry(&self, index: usize) -> Option<Entry<'_>> {
        if let Some(&(name, value)) = STATIC.get(index.checked_sub(1)?) {
            return Some(Entry::Field { name: name.as_bytes(), value: value.as_bytes() });
        }
        match self.entries.get(index - STATIC.len() - 1) {
            Some(stored) => Some(match &stored.kind {
                Kind::Field { bytes, name_length } => {
                    let (name, value) = bytes.split_at(*name_length);
                    Entry::Field { name, value }
                }
                Kind::Ignored { name_length } => Entry::Ignored { name_length: *name_length },
                Kind::Unknown => Entry::Unknown,
            }),
            None => self.incomplete.then_some(Entry::Unknown),
        }
    }

    pub(super) fn insert(&mut self, name: &[u8], value: &[u8]) {
        let size = name.len() + value.len() + OVERHEAD;
        if self.make_room(size) {
            let bytes = [name, value].concat().into();
            self.push(Stored { size, kind: Kind::Field { bytes, name_length: name.len() } });
        }
    }

    pub(super) fn insert_ignored(&mut self, name_length: usize, value_length: usize) {
        let size = name_length + value_length + OVERHEAD;
        if self.make_room(size) {
            self.push(Stored { size, kind: Kind::Ignored { name_length } });
        }
    }

    /// The name alone is kept.
    pub(super) fn insert_name(&mut self, name: &[u8], value_length: usize) {
        let size = name.len() + value_length + OVERHEAD;
        if self.make_room(size) {
            self.push(Stored { size, kind: Kind::Field { bytes: name.into(), name_length: name.len() } });
        }
    }

    /// The name's length is not known: the entry counts for less than it is, and stays a little longer
    /// than the encoder's.
    pub(super) fn insert_unknown(&mut self, value_length: usize) {
        let size = value_length + OVERHEAD;
        if self.make_room(size) {
            self.push(Stored { size, kind: Kind::Unknown });
        }
    }

    /// False where the entry does not fit at all, which empties the table (RFC 7541 section 4.4).
    fn make_room(&mut self, size: usize) -> bool {
        self.evict(size);
        size <= self.max_size.min(self.hard_limit)
    }

    fn evict(&mut self, room: usize) {
        while self.size + room > self.max_size.min(self.hard_limit)
            && let Some(oldest) = self.entries.pop_back()
        {
            // The encoder may still refer to it.
            self.incomplete |= self.size + room <= self.max_size;
            self.size -= oldest.size;
        }
        self.incomplete |= room > self.hard_limit && room <= self.max_size;
    }

    fn push(&mut self, stored: Stored) {
        self.size += stored.size;
        self.entries.push_front(stored);
    }

    #[cfg(test)]
    pub(super) fn contents(&self) -> (Vec<(&str, &str)>, usize) {
        let entries = (0..self.entries.len()).map(|at| match self.entry(STATIC.len() + 1 + at) {
            Some(Entry::Field { name, value }) => {
                (str::from_utf8(name).unwrap(), str::from_utf8(value).unwrap())
            }
            other => panic!("{other:?}"),
        });
        (entries.collect(), self.size)
    }
}

/// Appendix A; index 1 is the first.
pub(super) const STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];
