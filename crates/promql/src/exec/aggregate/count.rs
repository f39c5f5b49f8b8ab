//! `count` and `group`: samples of both kinds.

use super::fold::Fold;
use crate::QueryError;
use crate::exec::batch::{RowMut, RowRef};
use crate::exec::context::QueryContext;

/// `count`, or a constant where there is any sample.
pub(super) struct Count {
    pub constant: Option<f64>,
}

impl Fold for Count {
    /// How many samples each step has.
    type State = Vec<f64>;

    fn empty(&self, steps: usize, _query: &QueryContext<'_>) -> Result<Vec<f64>, QueryError> {
        Ok(vec![0.0; steps])
    }

    fn state_bytes(&self, steps: usize) -> usize {
        steps.saturating_mul(8)
    }

    fn add(
        &mut self,
        counts: &mut Vec<f64>,
        row: RowRef<'_>,
        _metric_name: &str,
        query: &QueryContext<'_>,
    ) -> Result<(), QueryError> {
        query.each_one(row.present, |step| counts[step] += 1.0)?;
        query.work(row.histograms.map_or(0, |row| row.steps.len()))?;
        for &step in row.histograms.into_iter().flat_map(|row| &row.steps) {
            counts[step as usize] += 1.0;
        }
        Ok(())
    }

    fn finish(
        &mut self,
        counts: Vec<f64>,
        out: &mut RowMut<'_>,
        query: &QueryContext<'_>,
    ) -> Result<(), QueryError> {
        for (step, count) in counts.into_iter().enumerate() {
            query.work(1)?;
            if count > 0.0 {
                out.set_float(step, self.constant.unwrap_or(count));
            }
        }
        Ok(())
    }
}
