//! `ferula/…`: endpoints for the web pages that Prometheus does not have, and two lists of queries under
//! VictoriaMetrics' paths.

pub mod backtest;
pub mod bad_page;
pub mod cardinality;
pub mod damage;
pub mod editor;
pub mod explain;
pub mod graph;
pub mod growth;
pub mod metrics;
pub mod queries;
pub mod raw;
pub mod relabel;
pub mod tree;
pub mod usage;
mod utf16;
