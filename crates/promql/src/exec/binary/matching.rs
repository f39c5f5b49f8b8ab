//! Arithmetic and comparisons between two vectors: one-to-one, `group_left`, `group_right`, with fill values.
//!
//! Both sides are collected. Seen from the "many" side (with one-to-one, the left), each row meets the rows of
//! the "one" side that share its signature; at any step at most one of those may be present. What goes wrong
//! goes wrong at a step: the error of the earliest step is the query's, as if steps were evaluated one by one.

use std::collections::{BTreeMap, HashMap};

use ferula_model::LabelSet;
use ferula_promql_syntax::ast::{BinaryOp, Cardinality, Span, VectorMatching};

use crate::exec::batch::{Batch, RowRef, Value};
use crate::exec::binary::element::{self, Outcome};
use crate::exec::binary::signature::{Signatures, match_labels};
use crate::exec::bitmap;
use crate::exec::collected::{Evaluate, collected};
use crate::exec::context::QueryContext;
use crate::exec::operator::{BoxOperator, Replay, collect};
use crate::exec::series::{SeriesTable, is_metadata_label, labels_bytes};
use crate::plan::node::BinaryNode;
use crate::{Annotation, QueryError};

/// The operator of a binary operation between vectors, other than set operations.
pub(crate) fn operator<'q>(
    node: &'q BinaryNode,
    span: Span,
    left: BoxOperator<'q>,
    right: BoxOperator<'q>,
    steps: usize,
) -> Result<BoxOperator<'q>, QueryError> {
    let matching = node
        .matching
        .as_ref()
        .ok_or_else(|| QueryError::execution("a binary operation between vectors needs a matching"))?;
    Ok(collected(VectorMatch { node, matching, span, left, right, steps }))
}

struct VectorMatch<'q> {
    node: &'q BinaryNode,
    matching: &'q VectorMatching,
    span: Span,
    left: BoxOperator<'q>,
    right: BoxOperator<'q>,
    steps: usize,
}

impl Evaluate for VectorMatch<'_> {
    fn evaluate(&mut self, query: &QueryContext<'_>) -> Result<Replay, QueryError> {
        let before = query.samples.current();
        let left = collect(&mut *self.left, self.steps, query)?;
        let right = collect(&mut *self.right, self.steps, query)?;
        let left = Side { rows: &left, table: self.left.series() };
        let right = Side { rows: &right, table: self.right.series() };
        let swapped = self.matching.cardinality == Cardinality::OneToMany;
        let (many, one) = if swapped { (right, left) } else { (left, right) };
        let matching = Matching {
            op: self.node.op,
            return_bool: self.node.return_bool,
            matching: self.matching,
            swapped,
            span: self.span,
            steps: self.steps,
            query,
        };
        let result = matching.run(many, one)?;
        query.samples.settle(before, result.rows.samples())?;
        Ok(result)
    }
}

/// What an entry of a map takes beside its contents.
const ENTRY_BYTES: usize = 64;

/// The rows of one side.
#[derive(Clone, Copy)]
struct Side<'a> {
    rows: &'a Batch,
    table: &'a SeriesTable,
}

impl<'a> Side<'a> {
    fn labels(&self, row: usize) -> &'a LabelSet {
        self.table.labels(self.rows.row(row).series)
    }

    /// Steps at which any row has a sample.
    fn presence(&self, steps: usize) -> Vec<u64> {
        let mut words = vec![0; bitmap::words_for(steps)];
        self.rows.iter().for_each(|row| row.add_presence_to(&mut words));
        words
    }
}

/// The parameters of a match.
struct Matching<'a> {
    op: BinaryOp,
    return_bool: bool,
    matching: &'a VectorMatching,
    /// The "many" side is the right one.
    swapped: bool,
    span: Span,
    steps: usize,
    query: &'a QueryContext<'a>,
}

/// Rows of the "one" side with the same signature.
#[derive(Default)]
struct OneGroup {
    rows: Vec<usize>,
    /// Steps at which any of them is present.
    present: Vec<u64>,
    /// Steps at which a row of the "many" side has matched here.
    matched: Vec<u64>,
}

/// The error of the earliest step so far. Of several errors at one step, the first in order of [`ErrorKind`] wins.
#[derive(Default)]
struct Earliest(Option<(usize, ErrorKind, QueryError)>);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum ErrorKind {
    DuplicateOne,
    MultipleMatches,
    SameLabels,
}

impl Earliest {
    fn at(&mut self, step: usize, kind: ErrorKind, error: impl FnOnce() -> QueryError) {
        if self.0.as_ref().is_none_or(|(earlier, other, _)| (step, kind) < (*earlier, *other)) {
            self.0 = Some((step, kind, error()));
        }
    }
}

