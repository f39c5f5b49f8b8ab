//! For tests only: a store in memory, generated data for queries, scripted servers, access to the shared cases. The
//! simulated clock is `ferula_runtime::clock::SimClock`.

pub mod http_lab;
pub mod mem_storage;
pub mod played_api;
pub mod query_data;
pub mod shared;

pub use mem_storage::MemStorage;
