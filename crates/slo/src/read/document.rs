//! The YAML documents of a file, whose errors name the line in the file.

use serde::de::DeserializeOwned;

use crate::error::SpecError;
use crate::objective::ObjectiveError;

/// A document of the file, and the number of lines before it.
#[derive(Clone, Copy)]
pub(super) struct Document<'a> {
    text: &'a str,
    lines_before: usize,
}

impl Document<'_> {
    pub(super) fn first_line(&self) -> usize {
        let blank = self.text.lines().take_while(|line| is_blank(line)).count();
        self.lines_before + blank + 1
    }

    pub(super) fn decode<T: DeserializeOwned>(&self) -> Result<T, SpecError> {
        serde_yaml::from_str(self.text).map_err(|error| {
            let line = error.location().map_or(self.first_line(), |place| self.lines_before + place.line());
            // The YAML library adds "at line 3 column 5" relative to the document, which would mislead.
            let text = error.to_string();
            let text = text.split(" at line ").next().unwrap_or_default().to_owned();
            SpecError::Yaml { line, text }
        })
    }

    /// The line of an objective, found by its name: the YAML libraries keep no positions of accepted values.
    pub(super) fn line_of(&self, name: &str) -> usize {
        let named = |line: &str| {
            let entry = line.trim_start().trim_start_matches("- ").trim_start();
            entry.strip_prefix("name:").is_some_and(|value| value.trim().trim_matches(['"', '\'']) == name)
        };
        self.text.lines().position(named).map_or(self.first_line(), |index| self.lines_before + index + 1)
    }

    /// An error of the objective with this name.
    pub(super) fn wrong(&self, name: &str, error: ObjectiveError) -> SpecError {
        SpecError::Objective { line: self.line_of(name), name: name.to_owned(), error }
    }
}

/// Splits at lines of `---`, and skips documents that contain only comments.
pub(super) fn documents(text: &str) -> Vec<Document<'_>> {
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

fn is_blank(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with('#') || line == "---"
}
