//! For tests only: a store in memory and one that keeps nothing, generated data for queries, scripted servers, access to the shared cases, a check of orders. The
//! simulated clock is `ferula_runtime::clock::SimClock`.

pub mod http_lab;
pub mod mem_storage;
pub mod no_store;
pub mod played_api;
pub mod query_data;
pub mod shared;
pub mod total_order;

pub use mem_storage::MemStorage;
pub use no_store::NoStore;
pub use total_order::assert_total_order;
