//! What any bytes must hold: a unit test and libFuzzer share it.

use super::{Elf, compile};

/// Any file gives a table or an error, and a table is in order.
///
/// # Panics
/// Where that does not hold.
pub fn any_file(bytes: &[u8]) {
    let Ok(elf) = Elf::parse(bytes) else { return };
    let _ = elf.build_id();
    let Ok(table) = compile(&elf) else { return };
    assert!(
        table.rows.windows(2).all(|pair| pair[0].offset < pair[1].offset && pair[0].rule != pair[1].rule)
    );
    assert!(table.rows.iter().all(|row| usize::from(row.rule) < table.rules.len()));
    let (_, pages) = table.pages(|rule| rule);
    for page in pages {
        assert!(page.first().is_none_or(|word| word & 0xffff == 0));
        assert!(page.windows(2).all(|pair| pair[0] & 0xffff < pair[1] & 0xffff));
    }
}
