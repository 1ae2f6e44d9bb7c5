//! Who produced a signal: service, process, host, container, by the resource semantic conventions.

use crate::attribute::Attributes;

/// The resource of one traced process (or of the agent itself).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resource {
    pub attributes: Attributes,
}

impl Resource {
    /// `service.name`, which every resource the agent makes has.
    #[must_use]
    pub fn service(&self) -> &str {
        self.attributes.text("service.name").unwrap_or("unknown_service")
    }
}
