//! Series descriptions, the notation of test scripts: `name{label="value"} 1+2x3 _ stale {{schema:0 sum:1}}x2`.

use std::sync::Arc;

use ferula_go::quote::go_quote;
use ferula_model::LabelSet;
use ferula_model::histogram::{CounterResetHint, FloatHistogram, Span as BucketSpan};
use ferula_model::value::STALE_NAN;

use super::{Failure, Parsed, Parser, ParserOptions};
use crate::ast::UnaryOp;
use crate::error::ParseErrors;
use crate::token::{HistogramField, ResetHint, TokenKind};

/// A series and its values.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesDescription {
    /// The labels, with the metric name.
    pub labels: LabelSet,
    /// The values, in order. Repetitions are kept as they are: `1x1000000000` must not take memory here.
    pub items: Vec<SequenceItem>,
}

/// One item of a sequence of values.
#[derive(Clone, Debug, PartialEq)]
pub enum SequenceItem {
    /// `_x3`: this many points in time without a sample.
    Omitted {
        /// How many.
        count: u64,
    },
    /// `1+2x3`: `times + 1` samples that start at `first`, each larger than the one before by `step`.
    Floats {
        /// The first value; may be the staleness marker.
        first: f64,
        /// Added from sample to sample, one addition each.
        step: f64,
        /// Samples after the first.
        times: u64,
    },
    /// `{{…}}+{{…}}x3`
    Histograms(Box<HistogramSequence>),
}

/// `times + 1` histograms that start at `first`.
#[derive(Clone, Debug, PartialEq)]
pub struct HistogramSequence {
    /// The first histogram, its fields as written; not checked for being sound.
    pub first: FloatHistogram,
    /// Added (`Plus`) or subtracted (`Minus`) from sample to sample; `None` repeats the first.
    pub step: Option<(UnaryOp, FloatHistogram)>,
    /// Samples after the first.
    pub times: u64,
    /// `counter_reset_hint` was written in the last of the histograms, and so is to be compared.
    pub hint_given: bool,
}

impl SequenceItem {
    /// How many samples, present or missing, the item stands for.
    pub fn points(&self) -> u64 {
        match self {
            SequenceItem::Omitted { count } => *count,
            SequenceItem::Floats { times, .. } => times.saturating_add(1),
            SequenceItem::Histograms(sequence) => sequence.times.saturating_add(1),
        }
    }
}

/// Parses a series description.
pub fn parse_series_description(text: &str) -> Result<SeriesDescription, ParseErrors> {
    let mut parser = Parser::new(text, ParserOptions::default(), true);
    let parsed = parser.series_description();
    parser.finish(parsed)
}

const IN_VALUES: &str = "series values";
const IN_HISTOGRAM: &str = "histogram description";
const HISTOGRAM_KEY: &str = "histogram description key, e.g. buckets:[5 10 7]";

/// The fields of one `{{…}}`, as far as they were written.
#[derive(Default)]
struct HistogramFields {
    histogram: FloatHistogram,
    offset: i32,
    negative_offset: i32,
    seen: Vec<HistogramField>,
}

impl HistogramFields {
    fn finish(self) -> (FloatHistogram, bool) {
        let spans = |offset, buckets: &[f64]| {
            // The text of a series has fewer than 2^32 numbers, or else it could not have been read.
            let length = u32::try_from(buckets.len()).unwrap_or(u32::MAX);
            if length == 0 { Vec::new() } else { vec![BucketSpan { offset, length }] }
        };
        let mut histogram = self.histogram;
        histogram.positive_spans = spans(self.offset, &histogram.positive_buckets);
        histogram.negative_spans = spans(self.negative_offset, &histogram.negative_buckets);
        (histogram, self.seen.contains(&HistogramField::CounterResetHint))
    }
}

