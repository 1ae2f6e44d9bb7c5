//! Drivers for the real programs that the tests trace.
