//! Expands lines of a series to points: `name{label="value"} 1+2x3 _ stale {{schema:0 sum:1}}x2`.
//!
//! The notation is parsed by `ferula-promql-syntax`; here repetitions are expanded, up to a limit.

use std::sync::Arc;

use ferula_model::duration::parse_millis;
use ferula_model::{FloatHistogram, LabelSet};
use ferula_promql_syntax::ast::UnaryOp;
use ferula_promql_syntax::{HistogramSequence, SequenceItem, parse_series_description};

/// The limit of points per line, so that `1x1000000000` is an error instead of exhausting the memory.
const POINTS_MAX: u64 = 1_000_000;

/// The limit of separate histograms, which are much larger.
const HISTOGRAMS_MAX: u64 = 20_000;

/// One point in time of a series.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Point {
    /// No sample.
    Omitted,
    /// A float, or the staleness marker.
    Float(f64),
    Histogram {
        value: Arc<FloatHistogram>,
        /// Whether a counter reset hint was written and must therefore be compared.
        hint_given: bool,
    },
}

/// The labels and points of a line.
pub(crate) fn parse_series(line: &str) -> Result<(LabelSet, Vec<Point>), String> {
    let description = parse_series_description(line).map_err(|error| error.to_string())?;
    let count: u64 = description.items.iter().map(SequenceItem::points).fold(0, u64::saturating_add);
    check_count(count)?;
    let mut points = Vec::with_capacity(count as usize);
    for item in &description.items {
        match item {
            SequenceItem::Omitted { count } => points.extend((0..*count).map(|_| Point::Omitted)),
            SequenceItem::Floats { first, step, times } => {
                let mut value = *first;
                for _ in 0..=*times {
                    points.push(Point::Float(value));
                    // Adding zero would change the bits of a staleness marker.
                    if *step != 0.0 {
                        value += step;
                    }
                }
            }
            SequenceItem::Histograms(sequence) => histograms(sequence, &mut points)?,
        }
    }
    Ok((description.labels, points))
}

fn check_count(count: u64) -> Result<(), String> {
    if count > POINTS_MAX {
        return Err(format!("{count} points in one series are more than the {POINTS_MAX} allowed"));
    }
    Ok(())
}

fn histograms(sequence: &HistogramSequence, points: &mut Vec<Point>) -> Result<(), String> {
    if sequence.step.is_some() && sequence.times > HISTOGRAMS_MAX {
        return Err(format!("{} histograms are more than the {HISTOGRAMS_MAX} allowed", sequence.times));
    }
    let hint_given = sequence.hint_given;
    let mut value = Arc::new(sequence.first.clone());
    points.push(Point::Histogram { value: value.clone(), hint_given });
    for _ in 0..sequence.times {
        if let Some((sign, step)) = &sequence.step {
            if value.schema > step.schema {
                return Err(format!(
                    "error combining histograms: cannot merge from schema {} to {}",
                    step.schema, value.schema
                ));
            }
            let next = Arc::make_mut(&mut value);
            let combined = match sign {
                UnaryOp::Plus => next.add(step),
                UnaryOp::Minus => next.sub(step),
            };
            combined.map_err(|error| error.to_string())?;
        }
        points.push(Point::Histogram { value: value.clone(), hint_given });
    }
    Ok(())
}

/// Parses a line of start timestamps, `name{label="value"}@st -1m _ 0s+10sx3`: offsets from the time of each point, in
/// milliseconds. `None` for any other line.
pub(crate) fn parse_start_line(line: &str) -> Option<Result<(LabelSet, Vec<Option<i64>>), String>> {
    let (series, sequence) = line.split_once([' ', '\t'])?;
    let series = series.strip_suffix("@st")?;
    let read = || -> Result<(LabelSet, Vec<Option<i64>>), String> {
        let (labels, _) = parse_series(&format!("{series} _"))
            .map_err(|error| format!("invalid @st line metric {series:?}: {error}"))?;
        let mut starts = Vec::new();
        for item in sequence.split_whitespace() {
            start_item(item, &mut starts)
                .map_err(|error| format!("invalid @st sequence: invalid ST item {item:?}: {error}"))?;
        }
        Ok((labels, starts))
    };
    Some(read())
}

