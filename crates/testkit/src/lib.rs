//! For tests only: simulated clock, memory storage, fake targets, the way to the shared cases.

pub mod shared;
