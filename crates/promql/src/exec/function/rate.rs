//! `rate`, `increase`, `delta`, `irate`, `idelta`.

use crate::Annotation;
use crate::exec::select::window::RangeCall;

/// An info for metrics that do not look like counters.
pub(crate) fn annotate_non_counter(call: &RangeCall<'_>) {
    let name = call.metric_name();
    if name.is_empty() {
        return;
    }
    if call.query.features.type_and_unit_labels {
        let kind = call.labels.value("__type__");
        if kind != "counter" && kind != "histogram" {
            call.query.annotate(Annotation::possible_non_counter_label(name, kind, call.span));
        }
    } else if !["_total", "_sum", "_count", "_bucket"].iter().any(|suffix| name.ends_with(suffix)) {
        call.query.annotate(Annotation::possible_non_counter(name, call.span));
    }
}
