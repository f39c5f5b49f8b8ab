//! `federate`: the newest sample of every selected series, as a page for another Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::ControlFlow;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderValue, Response, header};
use ferula_exposition::Format;
use ferula_exposition::name_escaping::NameEscaping;
use ferula_exposition::negotiation::negotiate;
use ferula_go::float::format_g;
use ferula_model::labels::{METRIC_NAME, is_legacy_metric_name};
use ferula_model::value::is_stale;
use ferula_model::{LabelSet, TimeRange};
use ferula_promql_syntax::parse_metric_selectors;
use ferula_query::Lookup;
use ferula_query::reads::{ReaderKind, RecordingStore};
use ferula_storage::{Hints, Queryable, SeriesSamples, StorageError};
use ferula_telemetry::error;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::distinct;
use super::management::page_answer;
use crate::api::Api;
use crate::compression::Encoding;
use crate::error::{Refusal, RefusalKind};
use crate::request::Request;

/// Memory per series until its line is written: its entry, and a line of typical length.
const ENTRY_BYTES: usize = 3 * size_of::<(LabelSet, (i64, f64))>() + 200;

/// `/federate`
pub fn federate(api: Arc<Api>, request: Request) -> BoxFuture<'static, Response<Body>> {
    async move {
        let (lookup, guard) = match api.queries.admit_lookup().await {
            Ok(admitted) => admitted,
            Err(error) => return Refusal::new(RefusalKind::Unavailable, error).into_answer(),
        };
        let job = tokio::task::spawn_blocking(move || {
            let accepted = request.headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
            let wanted = negotiate(accepted.unwrap_or_default(), &[Format::Text]);
            let page = page(&api, &request, wanted.escaping, &lookup);
            page.map(|page| (page, wanted.content_type(), Encoding::of_request(&request.headers)))
        });
        let mut response = match guard.watch(job).await {
            Ok(Ok((page, content_type, encoding))) => page_answer(page.into_bytes(), &content_type, encoding),
            Ok(Err(refusal)) => refusal.into_answer(),
            Err(err) => {
                error!("federation failed", err = err);
                Refusal::internal().into_answer()
            }
        };
        response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        response
    }
    .boxed()
}

