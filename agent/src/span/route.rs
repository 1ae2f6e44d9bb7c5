//! `http.route` and `url.template`: a low-cardinality name for a path.
//!
//! A configured pattern comes first, the most specific one. Otherwise the path is turned into a template
//! (a setting, on by default): segments that look like values become `{id}`, `{uuid}`, `{hash}`, `{date}`
//! and so on, words stay. The conventions forbid the raw path as a route; what looks like a word but is
//! not one of a few is caught by [`table`], which learns the words of each service and gives up on a place
//! that has too many.

mod pattern;
mod segment;
mod table;

use std::{collections::HashMap, sync::Arc};

use foldhash::fast::RandomState;

pub use self::pattern::PatternError;
use self::{pattern::Patterns, table::Table};

#[derive(Clone, Debug)]
pub struct RouteSettings {
    /// `/users/{id}`, `/static/*`: `{id}`, `:id`, `<id>` and an inner `*` stand for one segment, a last `*`
    /// for all that follow.
    pub patterns: Vec<String>,
    /// Make a template of a path no pattern matches.
    pub automatic: bool,
    /// Distinct words at one place of a service's paths before the rarer of them become `{segment}`.
    pub words_per_place: usize,
    /// Distinct places (path prefixes) kept of one service.
    pub places_per_service: usize,
    /// Services (or, for clients, upstreams) with a table of their own; all others share one.
    pub services: usize,
}

impl Default for RouteSettings {
    fn default() -> Self {
        Self {
            patterns: Vec::new(),
            automatic: true,
            words_per_place: 100,
            places_per_service: 2_000,
            services: 1_000,
        }
    }
}

/// What the bounds cost so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouteCounters {
    /// Places at which words are no longer learnt.
    pub collapsed: u64,
    /// Words reported as `{segment}` because a table was full.
    pub table_full: u64,
    /// Services that had to share a table.
    pub services_shared: u64,
}

/// Patterns and what was learnt. The same paths in the same order give the same routes.
#[derive(Debug)]
pub struct Routes {
    patterns: Patterns,
    settings: RouteSettings,
    services: HashMap<Box<str>, Table, RandomState>,
    shared: Table,
    counters: RouteCounters,
}

impl Routes {
    pub fn new(settings: RouteSettings) -> Result<Self, PatternError> {
        let patterns = Patterns::new(&settings.patterns)?;
        let counters = RouteCounters::default();
        Ok(Self { patterns, settings, services: HashMap::default(), shared: Table::default(), counters })
    }

    /// `service` is whose paths these are: a server's own name, a client's upstream. `path` as sent,
    /// without its query. Words are only learnt where `learn`: pass false for a response of 404, or
    /// whoever scans a server for holes fills its table.
    ///
    /// `None` for what is no path (`*`, CONNECT), and where no pattern matches and templates are off.
    pub fn route(&mut self, service: &str, path: &str, learn: bool) -> Option<Arc<str>> {
        if !path.starts_with('/') {
            return None;
        }
        if let Some(route) = self.patterns.find(path) {
            return Some(route);
        }
        if !self.settings.automatic {
            return None;
        }
        if !self.services.contains_key(service) && self.services.len() < self.settings.services {
            self.services.insert(service.into(), Table::default());
        }
        let table = self.services.get_mut(service).unwrap_or_else(|| {
            self.counters.services_shared += 1;
            &mut self.shared
        });
        Some(table.template(path, learn, &self.settings, &mut self.counters))
    }

    #[must_use]
    pub fn counters(&self) -> RouteCounters {
        self.counters
    }
}

/// Segments of a path that are looked at; the rest is `{*}`.
const MAX_SEGMENTS: usize = 16;

#[cfg(test)]
mod tests;
