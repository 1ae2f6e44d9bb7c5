//! The stages between a record and a span, driven by records made by hand.

mod flows;
mod links;
mod stream;
