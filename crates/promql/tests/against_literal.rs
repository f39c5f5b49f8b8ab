//! The engine against the slow, literal evaluator: random queries over random data must give the same answer.
//!
//! `FERULA_QUERIES` sets how many (default 10,000), `FERULA_SEED` where to begin. A query that differs is made
//! smaller, by trying its parts, until no part differs any more; the message holds what is needed to run it again.

mod literal;

use ferula_model::{LabelSet, Timestamp};
use ferula_promql::{
    Engine, EngineOptions, Features, Grid, QueryControl, QueryOptions, QueryValue, SampleValue,
};
use ferula_promql_syntax::ast::{BinaryOp, Expr, ExprKind, ValueType};
use ferula_promql_syntax::{ParserOptions, parse};
use ferula_testkit::MemStorage;
use literal::generate::{DATA_END, Random, data, query};
use literal::{Answer, Literal, Series};

/// Data sets per run; each is asked an equal share of the queries.
const DATA_SETS: u64 = 10;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn random_queries_give_what_the_literal_evaluator_gives() {
    let (queries, seed) = (setting("FERULA_QUERIES", 10_000), setting("FERULA_SEED", 1));
    let mut compared_values = 0;
    for set in 0..DATA_SETS {
        let mut random = Random::new(seed.wrapping_mul(1000).wrapping_add(set));
        let bench = Bench::new(data(&mut random));
        for number in 0..queries / DATA_SETS {
            let text = query(&mut random);
            let grid = grid(&mut random);
            match bench.compare(&text, grid) {
                Ok(values) => compared_values += values,
                Err(_) => {
                    let (smallest, difference) = bench.shrink(&text, grid);
                    panic!(
                        "seed {seed}, data set {set}, query {number}\n  query    {text}\n  smallest {smallest}\n  {grid:?}\n{difference}"
                    );
                }
            }
        }
    }
    // If hardly any query had an answer, the test would compare nothing with nothing.
    assert!(compared_values > queries * 5, "only {compared_values} values in {queries} answers");
}

/// Half of the grids are one step.
fn grid(random: &mut Random) -> Grid {
    let start = random.below(DATA_END as usize) as i64 / 1000 * if random.chance(50) { 1000 } else { 997 };
    if random.chance(50) {
        return Grid { start_ms: start, end_ms: start, step_ms: 0 };
    }
    let step = [15_000, 60_000, 7_000, 61_003][random.below(4)];
    Grid { start_ms: start, end_ms: start + step * random.below(20) as i64 + 3, step_ms: step }
}

struct Bench {
    data: Vec<Series>,
    storage: MemStorage,
    engine: Engine,
}

impl Bench {
    fn new(data: Vec<Series>) -> Self {
        let storage = MemStorage::new();
        for (labels, samples) in &data {
            storage.put(&labels.iter().collect::<Vec<_>>(), samples);
        }
        let features = Features { experimental_functions: true, ..Features::default() };
        let engine = Engine::new(EngineOptions {
            features,
            default_subquery_step_ms: 60_000,
            ..EngineOptions::default()
        });
        Bench { data, storage, engine }
    }

    /// How many values agreed, or how the answers differ.
    fn compare(&self, text: &str, grid: Grid) -> Result<u64, String> {
        let options = ParserOptions { experimental_functions: true, ..ParserOptions::default() };
        let expr = parse(text, &options)
            .map_err(|error| format!("  the generator made a query that does not parse: {error}"))?;
        let instant = grid.step_ms == 0;
        let literal = Literal {
            data: &self.data,
            start: grid.start_ms,
            end: grid.end_ms,
            step: grid.step_ms,
            lookback: 300_000,
            default_step: 60_000,
        };
        let answer = |expr: &Expr| {
            if instant {
                literal::instant_query(&literal, expr)
            } else {
                literal::range_query(&literal, expr)
            }
        };
        let expected = answer(&expr);
        let (options, control) = (QueryOptions::default(), QueryControl::new());
        let outcome = if instant {
            self.engine.instant_expr(
                &self.storage,
                &expr,
                Timestamp::from_millis(grid.start_ms),
                &options,
                &control,
            )
        } else {
            self.engine.range_expr(&self.storage, &expr, grid, &options, &control)
        };
        let exact = !leaves_bits_open(&expr);
        match (expected, outcome.result) {
            (Ok(expected), Ok(got)) => same(expected, got, exact),
            (Err(expected), Err(got)) if same_error(&expected, &got.to_string()) => Ok(0),
            // Of several parts that fail, any may be the first.
            (Err(_), Err(got)) if fails_with(&expr, &got.to_string(), &answer) => Ok(0),
            (expected, got) => Err(format!("  expected {expected:?}\n  got      {got:?}")),
        }
    }

    /// The smallest part of the query that differs, and how.
    fn shrink(&self, text: &str, grid: Grid) -> (String, String) {
        let options = ParserOptions { experimental_functions: true, ..ParserOptions::default() };
        let mut smallest = text.to_owned();
        'smaller: while let Ok(expr) = parse(&smallest, &options) {
            for part in parts(&expr) {
                let part = smallest[part.span.start..part.span.end].to_owned();
                if part.len() < smallest.len() && self.compare(&part, grid).is_err() {
                    smallest = part;
                    continue 'smaller;
                }
            }
            break;
        }
        let difference = self.compare(&smallest, grid).err().unwrap_or_default();
        (smallest, difference)
    }
}

