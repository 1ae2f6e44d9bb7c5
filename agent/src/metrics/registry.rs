//! Series by attribute set, bounded: the aggregation state of one instrument group of one resource.

use std::hash::{BuildHasher, Hash};

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::attribute::Attributes;

/// A key as it is recorded, without owning its strings.
pub trait BorrowedKey: Hash {
    type Owned;

    fn matches(&self, owned: &Self::Owned) -> bool;
    fn to_owned_key(&self) -> Self::Owned;
}

/// Series in the order they first appeared. Slot [`OVERFLOW`] takes what the limit left no room for.
#[derive(Debug)]
pub struct SeriesTable<K, V> {
    index: HashTable<usize>,
    series: Vec<Option<Series<K, V>>>,
    free: Vec<usize>,
    hasher: RandomState,
}

#[derive(Debug)]
pub struct Series<K, V> {
    /// `None` for the overflow set.
    pub key: Option<K>,
    pub value: V,
    /// Nanoseconds since the Unix epoch: of the first measurement, but never before the last collection
    /// that did not have the series.
    pub start: u64,
    /// The collection after which it was last recorded.
    pub touched: u64,
    hash: u64,
}

pub const OVERFLOW: usize = 0;

/// The moment of a record: its own time, and that of the last collection.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub time: u64,
    pub collected: u64,
}

impl<K, V> Default for SeriesTable<K, V> {
    fn default() -> Self {
        Self { index: HashTable::new(), series: vec![None], free: Vec::new(), hasher: RandomState::default() }
    }
}

impl<K, V> SeriesTable<K, V> {
    /// The slot of `key`'s series, made where there are fewer than `limit`, otherwise [`OVERFLOW`]. A slot
    /// stays until the series is removed.
    pub fn slot<B: BorrowedKey<Owned = K>>(
        &mut self,
        key: &B,
        limit: usize,
        moment: Moment,
        new: impl Fn() -> V,
    ) -> usize {
        let hash = self.hasher.hash_one(key);
        let same = |slot: &usize| {
            let series = self.series.get(*slot).and_then(Option::as_ref);
            series.and_then(|s| s.key.as_ref()).is_some_and(|owned| key.matches(owned))
        };
        if let Some(&slot) = self.index.find(hash, same) {
            return slot;
        }
        let start = moment.time.max(moment.collected);
        let series = |key| Series { key, value: new(), start, touched: moment.collected, hash };
        if self.index.len() >= limit {
            self.series[OVERFLOW].get_or_insert_with(|| series(None));
            return OVERFLOW;
        }
        let series = Some(series(Some(key.to_owned_key())));
        let slot = if let Some(slot) = self.free.pop() {
            self.series[slot] = series;
            slot
        } else {
            self.series.push(series);
            self.series.len() - 1
        };
        let hashes = &self.series;
        self.index.insert_unique(hash, slot, |s| hashes[*s].as_ref().map_or(0, |s| s.hash));
        slot
    }

    /// The series at `slot`, marked as recorded.
    pub fn touch(&mut self, slot: usize, moment: Moment) -> Option<&mut V> {
        let series = self.series.get_mut(slot)?.as_mut()?;
        series.touched = moment.collected;
        Some(&mut series.value)
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Series<K, V>> {
        self.series.iter_mut().filter_map(Option::as_mut)
    }

    /// Removes the series that `keep` refuses.
    pub fn retain(&mut self, mut keep: impl FnMut(&Series<K, V>) -> bool) {
        for (slot, place) in self.series.iter_mut().enumerate() {
            let Some(series) = place.take_if(|s| !keep(s)) else { continue };
            if let Ok(entry) = self.index.find_entry(series.hash, |s| *s == slot) {
                entry.remove();
                self.free.push(slot);
            }
        }
    }

    /// Series, without the overflow's.
    #[must_use]
    pub fn len(&self) -> usize {
        self.index.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0 && self.series[OVERFLOW].is_none()
    }
}

/// The attributes of the [`OVERFLOW`] slot's series, as the SDK specification names them.
#[must_use]
pub fn overflow() -> Attributes {
    let mut attributes = Attributes::default();
    attributes.set("otel.metric.overflow", true);
    attributes
}

#[cfg(test)]
mod tests {
    use super::*;

    impl BorrowedKey for &str {
        type Owned = String;

        fn matches(&self, owned: &String) -> bool {
            self == owned
        }

        fn to_owned_key(&self) -> String {
            (*self).to_owned()
        }
    }

    const MOMENT: Moment = Moment { time: 7, collected: 5 };

    fn add(table: &mut SeriesTable<String, u32>, key: &str, limit: usize) -> usize {
        let slot = table.slot(&key, limit, MOMENT, || 0);
        *table.touch(slot, MOMENT).unwrap() += 1;
        slot
    }

    fn content(table: &mut SeriesTable<String, u32>) -> Vec<(Option<String>, u32)> {
        table.iter_mut().map(|s| (s.key.clone(), s.value)).collect()
    }

    #[test]
    fn what_exceeds_the_limit_is_counted_together() {
        let mut table = SeriesTable::default();
        let slots = ["a", "b", "a", "c", "d", "b"].map(|key| add(&mut table, key, 2));
        assert_eq!(slots, [1, 2, 1, OVERFLOW, OVERFLOW, 2]);
        let expect = [(None, 2), (Some("a".to_owned()), 2), (Some("b".to_owned()), 2)];
        assert_eq!(content(&mut table), expect);
        assert_eq!(table.len(), 2);
    }

    #[test]
    fn a_removed_series_leaves_room_and_the_others_their_slots() {
        let mut table = SeriesTable::default();
        for key in ["a", "b", "c"] {
            add(&mut table, key, 3);
        }
        table.retain(|s| s.key.as_deref() != Some("b"));
        assert_eq!((table.len(), add(&mut table, "c", 3), add(&mut table, "d", 3)), (2, 3, 2));
        assert_eq!(add(&mut table, "b", 3), OVERFLOW);
        table.retain(|_| false);
        assert!(table.is_empty());
        assert_eq!(table.touch(1, MOMENT), None);
    }

    #[test]
    fn a_series_starts_with_its_first_measurement_but_after_the_last_collection() {
        let mut table: SeriesTable<String, u32> = SeriesTable::default();
        for (key, time) in [("late", 9), ("early", 3)] {
            table.slot(&key, 9, Moment { time, collected: 5 }, || 0);
        }
        assert_eq!(table.iter_mut().map(|s| s.start).collect::<Vec<_>>(), [9, 5]);
    }

    #[test]
    fn many_series_are_found_again() {
        let mut table = SeriesTable::default();
        let keys: Vec<_> = (0..1_000).map(|n| n.to_string()).collect();
        let slots: Vec<_> = keys.iter().map(|k| add(&mut table, k, 2_000)).collect();
        assert_eq!(slots, (1..=1_000).collect::<Vec<_>>());
        assert_eq!(keys.iter().map(|k| add(&mut table, k, 2_000)).collect::<Vec<_>>(), slots);
    }
}
