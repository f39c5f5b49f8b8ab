//! The front door: from a query's text to its outcome, over the three floors plan, build and run.

use std::panic::AssertUnwindSafe;

use ferula_model::Timestamp;
use ferula_promql_syntax::ast::{Expr, ValueType};
use ferula_promql_syntax::stack;
use ferula_storage::Queryable;

use crate::build::run;
use crate::memory::QueryAccount;
use crate::plan::{self, Plan};
use crate::{
    Annotations, EngineOptions, Grid, HeldMemory, MemoryContract, QueryControl, QueryError, QueryOptions,
    QueryOutcome, QueryStats,
};

/// Runs queries. Cheap to clone; options are replaced by making a new one.
#[derive(Clone, Debug, Default)]
pub struct Engine {
    options: EngineOptions,
}

impl Engine {
    /// An engine with these options.
    pub fn new(options: EngineOptions) -> Self {
        Engine { options }
    }

    /// The options.
    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    /// The same for a query that is tried on a thread which must not be kept busy: it may hold little memory and use no
    /// other threads. Together with [`QueryControl::brief`] that bounds its work; if it fails, it is to be run again
    /// without these limits.
    #[must_use]
    pub fn brief(&self) -> Engine {
        let memory = MemoryContract::new(BRIEF_BYTES_MAX);
        Engine { options: EngineOptions { memory, spread: None, ..self.options.clone() } }
    }

    /// Evaluates a query at one moment.
    pub fn instant(
        &self,
        storage: &dyn Queryable,
        query: &str,
        at: Timestamp,
        options: &QueryOptions,
        control: &QueryControl,
    ) -> QueryOutcome {
        match self.parse_accounted(query) {
            Ok((expr, _account)) => self.instant_expr(storage, &expr, at, options, control),
            Err(error) => refused(error),
        }
    }

    /// Evaluates a query at every moment of a grid.
    pub fn range(
        &self,
        storage: &dyn Queryable,
        query: &str,
        grid: Grid,
        options: &QueryOptions,
        control: &QueryControl,
    ) -> QueryOutcome {
        match self.parse_accounted(query) {
            Ok((expr, _account)) => self.range_expr(storage, &expr, grid, options, control),
            Err(error) => refused(error),
        }
    }

    /// [`Engine::instant`] for a query that is already parsed.
    pub fn instant_expr(
        &self,
        storage: &dyn Queryable,
        expr: &Expr,
        at: Timestamp,
        options: &QueryOptions,
        control: &QueryControl,
    ) -> QueryOutcome {
        self.run(storage, expr, Grid::instant(at.millis()), true, options, control)
    }

    /// [`Engine::range`] for a query that is already parsed.
    pub fn range_expr(
        &self,
        storage: &dyn Queryable,
        expr: &Expr,
        grid: Grid,
        options: &QueryOptions,
        control: &QueryControl,
    ) -> QueryOutcome {
        if let Err(error) = check_range(expr, grid) {
            return refused(error);
        }
        self.run(storage, expr, grid, false, options, control)
    }

    /// The plan of a query as text, one node per line, children indented.
    pub fn explain(&self, query: &str, grid: Grid) -> Result<String, QueryError> {
        let expr = self.parse(query)?;
        let instant = grid.start_ms == grid.end_ms;
        let explain = || Ok(self.plan(&expr, grid, instant, &QueryOptions::default())?.explain());
        stack::with_room(&expr, explain).map_err(no_thread)?
    }

    /// The parsed query, and the memory of its tree and plan, which count while they are there.
    fn parse_accounted(&self, query: &str) -> Result<(Expr, QueryAccount), QueryError> {
        let account = QueryAccount::new(self.options.memory.clone());
        if query.len() >= TEXT_BYTES_SHORT {
            account.charge(tree_bytes_max(query))?;
        }
        Ok((self.parse(query)?, account))
    }

    /// The parsed query.
    fn parse(&self, query: &str) -> Result<Expr, QueryError> {
        let options = self.options.features.parser_options();
        ferula_promql_syntax::parse(query, &options).map_err(|error| QueryError::Parse(error.to_string()))
    }

