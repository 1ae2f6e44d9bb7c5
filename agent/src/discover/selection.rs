//! What the user asked to trace: process ids, ports, executables, or everything.

use std::{collections::BTreeSet, fmt, path::Path, str::FromStr};

use glob::{MatchOptions, Pattern};

/// The union of everything given; nothing given is everything.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selection {
    pub pids: BTreeSet<u32>,
    /// A port a process listens on, or one that a connection goes to.
    pub ports: Vec<PortRange>,
    pub exe: Vec<ExeGlob>,
    pub all: bool,
}

impl Selection {
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.all || (self.pids.is_empty() && self.ports.is_empty() && self.exe.is_empty())
    }

    /// Exactly one process id, port or executable was named: what is traced is one service.
    #[must_use]
    pub fn is_single(&self) -> bool {
        let ports: usize = self.ports.iter().map(|range| range.len()).sum();
        !self.all && self.pids.len() + ports + self.exe.len() == 1
    }

    #[must_use]
    pub fn matches_pid(&self, pid: u32) -> bool {
        self.is_everything() || self.pids.contains(&pid)
    }

    /// `path` is the executable's full path, without the kernel's ` (deleted)`.
    #[must_use]
    pub fn matches_exe(&self, path: &Path) -> bool {
        self.is_everything() || self.exe.iter().any(|glob| glob.matches(path))
    }

    #[must_use]
    pub fn matches_port(&self, port: u16) -> bool {
        self.is_everything() || self.ports.iter().any(|range| range.contains(port))
    }
}

/// A port, or an inclusive range of ports: `8080`, `3000-3999`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    #[must_use]
    pub fn contains(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }

    #[must_use]
    pub fn first(self) -> u16 {
        self.first
    }

    #[must_use]
    pub fn last(self) -> u16 {
        self.last
    }

    /// How many ports; at least one.
    #[expect(clippy::len_without_is_empty, reason = "a range is never empty")]
    #[must_use]
    pub fn len(self) -> usize {
        usize::from(self.last - self.first) + 1
    }

    pub fn iter(self) -> impl Iterator<Item = u16> {
        self.first..=self.last
    }
}

impl FromStr for PortRange {
    type Err = InvalidSelection;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidSelection::Port(text.to_owned());
        let port = |s: &str| s.trim().parse::<u16>().ok().filter(|port| *port != 0).ok_or_else(invalid);
        let (first, last) = match text.split_once('-') {
            Some((first, last)) => (port(first)?, port(last)?),
            None => (port(text)?, port(text)?),
        };
        if first > last {
            return Err(invalid());
        }
        Ok(Self { first, last })
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

/// A glob for an executable. Without a `/` it is matched against the file name, with one against the full path,
/// where `*` stays inside a directory and `**` does not.
#[derive(Clone, Debug, PartialEq)]
pub struct ExeGlob {
    pattern: Pattern,
    full_path: bool,
}

impl ExeGlob {
    #[must_use]
    pub fn matches(&self, path: &Path) -> bool {
        let options = MatchOptions {
            case_sensitive: true,
            require_literal_separator: true,
            require_literal_leading_dot: false,
        };
        if self.full_path {
            return self.pattern.matches_path_with(path, options);
        }
        path.file_name().is_some_and(|name| self.pattern.matches_with(&name.to_string_lossy(), options))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        self.pattern.as_str()
    }
}

impl FromStr for ExeGlob {
    type Err = InvalidSelection;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(InvalidSelection::Glob(text.to_owned(), "it is empty"));
        }
        let pattern = Pattern::new(text).map_err(|e| InvalidSelection::Glob(text.to_owned(), e.msg))?;
        Ok(Self { pattern, full_path: text.contains('/') })
    }
}

impl fmt::Display for ExeGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSelection {
    #[error("`{0}` is not a port (1 to 65535) or a range of ports such as 3000-3999")]
    Port(String),
    #[error("`{0}` is not a glob for an executable: {1}")]
    Glob(String, &'static str),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_exe(glob: &str, path: &str, expect: bool) {
        let glob: ExeGlob = glob.parse().unwrap();
        assert_eq!(glob.matches(Path::new(path)), expect, "{glob} against {path}");
    }

    #[test]
    fn a_glob_without_a_slash_is_for_the_file_name() {
        check_exe("nginx", "/usr/sbin/nginx", true);
        check_exe("nginx", "/usr/sbin/nginx-debug", false);
        check_exe("nginx", "/opt/nginx/bin/worker", false);
        check_exe("python3*", "/usr/bin/python3.11", true);
        check_exe("[pn]ode", "/usr/bin/node", true);
        check_exe("*", "/usr/bin/.hidden", true);
    }

    #[test]
    fn a_glob_with_a_slash_is_for_the_whole_path() {
        check_exe("/usr/sbin/nginx", "/usr/sbin/nginx", true);
        check_exe("/usr/*/nginx", "/usr/sbin/nginx", true);
        check_exe("/usr/*/nginx", "/usr/local/sbin/nginx", false);
        check_exe("/usr/**/nginx", "/usr/local/sbin/nginx", true);
        check_exe("sbin/nginx", "/usr/sbin/nginx", false);
    }

    #[test]
    fn a_broken_glob_says_why() {
        let error = "a[".parse::<ExeGlob>().unwrap_err().to_string();
        assert_eq!(error, "`a[` is not a glob for an executable: invalid range pattern");
        assert!("".parse::<ExeGlob>().is_err());
    }

    #[test]
    fn ports_and_ranges_of_ports() {
        let range: PortRange = "3000-3999".parse().unwrap();
        assert_eq!((range.first(), range.last(), range.len()), (3000, 3999, 1000));
        assert!(range.contains(3000) && range.contains(3999));
        assert!(!range.contains(2999) && !range.contains(4000));
        let single: PortRange = "65535".parse().unwrap();
        assert_eq!((single.len(), single.to_string().as_str()), (1, "65535"));
        assert_eq!(range.to_string(), "3000-3999");
        for wrong in ["", "0", "65536", "-1", "9-8", "80-", "a", "1-2-3"] {
            assert_eq!(wrong.parse::<PortRange>(), Err(InvalidSelection::Port(wrong.to_owned())));
        }
    }

    #[test]
    fn nothing_given_is_everything_and_what_is_given_is_a_union() {
        let nothing = Selection::default();
        assert!(nothing.is_everything() && nothing.matches_pid(7) && nothing.matches_port(1));
        assert!(!nothing.is_single());

        let some = Selection {
            pids: [7].into(),
            ports: vec!["80".parse().unwrap()],
            exe: vec!["node".parse().unwrap()],
            all: false,
        };
        assert!(some.matches_pid(7) && some.matches_port(80) && some.matches_exe(Path::new("/usr/bin/node")));
        assert!(
            !some.matches_pid(8) && !some.matches_port(81) && !some.matches_exe(Path::new("/usr/bin/nod"))
        );
        assert!(!some.is_single());
        assert!(Selection { pids: [7].into(), ..Selection::default() }.is_single());
        assert!(!Selection { ports: vec!["80-81".parse().unwrap()], ..Selection::default() }.is_single());
        assert!(Selection { all: true, ..some }.is_everything());
    }
}
