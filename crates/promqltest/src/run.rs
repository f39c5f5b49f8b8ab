//! Runs the commands of a script in order.

use ferula_model::Timestamp;
use ferula_promql::{
    Engine, EngineOptions, Features, Grid, InstantSample, QueryControl, QueryOptions, QueryOutcome,
    QueryValue, RangeSeries, SampleValue,
};
use ferula_storage::Queryable;

use crate::at_modifier::pinned;
use crate::compare::{check_scalar, check_sorted, check_value, check_vector};
use crate::load::load_into;
use crate::script::{Command, CommandKind, Eval, EvalTimes, parse_script};
use crate::{Failure, ScriptReport, Store, StoreFactory};

const MINUTE_MS: i64 = 60_000;

/// Functions of the query's own grid, whose result changes with the grid.
const GRID_FUNCTIONS: [&str; 4] = ["start()", "end()", "range()", "step()"];

/// Runs scripts with one engine.
#[derive(Clone, Debug)]
pub struct Runner {
    engine: Engine,
}

impl Default for Runner {
    /// The options of Prometheus' own test engine: all experimental features on, at most 10,000 samples.
    fn default() -> Self {
        Runner::with_options(EngineOptions {
            max_samples: 10_000,
            lookback_delta_ms: 5 * MINUTE_MS,
            default_subquery_step_ms: MINUTE_MS,
            features: Features {
                experimental_functions: true,
                delayed_name_removal: true,
                extended_range_selectors: true,
                fill_modifiers: true,
                use_start_timestamps: true,
                ..Features::default()
            },
            ..EngineOptions::default()
        })
    }
}

/// Runs a script with Prometheus' engine options. `name` appears in the report.
pub fn run_script(text: &str, name: &str, stores: &mut dyn StoreFactory) -> ScriptReport {
    Runner::default().run(text, name, stores)
}

/// Parses a script without running it, and returns the commands that are invalid.
pub fn check_script(text: &str) -> Vec<Failure> {
    let unread = |command: Command| match command.kind {
        CommandKind::Unknown(text) | CommandKind::Load(Err(text)) | CommandKind::Eval(Err(text)) => {
            Some(Failure { line: command.line, text })
        }
        CommandKind::Clear | CommandKind::Load(Ok(_)) | CommandKind::Eval(Ok(_)) => None,
    };
    parse_script(text).into_iter().filter_map(unread).collect()
}

/// The store, or why there is none to run evaluations on.
type Loaded = Result<Box<dyn Store>, String>;

impl Runner {
    /// A runner whose engine has these options.
    pub fn with_options(options: EngineOptions) -> Runner {
        Runner { engine: Engine::new(options) }
    }

    /// Runs a script. `name` appears in the report.
    pub fn run(&self, text: &str, name: &str, stores: &mut dyn StoreFactory) -> ScriptReport {
        let mut report = ScriptReport { name: name.to_owned(), ..ScriptReport::default() };
        let mut store: Loaded = stores.open().map_err(|fault| fault.to_string());
        for command in parse_script(text) {
            let done = match command.kind {
                CommandKind::Clear => {
                    drop(std::mem::replace(&mut store, Err("the store is being replaced".to_owned())));
                    store = stores.open().map_err(|fault| fault.to_string());
                    continue;
                }
                CommandKind::Load(load) => {
                    store = store.and_then(|store| {
                        let load = load.map_err(|error| format!("load of line {}: {error}", command.line))?;
                        load_into(&*store, &load)
                            .map_err(|error| format!("load of line {}: {error}", command.line))?;
                        stores.loaded(store).map_err(|fault| fault.to_string())
                    });
                    continue;
                }
                CommandKind::Unknown(error) => Err(error),
                CommandKind::Eval(Err(error)) => Err(error),
                CommandKind::Eval(Ok(mut eval)) => match &store {
                    Ok(store) => {
                        eval.expected.hints_may_be_lost = !stores.keeps_hints();
                        self.eval(&**store, &eval)
                    }
                    Err(error) => Err(error.clone()),
                },
            };
            match done {
                Ok(()) => report.passed += 1,
                Err(text) => report.failed.push(Failure { line: command.line, text }),
            }
        }
        report
    }

