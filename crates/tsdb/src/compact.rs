//! Creates blocks from blocks, and from the head.
//!
//! `plan` decides from their `meta.json` which blocks are merged. `run` writes a block from any number of
//! sources, series by series. `merge` combines the chunks of one series, and `encode` writes samples into new
//! chunks where old ones cannot be copied. `uploads` holds back blocks that another program still has to
//! copy.

mod encode;
mod heap;
mod merge;
mod plan;
mod run;
mod uploads;

pub use encode::{EncodeOptions, SampleEncoder};
pub(crate) use merge::{merge, visible};
pub use plan::{PlanOptions, block_ranges, plan};
pub use run::{BlockSource, Compactor, MergedSeries, SeriesSource, SourceSeries, Watch, write_block};
pub use uploads::without_waiting;
