//! `ferula/graph`: the value of a range query as binary columns; see docs/format/graph.md.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body as HttpBody;
use axum::http::Response;
use ferula_promql::{Grid, QueryStats, QueryValue, RangeSeries};
use ferula_query::{CompletedQuery, EvaluationTime};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};

use crate::answer::{Answer, BodySink, Handled};
use crate::api::Api;
use crate::error::{ApiError, ErrorKind};
use crate::params::Params;
use crate::request::Request;
use crate::routes::query::{ANNOTATIONS_MAX, api_error, grid, run};

const CONTENT_TYPE: &str = "application/vnd.ferula.graph";

/// Default number of series that are sent completely.
const SERIES_MAX_DEFAULT: usize = 1_000;
/// Maximum number that a request may ask for.
const SERIES_MAX_LIMIT: usize = 20_000;
/// Size of the pieces in which the body is sent.
const PIECE_BYTES: usize = 64 * 1024;

/// `/api/v1/ferula/graph`
pub fn graph(api: Arc<Api>, request: Request) -> BoxFuture<'static, Response<HttpBody>> {
    run(api, request, |params, _| grid(params).map(EvaluationTime::Range), Columns::read, execute).boxed()
}

/// Parameters that determine the columns.
struct Columns {
    grid: Grid,
    series_max: usize,
    rank: Rank,
}

impl Columns {
    fn read(params: &Params) -> Result<Columns, ApiError> {
        let series_max = match params.first("series_max") {
            "" => SERIES_MAX_DEFAULT,
            text => {
                text.parse().ok().filter(|count| (1..=SERIES_MAX_LIMIT).contains(count)).ok_or_else(|| {
                    ApiError::parameter(
                        "series_max",
                        format!("must be a number from 1 to {SERIES_MAX_LIMIT}"),
                    )
                })?
            }
        };
        let rank = Rank::parse(params.first("rank"))
            .ok_or_else(|| ApiError::parameter("rank", "must be max, last, mean or change"))?;
        Ok(Columns { grid: grid(params)?, series_max, rank })
    }
}

fn execute(completed: CompletedQuery, columns: Columns) -> Handled {
    let CompletedQuery { request, outcome, total_time, .. } = completed;
    let (warnings, infos) = outcome.annotations.render(&request.query, ANNOTATIONS_MAX);
    let stats = stats(&outcome.stats, total_time);
    let value = outcome.result.map_err(api_error)?;
    if histograms(&value) {
        let why = "native histograms have no columns; use query_range instead";
        return Err(ApiError::new(ErrorKind::NotAcceptable, why));
    }
    let held = outcome.held;
    Ok(Answer::body(CONTENT_TYPE, move |sink| {
        // The result counts as memory until it is written, however slowly the client reads.
        let _held = held;
        encode(&value, &columns, Notes { warnings, infos, stats }, sink);
    }))
}

/// The fields of the head other than the series.
#[derive(Default)]
struct Notes {
    warnings: Vec<String>,
    infos: Vec<String>,
    stats: Value,
}

fn stats(stats: &QueryStats, took: Duration) -> Value {
    json!({
        "samples": stats.samples_total, "read": stats.samples_read, "peak": stats.samples_peak,
        "bytes": stats.memory_peak_bytes, "seconds": took.as_secs_f64(),
    })
}

fn histograms(value: &QueryValue) -> bool {
    matches!(value, QueryValue::Matrix(series) if series.iter().any(|one| !one.histograms.is_empty()))
}

/// The criterion for choosing series if there are too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rank {
    Max,
    Last,
    Mean,
    Change,
}

impl Rank {
    fn parse(text: &str) -> Option<Rank> {
        Some(match text {
            "" | "max" => Rank::Max,
            "last" => Rank::Last,
            "mean" => Rank::Mean,
            "change" => Rank::Change,
            _ => return None,
        })
    }