fn page(api: &Api, request: &Request, escaping: NameEscaping, lookup: &Lookup) -> Result<String, Refusal> {
    request
        .form_error()
        .map_err(|why| Refusal::new(RefusalKind::BadRequest, format!("error parsing form values: {why}")))?;
    let sets = parse_metric_selectors(request.params.all("match[]"))
        .map_err(|error| Refusal::new(RefusalKind::BadRequest, error))?;
    let failed = |error: StorageError| {
        api.federation.errors.inc();
        let kind = match error {
            StorageError::NotReady | StorageError::OutOfMemory(_) | StorageError::Stopped => {
                RefusalKind::Unavailable
            }
            _ => RefusalKind::Internal,
        };
        Refusal::new(kind, error)
    };
    let now = api.site.clock.now().millis();
    let lookback = i64::try_from(api.site.settings.lookback_delta.as_millis()).unwrap_or(i64::MAX);
    let range = TimeRange::from_millis(now.saturating_sub(lookback), now);
    let store = RecordingStore::new(&*api.store.local, api.queries.reads(), ReaderKind::Client);
    let mut snapshot = store.snapshot(range).map_err(failed)?;
    let hints = Hints { range: Some(range), sorted: true, ..lookup.hints() };
    let mut selections = Vec::with_capacity(sets.len());
    // `{}` selects nothing here.
    for set in distinct(sets).iter().filter(|set| !set.is_empty()) {
        selections.push(snapshot.select(set, &hints).map_err(failed)?);
    }
    snapshot.freeze().map_err(failed)?;
    // Sorted by labels; one entry for a series that several selectors match.
    let mut newest: BTreeMap<LabelSet, (i64, f64)> = BTreeMap::new();
    for selection in selections {
        let rows = 0..snapshot.series_count(selection);
        let mut ended = None;
        let mut take = |row: usize, samples: &SeriesSamples| {
            if row.is_multiple_of(1024) && lookup.is_ended() {
                ended = Some(StorageError::Stopped);
                return ControlFlow::Break(());
            }
            let floats = &samples.floats;
            // The text format has no native histograms; a series whose newest sample is one is left out.
            let last_histogram = samples.histograms.timestamps.last().copied().unwrap_or(i64::MIN);
            if let (Some(at), Some(value)) = (floats.timestamps.last(), floats.values.last())
                && *at > last_histogram
                && !is_stale(*value)
            {
                let new = newest.insert(snapshot.labels(selection, row), (*at, *value)).is_none();
                if let Err(refused) = lookup.charge(if new { ENTRY_BYTES } else { 0 }) {
                    ended = Some(refused.into());
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        };
        snapshot.read(selection, rows, range, &mut take).map_err(failed)?;
        if let Some(error) = ended {
            return Err(failed(error));
        }
    }
    let external = api.loaded().config.global.external_labels.0.clone();
    Ok(write(&newest, external, escaping))
}

/// Writes the series, by name and then by labels. `instance` is written even if empty, so the scraper does not add its
/// own.
fn write(
    newest: &BTreeMap<LabelSet, (i64, f64)>,
    mut external: BTreeMap<String, String>,
    escaping: NameEscaping,
) -> String {
    external.entry("instance".to_owned()).or_default();
    let mut rows: Vec<(&LabelSet, &(i64, f64))> =
        newest.iter().filter(|(labels, _)| !labels.metric_name().is_empty()).collect();
    rows.sort_by(|a, b| a.0.metric_name().cmp(b.0.metric_name()));
    let mut page = String::new();
    let mut family = "";
    for (labels, (at, value)) in rows {
        let name = escaping.escape(labels.metric_name());
        if labels.metric_name() != family {
            family = labels.metric_name();
            page.push_str("# TYPE ");
            push_name(&mut page, &name);
            page.push_str(" untyped\n");
        }
        // A name that needs quotation marks goes inside the braces, before the labels.
        let inside = !is_legacy_metric_name(&name);
        if inside {
            page.push('{');
        }
        push_name(&mut page, &name);
        let own = labels.iter().filter(|(name, _)| *name != METRIC_NAME);
        let added = external.iter().filter(|(name, _)| labels.get(name).is_none());
        let added = added.map(|(name, value)| (name.as_str(), value.as_str()));
        for (index, (name, value)) in own.chain(added).enumerate() {
            page.push(if index == 0 && !inside { '{' } else { ',' });
            push_name(&mut page, &escaping.escape(name));
            page.push('=');
            push_quoted(&mut page, value);
        }
        // The page has no negative zero.
        let value = if *value == 0.0 { 0.0 } else { *value };
        page.write_fmt(format_args!("}} {} {at}\n", format_g(value)))
            .expect("writing to a String cannot fail");
    }
    page
}

/// Writes a name in the format's syntax: quoted if it is not a legacy name.
fn push_name(page: &mut String, name: &str) {
    if is_legacy_metric_name(name) { page.push_str(name) } else { push_quoted(page, name) }
}

fn push_quoted(page: &mut String, text: &str) {
    page.push('"');
    for c in text.chars() {
        match c {
            '\\' => page.push_str("\\\\"),
            '"' => page.push_str("\\\""),
            '\n' => page.push_str("\\n"),
            c => page.push(c),
        }
    }
    page.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn external_labels_and_an_empty_instance_are_added_where_missing() {
        let series = [
            (LabelSet::from_pairs([("__name__", "up"), ("job", "a\"b"), ("instance", "x")]), (5, 1.0)),
            (LabelSet::from_pairs([("__name__", "a.b"), ("zone", "own")]), (7, 1e6)),
            (LabelSet::from_pairs([("__name__", "zero"), ("zone", "own")]), (7, -0.0)),
            (LabelSet::from_pairs([("nameless", "1")]), (7, 1.0)),
        ];
        let external = BTreeMap::from([("zone".to_owned(), "eu".to_owned())]);
        assert_eq!(
            write(&BTreeMap::from(series.clone()), external.clone(), NameEscaping::Underscores),
            "# TYPE a_b untyped\na_b{zone=\"own\",instance=\"\"} 1e+06 7\n\
             # TYPE up untyped\nup{instance=\"x\",job=\"a\\\"b\",zone=\"eu\"} 1 5\n\
             # TYPE zero untyped\nzero{zone=\"own\",instance=\"\"} 0 7\n"
        );
        let quoted = write(&BTreeMap::from(series), external, NameEscaping::AllowUtf8);
        assert!(
            quoted.starts_with("# TYPE \"a.b\" untyped\n{\"a.b\",zone=\"own\",instance=\"\"} 1e+06 7\n"),
            "{quoted}"
        );
        let labels = LabelSet::from_pairs([("__name__", "m"), ("q\"uote", "1"), ("co:lon", "2")]);
        assert_eq!(
            write(&BTreeMap::from([(labels, (5, 1.0))]), BTreeMap::new(), NameEscaping::AllowUtf8),
            "# TYPE m untyped\nm{co:lon=\"2\",\"q\\\"uote\"=\"1\",instance=\"\"} 1 5\n"
        );
    }
}
