//! Reads a file of objectives: detects the format of each document and locates errors.

mod openslo;
mod sloth;

use std::collections::{BTreeMap, HashSet};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::SpecError;
use crate::objective::{Objective, ObjectiveError};

/// Values for settings that a file does not contain.
#[derive(Debug, Clone, Default)]
pub struct ReadOptions {
    /// The period for formats that do not state one.
    pub period_millis: i64,
    /// Labels added to every recorded series; the file's own labels take precedence.
    pub extra_labels: BTreeMap<String, String>,
}

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

/// A document of the file, and the number of lines before it.
#[derive(Clone, Copy)]
struct Document<'a> {
    text: &'a str,
    lines_before: usize,
}

impl Document<'_> {
    fn first_line(&self) -> usize {
        let blank = self.text.lines().take_while(|line| is_blank(line)).count();
        self.lines_before + blank + 1
    }

    fn decode<T: DeserializeOwned>(&self) -> Result<T, SpecError> {
        serde_yaml::from_str(self.text).map_err(|error| {
            let line = error.location().map_or(self.first_line(), |place| self.lines_before + place.line());
            // The YAML library adds "at line 3 column 5" relative to the document, which would mislead.
            let text = error.to_string();
            let text = text.split(" at line ").next().unwrap_or_default().to_owned();
            SpecError::Yaml { line, text }
        })
    }

    /// The line of an objective, found by its name: the YAML libraries keep no positions of accepted values.
    fn line_of(&self, name: &str) -> usize {
        let named = |line: &str| {
            let entry = line.trim_start().trim_start_matches("- ").trim_start();
            entry.strip_prefix("name:").is_some_and(|value| value.trim().trim_matches(['"', '\'']) == name)
        };
        self.text.lines().position(named).map_or(self.first_line(), |index| self.lines_before + index + 1)
    }

    fn wrong(&self, name: &str, text: impl Into<String>) -> SpecError {
        SpecError::Objective {
            line: self.line_of(name),
            name: name.to_owned(),
            error: ObjectiveError::Written(text.into()),
        }
    }
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
            let wrong = |error| SpecError::Objective {
                line: document.line_of(&objective.name),
                name: objective.name.clone(),
                error,
            };
            objective.check().map_err(wrong)?;
            if !ids.insert(objective.id.clone()) {
                return Err(SpecError::Twice { line: document.line_of(&objective.name), id: objective.id });
            }
            objectives.push(objective);
        }
    }
    if objectives.is_empty() { Err(SpecError::Empty) } else { Ok(objectives) }
}

fn is_blank(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with('#') || line == "---"
}

/// Splits at lines of `---`, and skips documents that contain only comments.
fn documents(text: &str) -> Vec<Document<'_>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut documents = Vec::new();
    let (mut start, mut start_line, mut offset, mut line_number) = (0, 0, 0, 0);
    for line in text.split_inclusive('\n') {
        line_number += 1;
        if line.trim_end() == "---" {
            documents.push(Document { text: &text[start..offset], lines_before: start_line });
            start = offset + line.len();
            start_line = line_number;
        }
        offset += line.len();
    }
    documents.push(Document { text: &text[start..], lines_before: start_line });
    documents.retain(|document| document.text.lines().any(|line| !is_blank(line)));
    documents
}

#[cfg(test)]
mod tests;
