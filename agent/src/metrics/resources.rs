//! Aggregation state by resource, bounded.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use foldhash::fast::RandomState;

use crate::resource::Resource;

#[derive(Debug)]
pub struct ByResource<T> {
    /// By the resource's address, which its entry keeps from being used again.
    index: HashMap<usize, usize, RandomState>,
    entries: Vec<Option<Entry<T>>>,
    free: Vec<usize>,
    generations: u64,
}

#[derive(Debug)]
pub struct Entry<T> {
    resource: Weak<Resource>,
    /// Held while there is something that no collection gave out yet.
    held: Option<Arc<Resource>>,
    /// Tells it from an earlier entry at the same place.
    pub generation: u64,
    /// The collection after which something was last recorded.
    pub touched: u64,
    pub state: T,
}

impl<T> Default for ByResource<T> {
    fn default() -> Self {
        Self { index: HashMap::default(), entries: Vec::new(), free: Vec::new(), generations: 0 }
    }
}

impl<T: Default> ByResource<T> {
    /// The place of `resource`'s entry, marked as recorded; made where there are fewer than `limit`.
    pub fn place(&mut self, resource: &Arc<Resource>, limit: usize, collected: u64) -> Option<usize> {
        let address = Arc::as_ptr(resource).addr();
        if let Some(&at) = self.index.get(&address) {
            self.entries[at].as_mut()?.touch(collected);
            return Some(at);
        }
        if self.index.len() >= limit {
            return None;
        }
        self.generations += 1;
        let entry = Some(Entry {
            resource: Arc::downgrade(resource),
            held: Some(Arc::clone(resource)),
            generation: self.generations,
            touched: collected,
            state: T::default(),
        });
        let at = if let Some(at) = self.free.pop() {
            self.entries[at] = entry;
            at
        } else {
            self.entries.push(entry);
            self.entries.len() - 1
        };
        self.index.insert(address, at);
        Some(at)
    }
}

impl<T> ByResource<T> {
    pub fn at(&mut self, place: usize) -> Option<&mut Entry<T>> {
        self.entries.get_mut(place)?.as_mut()
    }

    /// In the order their resources came.
    pub fn iter(&self) -> impl Iterator<Item = &Entry<T>> {
        self.entries.iter().filter_map(Option::as_ref)
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Entry<T>> {
        self.entries.iter_mut().filter_map(Option::as_mut)
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.index.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Removes the entries whose resource is gone: nobody else knows it, and its last values went out.
    pub fn remove_gone(&mut self) {
        self.remove(|entry| entry.resource.strong_count() == 0);
    }

    pub fn remove(&mut self, refused: impl Fn(&Entry<T>) -> bool) {
        for (at, place) in self.entries.iter_mut().enumerate() {
            if let Some(entry) = place.take_if(|entry| refused(entry)) {
                self.index.remove(&entry.resource.as_ptr().addr());
                self.free.push(at);
            }
        }
    }
}

impl<T> Entry<T> {
    /// Marks it as recorded.
    pub fn touch(&mut self, collected: u64) {
        self.touched = collected;
        if self.held.is_none() {
            self.held = self.resource.upgrade();
        }
    }

    /// The resource, for what a collection gives out; it is not held any longer.
    pub fn release(&mut self) -> Option<Arc<Resource>> {
        self.held.take().or_else(|| self.resource.upgrade())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_outlives_its_resource_until_it_was_collected() {
        let mut table: ByResource<u8> = ByResource::default();
        let resource = Arc::default();
        let at = table.place(&resource, 1, 5).unwrap();
        table.at(at).unwrap().state = 7;
        assert_eq!(table.place(&Arc::default(), 1, 5), None);
        drop(resource);
        table.remove_gone();
        assert_eq!(table.len(), 1);
        let given: Vec<_> = table.iter_mut().map(|e| (e.release().is_some(), e.state, e.touched)).collect();
        assert_eq!(given, [(true, 7, 5)]);
        table.remove_gone();
        assert!(table.is_empty());
        let again = table.place(&Arc::default(), 1, 6);
        assert_eq!(
            (again, table.iter().map(|e| (e.generation, e.state)).collect()),
            (Some(at), vec![(2, 0)])
        );
    }

    #[test]
    fn several_tables_do_not_keep_a_resource_for_each_other() {
        let mut tables: [ByResource<u8>; 2] = Default::default();
        let resource = Arc::default();
        for table in &mut tables {
            table.place(&resource, 9, 0);
        }
        drop(resource);
        for table in &mut tables {
            table.iter_mut().for_each(|entry| drop(entry.release()));
        }
        for table in &mut tables {
            table.remove_gone();
            assert_eq!(table.len(), 0);
        }
    }
}
