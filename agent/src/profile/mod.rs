//! CPU samples, and what becomes of them.

pub mod named;
