//! CPU samples, and what becomes of them.

pub mod gather;
mod jit;
pub mod model;
pub mod named;
pub mod naming;