/// The rows of the result under construction.
struct Output {
    table: SeriesTable,
    rows: Batch,
    by_labels: HashMap<LabelSet, usize>,
    /// For each step its last annotation, in the order of the rows.
    annotations: BTreeMap<usize, Annotation>,
    errors: Earliest,
    /// Matched steps by signature and result labels, for group matching.
    matched: HashMap<(usize, usize), Vec<u64>>,
}

impl<'a> Matching<'a> {
    fn run(&self, many: Side<'a>, one: Side<'a>) -> Result<Replay, QueryError> {
        let mut signatures = Signatures::new(self.matching);
        let mut number = |side: Side<'_>| -> Result<Vec<usize>, QueryError> {
            (0..side.rows.rows()).map(|row| signatures.of(side.labels(row), self.query)).collect()
        };
        let (of_one, of_many) = (number(one)?, number(many)?);
        let mut groups = self.group(one, &of_one, signatures.len())?;
        let mut out = Output {
            table: SeriesTable::new(),
            rows: Batch::new(self.steps),
            by_labels: HashMap::new(),
            annotations: BTreeMap::new(),
            errors: Earliest::default(),
            matched: HashMap::new(),
        };
        self.check_one_side(many, one, &groups, &mut out.errors)?;
        if !self.anything_before_the_error(many, one, &out.errors) {
            return out
                .errors
                .0
                .map_or_else(|| Ok(Replay::new(out.table, out.rows)), |(_, _, error)| Err(error));
        }
        for (row, &signature) in of_many.iter().enumerate() {
            self.query.work(8)?;
            self.match_row(many, one, row, signature, &mut groups[signature], &mut out)?;
        }
        if let Some(fill) = self.matching.fill_left {
            for (row, &signature) in of_one.iter().enumerate() {
                self.query.work(8)?;
                self.fill_many(one, row, signature, fill, &mut groups[signature], &mut out)?;
            }
        }
        if let Some((_, _, error)) = out.errors.0 {
            return Err(error);
        }
        out.annotations.into_values().for_each(|annotation| self.query.annotate(annotation));
        out.rows.drop_empty_rows();
        Ok(Replay::new(out.table, out.rows))
    }

    fn group(&self, one: Side<'_>, of_one: &[usize], signatures: usize) -> Result<Vec<OneGroup>, QueryError> {
        let words = bitmap::words_for(self.steps);
        // Each signature may come to have two bitmaps.
        let group_bytes = size_of::<OneGroup>().saturating_add(words.saturating_mul(16));
        self.query.account.charge(signatures.saturating_mul(group_bytes).saturating_add(of_one.len() * 8))?;
        let mut groups: Vec<OneGroup> = (0..signatures).map(|_| OneGroup::default()).collect();
        for (row, &signature) in of_one.iter().enumerate() {
            self.query.work(words)?;
            let group = &mut groups[signature];
            group.rows.push(row);
            group.present.resize(words, 0);
            one.rows.row(row).add_presence_to(&mut group.present);
        }
        Ok(groups)
    }

    /// Two rows of the "one" side with the same signature at the same step are an error, also when nothing on the other
    /// side matches them; but not at steps where the other side is empty (unless there are fill values).
    fn check_one_side(
        &self,
        many: Side<'_>,
        one: Side<'_>,
        groups: &[OneGroup],
        errors: &mut Earliest,
    ) -> Result<(), QueryError> {
        if groups.iter().all(|group| group.rows.len() < 2) {
            return Ok(());
        }
        let words = bitmap::words_for(self.steps);
        let fills = self.matching.fill_left.is_some() || self.matching.fill_right.is_some();
        let relevant = if fills { vec![u64::MAX; words] } else { many.presence(self.steps) };
        let mut first: Option<(usize, usize)> = None;
        for group in groups.iter().filter(|group| group.rows.len() > 1) {
            let mut taken = vec![0; words];
            for &row in &group.rows {
                self.query.work(words)?;
                let mut presence = one.rows.row(row).presence();
                presence.iter_mut().zip(&relevant).for_each(|(bits, relevant)| *bits &= relevant);
                if let Some(step) = bitmap::first_common(&taken, &presence) {
                    // At the earliest step it is the first row of the vector that finds its place taken.
                    if first.is_none_or(|earliest| (step, row) < earliest) {
                        first = Some((step, row));
                    }
                }
                bitmap::union(&mut taken, &presence);
            }
        }
        if let Some((step, row)) = first {
            errors.at(step, ErrorKind::DuplicateOne, || self.duplicate(one, groups, step, row));
        }
        Ok(())
    }

    /// Whether steps before that of the error could still have an error of their own. From its step on nothing matters.
    fn anything_before_the_error(&self, many: Side<'_>, one: Side<'_>, errors: &Earliest) -> bool {
        let Some((step, _, _)) = errors.0 else { return true };
        let earlier =
            |side: Side<'_>| bitmap::first(&side.presence(self.steps)).is_some_and(|first| first < step);
        earlier(many) || earlier(one)
    }

    fn duplicate(&self, one: Side<'_>, groups: &[OneGroup], step: usize, row: usize) -> QueryError {
        let other = groups
            .iter()
            .find(|group| group.rows.contains(&row))
            .and_then(|group| group.rows.iter().find(|&&other| one.rows.row(other).has(step)))
            .copied()
            .unwrap_or(row);
        let side = if self.swapped { "left" } else { "right" };
        let group = match_labels(self.matching, one.labels(row));
        let (mut first, mut second) = (one.labels(row).to_string(), one.labels(other).to_string());
        if first > second {
            std::mem::swap(&mut first, &mut second);
        }
        QueryError::Execution(format!(
            "found duplicate series for the match group {group} on the {side} hand-side of the operation: \
             [{first}, {second}];many-to-many matching not allowed: matching labels must be unique on one side"
        ))
    }

    /// One row of the "many" side with all its partners, and with the fill value where there is none.
    fn match_row(
        &self,
        many: Side<'a>,
        one: Side<'a>,
        row: usize,
        signature: usize,
        group: &mut OneGroup,
        out: &mut Output,
    ) -> Result<(), QueryError> {
        let (labels, samples) = (many.labels(row), many.rows.row(row));
        for index in 0..group.rows.len() {
            // Labels are put together for every pair, whether or not the two meet.
            self.query.work(16 + 4 * labels.len() + samples.present.len())?;
            let partner = group.rows[index];
            let result_labels = self.result_labels(labels, one.labels(partner));
            let partner = one.rows.row(partner);
            self.combine(result_labels, signature, group, out, &mut Pair::rows(samples, partner))?;
        }
        if let Some(fill) = self.matching.fill_right {
            let mut alone = samples.presence();
            alone.iter_mut().zip(&group.present).for_each(|(bits, taken)| *bits &= !taken);
            if !bitmap::is_empty(&alone) {
                let filled = match_labels(self.matching, labels);
                let result_labels = self.result_labels(labels, &filled);
                let mut pair = Pair { many: Some(samples), one: None, fill, steps: alone };
                self.combine(result_labels, signature, group, out, &mut pair)?;
            }
        }
        Ok(())
    }

    /// A row of the "one" side at steps where nothing met its signature: the fill value stands for the other side.
    fn fill_many(
        &self,
        one: Side<'a>,
        row: usize,
        signature: usize,
        fill: f64,
        group: &mut OneGroup,
        out: &mut Output,
    ) -> Result<(), QueryError> {
        let samples = one.rows.row(row);
        let mut alone = samples.presence();
        alone.iter_mut().zip(&group.matched).for_each(|(bits, taken)| *bits &= !taken);
        if bitmap::is_empty(&alone) {
            return Ok(());
        }
        let filled = match_labels(self.matching, one.labels(row));
        let result_labels = self.result_labels(&filled, one.labels(row));
        let mut pair = Pair { many: None, one: Some(samples), fill, steps: alone };
        self.combine(result_labels, signature, group, out, &mut pair)
    }

    /// Operates on a pair at all its steps and adds the result to the row of `labels`.
    fn combine(
        &self,
        labels: LabelSet,
        signature: usize,
        group: &mut OneGroup,
        out: &mut Output,
        pair: &mut Pair<'_>,
    ) -> Result<(), QueryError> {
        if bitmap::is_empty(&pair.steps) {
            return Ok(());
        }
        let words = bitmap::words_for(self.steps);
        let index = match out.by_labels.get(&labels) {
            Some(&index) => index,
            None => {
                let bytes = labels_bytes(&labels) + ENTRY_BYTES;
                self.query.account.charge(Batch::bytes_for(1, self.steps).saturating_add(bytes))?;
                let series = out.table.push(labels.clone(), self.return_bool);
                out.rows.push(series);
                out.by_labels.insert(labels, series);
                series
            }
        };
        let mut succeeded = pair.steps.clone();
        if self.matching.cardinality == Cardinality::OneToOne {
            group.matched.resize(words, 0);
            self.operate(pair, index, &mut succeeded, &group.matched, out)?;
            bitmap::union(&mut group.matched, &succeeded);
        } else {
            let taken = match out.matched.remove(&(signature, index)) {
                Some(taken) => taken,
                None => {
                    self.query.account.charge(words.saturating_mul(8).saturating_add(ENTRY_BYTES))?;
                    vec![0; words]
                }
            };
            self.operate(pair, index, &mut succeeded, &taken, out)?;
            let mut taken = taken;
            bitmap::union(&mut taken, &succeeded);
            out.matched.insert((signature, index), taken);
            group.matched.resize(words, 0);
            bitmap::union(&mut group.matched, &succeeded);
        }
        Ok(())
    }

    /// Clears in `succeeded` the steps at which the two samples could not meet.
    fn operate(
        &self,
        pair: &Pair<'_>,
        index: usize,
        succeeded: &mut [u64],
        taken: &[u64],
        out: &mut Output,
    ) -> Result<(), QueryError> {
        let Output { rows, annotations, errors, .. } = out;
        let mut row = rows.row_mut(index);
        let mut same_labels = None;
        for word in 0..pair.steps.len() {
            self.query.work(1 + pair.steps[word].count_ones() as usize)?;
            for bit in bitmap::ones(&[pair.steps[word]]) {
                let step = word * 64 + bit;
                let (many, one) = pair.values(step);
                let (left, right) = if self.swapped { (one, many) } else { (many, one) };
                let (value, keep) = match (&left, &right) {
                    (Value::Float(a), Value::Float(b)) => match element::floats(self.op, *a, *b) {
                        Some((value, keep)) => (Value::Float(value), keep),
                        None => self.refuse(step, &left, &right, succeeded, annotations),
                    },
                    _ => match element::samples(self.op, &left, &right, self.span) {
                        Outcome::Value { value, keep, annotation } => {
                            let weight = value.weight();
                            self.query.work(weight)?;
                            self.query.account.charge(weight.saturating_mul(16))?;
                            if let Some(annotation) = annotation {
                                annotations.insert(step, annotation);
                            }
                            (value, keep)
                        }
                        Outcome::Refused(_) => self.refuse(step, &left, &right, succeeded, annotations),
                    },
                };
                if !bitmap::get(succeeded, step) {
                    continue;
                }
                let value = if self.return_bool { Value::Float(f64::from(u8::from(keep))) } else { value };
                if !keep && !self.return_bool {
                    continue;
                }
                if bitmap::get(row.present, step) || row.histograms_mut().get(step).is_some() {
                    same_labels = same_labels.or(Some(step));
                    continue;
                }
                match value {
                    Value::Float(value) => row.set_float(step, value),
                    Value::Histogram(value) => row.histograms_mut().insert(step, value),
                }
            }
        }
        if let Some(step) = bitmap::first_common(taken, succeeded) {
            errors.at(step, ErrorKind::MultipleMatches, || self.multiple_matches());
        }
        if let Some(step) = same_labels {
            errors.at(step, ErrorKind::SameLabels, QueryError::same_labelset);
        }
        Ok(())
    }

    fn refuse(
        &self,
        step: usize,
        left: &Value,
        right: &Value,
        succeeded: &mut [u64],
        annotations: &mut BTreeMap<usize, Annotation>,
    ) -> (Value, bool) {
        if let Outcome::Refused(annotation) = element::samples(self.op, left, right, self.span) {
            annotations.insert(step, annotation);
        }
        bitmap::clear(succeeded, step);
        (Value::Float(0.0), false)
    }

    fn multiple_matches(&self) -> QueryError {
        QueryError::execution(if self.matching.cardinality == Cardinality::OneToOne {
            "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
        } else {
            "multiple matches for labels: grouping labels must ensure unique matches"
        })
    }

    /// Labels of the result for a series of the "many" side and its partner.
    fn result_labels(&self, many: &LabelSet, one: &LabelSet) -> LabelSet {
        let delayed = self.query.features.delayed_name_removal;
        let mut labels = many.to_builder();
        if element::changes_metric(self.op) || (self.return_bool && !delayed) {
            labels.retain(|name| !is_metadata_label(name));
        }
        if self.matching.cardinality == Cardinality::OneToOne {
            let listed = |name: &str| self.matching.labels.iter().any(|label| label == name);
            labels.retain(|name| listed(name) == self.matching.on);
        }
        for name in &self.matching.include {
            labels.set(name, one.value(name));
        }
        labels.finish()
    }
}

/// Two rows that meet, one of them possibly a fill value.
struct Pair<'a> {
    many: Option<RowRef<'a>>,
    one: Option<RowRef<'a>>,
    fill: f64,
    /// Where they meet.
    steps: Vec<u64>,
}

impl<'a> Pair<'a> {
    fn rows(many: RowRef<'a>, one: RowRef<'a>) -> Self {
        let mut steps = many.presence();
        let other = one.presence();
        steps.iter_mut().zip(&other).for_each(|(bits, other)| *bits &= other);
        Pair { many: Some(many), one: Some(one), fill: 0.0, steps }
    }

    /// Both samples at a step of `steps`.
    fn values(&self, step: usize) -> (Value, Value) {
        let value =
            |row: Option<RowRef<'_>>| row.and_then(|row| row.value(step)).unwrap_or(Value::Float(self.fill));
        (value(self.many), value(self.one))
    }
}
