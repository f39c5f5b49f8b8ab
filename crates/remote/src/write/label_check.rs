//! Checks the labels of a series.

use ferula_model::labels::METRIC_NAME;

use super::message::RawLabel;

/// Why the labels of a series are invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum LabelProblem {
    #[error("not UTF-8")]
    NotUtf8,
    #[error("no metric name")]
    NoMetricName,
    #[error("empty metric name")]
    EmptyMetricName,
    #[error("empty label name")]
    EmptyLabelName,
    #[error("duplicate label name")]
    DuplicateLabelName,
}

/// The labels as text, sorted by name, if they fulfil Prometheus' requirements on series.
pub(super) fn check_labels<'a>(labels: &[RawLabel<'a>]) -> Result<Vec<(&'a str, &'a str)>, LabelProblem> {
    let text = |bytes: &'a [u8]| std::str::from_utf8(bytes).map_err(|_| LabelProblem::NotUtf8);
    let labels: Vec<(&str, &str)> = labels
        .iter()
        .map(|(name, value)| Ok((text(name)?, text(value)?)))
        .collect::<Result<_, LabelProblem>>()?;
    match labels.iter().find(|(name, _)| *name == METRIC_NAME) {
        None => return Err(LabelProblem::NoMetricName),
        Some((_, "")) => return Err(LabelProblem::EmptyMetricName),
        Some(_) => {}
    }
    if labels.iter().any(|(name, _)| name.is_empty()) {
        return Err(LabelProblem::EmptyLabelName);
    }
    if labels.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return Err(LabelProblem::DuplicateLabelName);
    }
    Ok(labels)
}
