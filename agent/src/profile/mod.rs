//! CPU samples, and what becomes of them.

pub mod model;
pub mod named;
