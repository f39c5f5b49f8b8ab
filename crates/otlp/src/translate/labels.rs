//! Labels of resources, scopes and points; the series `target_info`.

use ferula_go::protobuf::{ProtobufError, Reader};
use ferula_go::quote::go_quote;
use ferula_model::labels::{METRIC_NAME, TYPE_LABEL, UNIT_LABEL};
use ferula_model::{LabelSet, LabelSetBuilder, MetricMetadata, MetricType};

use super::{
    Ended, Family, Promotion, Settings, TimeSpan, TranslateError, Translated, TranslatedValue, Translation,
    Warning,
};
use crate::name::NameError;
use crate::point::attributes;
use crate::value::{Attribute, text};

const SERVICE_NAME: &str = "service.name";
const SERVICE_NAMESPACE: &str = "service.namespace";
const SERVICE_INSTANCE: &str = "service.instance.id";
const IDENTIFYING: [&str; 3] = [SERVICE_NAMESPACE, SERVICE_NAME, SERVICE_INSTANCE];

/// More samples than this of one `target_info` are not made at once: those of two weeks.
const TARGET_INFO_SAMPLES_MAX: i64 = 10_000;
const LOOKBACK_MS_DEFAULT: i64 = 5 * 60 * 1000;

/// What a resource adds to the labels of its series.
pub struct ResourceLabels<'a> {
    pub attributes: Vec<Attribute<'a>>,
    job: String,
    instance: String,
    promoted: Vec<(String, String)>,
}

impl<'a> ResourceLabels<'a> {
    /// Reads a `Resource`.
    ///
    /// # Errors
    /// Broken bytes; inside, an attribute whose name cannot be that of a label.
    pub fn read(
        message: &'a [u8],
        settings: &Settings,
    ) -> Result<Result<Self, TranslateError>, ProtobufError> {
        let attributes = attributes(message, 1)?;
        let value =
            |name: &str| attributes.iter().find(|attribute| attribute.name == name).map(Attribute::text);
        let job = match (value(SERVICE_NAMESPACE), value(SERVICE_NAME)) {
            (Some(namespace), Some(name)) => format!("{namespace}/{name}"),
            (_, name) => name.unwrap_or_default(),
        };
        let instance = value(SERVICE_INSTANCE).unwrap_or_default();
        let mut promoted = Vec::new();
        for attribute in attributes.iter().filter(|attribute| settings.promotes.includes(attribute.name)) {
            match settings.naming.label(attribute.name) {
                Ok(name) => promoted.push((name.into_owned(), attribute.text())),
                Err(error) => return Ok(Err(error.into())),
            }
        }
        Ok(Ok(ResourceLabels { attributes, job, instance, promoted }))
    }
}

impl Promotion {
    fn includes(&self, name: &str) -> bool {
        match self {
            Promotion::These(names) => names.contains(name),
            Promotion::AllBut(names) => !names.contains(name),
        }
    }
}

/// What a scope adds to the labels of its series.
pub struct ScopeLabels {
    labels: Vec<(String, String)>,
    /// All that tells the scope from others.
    pub identity: Vec<u8>,
}

impl ScopeLabels {
    /// Reads the scope of a `ScopeMetrics`.
    ///
    /// # Errors
    /// Broken bytes; inside, an attribute whose name cannot be that of a label.
    pub fn read(message: &[u8], settings: &Settings) -> Result<Result<Self, TranslateError>, ProtobufError> {
        let (mut scope, mut schema_url) = (&[][..], "");
        let mut reader = Reader::new(message);
        while let Some((field, value)) = reader.field()? {
            match field {
                1 => scope = value.bytes("ScopeMetrics.scope")?,
                3 => schema_url = text(value.bytes("ScopeMetrics.schema_url")?),
                _ => {}
            }
        }
        let (mut name, mut version) = ("", "");
        let mut reader = Reader::new(scope);
        while let Some((field, value)) = reader.field()? {
            match field {
                1 => name = text(value.bytes("InstrumentationScope.name")?),
                2 => version = text(value.bytes("InstrumentationScope.version")?),
                _ => {}
            }
        }
        let attributes = attributes(scope, 3)?;
        let mut labels = Vec::new();
        if settings.promotes_scope && !name.is_empty() {
            for attribute in &attributes {
                match settings.naming.label(&format!("otel_scope_{}", attribute.name)) {
                    Ok(name) => labels.push((name.into_owned(), attribute.text())),
                    Err(error) => return Ok(Err(error.into())),
                }
            }
            for (label, value) in [
                ("otel_scope_name", name),
                ("otel_scope_version", version),
                ("otel_scope_schema_url", schema_url),
            ] {
                labels.push((label.to_owned(), value.to_owned()));
            }
        }
        Ok(Ok(ScopeLabels { labels, identity: scope.to_vec() }))
    }
}

impl Translation<'_> {
    /// The labels of a point's series but the name.
    pub(super) fn labels(
        &mut self,
        attributes: &[Attribute<'_>],
        family: &Family<'_>,
    ) -> Result<LabelSetBuilder, Ended> {
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
    ) -> Result<LabelSetBuilder, Ended> {
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
    pub(super) fn target_info(&mut self, resource: &ResourceLabels<'_>, span: TimeSpan) -> Result<(), Ended> {
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
        let flushed = self.sink.flush().map_err(Ended::from);
        pushed.and(flushed)
    }

    /// One sample each half lookback delta, so that the series is found at any time between.
    fn push_target_info(
        &mut self,
        labels: &LabelSet,
        metadata: &MetricMetadata,
        span: TimeSpan,
    ) -> Result<(), Ended> {
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
