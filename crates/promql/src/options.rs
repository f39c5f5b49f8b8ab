//! Options: those of all queries of an engine, and those of one query.

use std::sync::Arc;

use ferula_promql_syntax::ParserOptions;

use crate::{MemoryContract, Spread};

/// Switches of `--enable-feature` that change what queries mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// `promql-experimental-functions`
    pub experimental_functions: bool,
    /// `promql-delayed-name-removal`
    pub delayed_name_removal: bool,
    /// `promql-extended-range-selectors`
    pub extended_range_selectors: bool,
    /// `promql-binop-fill-modifiers`
    pub fill_modifiers: bool,
    /// `type-and-unit-labels`
    pub type_and_unit_labels: bool,
    /// `use-start-timestamps`
    pub use_start_timestamps: bool,
    /// `promql-per-step-stats`
    pub per_step_stats: bool,
}

impl Features {
    /// What the parser is to take.
    pub const fn parser_options(self) -> ParserOptions {
        ParserOptions {
            experimental_functions: self.experimental_functions,
            duration_expressions: true,
            extended_range_selectors: self.extended_range_selectors,
            binop_fill_modifiers: self.fill_modifiers,
        }
    }
}

/// What holds for every query of an engine.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// `--query.max-samples`
    pub max_samples: u64,
    /// `--query.lookback-delta`
    pub lookback_delta_ms: i64,
    /// Step of subqueries that name none: `global.evaluation_interval`.
    pub default_subquery_step_ms: i64,
    /// See [`Features`].
    pub features: Features,
    /// The bytes that all queries may hold together.
    pub memory: MemoryContract,
    /// Threads that queries may use beside their own.
    pub spread: Option<Arc<dyn Spread>>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        EngineOptions {
            max_samples: 50_000_000,
            lookback_delta_ms: 300_000,
            default_subquery_step_ms: 60_000,
            features: Features::default(),
            memory: MemoryContract::unlimited(),
            spread: None,
        }
    }
}

/// What one caller asks for beside the query.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueryOptions {
    /// Overrides the engine's lookback delta, unless it is negative.
    pub lookback_delta_ms: Option<i64>,
    /// Counts samples by step, if the engine's features allow it.
    pub per_step_stats: bool,
}
