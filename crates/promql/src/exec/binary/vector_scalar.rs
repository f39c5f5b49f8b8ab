//! A vector on one side, a scalar on the other.

use ferula_promql_syntax::ast::{BinaryOp, Span};

use crate::QueryError;
use crate::exec::batch::{Batch, HistogramRow, RowMut, Value};
use crate::exec::binary::element::{self, Outcome};
use crate::exec::bitmap;
use crate::exec::context::QueryContext;
use crate::exec::function::math::map_rows;
use crate::exec::operator::{BoxOperator, Operator};
use crate::exec::scalars::{BoxScalar, Parameters, Scalars};
use crate::exec::series::SeriesTable;
use crate::plan::node::BinaryNode;

/// The operator of `vector op scalar`, or of `scalar op vector` when `scalar_left`.
pub(crate) fn operator<'q>(
    node: &BinaryNode,
    vector: BoxOperator<'q>,
    scalar: BoxScalar<'q>,
    scalar_left: bool,
    span: Span,
    query: &QueryContext<'q>,
) -> BoxOperator<'q> {
    let operation = Operation { op: node.op, return_bool: node.return_bool, scalar_left, span };
    let scalar = Parameters::new(vec![scalar]);
    let operator = Box::new(VectorScalar { inner: vector, scalar, operation });
    if element::changes_metric(node.op) || node.return_bool {
        map_rows(operator, Vec::new(), query, |_, _, _| Ok(()))
    } else {
        operator
    }
}

/// What is done to every sample.
#[derive(Clone, Copy)]
struct Operation {
    op: BinaryOp,
    return_bool: bool,
    scalar_left: bool,
    span: Span,
}

struct VectorScalar<'q> {
    inner: BoxOperator<'q>,
    scalar: Parameters<'q>,
    operation: Operation,
}

impl Operator for VectorScalar<'_> {
    fn series(&self) -> &SeriesTable {
        self.inner.series()
    }

    fn next(&mut self, query: &QueryContext<'_>, out: &mut Batch) -> Result<bool, QueryError> {
        let VectorScalar { inner, scalar, operation } = self;
        let values = if operation.scalar_left {
            scalar.values(query)?
        } else {
            scalar.values_after(&mut **inner, out.steps(), query)?
        };
        while inner.next(query, out)? {
            query.work(1)?;
            for index in 0..out.rows() {
                operation.apply(&values[0], &mut out.row_mut(index), query)?;
            }
            out.drop_empty_rows();
            if !out.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Operation {
    fn apply(
        self,
        scalar: &Scalars,
        row: &mut RowMut<'_>,
        query: &QueryContext<'_>,
    ) -> Result<(), QueryError> {
        query.work(1)?;
        let histograms = row.take_histograms();
        if matches!(self.op, BinaryOp::TrimUpper | BinaryOp::TrimLower) {
            if !bitmap::is_empty(row.present) {
                self.refuse_floats(query);
            }
            row.present.fill(0);
        } else {
            self.floats(scalar, row, query)?;
        }
        match histograms {
            Some(histograms) => self.histograms(scalar, &histograms, row, query),
            None => Ok(()),
        }
    }

    fn refuse_floats(self, query: &QueryContext<'_>) {
        let number = Value::Float(0.0);
        if let Outcome::Refused(annotation) = element::samples(self.op, &number, &number, self.span) {
            query.annotate(annotation);
        }
    }

    fn floats(
        self,
        scalars: &Scalars,
        row: &mut RowMut<'_>,
        query: &QueryContext<'_>,
    ) -> Result<(), QueryError> {
        let comparison = element::is_comparison(self.op);
        for word in 0..row.present.len() {
            query.work(1 + row.present[word].count_ones() as usize)?;
            let mut kept = row.present[word];
            for bit in bitmap::ones(&[row.present[word]]) {
                let step = word * 64 + bit;
                let (vector, scalar) = (row.values[step], scalars.at(step));
                let (left, right) = if self.scalar_left { (scalar, vector) } else { (vector, scalar) };
                if !comparison {
                    row.values[step] = element::scalar(self.op, left, right);
                } else if self.return_bool {
                    row.values[step] = f64::from(u8::from(element::compare(self.op, left, right)));
                } else if !element::compare(self.op, left, right) {
                    kept &= !(1 << bit);
                }
            }
            row.present[word] = kept;
        }
        Ok(())
    }

    fn histograms(
        self,
        scalars: &Scalars,
        histograms: &HistogramRow,
        row: &mut RowMut<'_>,
        query: &QueryContext<'_>,
    ) -> Result<(), QueryError> {
        query.account.charge(histograms.bytes())?;
        for (step, histogram) in histograms.iter() {
            query.work(histogram.sample_weight())?;
            let (vector, scalar) = (Value::Histogram(histogram.clone()), Value::Float(scalars.at(step)));
            let (left, right) = if self.scalar_left { (&scalar, &vector) } else { (&vector, &scalar) };
            match element::samples(self.op, left, right, self.span) {
                Outcome::Refused(annotation) => query.annotate(annotation),
                Outcome::Value { keep, .. } if self.return_bool => {
                    row.set_float(step, f64::from(u8::from(keep)));
                }
                Outcome::Value { value, keep: true, .. } => row.set(step, value),
                Outcome::Value { .. } => {}
            }
        }
        Ok(())
    }
}