/// `_`, `_x3`, `10s`, `10sx3`, `10s+5sx3`, `10s-5sx3`
fn start_item(item: &str, out: &mut Vec<Option<i64>>) -> Result<(), String> {
    if item == "_" {
        out.push(None);
        return Ok(());
    }
    if let Some(count) = item.strip_prefix("_x") {
        let count = repetitions(count, out)?;
        if count == 0 {
            return Err("invalid repeat count".to_owned());
        }
        out.extend((0..count).map(|_| None));
        return Ok(());
    }
    let (first, rest) = signed_duration(item)?;
    if rest.is_empty() {
        out.push(Some(first));
        return Ok(());
    }
    let (step, count) = match rest.strip_prefix('x') {
        Some(count) => (0, count),
        None => {
            let negative = match rest.as_bytes()[0] {
                b'+' => false,
                b'-' => true,
                _ => {
                    let other = rest.chars().next().unwrap_or_default();
                    return Err(format!("unexpected character {other:?} after duration"));
                }
            };
            let (step, rest) =
                signed_duration(&rest[1..]).map_err(|error| format!("invalid step duration: {error}"))?;
            let count = rest.strip_prefix('x').ok_or("expected 'x<count>' after step duration")?;
            (if negative { -step } else { step }, count)
        }
    };
    let mut value = first;
    for _ in 0..=repetitions(count, out)? {
        out.push(Some(value));
        value = value.saturating_add(step);
    }
    Ok(())
}

fn repetitions(text: &str, so_far: &[Option<i64>]) -> Result<u64, String> {
    let count: u64 = text.parse().map_err(|_| "invalid repeat count".to_owned())?;
    check_count(count.saturating_add(so_far.len() as u64))?;
    Ok(count)
}

/// Parses a duration with an optional sign at the start of `text`; returns it and the rest. `x` ends the unit.
fn signed_duration(text: &str) -> Result<(i64, &str), String> {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 {
        return Err(format!("expected digits in duration {text:?}"));
    }
    let unit = rest[digits..].bytes().take_while(|b| b.is_ascii_alphabetic() && *b != b'x').count();
    let (duration, rest) = rest.split_at(digits + unit);
    let millis = parse_millis(duration).map_err(|error| format!("invalid duration {duration:?}: {error}"))?;
    Ok((sign * millis, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_are_written_out() {
        let (labels, points) = parse_series("a{b=\"c\"} 1+2x2 _x2 stale 3x1 -4").expect("parses");
        assert_eq!(labels, LabelSet::from_pairs([("__name__", "a"), ("b", "c")]));
        let floats: Vec<Option<u64>> = points
            .iter()
            .map(|point| match point {
                Point::Float(v) => Some(v.to_bits()),
                _ => None,
            })
            .collect();
        let bits = |v: f64| Some(v.to_bits());
        let stale = bits(ferula_model::value::STALE_NAN);
        assert_eq!(
            floats,
            [bits(1.0), bits(3.0), bits(5.0), None, None, stale, bits(3.0), bits(3.0), bits(-4.0)]
        );
        assert!(parse_series("a 1x10000000000").is_err());
    }

    #[test]
    fn histograms_grow_by_the_step() {
        let (_, points) =
            parse_series("a {{count:1 sum:2 buckets:[1]}}+{{count:1 buckets:[0 1]}}x1").expect("parses");
        let texts: Vec<String> = points
            .iter()
            .map(|point| match point {
                Point::Histogram { value, .. } => value.test_expression(),
                _ => String::new(),
            })
            .collect();
        assert_eq!(texts, ["{{count:1 sum:2 buckets:[1]}}", "{{count:2 sum:2 buckets:[1 1]}}"]);
    }

    #[test]
    fn start_timestamps() {
        let starts = |line: &str| parse_start_line(line).map(|read| read.map(|(_, starts)| starts));
        assert_eq!(starts("a 1 2"), None);
        assert_eq!(
            starts("a{x=\"1\"}@st _ -1m 5sx1 0s+10sx2 _x2"),
            Some(Ok(vec![
                None,
                Some(-60_000),
                Some(5_000),
                Some(5_000),
                Some(0),
                Some(10_000),
                Some(20_000),
                None,
                None
            ]))
        );
        assert!(starts("a@st 5q").is_some_and(|read| read.is_err()));
        assert!(starts("a@st 5sx999999999999").is_some_and(|read| read.is_err()));
    }
}
