//! Spans of a batch by the resource that made them, in order of first appearance.

use std::{collections::HashMap, ptr, sync::Arc};

use crate::{resource::Resource, span::Span};

pub(super) struct Group<'a> {
    pub(super) resource: &'a Resource,
    pub(super) spans: Vec<&'a Span>,
}

/// Two spans share a group when they share an `Arc`, or else when their resources are equal.
pub(super) fn by_resource<'a>(spans: impl Iterator<Item = &'a Span>) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    let mut known: HashMap<*const Resource, usize> = HashMap::new();
    let mut last: (*const Resource, usize) = (ptr::null(), 0);
    for span in spans {
        let resource = Arc::as_ptr(&span.resource);
        if last.0 != resource {
            let index = *known.entry(resource).or_insert_with(|| {
                let equal = groups.iter().position(|group| *group.resource == *span.resource);
                equal.unwrap_or_else(|| {
                    groups.push(Group { resource: &span.resource, spans: Vec::new() });
                    groups.len() - 1
                })
            });
            last = (resource, index);
        }
        groups[last.1].spans.push(span);
    }
    groups
}
