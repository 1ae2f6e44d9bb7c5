//! Names as programmers wrote them.

use cpp_demangle::DemangleOptions;

use super::Language;

/// A mangled name may expand without bound.
const LONGEST: usize = 4_096;

/// The readable form of a linker's name, and the language it tells. C++ names go without their parameters and Rust's
/// without their hash. A name that is not mangled comes back as it is.
#[must_use]
pub fn demangle(name: &str) -> (String, Language) {
    if name.len() > LONGEST {
        return (name.to_owned(), Language::Native);
    }
    // Rust's older names look like C++'s and have a hash at their end.
    if let Ok(rust) = rustc_demangle::try_demangle(name) {
        let mut text = String::new();
        if write_bounded(&mut text, format_args!("{rust:#}")) {
            return (text, Language::Rust);
        }
    }
    // Of a split function the linker's name is followed by `.cold`, `.part.0` or the like.
    let (mangled, suffix) = match name.find('.') {
        Some(at) if name.starts_with("_Z") => name.split_at(at),
        _ => (name, ""),
    };
    if mangled.starts_with("_Z")
        && let Ok(symbol) = cpp_demangle::Symbol::new(mangled)
    {
        let options = DemangleOptions::default().no_params().no_return_type();
        if let Ok(mut text) = symbol.demangle_with_options(&options)
            && text.len() <= LONGEST
        {
            text.push_str(suffix);
            return (text, Language::Native);
        }
    }
    (name.to_owned(), Language::Native)
}

fn write_bounded(text: &mut String, arguments: std::fmt::Arguments<'_>) -> bool {
    struct Bounded<'a>(&'a mut String);
    impl std::fmt::Write for Bounded<'_> {
        fn write_str(&mut self, part: &str) -> std::fmt::Result {
            if self.0.len() + part.len() > LONGEST {
                return Err(std::fmt::Error);
            }
            self.0.push_str(part);
            Ok(())
        }
    }
    std::fmt::Write::write_fmt(&mut Bounded(text), arguments).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_language_has_its_way() {
        for (name, expect, language) in [
            ("main", "main", Language::Native),
            ("_ZN3foo3barEi", "foo::bar", Language::Native),
            (
                "_ZNSt6vectorIiSaIiEE9push_backERKi",
                "std::vector<int, std::allocator<int> >::push_back",
                Language::Native,
            ),
            ("_ZN3foo3barEi.cold", "foo::bar.cold", Language::Native),
            ("_ZN4core3ptr13drop_in_place17h0123456789abcdefE", "core::ptr::drop_in_place", Language::Rust),
            ("_RNvCs1234_7mycrate3foo", "mycrate::foo", Language::Rust),
            ("_Z", "_Z", Language::Native),
            ("_Zgarbage", "_Zgarbage", Language::Native),
            ("foo.part.0", "foo.part.0", Language::Native),
        ] {
            assert_eq!(demangle(name), (expect.to_owned(), language), "{name}");
        }
    }

    #[test]
    fn a_name_that_expands_without_bound_stays_as_it_is() {
        // Each substitution doubles what the one before stands for.
        let bomb = format!("_Z1f{}", "IS_S_E".repeat(600));
        assert!(demangle(&bomb).0.len() <= LONGEST.max(bomb.len()));
    }
}