/// Direct parts that can stand alone as a query.
fn parts(expr: &Expr) -> Vec<&Expr> {
    let all: Vec<&Expr> = match &expr.kind {
        ExprKind::Paren(inner) | ExprKind::Unary(_, inner) => vec![inner],
        ExprKind::Binary(binary) => vec![&binary.left, &binary.right],
        ExprKind::Aggregate(aggregate) => vec![&aggregate.expr],
        ExprKind::Call(call) => call.args.iter().collect(),
        ExprKind::Subquery(subquery) => vec![&subquery.expr],
        _ => Vec::new(),
    };
    let inner =
        all.iter().filter(|e| e.value_type() == ValueType::Matrix).flat_map(|e| parts(e)).collect::<Vec<_>>();
    all.into_iter()
        .filter(|e| matches!(e.value_type(), ValueType::Vector | ValueType::Scalar))
        .chain(inner)
        .collect()
}

/// Equal, but for the series that a duplicate is reported for: which of several is met first is left open.
fn same_error(expected: &str, got: &str) -> bool {
    const DUPLICATE: &str = "found duplicate series for the match group";
    expected == got || (expected.starts_with(DUPLICATE) && got.starts_with(DUPLICATE))
}

/// Whether some part of the query, evaluated alone, fails with this error.
fn fails_with(expr: &Expr, error: &str, answer: &impl Fn(&Expr) -> Result<Answer, String>) -> bool {
    answer(expr).is_err_and(|e| same_error(&e, error))
        || parts(expr).into_iter().any(|p| fails_with(p, error, answer))
}

/// Whether the last bits are left open: by the order in which an aggregation meets the results of vector matching, of
/// another aggregation or of a subquery, or because powers and exponentials are as exact as the library that computes them (the engine's
/// is Go's, this evaluator's is not).
fn leaves_bits_open(expr: &Expr) -> bool {
    let here = match &expr.kind {
        ExprKind::Binary(binary) => {
            binary.matching.is_some() || matches!(binary.op, BinaryOp::Pow | BinaryOp::Atan2)
        }
        ExprKind::Call(call) => {
            call.function.name == "exp"
                || call.args.iter().any(|arg| matches!(arg.kind, ExprKind::Subquery(_)))
        }
        ExprKind::Aggregate(aggregate) => aggregates(&aggregate.expr),
        _ => false,
    };
    here || parts(expr).into_iter().any(leaves_bits_open)
}

fn aggregates(expr: &Expr) -> bool {
    matches!(expr.kind, ExprKind::Aggregate(_)) || parts(expr).into_iter().any(aggregates)
}

fn same(expected: Answer, got: QueryValue, exact: bool) -> Result<u64, String> {
    match (expected, got) {
        (Answer::Scalar(a), QueryValue::Scalar { value: b, .. }) if close(a, b, exact) => Ok(1),
        (Answer::Text(a), QueryValue::String { value: b, .. }) if a == b => Ok(1),
        (Answer::Vector(expected), QueryValue::Vector(got)) => {
            let mut expected: Vec<(LabelSet, Vec<(i64, f64)>)> =
                expected.into_iter().map(|e| (e.labels, vec![(0, e.value)])).collect();
            let mut got: Vec<(LabelSet, Vec<(i64, f64)>)> = got
                .into_iter()
                .map(|s| match s.value {
                    SampleValue::Float(value) => (s.labels, vec![(0, value)]),
                    SampleValue::Histogram(h) => panic!("no histogram went in, {h:?} came out"),
                })
                .collect();
            expected.sort_by(|a, b| a.0.cmp(&b.0));
            got.sort_by(|a, b| a.0.cmp(&b.0));
            same_series(&expected, &got, exact)
        }
        (Answer::Matrix(expected), QueryValue::Matrix(got)) => {
            let got: Vec<(LabelSet, Vec<(i64, f64)>)> =
                got.into_iter().map(|s| (s.labels, s.floats)).collect();
            same_series(&expected, &got, exact)
        }
        (expected, got) => Err(format!("  expected {expected:?}\n  got      {got:?}")),
    }
}

fn same_series(expected: &[Series], got: &[Series], exact: bool) -> Result<u64, String> {
    let agree = expected.len() == got.len()
        && expected.iter().zip(got).all(|((el, ep), (gl, gp))| {
            el == gl
                && ep.len() == gp.len()
                && ep.iter().zip(gp).all(|(e, g)| e.0 == g.0 && close(e.1, g.1, exact))
        });
    if !agree {
        let first = expected.iter().zip(got).find(|(e, g)| format!("{e:?}") != format!("{g:?}"));
        return Err(format!(
            "  expected {} series, got {}\n  first difference: {first:?}\n  labels expected {:?}\n  labels got      {:?}",
            expected.len(),
            got.len(),
            expected.iter().map(|s| &s.0).collect::<Vec<_>>(),
            got.iter().map(|s| &s.0).collect::<Vec<_>>()
        ));
    }
    Ok(got.iter().map(|(_, points)| points.len() as u64).sum())
}

/// Equal to the last bit, any NaN being like any other; or, where the order of additions is open, nearly.
fn close(a: f64, b: f64, exact: bool) -> bool {
    a.to_bits() == b.to_bits()
        || (a.is_nan() && b.is_nan())
        || (!exact && (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1e-9))
}
