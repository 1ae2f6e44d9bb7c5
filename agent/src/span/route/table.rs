//! The words seen in one service's paths: a tree of places, each with its template ready made.
//!
//! A place that meets more distinct words than allowed *collapses*: words met at least twice as often as
//! the average stay, the others are `{segment}` from then on, and no new word is learnt there. So routes
//! that are really used outlive the names, titles and probes that are not.

use std::{collections::HashMap, sync::Arc};

use foldhash::fast::RandomState;

use super::{
    MAX_SEGMENTS, RouteCounters, RouteSettings,
    segment::{Segment, classify},
};

#[derive(Debug)]
pub(super) struct Table {
    places: Vec<Place>,
    free: Vec<usize>,
}

#[derive(Debug)]
struct Place {
    /// The path from the root to here; empty for the root.
    template: Arc<str>,
    children: HashMap<Box<str>, Child, RandomState>,
    /// How many of the children are words, which are counted, and no placeholders, which are few.
    words: usize,
    collapsed: bool,
}

#[derive(Clone, Copy, Debug)]
struct Child {
    place: usize,
    hits: u64,
    word: bool,
}

impl Default for Table {
    fn default() -> Self {
        Self { places: vec![Place::new("".into())], free: Vec::new() }
    }
}

impl Table {
    /// `path` begins with a slash.
    pub(super) fn template(
        &mut self,
        path: &str,
        learn: bool,
        settings: &RouteSettings,
        counters: &mut RouteCounters,
    ) -> Arc<str> {
        let mut place = ROOT;
        for (n, segment) in path.split('/').skip(1).take(MAX_SEGMENTS).enumerate() {
            let class = if n + 1 == MAX_SEGMENTS { REST } else { classify(segment) };
            let (name, word) = match &class {
                Segment::Word(word) => (*word, !word.is_empty()),
                Segment::Value(value) => (value.as_ref(), matches!(value, std::borrow::Cow::Owned(_))),
            };
            if let Some(child) = self.places[place].children.get_mut(name) {
                child.hits += 1;
                place = child.place;
                continue;
            }
            let known = !word || self.admits(place, learn, settings, counters);
            let name = if known { name } else { SEGMENT };
            if let Some(child) = self.places[place].children.get(name) {
                place = child.place;
            } else if let Some(child) = self.add(place, name, word && known, settings) {
                place = child;
            } else {
                counters.table_full += 1;
                return format!("{}/{{*}}", self.places[place].template).into();
            }
        }
        Arc::clone(&self.places[place].template)
    }

    /// May a new word be learnt at `place`? The first one too many collapses it.
    fn admits(
        &mut self,
        place: usize,
        learn: bool,
        settings: &RouteSettings,
        counters: &mut RouteCounters,
    ) -> bool {
        let Place { words, collapsed, .. } = self.places[place];
        if !learn || collapsed {
            return false;
        }
        if words < settings.words_per_place {
            return true;
        }
        counters.collapsed += 1;
        self.collapse(place);
        false
    }

    fn collapse(&mut self, place: usize) {
        let Place { children, words, collapsed, .. } = &mut self.places[place];
        let hits: u64 = children.values().filter(|c| c.word).map(|c| c.hits).sum();
        let count = *words as u64;
        let keeps = |child: &Child| !child.word || child.hits * count >= 2 * hits;
        let mut gone: Vec<usize> = children.values().filter(|c| !keeps(c)).map(|c| c.place).collect();
        children.retain(|_, child| keeps(child));
        (*words, *collapsed) = (children.values().filter(|c| c.word).count(), true);
        while let Some(place) = gone.pop() {
            let freed = std::mem::replace(&mut self.places[place], Place::new("".into()));
            gone.extend(freed.children.values().map(|c| c.place));
            self.free.push(place);
        }
    }

    fn add(&mut self, parent: usize, name: &str, word: bool, settings: &RouteSettings) -> Option<usize> {
        let child = Place::new([&*self.places[parent].template, "/", name].concat().into());
        let place = if let Some(place) = self.free.pop() {
            self.places[place] = child;
            place
        } else if self.places.len() <= settings.places_per_service {
            self.places.push(child);
            self.places.len() - 1
        } else {
            return None;
        };
        let parent = &mut self.places[parent];
        parent.words += usize::from(word);
        parent.children.insert(name.into(), Child { place, hits: 1, word });
        Some(place)
    }
}

impl Place {
    fn new(template: Arc<str>) -> Self {
        Self { template, children: HashMap::default(), words: 0, collapsed: false }
    }
}

const ROOT: usize = 0;
const SEGMENT: &str = "{segment}";
const REST: Segment<'static> = Segment::Value(std::borrow::Cow::Borrowed("{*}"));
