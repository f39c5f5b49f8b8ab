//! For tests only: a store in memory and one that keeps nothing, generated data for queries, played servers, the table of
//! what every key of an HTTP client does, a check of orders, and the way to the shared material and the real programs. The
//! simulated clock is `ferula_runtime::clock::SimClock`.

pub mod http_lab;
pub mod mem_storage;
pub mod no_store;
pub mod played_api;
pub mod query_data;
pub mod recording_proxy;
pub mod shared;
pub mod total_order;

pub use mem_storage::MemStorage;
pub use no_store::NoStore;
pub use recording_proxy::recording_proxy;
pub use total_order::assert_total_order;
