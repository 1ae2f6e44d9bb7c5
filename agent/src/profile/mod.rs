//! CPU samples: which code ran, in which process, as addresses that belong to files.

pub mod model;
