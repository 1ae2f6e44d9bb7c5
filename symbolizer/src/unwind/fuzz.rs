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

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// A real library that is everywhere, and small.
    fn loader() -> Vec<u8> {
        std::fs::read("/lib64/ld-linux-x86-64.so.2").unwrap_or_default()
    }

    #[test]
    fn a_file_that_is_cut_short() {
        let whole = loader();
        for end in (0..whole.len()).step_by(1 + whole.len() / 200) {
            any_file(&whole[..end]);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn random_bytes(bytes in vec(any::<u8>(), 0..4_096)) {
            any_file(&bytes);
        }

        /// Where the headers and the unwind information are, anything may stand.
        #[test]
        fn damaged_bytes(changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..64), near in any::<bool>()) {
            let mut bytes = loader();
            if bytes.is_empty() {
                return Ok(());
            }
            let within = if near { bytes.len().min(0x400) } else { bytes.len() };
            for (at, value) in changes {
                bytes[at.index(within)] = value;
            }
            any_file(&bytes);
        }
    }
}
