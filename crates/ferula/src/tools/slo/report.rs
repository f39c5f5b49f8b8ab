//! `ferula slo report`: how much of each error budget is left, from a data directory's history, and what spent it.

use std::collections::HashMap;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};
use ferula_model::duration::{format_millis, parse_millis};
use ferula_model::{LabelSet, UnixNanos};
use ferula_promql::{Engine, EngineOptions, Grid, QueryControl, QueryOptions, QueryValue};
use ferula_slo::{Budget, Episode, Objective, Step};
use ferula_tsdb::Db;
use serde_json::{Value, json};

use super::input::{DEFAULT_PERIOD, EXTRA_LABELS, FILES, Input, WINDOWS_PATH};
use crate::tools::args::{Args, Command, Flag, ValueKind, flag};
use crate::tools::history::History;
use crate::tools::moment;
use crate::tools::output::finish;

const STORAGE_PATH: Flag =
    flag("storage.tsdb.path", ValueKind::Text, "The data directory to read; a server may be using it.")
        .default("data/");
const TIME: Flag =
    flag("time", ValueKind::Text, "The end of the period: RFC 3339 or seconds since 1970; now by default.");
const STEP: Flag =
    flag("step", ValueKind::Text, "The resolution at which to look for what spent the budget.").default("1h");
const EPISODES: Flag =
    flag("episodes", ValueKind::Number, "How many of the worst stretches to print.").default("5");
const OUTPUT: Flag = flag("output", ValueKind::Word(&["text", "json"]), "The output format.").default("text");

/// `slo report`
pub const COMMAND: Command = Command::new(
    "report",
    "Print how much of each error budget is left after the period that ends now, and the stretches that spent it. The \
     history is read as it was stored; the generated rules need not have run.",
    |args| finish(report(args)),
)
.flags(&[STORAGE_PATH, TIME, STEP, EPISODES, OUTPUT, EXTRA_LABELS, DEFAULT_PERIOD, WINDOWS_PATH])
.arguments(&[FILES])
.ours();

/// The limit on steps per objective. A finer resolution is not useful, and a month of it takes long.
const STEPS_MAX: i64 = 100_000;

/// One objective, for one label set that its queries return.
struct Row<'a> {
    objective: &'a Objective,
    labels: LabelSet,
    budget: Option<Budget>,
}

fn report(args: &Args) -> Result<()> {
    let input = Input::read(args)?;
    let step = args.text(STEP);
    let step_millis = parse_millis(step).with_context(|| format!("--step={step}"))?;
    ensure!(step_millis > 0, "--step={step}: must be longer than 0");
    let end = moment::given(args.last(TIME), "report")?.unwrap_or_else(moment::now);
    let dir = args.text(STORAGE_PATH);
    let history = History::open(Path::new(dir)).with_context(|| format!("--storage.tsdb.path={dir}"))?;
    for damage in &history.damage {
        eprintln!("warning: {damage}");
    }
    let mut rows = Vec::new();
    for objective in &input.objectives {
        rows.extend(rows_of(objective, &history.db, end, step_millis).with_context(|| objective.id.clone())?);
    }
    let episodes = usize::try_from(args.number(EPISODES)).context("--episodes is negative")?;
    let mut out = BufWriter::new(io::stdout().lock());
    if args.text(OUTPUT) == "json" {
        let all: Vec<Value> = rows.iter().map(|row| as_json(row, end, episodes)).collect();
        writeln!(out, "{}", serde_json::to_string_pretty(&all)?)?;
    } else {
        for row in &rows {
            as_text(row, end, episodes, &mut out)?;
        }
    }
    Ok(out.flush()?)
}