    /// The value to compare; NaN counts as less than anything.
    fn of(self, series: &RangeSeries) -> f64 {
        let values = || series.floats.iter().map(|(_, value)| *value).filter(|value| !value.is_nan());
        let key = match self {
            Rank::Max => values().fold(f64::NEG_INFINITY, f64::max),
            Rank::Last => values().next_back().unwrap_or(f64::NEG_INFINITY),
            Rank::Mean => values().sum::<f64>() / values().count() as f64,
            Rank::Change => match (values().next(), values().next_back()) {
                (Some(first), Some(last)) => (last - first).abs(),
                _ => f64::NEG_INFINITY,
            },
        };
        if key.is_nan() { f64::NEG_INFINITY } else { key }
    }
}

/// An outgoing body, passed on in pieces.
struct Body<'a> {
    pending: Vec<u8>,
    sink: BodySink<'a>,
    /// Whether the reader has disconnected.
    gone: bool,
}

impl Body<'_> {
    fn breathe(&mut self) {
        if self.pending.len() >= PIECE_BYTES {
            let full =
                std::mem::replace(&mut self.pending, Vec::with_capacity(PIECE_BYTES + PIECE_BYTES / 4));
            self.gone = self.gone || !(self.sink)(full);
        }
    }
}

/// Writes the binary answer.
fn encode(value: &QueryValue, columns: &Columns, notes: Notes, sink: BodySink<'_>) {
    let Columns { grid, series_max, rank } = *columns;
    let series: &[RangeSeries] = match value {
        QueryValue::Matrix(series) => series,
        _ => &[],
    };
    let steps = grid.steps();
    let (whole, rest) = split(series, series_max, rank);
    let head = head(&whole, series.len(), grid, notes);
    let mut out = Body { pending: Vec::with_capacity(4 + head.len()), sink, gone: false };
    out.pending.extend((head.len() as u32).to_le_bytes());
    out.pending.extend(head);
    for one in whole {
        let bitmap = out.pending.len();
        out.pending.resize(bitmap + steps.div_ceil(8), 0);
        for (at, value) in &one.floats {
            let step = step_of(*at, grid);
            out.pending[bitmap + step / 8] |= 1 << (step % 8);
            out.pending.extend(value.to_le_bytes());
        }
        out.breathe();
        if out.gone {
            return;
        }
    }
    if !rest.is_empty() {
        write_envelope(&mut out.pending, &rest, grid);
    }
    (out.sink)(out.pending);
}

fn step_of(at: i64, grid: Grid) -> usize {
    usize::try_from((at - grid.start_ms) / grid.step_ms).expect("samples lie on the grid")
}

/// The series that are sent completely, in their original order, and the others.
fn split(series: &[RangeSeries], series_max: usize, rank: Rank) -> (Vec<&RangeSeries>, Vec<&RangeSeries>) {
    if series.len() <= series_max {
        return (series.iter().collect(), Vec::new());
    }
    let mut order: Vec<(f64, usize)> =
        series.iter().enumerate().map(|(index, one)| (rank.of(one), index)).collect();
    order.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let mut chosen = vec![false; series.len()];
    order[..series_max].iter().for_each(|(_, index)| chosen[*index] = true);
    let (whole, rest): (Vec<_>, Vec<_>) = series.iter().zip(chosen).partition(|(_, chosen)| *chosen);
    (whole.into_iter().map(|(one, _)| one).collect(), rest.into_iter().map(|(one, _)| one).collect())
}

fn head(whole: &[&RangeSeries], total: usize, grid: Grid, notes: Notes) -> Vec<u8> {
    let mut names = Texts::default();
    let mut values = Texts::default();
    // Written as text directly: a tree of JSON values would take many times the memory.
    let mut series = String::from("[");
    for (index, one) in whole.iter().enumerate() {
        series.push_str(if index > 0 { ",[" } else { "[" });
        for (pair, (name, value)) in one.labels.iter().enumerate() {
            let comma = if pair > 0 { "," } else { "" };
            let (name, value) = (names.index(name), values.index(value));
            write!(series, "{comma}{name},{value}").expect("writing to a String cannot fail");
        }
        series.push(']');
    }
    series.push(']');
    let mut head = Map::new();
    head.insert("start".into(), grid.start_ms.into());
    head.insert("step".into(), grid.step_ms.into());
    head.insert("steps".into(), grid.steps().into());
    head.insert("names".into(), json!(names.list));
    head.insert("values".into(), json!(values.list));
    head.insert("total".into(), total.into());
    head.insert("stats".into(), notes.stats);
    for (key, texts) in [("warnings", notes.warnings), ("infos", notes.infos)] {
        if !texts.is_empty() {
            head.insert(key.into(), json!(texts));
        }
    }
    let mut text = Value::Object(head).to_string();
    text.truncate(text.len() - 1);
    format!("{text},\"series\":{series}}}").into_bytes()
}

