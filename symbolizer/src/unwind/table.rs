//! The compiled table of one file.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use honeyguide_common::unwind::{FIXED_RULES, PAGE_BITS, RULE_NONE, RULE_UNSUPPORTED, Rule};

use super::Error;

/// More than any program has: Chromium's is at 5 million.
const MAX_ROWS: usize = 16 << 20;
/// As many as 16 bits name.
const MAX_RULES: usize = 1 << 16;

/// From which address on which rule holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Behind the table's [`Table::base`].
    pub offset: u32,
    /// Index of [`Table::rules`].
    pub rule: u16,
}

/// Rows in ascending order, no two adjacent ones with the same rule. Before the first and after the last nothing is
/// known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// The file's address that offsets begin at: that of a page of rows.
    pub base: u64,
    pub rows: Vec<Row>,
    /// The first of them are [`FIXED_RULES`].
    pub rules: Vec<Rule>,
    /// Rows whose rule is not followed.
    pub unsupported: u64,
}

impl Table {
    /// The rule for one of the file's addresses; none where nothing is known.
    #[must_use]
    pub fn rule(&self, address: u64) -> Option<&Rule> {
        let offset = u32::try_from(address.checked_sub(self.base)?).ok()?;
        let index = self.rows.partition_point(|row| row.offset <= offset).checked_sub(1)?;
        match self.rows[index].rule {
            RULE_NONE => None,
            rule => self.rules.get(usize::from(rule)),
        }
    }

    /// The pages of rows as the kernel has them, those without any empty: the number of the first (in pages of
    /// addresses), and for each its words. `rule` gives the shared table's number of one of [`Table::rules`].
    pub fn pages(&self, mut rule: impl FnMut(u16) -> u16) -> (u32, Vec<Vec<u32>>) {
        let first = u32::try_from(self.base >> PAGE_BITS).unwrap_or(u32::MAX);
        let Some(last) = self.rows.last() else { return (first, Vec::new()) };
        let mut pages = vec![Vec::new(); (last.offset >> PAGE_BITS) as usize + 1];
        let mut current = RULE_NONE;
        let mut rows = self.rows.iter().peekable();
        for (number, page) in pages.iter_mut().enumerate() {
            let start = (number as u32) << PAGE_BITS;
            // What held at the end of the page before holds at the beginning of this one.
            if current != RULE_NONE && rows.peek().is_some_and(|row| row.offset != start) {
                page.push(word(0, rule(current)));
            }
            while let Some(row) = rows.next_if(|row| row.offset >> PAGE_BITS == number as u32) {
                if page.is_empty() && row.offset != start {
                    page.push(word(0, RULE_NONE));
                }
                page.push(word(row.offset, rule(row.rule)));
                current = row.rule;
            }
        }
        (first, pages)
    }
}

fn word(offset: u32, rule: u16) -> u32 {
    offset & 0xffff | u32::from(rule) << 16
}

/// Makes a table of rows that come in ascending order.
#[derive(Debug)]
pub(super) struct Builder {
    table: Table,
    known: HashMap<Rule, u16, RandomState>,
}

impl Builder {
    pub(super) fn new(base: u64) -> Self {
        let rules = FIXED_RULES.to_vec();
        let known = rules.iter().zip(0..).map(|(rule, index)| (*rule, index)).collect();
        Self { table: Table { base, rules, ..Table::default() }, known }
    }

    /// From `offset` on `rule` holds; a row at the same place is replaced.
    pub(super) fn push(&mut self, offset: u32, rule: Rule) -> Result<(), Error> {
        let index = self.index(rule);
        if index == RULE_UNSUPPORTED {
            self.table.unsupported += 1;
        }
        let rows = &mut self.table.rows;
        while rows.last().is_some_and(|row| row.offset >= offset) {
            rows.pop();
        }
        let before = rows.last().map_or(RULE_NONE, |row| row.rule);
        if before == index {
            return Ok(());
        }
        if rows.len() >= MAX_ROWS {
            return Err(Error::TooMuch(MAX_ROWS as u64, "rows"));
        }
        rows.push(Row { offset, rule: index });
        Ok(())
    }

    pub(super) fn finish(mut self) -> Table {
        self.table.rows.shrink_to_fit();
        self.table
    }

    fn index(&mut self, rule: Rule) -> u16 {
        if let Some(index) = self.known.get(&rule) {
            return *index;
        }
        // A hostile file alone has so many.
        let Ok(index) = u16::try_from(self.table.rules.len()) else { return RULE_UNSUPPORTED };
        debug_assert!(self.table.rules.len() < MAX_RULES);
        self.table.rules.push(rule);
        self.known.insert(rule, index);
        index
    }
}

#[cfg(test)]
mod tests {
    use honeyguide_common::unwind::{CFA_NONE, CFA_REGISTER};

    use super::*;

    fn rule(cfa_offset: i32) -> Rule {
        Rule { register: 7, cfa_offset, ..Rule::of(CFA_REGISTER) }
    }

    #[test]
    fn equal_neighbours_are_one_row_and_the_last_word_on_an_address_counts() {
        let mut builder = Builder::new(0x10000);
        for (offset, cfa_offset) in [(0, 8), (4, 16), (8, 16), (12, 24), (12, 8)] {
            builder.push(offset, rule(cfa_offset)).unwrap();
        }
        builder.push(20, Rule::of(CFA_NONE)).unwrap();
        let table = builder.finish();
        let rows: Vec<_> = table.rows.iter().map(|row| (row.offset, row.rule)).collect();
        assert_eq!(rows, [(0, 4), (4, 5), (12, 4), (20, RULE_NONE)]);
        assert_eq!(table.rule(0x10005), Some(&rule(16)));
        assert_eq!((table.rule(0x10014), table.rule(0xffff), table.rule(u64::MAX)), (None, None, None));
    }

    #[test]
    fn a_page_begins_with_what_held_before_it() {
        let mut builder = Builder::new(0x20000);
        builder.push(0x10, rule(8)).unwrap();
        builder.push(0x3_0004, rule(16)).unwrap();
        builder.push(0x4_0000, Rule::of(CFA_NONE)).unwrap();
        let (first, pages) = builder.finish().pages(|rule| rule);
        assert_eq!(first, 2);
        let none = 0;
        assert_eq!(pages[0], [none, 0x10 | 4 << 16]);
        assert_eq!(pages[1], [4 << 16]);
        assert_eq!(pages[2], [4 << 16]);
        assert_eq!(pages[3], [4 << 16, 4 | 5 << 16]);
        assert_eq!(pages[4], [none]);
        assert_eq!(pages.len(), 5);
    }
}
