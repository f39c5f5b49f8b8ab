//! For tests only: simulated clock, memory storage, fake targets, the way to the shared cases.

pub mod mem_storage;
pub mod shared;

pub use mem_storage::MemStorage;
