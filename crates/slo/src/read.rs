//! Reads a file of objectives: detects the format of each document and locates errors.

mod document;
mod openslo;
mod options;
mod sloth;

use std::collections::HashSet;

use serde::Deserialize;

use self::document::documents;
pub use self::options::ReadOptions;
use crate::error::SpecError;
use crate::objective::Objective;

/// A document, before its format is known.
#[derive(Deserialize, Default)]
struct Head {
    #[serde(default)]
    version: Option<String>,
    #[serde(default, rename = "apiVersion")]
    api_version: Option<String>,
    #[serde(default)]
    kind: Option<String>,
}

/// Reads all objectives of a file, which may contain several YAML documents.
///
/// # Errors
/// The first error, with its line.
pub fn read(text: &str, options: &ReadOptions) -> Result<Vec<Objective>, SpecError> {
    let mut objectives: Vec<Objective> = Vec::new();
    let mut ids = HashSet::new();
    for document in documents(text) {
        let head: Head = document.decode()?;
        let of = |version: &str, kind: &str| {
            head.api_version.as_deref() == Some(version) && head.kind.as_deref() == Some(kind)
        };
        let read = if head.version.as_deref() == Some(sloth::VERSION) {
            sloth::read(document, options)?
        } else if of(sloth::API_VERSION, "PrometheusServiceLevel") {
            sloth::read_resource(document, options)?
        } else if of(openslo::API_VERSION, "SLO") {
            openslo::read(document, options)?
        } else {
            return Err(SpecError::UnknownFormat { line: document.first_line() });
        };
        for mut objective in read {
            let own = std::mem::replace(&mut objective.labels, options.extra_labels.clone());
            objective.labels.extend(own);
            objective.check().map_err(|error| document.wrong(&objective.name, error))?;
            if !ids.insert(objective.id.clone()) {
                return Err(SpecError::Twice { line: document.line_of(&objective.name), id: objective.id });
            }
            objectives.push(objective);
        }
    }
    if objectives.is_empty() { Err(SpecError::Empty) } else { Ok(objectives) }
}

#[cfg(test)]
mod tests;