/// Deduplicated texts in order of their first occurrence.
#[derive(Default)]
struct Texts<'a> {
    list: Vec<&'a str>,
    known: HashMap<&'a str, usize>,
}

impl<'a> Texts<'a> {
    fn index(&mut self, text: &'a str) -> usize {
        *self.known.entry(text).or_insert_with(|| {
            self.list.push(text);
            self.list.len() - 1
        })
    }
}

fn write_envelope(out: &mut Vec<u8>, rest: &[&RangeSeries], grid: Grid) {
    // Rust's `min` and `max` ignore NaN, and return NaN only if there is nothing else.
    let mut steps = vec![(f64::NAN, f64::NAN, 0_u32); grid.steps()];
    for (at, value) in rest.iter().flat_map(|one| &one.floats) {
        let (min, max, count) = &mut steps[step_of(*at, grid)];
        *min = min.min(*value);
        *max = max.max(*value);
        *count += 1;
    }
    for (min, max, count) in steps {
        out.extend(min.to_le_bytes());
        out.extend(max.to_le_bytes());
        out.extend(count.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use ferula_model::LabelSet;

    use super::*;

    const GRID: Grid = Grid { start_ms: 1_000, end_ms: 10_500, step_ms: 1_000 };

    fn series(name: &str, values: &[Option<f64>]) -> RangeSeries {
        let floats =
            values.iter().enumerate().filter_map(|(i, value)| Some((1_000 + 1_000 * i as i64, (*value)?)));
        RangeSeries {
            labels: LabelSet::from_pairs([("__name__", "m"), ("s", name)]),
            floats: floats.collect(),
            histograms: Vec::new(),
        }
    }

    fn encoded(value: &QueryValue, series_max: usize, rank: Rank, warnings: &[String]) -> Vec<u8> {
        let mut out = Vec::new();
        let notes = Notes { warnings: warnings.to_vec(), ..Notes::default() };
        encode(value, &Columns { grid: GRID, series_max, rank }, notes, &mut |piece| {
            out.extend(piece);
            true
        });
        out
    }

    /// The parsed answer: head, values by series and step, envelope.
    type Read = (Value, Vec<Vec<Option<u64>>>, Vec<(f64, f64, u32)>);

    fn read(bytes: &[u8]) -> Read {
        let length = u32::from_le_bytes(bytes[..4].try_into().expect("four bytes")) as usize;
        let head: Value = serde_json::from_slice(&bytes[4..4 + length]).expect("JSON");
        let mut rest = &bytes[4 + length..];
        let mut take = |count: usize| {
            let (first, after) = rest.split_at(count);
            rest = after;
            first.to_vec()
        };
        let float = |bytes: Vec<u8>| u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
        let steps = head["steps"].as_u64().expect("a number") as usize;
        let mut values = Vec::new();
        let whole = head["series"].as_array().expect("a list").len();
        for _ in 0..whole {
            let bits = take(steps.div_ceil(8));
            values.push(
                (0..steps).map(|i| (bits[i / 8] >> (i % 8) & 1 == 1).then(|| float(take(8)))).collect(),
            );
        }
        let mut envelope = Vec::new();
        if head["total"].as_u64() > Some(whole as u64) {
            for _ in 0..steps {
                let (min, max) = (f64::from_bits(float(take(8))), f64::from_bits(float(take(8))));
                envelope.push((min, max, u32::from_le_bytes(take(4).try_into().expect("four bytes"))));
            }
        }
        assert!(rest.is_empty(), "{} bytes too many", rest.len());
        (head, values, envelope)
    }

    #[test]
    fn every_value_is_there_to_the_bit() {
        let odd = [
            Some(-0.0),
            None,
            Some(f64::NAN),
            Some(f64::INFINITY),
            Some(5e-324),
            None,
            None,
            None,
            None,
            Some(1.5),
        ];
        let all = vec![series("a", &odd), series("b", &[]), series("c", &[Some(1.0)])];
        let value = QueryValue::Matrix(all);
        let bytes = encoded(&value, 1_000, Rank::Max, &["w".into()]);
        let (head, values, envelope) = read(&bytes);
        assert_eq!(values[0], odd.map(|value| value.map(f64::to_bits)));
        assert_eq!(values[1], vec![None; 10]);
        assert_eq!(head["series"], json!([[0, 0, 1, 1], [0, 0, 1, 2], [0, 0, 1, 3]]));
        assert_eq!(
            (&head["names"], &head["values"]),
            (&json!(["__name__", "s"]), &json!(["m", "a", "b", "c"]))
        );
        assert_eq!((&head["start"], &head["step"], &head["steps"]), (&json!(1000), &json!(1000), &json!(10)));
        assert_eq!((&head["total"], &head["warnings"], head.get("infos")), (&json!(3), &json!(["w"]), None));
        assert!(envelope.is_empty());
    }

    #[test]
    fn the_best_series_are_sent_completely_and_the_others_become_an_envelope() {
        let all = vec![
            series("a", &[Some(1.0), Some(9.0)]),
            series("b", &[Some(5.0), None, Some(f64::NAN)]),
            series("c", &[Some(-3.0), Some(8.0)]),
            series("d", &[Some(f64::NAN)]),
        ];
        let value = QueryValue::Matrix(all);
        for (rank, best) in [(Rank::Max, "a"), (Rank::Last, "a"), (Rank::Mean, "a"), (Rank::Change, "c")] {
            let (head, ..) = read(&encoded(&value, 1, rank, &[]));
            assert_eq!(head["values"], json!(["m", best]), "{rank:?}");
        }
        let (head, values, envelope) = read(&encoded(&value, 2, Rank::Max, &[]));
        assert_eq!(head["total"], json!(4));
        assert_eq!(head["values"], json!(["m", "a", "c"]), "in the order of their labels");
        assert_eq!(values.len(), 2);
        assert_eq!(envelope[0], (5.0, 5.0, 2));
        assert_eq!((envelope[1].2, envelope[3].2), (0, 0));
        assert!(envelope[2].0.is_nan() && envelope[2].2 == 1, "only NaN");
    }

    #[test]
    fn a_body_is_sent_in_pieces_and_ends_with_its_reader() {
        let steps: Vec<_> = (0..10).map(|i| Some(f64::from(i))).collect();
        let value = QueryValue::Matrix((0..4_000).map(|n| series(&n.to_string(), &steps)).collect());
        let (mut largest, mut pieces) = (0, 0);
        let columns = Columns { grid: GRID, series_max: SERIES_MAX_LIMIT, rank: Rank::Max };
        encode(&value, &columns, Notes::default(), &mut |piece| {
            // The first piece contains the whole head.
            largest = if pieces > 0 { piece.len().max(largest) } else { 0 };
            pieces += 1;
            true
        });
        assert!(pieces > 4 && largest < PIECE_BYTES + 100, "{pieces} pieces of up to {largest} bytes");
        let mut taken = 0;
        encode(&value, &columns, Notes::default(), &mut |_| {
            taken += 1;
            false
        });
        assert_eq!(taken, 1);
    }

    #[test]
    fn scalars_have_no_columns_and_ranks_have_names() {
        let nothing = QueryValue::Matrix(Vec::new());
        let (head, values, _) = read(&encoded(&nothing, 5, Rank::Last, &[]));
        assert_eq!((head["total"].as_u64(), values.len()), (Some(0), 0));
        assert_eq!(
            ["", "max", "last", "mean", "change"].map(Rank::parse).map(|rank| rank.is_some()),
            [true; 5]
        );
        assert_eq!(Rank::parse("best"), None);
    }
}