    fn eval(&self, store: &dyn Store, eval: &Eval) -> Result<(), String> {
        match eval.when {
            EvalTimes::Range { start_ms, end_ms, step_ms } => {
                let outcome = self.range(store, &eval.query, Grid { start_ms, end_ms, step_ms });
                check_outcome(eval, &eval.query, &outcome, (start_ms, end_ms, step_ms))
                    .map_err(|error| format!("{}: {error}", eval.query))
            }
            EvalTimes::Instant { at_ms } => {
                self.eval_instant(store, eval, &eval.query, at_ms)?;
                for (query, at_ms) in pinned(&eval.query, at_ms)? {
                    self.eval_instant(store, eval, &query, at_ms)?;
                }
                Ok(())
            }
        }
    }

    fn eval_instant(&self, store: &dyn Store, eval: &Eval, query: &str, at_ms: i64) -> Result<(), String> {
        let told = |mode: &str, error: String| format!("{query} at {at_ms} ms{mode}: {error}");
        let at = Timestamp::from_millis(at_ms);
        let outcome =
            self.engine.instant(queryable(store), query, at, &QueryOptions::default(), &QueryControl::new());
        let grid = eval.expected.window.unwrap_or((at_ms, i64::MIN, 0));
        check_outcome(eval, query, &outcome, grid).map_err(|error| told("", error))?;
        let Ok(value) = &outcome.result else { return Ok(()) };
        let only_instant = eval.expected.window.is_some() || eval.expected.string.is_some();
        if only_instant || GRID_FUNCTIONS.iter().any(|call| query.contains(call)) {
            return Ok(());
        }
        let scalar = matches!(value, QueryValue::Scalar { .. });
        self.eval_as_range(store, eval, query, at_ms, scalar).map_err(|error| told(", range mode", error))
    }

    /// Runs the same query as the middle one of three steps.
    fn eval_as_range(
        &self,
        store: &dyn Store,
        eval: &Eval,
        query: &str,
        at_ms: i64,
        scalar: bool,
    ) -> Result<(), String> {
        let (start_ms, end_ms) = (at_ms - MINUTE_MS, at_ms + MINUTE_MS);
        let outcome = self.range(store, query, Grid { start_ms, end_ms, step_ms: MINUTE_MS });
        let series = match outcome.result.map_err(|error| error.to_string())? {
            QueryValue::Matrix(series) => series,
            other => return Err(format!("a range query gave {other:?}")),
        };
        if eval.expected.ordered {
            return Ok(());
        }
        check_sorted(&series)?;
        let samples: Vec<InstantSample> = series.iter().flat_map(|one| samples_at(one, at_ms)).collect();
        if !scalar {
            return check_vector(&eval.expected, &samples);
        }
        match samples.first().and_then(|sample| sample.value.as_float()) {
            Some(value) => check_scalar(&eval.expected, value),
            None => Err("a scalar has no value at the step".to_owned()),
        }
    }

    fn range(&self, store: &dyn Store, query: &str, grid: Grid) -> QueryOutcome {
        self.engine.range(queryable(store), query, grid, &QueryOptions::default(), &QueryControl::new())
    }
}

fn queryable(store: &dyn Store) -> &dyn Queryable {
    store
}

fn samples_at(series: &RangeSeries, at_ms: i64) -> Vec<InstantSample> {
    let float = series.floats.iter().find(|(t, _)| *t == at_ms).map(|(_, v)| SampleValue::Float(*v));
    let histogram =
        series.histograms.iter().find(|(t, _)| *t == at_ms).map(|(_, h)| SampleValue::Histogram(h.clone()));
    let sample = |value| InstantSample { labels: series.labels.clone(), timestamp_ms: at_ms, value };
    float.into_iter().chain(histogram).map(sample).collect()
}

fn check_outcome(
    eval: &Eval,
    query: &str,
    outcome: &QueryOutcome,
    grid: (i64, i64, i64),
) -> Result<(), String> {
    let value = match &outcome.result {
        Err(error) => return eval.expected.check_failure(&error.to_string()),
        Ok(_) if eval.expected.fail.is_some() => return Err("expected an error but got none".to_owned()),
        Ok(value) => value,
    };
    let (warnings, infos) = outcome.annotations.render(query, 0);
    eval.expected.check_annotations(&warnings, &infos)?;
    check_value(&eval.expected, value, grid)
}
