//! Selectors and subqueries, straight from the lists of samples.

use ferula_model::value::is_stale;
use ferula_promql_syntax::ast::{
    AtModifier, DurationValue, MatrixSelector, Subquery, TimeShift, VectorSelector,
};

use super::{Element, Failure, Oracle, Sample, Series, Steps, Value};

/// An element of an instant selector, and the time of its sample.
pub struct SelectedElement {
    pub element: Element,
    pub timestamp: i64,
}

fn stale(sample: &Sample) -> bool {
    match sample {
        Sample::Float(value) => is_stale(*value),
        Sample::Histogram(histogram) => is_stale(histogram.sum),
    }
}

pub fn millis(duration: &DurationValue) -> Result<i64, Failure> {
    match duration {
        DurationValue::Millis(ms) => Ok(*ms),
        DurationValue::Expr(_) => Err("duration expressions are not asked of the oracle".to_owned()),
    }
}

impl Oracle<'_> {
    /// The moment that `offset` and `@` make of a step.
    pub fn moment(&self, shift: &TimeShift, time: i64) -> i64 {
        let base = match shift.at {
            None => time,
            Some(AtModifier::Time(at)) => at.millis(),
            Some(AtModifier::Start) => self.query.start,
            Some(AtModifier::End) => self.query.end,
        };
        let offset = shift.offset.as_ref().map_or(0, |offset| millis(offset).unwrap_or(0));
        base - offset
    }

    fn matching<'s>(&'s self, selector: &'s VectorSelector) -> impl Iterator<Item = &'s Series> {
        self.series.iter().filter(|series| {
            selector.matchers.iter().all(|matcher| matcher.matches(series.labels.value(&matcher.name)))
        })
    }

    pub fn instant(&self, selector: &VectorSelector, time: i64) -> Vec<SelectedElement> {
        let moment = self.moment(&selector.at, time);
        self.newest(selector, moment, moment)
    }

    /// The samples that `timestamp` looks at: with `@`, the offset moves what is read, and not the moment.
    pub fn timed(&self, selector: &VectorSelector, time: i64) -> Vec<SelectedElement> {
        let read = self.moment(&selector.at, time);
        let moment = match selector.at.at {
            Some(_) => self.moment(&TimeShift { offset: None, ..selector.at.clone() }, time),
            None => read,
        };
        self.newest(selector, moment.max(read), moment.min(read))
    }

    /// The newest sample of each series up to `end` that is within the lookback delta of `moment`.
    fn newest(&self, selector: &VectorSelector, moment: i64, end: i64) -> Vec<SelectedElement> {
        let mut found = Vec::new();
        for series in self.matching(selector) {
            let newest = series.samples.iter().rfind(|(timestamp, _)| *timestamp <= end);
            if let Some((timestamp, sample)) = newest
                && *timestamp > moment - self.lookback
                && !stale(sample)
            {
                let element = Element { labels: series.labels.clone(), sample: sample.clone() };
                found.push(SelectedElement { element, timestamp: *timestamp });
            }
        }
        found
    }

    pub fn range(&self, matrix: &MatrixSelector, time: i64) -> Result<Vec<Series>, Failure> {
        let moment = self.moment(&matrix.selector.at, time);
        let range = millis(&matrix.range)?;
        let mut all = Vec::new();
        for series in self.matching(&matrix.selector) {
            let inside = |timestamp: i64| moment - range < timestamp && timestamp <= moment;
            let samples: Vec<_> = series
                .samples
                .iter()
                .filter(|(timestamp, sample)| inside(*timestamp) && !stale(sample))
                .cloned()
                .collect();
            if !samples.is_empty() {
                all.push(Series { labels: series.labels.clone(), samples });
            }
        }
        Ok(all)
    }

    /// The inner steps of a subquery for all steps of the outer query together.
    fn inner_steps(&self, subquery: &Subquery, steps: Steps) -> Result<Steps, Failure> {
        let range = millis(&subquery.range)?;
        let step = match &subquery.step {
            Some(step) => millis(step)?,
            None => self.default_step,
        };
        let open = self.moment(&subquery.at, steps.start) - range;
        let start = (open.div_euclid(step) + 1) * step;
        Ok(Steps { start, end: self.moment(&subquery.at, steps.last()), step })
    }

    pub fn subquery(&self, subquery: &Subquery, time: i64, steps: Steps) -> Result<Vec<Series>, Failure> {
        let inner_steps = self.inner_steps(subquery, steps)?;
        let moment = self.moment(&subquery.at, time);
        let range = millis(&subquery.range)?;
        let mut all: Vec<Series> = Vec::new();
        for at in inner_steps.times().filter(|at| moment - range < *at && *at <= moment) {
            let elements = match self.eval(&subquery.expr, at, inner_steps)? {
                Value::Vector(elements) => elements,
                _ => return Err("a subquery of something that is no vector".to_owned()),
            };
            for element in elements {
                let labels = element.labels;
                let index = match all.iter().position(|series| series.labels == labels) {
                    Some(index) => index,
                    None => {
                        all.push(Series { labels, samples: Vec::new() });
                        all.len() - 1
                    }
                };
                all[index].samples.push((at, element.sample));
            }
        }
        Ok(all)
    }
}
