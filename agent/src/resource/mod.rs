//! Who produced a signal: service, process, host, container, by the resource semantic conventions.

mod budget;
mod container;
mod env;
mod host;
mod instrumented;
mod process;
mod resources;
mod runtime;
mod service_name;

pub use env::{InvalidAttributes, parse_attributes};
pub use host::Host;
pub use resources::{ResourceCounters, ResourceOptions, Resources};
pub use runtime::Runtime;

use crate::attribute::Attributes;

/// The resource of one traced process (or of the agent itself).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resource {
    pub attributes: Attributes,
    /// It runs under OpenTelemetry's automatic instrumentation, which reports its requests.
    pub instrumented: bool,
}

impl Resource {
    /// Of a service of which nothing is known but what to call it.
    #[must_use]
    pub fn named(service: String) -> Self {
        let mut attributes = Attributes::with_capacity(3);
        attributes.set("service.name", service);
        attributes.set("telemetry.distro.name", process::AGENT);
        attributes.set("telemetry.distro.version", env!("CARGO_PKG_VERSION"));
        Self { attributes, instrumented: false }
    }

    /// `service.name`, which every resource the agent makes has.
    #[must_use]
    pub fn service(&self) -> &str {
        self.attributes.text("service.name").unwrap_or("unknown_service")
    }
}
