//! The labels of points; the series `target_info`.

use ferula_go::quote::go_quote;
use ferula_model::labels::{METRIC_NAME, TYPE_LABEL, UNIT_LABEL};
use ferula_model::{LabelSet, LabelSetBuilder, MetricMetadata, MetricType};

use super::error::TranslateError;
use super::origin::{IDENTIFYING, ResourceLabels};
use super::{EarlyEnd, Family, TimeSpan, Translated, TranslatedValue, Translation, Warning};
use crate::name::NameError;
use crate::value::Attribute;

/// More samples than this of one `target_info` are not made at once: those of two weeks.
const TARGET_INFO_SAMPLES_MAX: i64 = 10_000;
const LOOKBACK_MS_DEFAULT: i64 = 5 * 60 * 1000;

impl Translation<'_> {
    /// The labels of a point's series but the name.
    pub(super) fn labels(
        &mut self,
        attributes: &[Attribute<'_>],
        family: &Family<'_>,
    ) -> Result<LabelSetBuilder, EarlyEnd> {
        let promoted = &family.resource.promoted;
        self.all_labels(attributes, &[METRIC_NAME], family, promoted, "data point")
    }

    fn all_labels(
        &mut self,
        attributes: &[Attribute<'_>],
        ignored: &[&str],
        family: &Family<'_>,
        promoted: &[(String, String)],
        whose: &str,
    ) -> Result<LabelSetBuilder, EarlyEnd> {
        // In order of their names, so that values of names that become equal are joined always the same way.
        let mut sorted: Vec<&Attribute<'_>> =
            attributes.iter().filter(|attribute| !ignored.contains(&attribute.name)).collect();
        sorted.sort_by_key(|attribute| attribute.name);
        let mut builder = LabelSetBuilder::new();
        for attribute in &sorted {
            let value = attribute.text();
            if !self.settings.naming.escapes {
                if attribute.name.is_empty() {
                    return Err(NameError::EmptyLabel.into());
                }
                builder.set(attribute.name, &value);
                continue;
            }
            let name = self.settings.naming.label(attribute.name)?;
            let before = builder.value(&name);
            if before.is_empty() {
                builder.set(&name, &value);
            } else {
                let joined = format!("{before};{value}");
                builder.set(&name, &joined);
                self.warn_of_collision(&sorted, &name, whose);
            }
        }
        for (name, value) in promoted {
            if builder.value(name).is_empty() {
                builder.set(name, value);
            }
        }
        for (name, value) in [("job", &family.resource.job), ("instance", &family.resource.instance)] {
            if !value.is_empty() {
                builder.set(name, value);
            }
        }
        for (name, value) in family.scope.iter().flat_map(|scope| &scope.labels) {
            builder.set(name, value);
        }
        Ok(builder)
    }

    /// Adds the labels of type and unit, if they are asked for.
    pub(super) fn add_metadata_labels(&self, builder: &mut LabelSetBuilder, metadata: &MetricMetadata) {
        if !self.settings.type_and_unit_labels {
            return;
        }
        if metadata.kind != MetricType::Unknown {
            builder.set(TYPE_LABEL, metadata.kind.as_str());
        }
        if !metadata.unit.is_empty() {
            builder.set(UNIT_LABEL, &metadata.unit);
        }
    }

    fn warn_of_collision(&mut self, attributes: &[&Attribute<'_>], name: &str, whose: &str) {
        if !self.collided.insert(name.to_owned()) {
            return;
        }
        let is_same = |attribute: &&&Attribute<'_>| {
            self.settings.naming.label(attribute.name).is_ok_and(|other| other == name)
        };
        let names: Vec<String> =
            attributes.iter().filter(is_same).map(|attribute| go_quote(attribute.name)).collect();
        let text = format_args!(
            "OTLP {whose} attributes {} collide as label {} after name sanitization, values are concatenated with ';'",
            names.join(", "),
            go_quote(name)
        );
        self.sink.warn(Warning::LabelNameCollision, text);
    }

    /// The series `target_info` of a resource, from its first point to its last.
    pub(super) fn target_info(
        &mut self,
        resource: &ResourceLabels<'_>,
        span: TimeSpan,
    ) -> Result<(), EarlyEnd> {
        let is_identifying = |attribute: &&Attribute<'_>| IDENTIFYING.contains(&attribute.name);
        let identifying = IDENTIFYING
            .iter()
            .filter(|name| resource.attributes.iter().any(|attribute| attribute.name == **name))
            .count();
        if resource.attributes.len() == identifying
            || resource.attributes.iter().filter(|attribute| !is_identifying(attribute)).count() == 0
        {
            return Ok(());
        }
        let family = Family {
            name: "target_info".to_owned(),
            metadata: MetricMetadata {
                kind: MetricType::Gauge,
                unit: String::new(),
                help: "Target metadata".to_owned(),
            },
            resource,
            scope: None,
            is_delta: false,
        };
        let ignored: &[&str] = if self.settings.keeps_identifying { &[] } else { &IDENTIFYING };
        let mut builder = self.all_labels(&resource.attributes, ignored, &family, &[], "resource")?;
        if builder.value("job").is_empty() && builder.value("instance").is_empty() {
            return Ok(());
        }
        builder.set(METRIC_NAME, &family.name);
        let labels = builder.finish();
        let pushed = self.push_target_info(&labels, &family.metadata, span);
        let flushed = self.sink.flush().map_err(EarlyEnd::from);
        pushed.and(flushed)
    }

    /// One sample each half lookback delta, so that the series is found at any time between.
    fn push_target_info(
        &mut self,
        labels: &LabelSet,
        metadata: &MetricMetadata,
        span: TimeSpan,
    ) -> Result<(), EarlyEnd> {
        let lookback_ms =
            if self.settings.lookback_ms > 0 { self.settings.lookback_ms } else { LOOKBACK_MS_DEFAULT };
        let interval = (lookback_ms / 2).max(1).saturating_mul(1_000_000);
        let (mut time, last) = (span.first as i64, span.last as i64);
        if last.saturating_sub(time) / interval > TARGET_INFO_SAMPLES_MAX {
            return Err(TranslateError::TooFarApart.into());
        }
        loop {
            let at = time.min(last);
            self.sink.push(Translated {
                labels,
                start_ms: 0,
                at_ms: at.div_euclid(1_000_000),
                value: TranslatedValue::Float(1.0),
                exemplars: Vec::new(),
                metadata,
            })?;
            if time >= last {
                return Ok(());
            }
            time = time.saturating_add(interval);
        }
    }
}
