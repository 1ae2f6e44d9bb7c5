//! The language runtime a program is, told by its executable's name.

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Runtime {
    Python,
    PyPy,
    Node,
    Bun,
    Deno,
    Ruby,
    Perl,
    Php,
    PhpFpm,
    Java,
    Dotnet,
    Erlang,
    Shell,
}

impl Runtime {
    /// `python3.11`, `nodejs`, `php8.2`, `php-fpm8.2`: the version does not count. `None` is a program that is not known to interpret others.
    #[must_use]
    pub fn of_executable(name: &str) -> Option<Self> {
        let stem = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.').trim_end_matches('-');
        Some(match stem {
            "python" | "python3-dbg" | "python-dbg" => Self::Python,
            "pypy" => Self::PyPy,
            "node" | "nodejs" => Self::Node,
            "bun" => Self::Bun,
            "deno" => Self::Deno,
            "ruby" => Self::Ruby,
            "perl" => Self::Perl,
            "php" | "php-cgi" => Self::Php,
            "php-fpm" => Self::PhpFpm,
            "java" => Self::Java,
            "dotnet" => Self::Dotnet,
            "beam.smp" | "beam" => Self::Erlang,
            "sh" | "bash" | "dash" | "ash" | "zsh" | "ksh" => Self::Shell,
            _ => return None,
        })
    }

    /// `telemetry.sdk.language`, where the conventions have a value for it.
    #[must_use]
    pub fn language(self) -> Option<&'static str> {
        match self {
            Self::Python | Self::PyPy => Some("python"),
            Self::Node | Self::Bun | Self::Deno => Some("nodejs"),
            Self::Ruby => Some("ruby"),
            Self::Php | Self::PhpFpm => Some("php"),
            Self::Java => Some("java"),
            Self::Dotnet => Some("dotnet"),
            Self::Erlang => Some("erlang"),
            Self::Perl | Self::Shell => None,
        }
    }

    /// `process.runtime.name`, where the executable's name is enough to be certain.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Python => Some("cpython"),
            Self::PyPy => Some("pypy"),
            Self::Node => Some("nodejs"),
            Self::Bun => Some("bun"),
            Self::Deno => Some("deno"),
            Self::Ruby => Some("ruby"),
            Self::Erlang => Some("BEAM"),
            Self::Perl | Self::Php | Self::PhpFpm | Self::Java | Self::Dotnet | Self::Shell => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_do_not_count() {
        for (name, expect) in [
            ("python", Some(Runtime::Python)),
            ("python3", Some(Runtime::Python)),
            ("python3.11", Some(Runtime::Python)),
            ("pypy3.10", Some(Runtime::PyPy)),
            ("node", Some(Runtime::Node)),
            ("nodejs", Some(Runtime::Node)),
            ("ruby3.1", Some(Runtime::Ruby)),
            ("php8.2", Some(Runtime::Php)),
            ("php-fpm8.2", Some(Runtime::PhpFpm)),
            ("php-fpm", Some(Runtime::PhpFpm)),
            ("beam.smp", Some(Runtime::Erlang)),
            ("dash", Some(Runtime::Shell)),
            ("nginx", None),
            ("pythonista", None),
            ("3.11", None),
            ("", None),
        ] {
            assert_eq!(Runtime::of_executable(name), expect, "{name}");
        }
    }
}
