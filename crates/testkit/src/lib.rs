//! For tests only: a store in memory, generated data for queries, scripted servers, access to the shared cases, a check of orders. The
//! simulated clock is `ferula_runtime::clock::SimClock`.

pub mod http_lab;
pub mod mem_storage;
pub mod played_api;
pub mod query_data;
pub mod shared;
pub mod total_order;

pub use mem_storage::MemStorage;
pub use total_order::assert_total_order;
