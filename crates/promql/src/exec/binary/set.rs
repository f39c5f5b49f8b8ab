//! `and`, `or`, `unless`: which samples are kept depends on presence alone.

use ferula_promql_syntax::ast::BinaryOp;

use crate::QueryError;
use crate::exec::batch::{Batch, RowRef};
use crate::exec::binary::signature::Signatures;
use crate::exec::bitmap;
use crate::exec::collected::{Evaluate, collected};
use crate::exec::context::QueryContext;
use crate::exec::merge::{self, DuplicateLabels};
use crate::exec::operator::{BoxOperator, Replay, collect};
use crate::exec::series::SeriesTable;
use crate::plan::node::BinaryNode;

/// What an entry of a series table takes; labels are shared.
const ENTRY_BYTES: usize = 16;

/// The operator of a set operation.
pub(crate) fn operator<'q>(
    node: &'q BinaryNode,
    left: BoxOperator<'q>,
    right: BoxOperator<'q>,
    steps: usize,
) -> BoxOperator<'q> {
    collected(SetOperation { node, left, right, steps })
}

struct SetOperation<'q> {
    node: &'q BinaryNode,
    left: BoxOperator<'q>,
    right: BoxOperator<'q>,
    steps: usize,
}

impl Evaluate for SetOperation<'_> {
    fn evaluate(&mut self, query: &QueryContext<'_>) -> Result<Replay, QueryError> {
        let before = query.samples.current();
        let left = collect(&mut *self.left, self.steps, query)?;
        let right = collect(&mut *self.right, self.steps, query)?;
        let result = match self.node.op {
            BinaryOp::Or => self.or(&left, &right, query)?,
            _ => self.filter_left(&left, &right, self.node.op == BinaryOp::And, query)?,
        };
        query.samples.settle(before, result.rows.samples())?;
        Ok(result)
    }
}

impl SetOperation<'_> {
    /// Presence by signature, and the signature of each row.
    fn presence(
        &self,
        rows: &Batch,
        table: &SeriesTable,
        signatures: &mut Signatures<'_>,
        query: &QueryContext<'_>,
    ) -> Result<Presence, QueryError> {
        let mut presence = Presence { by_signature: Vec::new() };
        for row in rows.iter() {
            let signature = signatures.of(table.labels(row.series), query)?;
            let words = bitmap::words_for(self.steps);
            query.work(words)?;
            if presence.by_signature.len() <= signature {
                query.account.charge(words.saturating_mul(8).saturating_add(size_of::<Vec<u64>>()))?;
                presence.by_signature.resize(signature + 1, Vec::new());
            }
            let bits = &mut presence.by_signature[signature];
            bits.resize(words, 0);
            row.add_presence_to(bits);
        }
        Ok(presence)
    }

    /// `and`: left samples whose signature is present on the right; `unless`: those whose signature is not.
    fn filter_left(
        &self,
        left: &Batch,
        right: &Batch,
        wanted: bool,
        query: &QueryContext<'_>,
    ) -> Result<Replay, QueryError> {
        let Some(matching) = &self.node.matching else {
            return Ok(Replay::new(SeriesTable::new(), Batch::new(0)));
        };
        let mut signatures = Signatures::new(matching);
        let right = self.presence(right, self.right.series(), &mut signatures, query)?;
        let mut out = Batch::new(self.steps);
        query.account.charge(left.bytes())?;
        for row in left.iter() {
            let signature = signatures.of(self.left.series().labels(row.series), query)?;
            push_masked(&mut out, row.series, row, (right.get(signature), wanted), query)?;
        }
        Ok(Replay::new(self.left.series().clone(), out))
    }

    /// All left samples, and right samples whose signature is not present on the left.
    fn or(&self, left: &Batch, right: &Batch, query: &QueryContext<'_>) -> Result<Replay, QueryError> {
        let Some(matching) = &self.node.matching else {
            return Ok(Replay::new(SeriesTable::new(), Batch::new(0)));
        };
        let mut signatures = Signatures::new(matching);
        let present_left = self.presence(left, self.left.series(), &mut signatures, query)?;
        let mut table = self.left.series().clone();
        let offset = table.len();
        query.account.charge((offset + self.right.series().len()).saturating_mul(ENTRY_BYTES))?;
        for entry in self.right.series().since(0) {
            query.work(4)?;
            table.push(entry.labels.clone(), entry.drop_name);
        }
        query.account.charge(left.bytes().saturating_add(right.bytes()))?;
        let mut out = Batch::new(self.steps);
        for row in left.iter() {
            out.push_copy(row.series, row, query)?;
        }
        for row in right.iter() {
            let signature = signatures.of(self.right.series().labels(row.series), query)?;
            push_masked(&mut out, offset + row.series, row, (present_left.get(signature), false), query)?;
        }
        merge::merge(&table, &out, DuplicateLabels::AtOneStep, query)
    }
}

struct Presence {
    by_signature: Vec<Vec<u64>>,
}

impl Presence {
    /// Steps at which any row with the signature has a sample; empty when there is no such row.
    fn get(&self, signature: usize) -> &[u64] {
        self.by_signature.get(signature).map_or(&[], |bits| bits)
    }
}

/// Adds the samples of a row at steps whose bit in `mask` is `wanted`.
fn push_masked(
    out: &mut Batch,
    series: usize,
    row: RowRef<'_>,
    (mask, wanted): (&[u64], bool),
    query: &QueryContext<'_>,
) -> Result<(), QueryError> {
    let word = |index: usize| {
        let mask = mask.get(index).copied().unwrap_or(0);
        if wanted { mask } else { !mask }
    };
    out.push_copy(series, row, query)?;
    let last = out.rows() - 1;
    let mut copy = out.row_mut(last);
    for (index, present) in copy.present.iter_mut().enumerate() {
        *present &= word(index);
    }
    if row.histograms.is_some() {
        copy.histograms_mut().retain(|step| word(step / 64) >> (step % 64) & 1 != 0);
    }
    if out.row(last).is_empty() {
        out.pop();
    }
    Ok(())
}
