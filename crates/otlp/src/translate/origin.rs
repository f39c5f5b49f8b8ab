//! What the resource and the scope of a metric add to its labels.

use ferula_go::protobuf::{ProtobufError, Reader};

use super::error::TranslateError;
use super::settings::Settings;
use crate::point::attributes;
use crate::value::{Attribute, text};

const SERVICE_NAME: &str = "service.name";
const SERVICE_NAMESPACE: &str = "service.namespace";
const SERVICE_INSTANCE: &str = "service.instance.id";
/// The attributes that become `job` and `instance`.
pub(super) const IDENTIFYING: [&str; 3] = [SERVICE_NAMESPACE, SERVICE_NAME, SERVICE_INSTANCE];

/// What a resource adds to the labels of its series.
pub struct ResourceLabels<'a> {
    pub attributes: Vec<Attribute<'a>>,
    pub(super) job: String,
    pub(super) instance: String,
    pub(super) promoted: Vec<(String, String)>,
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

/// What a scope adds to the labels of its series.
pub struct ScopeLabels {
    pub(super) labels: Vec<(String, String)>,
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