/// Measures the steps of the period, one row per label set; one row without a budget if nothing is stored.
fn rows_of<'a>(objective: &'a Objective, db: &Db, end: UnixNanos, step_millis: i64) -> Result<Vec<Row<'a>>> {
    let period = objective.period_millis;
    ensure!(
        step_millis <= period && period / step_millis <= STEPS_MAX,
        "--step={} does not fit a period of {}: at most {STEPS_MAX} steps",
        format_millis(step_millis),
        format_millis(period)
    );
    let end_ms = end.0.div_euclid(1_000_000);
    let grid = Grid { start_ms: end_ms - period + step_millis, end_ms, step_ms: step_millis };
    let [errors, total] = objective.indicator.queries(step_millis)?;
    let errors = evaluate(db, &errors, grid)?;
    let total = evaluate(db, &total, grid)?;
    let of = |list: &[(LabelSet, Vec<(i64, f64)>)], labels: &LabelSet| {
        list.iter().find(|(known, _)| known == labels).map(|(_, points)| points.clone()).unwrap_or_default()
    };
    let is_ratio = matches!(objective.indicator, ferula_slo::Indicator::Ratio(_));
    // A ratio is measured where it has a value. Events are measured wherever there are any; missing errors count as
    // zero.
    let series = if is_ratio { &errors } else { &total };
    let mut rows: Vec<Row<'a>> = Vec::new();
    for (labels, points) in series {
        let failed: HashMap<i64, f64> = of(&errors, labels).into_iter().collect();
        let steps: Vec<Step> = points
            .iter()
            .map(|&(at_millis, value)| Step {
                at_millis,
                errors: failed.get(&at_millis).copied().unwrap_or(0.0),
                total: if is_ratio { 1.0 } else { value },
            })
            .collect();
        let budget = Budget::of(&steps, step_millis, period, objective.budget_ratio());
        rows.push(Row { objective, labels: labels.clone(), budget });
    }
    if rows.is_empty() {
        rows.push(Row { objective, labels: LabelSet::default(), budget: None });
    }
    Ok(rows)
}

fn evaluate(db: &Db, query: &str, grid: Grid) -> Result<Vec<(LabelSet, Vec<(i64, f64)>)>> {
    let engine = Engine::new(EngineOptions::default());
    let outcome = engine.range(db, query, grid, &QueryOptions::default(), &QueryControl::new());
    match outcome.result.map_err(|error| anyhow!("{error} in the query {query}"))? {
        QueryValue::Matrix(series) => Ok(series.into_iter().map(|one| (one.labels, one.floats)).collect()),
        _ => bail!("the query {query} returns no series"),
    }
}

fn as_text(row: &Row<'_>, end: UnixNanos, episodes: usize, out: &mut dyn Write) -> io::Result<()> {
    let objective = row.objective;
    let labels = if row.labels.is_empty() { String::new() } else { format!(" {}", row.labels) };
    let (target, period) = (objective.target_percent, format_millis(objective.period_millis));
    writeln!(out, "{}{labels}: {target} % over {period} to {}", objective.id, end.rfc3339_millis())?;
    let Some(budget) = &row.budget else {
        return writeln!(out, "  no events are stored in this period\n");
    };
    let good = 100.0 * (1.0 - budget.error_ratio);
    let verdict = if budget.left >= 0.0 { "left" } else { "left: overspent" };
    writeln!(out, "  reached {good:.4} %, {:.1} % of the budget {verdict}", 100.0 * budget.left)?;
    if budget.covered < 0.999 {
        writeln!(out, "  history covers {:.1} % of the period", 100.0 * budget.covered)?;
    }
    for Episode { from_millis, to_millis, spent, error_ratio } in budget.episodes.iter().take(episodes) {
        let from = UnixNanos::from_millis(*from_millis).rfc3339_millis();
        let lasted = format_millis(to_millis - from_millis);
        let (spent, failed) = (100.0 * spent, 100.0 * error_ratio);
        writeln!(out, "  {from} for {lasted}: {spent:.1} % of the budget, {failed:.3} % of events failed")?;
    }
    if let Some(more) = budget.episodes.len().checked_sub(episodes).filter(|&more| more > 0) {
        writeln!(out, "  and {more} more")?;
    }
    writeln!(out)
}

fn as_json(row: &Row<'_>, end: UnixNanos, episodes: usize) -> Value {
    let labels: serde_json::Map<String, Value> =
        row.labels.iter().map(|(name, value)| (name.to_owned(), Value::from(value))).collect();
    let time = |millis: i64| UnixNanos::from_millis(millis).rfc3339_millis();
    let budget = row.budget.as_ref().map(|budget| {
        let worst: Vec<Value> = budget
            .episodes
            .iter()
            .take(episodes)
            .map(|e| {
                json!({"from": time(e.from_millis), "to": time(e.to_millis), "spent": e.spent, "errorRatio": e.error_ratio})
            })
            .collect();
        json!({
            "errorRatio": budget.error_ratio,
            "left": budget.left,
            "covered": budget.covered,
            "episodes": worst,
            "episodesCount": budget.episodes.len(),
        })
    });
    json!({
        "id": row.objective.id,
        "service": row.objective.service,
        "name": row.objective.name,
        "labels": labels,
        "objective": row.objective.target_percent,
        "period": format_millis(row.objective.period_millis),
        "end": end.rfc3339_millis(),
        "budget": budget,
    })
}
