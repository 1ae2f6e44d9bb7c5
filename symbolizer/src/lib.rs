//! What executables and libraries say of their code: how to unwind it, and what it is called.
//!
//! Nothing here knows processes or kernels: files come in, values go out. A damaged or hostile file costs bounded
//! time and memory, and is an error.
#![forbid(unsafe_code)]

pub mod names;
pub mod unwind;
