//! Making blocks out of blocks, and out of the head.
//!
//! `plan` decides which blocks become one, from what their `meta.json` say. `run` writes the one: it merges any
//! number of sources, series by series. `merge` brings the chunks of one series together, `encode` writes samples
//! into new chunks where old ones cannot be copied. `uploads` holds back what another program still has to copy.

mod encode;
mod heap;
mod merge;
mod plan;
mod run;
mod uploads;

pub use encode::EncodeOptions;
pub use plan::{PlanOptions, block_ranges, plan};
pub use run::{BlockSource, Compactor, MergedSeries, SeriesSource, SourceSeries, Watch, write_block};
pub use uploads::without_waiting;
