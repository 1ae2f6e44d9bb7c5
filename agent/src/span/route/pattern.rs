//! Configured routes: a tree of segments, in which a literal goes before a placeholder before the rest.

use std::{collections::HashMap, sync::Arc};

#[derive(Debug, Default)]
pub(super) struct Patterns(Node);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    #[error("the route pattern {0:?} does not begin with a slash")]
    NoSlash(String),
    #[error("the route pattern {0:?} has more than 16 segments")]
    TooLong(String),
    #[error("the route patterns {0:?} and {1:?} match the same paths")]
    Same(String, String),
}

#[derive(Debug, Default)]
struct Node {
    literals: HashMap<Box<str>, Node>,
    placeholder: Option<Box<Node>>,
    /// The route that ends here.
    route: Option<Arc<str>>,
    /// The route that takes whatever follows.
    rest: Option<Arc<str>>,
}

impl Patterns {
    pub(super) fn new(patterns: &[String]) -> Result<Self, PatternError> {
        let mut root = Node::default();
        for pattern in patterns {
            let path = pattern.strip_prefix('/').ok_or_else(|| PatternError::NoSlash(pattern.clone()))?;
            if path.split('/').count() > super::MAX_SEGMENTS {
                return Err(PatternError::TooLong(pattern.clone()));
            }
            let (mut node, mut segments) = (&mut root, path.split('/').peekable());
            let slot = loop {
                match (segments.next(), segments.peek()) {
                    (None, _) => break &mut node.route,
                    (Some("*" | "**"), None) => break &mut node.rest,
                    (Some(s), _) if is_placeholder(s) => node = node.placeholder.get_or_insert_default(),
                    (Some(literal), _) => node = node.literals.entry(literal.into()).or_default(),
                }
            };
            if let Some(other) = slot.replace(pattern.as_str().into()) {
                return Err(PatternError::Same(other.to_string(), pattern.clone()));
            }
        }
        Ok(Self(root))
    }

    /// The most specific pattern: the left-most literal wins. A trailing slash of `path` is overlooked.
    pub(super) fn find(&self, path: &str) -> Option<Arc<str>> {
        let path = path.strip_prefix('/')?;
        let exact = self.0.find(Some(path));
        exact.or_else(|| self.0.find(Some(path.strip_suffix('/')?))).cloned()
    }
}

fn is_placeholder(segment: &str) -> bool {
    segment == "*"
        || segment.len() > 1 && segment.starts_with(':')
        || segment.starts_with('{') && segment.ends_with('}')
        || segment.starts_with('<') && segment.ends_with('>')
}

impl Node {
    /// `rest` is `None` past the last segment. As deep as the longest pattern at most.
    fn find(&self, rest: Option<&str>) -> Option<&Arc<str>> {
        let Some(path) = rest else { return self.route.as_ref() };
        let (segment, rest) = path.split_once('/').map_or((path, None), |(s, r)| (s, Some(r)));
        let literal = || self.literals.get(segment)?.find(rest);
        let placeholder = || self.placeholder.as_ref().filter(|_| !segment.is_empty())?.find(rest);
        literal().or_else(placeholder).or(self.rest.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(list: &[&str]) -> Result<Patterns, PatternError> {
        Patterns::new(&list.iter().map(|&p| p.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn the_most_specific_wins() {
        let list = [
            "/",
            "/users/{id}",
            "/users/me",
            "/users/:id/posts/<post>",
            "/static/*",
            "/static/js/*",
            "/a/*/c",
        ];
        let patterns = patterns(&list).unwrap();
        let check =
            |path: &str, expect: Option<&str>| assert_eq!(patterns.find(path).as_deref(), expect, "{path}");
        check("/", Some("/"));
        check("/users/42", Some("/users/{id}"));
        check("/users/42/", Some("/users/{id}"));
        check("/users/me", Some("/users/me"));
        check("/users/me/posts/7", Some("/users/:id/posts/<post>"));
        check("/users", None);
        check("/users/", None);
        check("/static/img/a.png", Some("/static/*"));
        check("/static/", Some("/static/*"));
        check("/static/js/a.js", Some("/static/js/*"));
        check("/a/b/c", Some("/a/*/c"));
        check("/a/b/d", None);
        check("users", None);
    }

    #[test]
    fn wrong_patterns_are_named() {
        assert_eq!(patterns(&["users"]).unwrap_err(), PatternError::NoSlash("users".into()));
        assert_eq!(
            patterns(&["/a/{x}", "/a/:y"]).unwrap_err(),
            PatternError::Same("/a/{x}".into(), "/a/:y".into())
        );
        let long = "/a".repeat(17);
        assert_eq!(patterns(&[&long]).unwrap_err(), PatternError::TooLong(long));
    }
}