    fn plan(
        &self,
        expr: &Expr,
        grid: Grid,
        instant: bool,
        options: &QueryOptions,
    ) -> Result<Plan, QueryError> {
        let lookback_ms =
            options.lookback_delta_ms.filter(|&ms| ms >= 0).unwrap_or(self.options.lookback_delta_ms);
        plan::plan(expr, grid, instant, lookback_ms, &self.options)
    }

    fn run(
        &self,
        storage: &dyn Queryable,
        expr: &Expr,
        grid: Grid,
        instant: bool,
        options: &QueryOptions,
        control: &QueryControl,
    ) -> QueryOutcome {
        let run = || self.plan_and_run(storage, expr, grid, instant, options, control);
        // The last line: the engine does not panic on any input; if it does, it is this query's error alone.
        let caught = AssertUnwindSafe(|| stack::with_room(expr, run));
        match std::panic::catch_unwind(caught) {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => refused(no_thread(error)),
            Err(panic) => refused(QueryError::Execution(format!("unexpected error: {}", text_of(&*panic)))),
        }
    }

    fn plan_and_run(
        &self,
        storage: &dyn Queryable,
        expr: &Expr,
        grid: Grid,
        instant: bool,
        options: &QueryOptions,
        control: &QueryControl,
    ) -> QueryOutcome {
        let per_step = options.per_step_stats && self.options.features.per_step_stats;
        match self.plan(expr, grid, instant, options) {
            Ok(plan) => run::run(&plan, storage, &self.options, per_step, control),
            Err(error) => refused(error),
        }
    }
}

/// What a brief query may hold: some thousand series.
const BRIEF_BYTES_MAX: u64 = 256 << 10;

/// Shorter queries are not worth being counted.
const TEXT_BYTES_SHORT: usize = 4096;

/// A bound on what the tree of a query and its plan take: every sign outside of strings may make a node, every byte
/// within a string may be part of a pattern.
fn tree_bytes_max(query: &str) -> usize {
    const NODE_BYTES: usize = 384;
    const PATTERN_BYTES: usize = 16;
    let (mut bytes, mut quote) = (0usize, None);
    let mut text = query.bytes();
    while let Some(byte) = text.next() {
        bytes = bytes.saturating_add(match (byte, quote) {
            (b'\\', Some(b'"' | b'\'')) => {
                text.next();
                2 * PATTERN_BYTES
            }
            (_, Some(open)) => {
                quote = Some(open).filter(|_| byte != open);
                PATTERN_BYTES
            }
            (b'"' | b'\'' | b'`', None) => {
                quote = Some(byte);
                NODE_BYTES
            }
            (byte, None) if byte.is_ascii_alphanumeric() || byte == b'_' => 4,
            _ => NODE_BYTES,
        });
    }
    bytes
}

/// A deep query needs a thread of its own, which the system refused.
fn no_thread(error: std::io::Error) -> QueryError {
    QueryError::Execution(format!("cannot create a thread for a deeply nested query: {error}"))
}

/// What a panic said.
fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

/// Only vectors and scalars have a value at every step.
fn check_range(expr: &Expr, grid: Grid) -> Result<(), QueryError> {
    if grid.step_ms <= 0 {
        return Err(QueryError::Parse(
            "zero or negative query resolution step widths are not accepted. Try a positive integer"
                .to_owned(),
        ));
    }
    let kind = match expr.value_type() {
        ValueType::Scalar | ValueType::Vector => return Ok(()),
        ValueType::Matrix => "range vector",
        ValueType::String => "string",
    };
    Err(QueryError::Parse(format!(
        "invalid expression type \"{kind}\" for range query, must be Scalar or instant Vector"
    )))
}

fn refused(error: QueryError) -> QueryOutcome {
    let (annotations, stats) = (Annotations::new(), QueryStats::default());
    QueryOutcome { result: Err(error), annotations, stats, held: HeldMemory::default() }
}
