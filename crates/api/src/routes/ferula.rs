//! `ferula/…`: what the web pages ask for and Prometheus does not have, and two lists of queries under the paths of
//! VictoriaMetrics.

pub mod backtest;
pub mod bad_page;
pub mod cardinality;
pub mod editor;
pub mod graph;
pub mod queries;
pub mod relabel;
pub mod tree;
mod utf16;