impl Parser<'_> {
    fn series_description(&mut self) -> Parsed<SeriesDescription> {
        let labels = self.metric()?;
        let parsed = self.sequence();
        let items = self.within(parsed, IN_VALUES, "")?;
        Ok(SeriesDescription { labels, items })
    }

    fn sequence(&mut self) -> Parsed<Vec<SequenceItem>> {
        let mut items = Vec::new();
        while self.peek()? != TokenKind::Eof {
            if self.take_if(TokenKind::Space)?.is_none() {
                return Err(Failure::Unexpected);
            }
            if !matches!(self.peek()?, TokenKind::Eof | TokenKind::Space) {
                items.push(self.sequence_item()?);
            }
        }
        Ok(items)
    }

    fn sequence_item(&mut self) -> Parsed<SequenceItem> {
        match self.peek()? {
            TokenKind::Blank => {
                self.take()?;
                let count = self.repetitions()?.unwrap_or(1);
                Ok(SequenceItem::Omitted { count })
            }
            TokenKind::OpenHistogram => self.histogram_sequence(),
            TokenKind::Identifier => {
                let token = self.take()?;
                if self.text(token) != "stale" {
                    return Err(self.unexpected(IN_VALUES, "number or \"stale\""));
                }
                self.float_sequence(STALE_NAN)
            }
            _ => {
                let first = self.signed_number()?;
                self.float_sequence(first)
            }
        }
    }

    /// The rest of an item whose first value has been read.
    fn float_sequence(&mut self, first: f64) -> Parsed<SequenceItem> {
        if self.peek()?.sign().is_none() {
            let times = self.repetitions()?.unwrap_or(0);
            return Ok(SequenceItem::Floats { first, step: 0.0, times });
        }
        let step = self.signed_number()?;
        let times = self.repetitions()?.ok_or(Failure::Unexpected)?;
        Ok(SequenceItem::Floats { first, step, times })
    }

    fn signed_number(&mut self) -> Parsed<f64> {
        let op = self.peek()?.sign();
        if op.is_some() {
            self.take()?;
        }
        let (number, _) = self.number_literal()?;
        Ok(if op == Some(UnaryOp::Minus) { -number.value } else { number.value })
    }

    /// `x3`, if it is there.
    fn repetitions(&mut self) -> Parsed<Option<u64>> {
        if self.take_if(TokenKind::Times)?.is_none() {
            return Ok(None);
        }
        self.unsigned().map(Some)
    }

    fn unsigned(&mut self) -> Parsed<u64> {
        let token = self.expect(TokenKind::Number)?;
        let text = self.text(token);
        let why = match text.parse::<u64>() {
            Ok(value) => return Ok(value),
            Err(error) if *error.kind() == std::num::IntErrorKind::PosOverflow => "value out of range",
            Err(_) => "invalid syntax",
        };
        let message = format!(
            "invalid repetition in series values: strconv.ParseUint: parsing {}: {why}",
            go_quote(text)
        );
        Err(self.error(token.span, message))
    }

    fn histogram_sequence(&mut self) -> Parsed<SequenceItem> {
        let (first, mut hint_given) = self.histogram()?;
        let mut step = None;
        if let Some(op) = self.peek()?.sign() {
            self.take()?;
            if self.peek()? != TokenKind::OpenHistogram {
                return Err(Failure::Unexpected);
            }
            let (histogram, hint) = self.histogram()?;
            hint_given = hint;
            step = Some((op, histogram));
        }
        let times = match (self.repetitions()?, &step) {
            (Some(times), _) => times,
            (None, None) => 0,
            (None, Some(_)) => return Err(Failure::Unexpected),
        };
        if let Some((_, step)) = &step
            && first.schema > step.schema
            && times > 0
        {
            let message = format!(
                "error combining histograms: cannot merge from schema {} to {}",
                step.schema, first.schema
            );
            return Err(self.error(self.last.span, message));
        }
        Ok(SequenceItem::Histograms(Box::new(HistogramSequence { first, step, times, hint_given })))
    }

    /// `{{key:value key:value}}`
    fn histogram(&mut self) -> Parsed<(FloatHistogram, bool)> {
        self.expect(TokenKind::OpenHistogram)?;
        let mut fields = HistogramFields::default();
        if self.take_if(TokenKind::Space)?.is_some() {
            self.expect(TokenKind::CloseHistogram)?;
            return Ok(fields.finish());
        }
        if self.take_if(TokenKind::CloseHistogram)?.is_some() {
            return Ok(fields.finish());
        }
        self.histogram_field(&mut fields)?;
        loop {
            match self.peek()? {
                TokenKind::CloseHistogram => {
                    self.take()?;
                    return Ok(fields.finish());
                }
                TokenKind::Space => {
                    self.take()?;
                    if self.peek()? != TokenKind::CloseHistogram {
                        let parsed = self.histogram_field(&mut fields);
                        self.within(parsed, IN_HISTOGRAM, HISTOGRAM_KEY)?;
                    }
                }
                _ => return Err(self.unexpected(IN_HISTOGRAM, HISTOGRAM_KEY)),
            }
        }
    }

    fn histogram_field(&mut self, fields: &mut HistogramFields) -> Parsed<()> {
        let TokenKind::HistogramField(field) = self.peek()? else { return Err(Failure::Unexpected) };
        let key = self.take()?;
        self.expect(TokenKind::Colon)?;
        let mut read = FloatHistogram::default();
        match field {
            HistogramField::Schema => read.schema = self.signed_integer()?,
            HistogramField::Sum => read.sum = self.signed_number()?,
            HistogramField::Count => read.count = self.signed_number()?,
            HistogramField::ZeroBucket => read.zero_count = self.signed_number()?,
            HistogramField::ZeroBucketWidth => read.zero_threshold = self.number_literal()?.0.value,
            HistogramField::Offset => fields.offset = self.signed_integer()?,
            HistogramField::NegativeOffset => fields.negative_offset = self.signed_integer()?,
            HistogramField::Buckets => read.positive_buckets = self.buckets()?,
            HistogramField::NegativeBuckets => read.negative_buckets = self.buckets()?,
            HistogramField::CustomValues => read.custom_values = Some(Arc::from(self.buckets()?)),
            HistogramField::CounterResetHint => read.counter_reset_hint = self.reset_hint()?,
        }
        if fields.seen.contains(&field) {
            let name = self.text(key).to_ascii_lowercase();
            let start = crate::ast::Span::default();
            return Err(self.error(start, format!("duplicate key \"{name}\" in histogram")));
        }
        fields.seen.push(field);
        let to = &mut fields.histogram;
        match field {
            HistogramField::Schema => to.schema = read.schema,
            HistogramField::Sum => to.sum = read.sum,
            HistogramField::Count => to.count = read.count,
            HistogramField::ZeroBucket => to.zero_count = read.zero_count,
            HistogramField::ZeroBucketWidth => to.zero_threshold = read.zero_threshold,
            HistogramField::Offset | HistogramField::NegativeOffset => {}
            HistogramField::Buckets => to.positive_buckets = read.positive_buckets,
            HistogramField::NegativeBuckets => to.negative_buckets = read.negative_buckets,
            HistogramField::CustomValues => to.custom_values = read.custom_values,
            HistogramField::CounterResetHint => to.counter_reset_hint = read.counter_reset_hint,
        }
        Ok(())
    }

    /// Integers wrap to 32 bits, as in Prometheus.
    fn signed_integer(&mut self) -> Parsed<i32> {
        let negative = self.peek()?.sign() == Some(UnaryOp::Minus);
        if negative {
            self.take()?;
        }
        let value = self.unsigned()? as i64;
        Ok(if negative { value.wrapping_neg() } else { value } as i32)
    }

    fn reset_hint(&mut self) -> Parsed<CounterResetHint> {
        let TokenKind::ResetHint(hint) = self.peek()? else { return Err(Failure::Unexpected) };
        self.take()?;
        Ok(match hint {
            ResetHint::Unknown => CounterResetHint::Unknown,
            ResetHint::Reset => CounterResetHint::Reset,
            ResetHint::NotReset => CounterResetHint::NotReset,
            ResetHint::Gauge => CounterResetHint::Gauge,
        })
    }

    /// `[1 2 3]`
    fn buckets(&mut self) -> Parsed<Vec<f64>> {
        self.expect(TokenKind::LeftBracket)?;
        let mut values = vec![self.signed_number()?];
        loop {
            match self.peek()? {
                TokenKind::RightBracket => break,
                TokenKind::Space => {
                    self.take()?;
                    if self.peek()? != TokenKind::RightBracket {
                        values.push(self.signed_number()?);
                    }
                }
                _ => return Err(Failure::Unexpected),
            }
        }
        self.take()?;
        Ok(values)
    }
}
