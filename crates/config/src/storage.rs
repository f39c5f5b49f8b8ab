//! Section `storage`: the storage options that a file can set and a reload can change.

use std::time::Duration;

use ferula_go::float::format_g;
use ferula_go::quote::go_quote;

use crate::error::Problem;
use crate::scalars::{ByteSize, Int64};
use crate::section::section;

section! {
    /// Options of the storage.
    pub struct StorageConfig as "config.StorageConfig" {
        omit tsdb: Option<TsdbConfig>;
        omit exemplars: Option<ExemplarsConfig>;
    }
}

section! {
    /// Options of the time series database.
    pub struct TsdbConfig as "config.TSDBConfig" read as "config.plain", checked {
        /// `out_of_order_time_window` in milliseconds; Prometheus shows it under this name.
        keep out_of_order_time_window_ms as "outofordertimewindow": i64;
        omit out_of_order_time_window: Duration;
        omit stale_series_compaction_threshold: f64;
        omit chunk_encoding: ChunkEncodingConfig;
        /// `None` leaves it to the flags. If the file has the section, its unset fields are 0 rather than the flags' values.
        omit retention: Option<RetentionConfig>;
    }
}

section! {
    /// Chunk encodings by kind of sample.
    pub struct ChunkEncodingConfig as "config.ChunkEncodingConfig" {
        /// `xor`, `xor2` or "" for the flag's choice.
        omit floats: String;
    }
}

section! {
    /// How long and how much data is kept. A zero field sets no limit.
    pub struct RetentionConfig as "config.TSDBRetentionConfig" read as "config.plain", checked {
        omit time: Duration;
        omit size: ByteSize;
        omit percentage: f64;
    }
}

section! {
    /// The exemplar storage.
    pub struct ExemplarsConfig as "config.ExemplarsConfig" {
        /// 0 or less: none are kept.
        omit max_exemplars: Int64;
    }
}

impl TsdbConfig {
    fn check(&mut self) -> Result<(), Problem> {
        self.out_of_order_time_window_ms =
            i64::try_from(self.out_of_order_time_window.as_millis()).unwrap_or(i64::MAX);
        let floats = self.chunk_encoding.floats.as_str();
        if !matches!(floats, "" | "xor" | "xor2") {
            let text = format!(
                "'storage.tsdb.chunk_encoding.floats' must be 'xor' or 'xor2', or the field must be omitted \
                 entirely, got {}",
                go_quote(floats)
            );
            return Err(Problem::new(text).at("floats").at("chunk_encoding"));
        }
        Ok(())
    }
}

impl RetentionConfig {
    fn check(&mut self) -> Result<(), Problem> {
        if self.size.0 < 0 {
            let text = format!(
                "'storage.tsdb.retention.size' must be greater than or equal to 0, got {}",
                self.size
            );
            return Err(Problem::new(text).at("size"));
        }
        if !(0.0..=100.0).contains(&self.percentage) {
            let text = format!(
                "'storage.tsdb.retention.percentage' must be in the range [0, 100], got {}",
                format_g(self.percentage)
            );
            return Err(Problem::new(text).at("percentage"));
        }
        Ok(())
    }
}
