//! Why a configuration was refused: Prometheus' words, then the place.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::yaml::tree::{Step, Tree, show_path};

/// A check that failed while a document was read, with the path to the part that is wrong.
#[derive(Debug)]
pub(crate) struct Problem {
    pub text: String,
    pub path: Vec<Step>,
}

impl Problem {
    pub fn new(text: impl Into<String>) -> Self {
        Problem { text: text.into(), path: Vec::new() }
    }

    /// The same problem, below `key`.
    pub fn at(mut self, key: &str) -> Self {
        self.path.insert(0, Step::Key(key.to_owned()));
        self
    }

    /// The same problem, in item `index` of `key`.
    pub fn at_item(mut self, key: &str, index: usize) -> Self {
        self.path.splice(0..0, [Step::Key(key.to_owned()), Step::Index(index)]);
        self
    }
}

impl<S: Into<String>> From<S> for Problem {
    fn from(text: S) -> Self {
        Problem::new(text)
    }
}

/// Why a configuration or rule file was refused.
///
/// The text up to the bracket is what Prometheus prints; the bracket adds line and key where Prometheus names none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    file: Option<PathBuf>,
    naming: Naming,
    text: String,
    place: Option<ConfigLocation>,
    /// The key that an unknown one was probably meant to be.
    suggestion: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Naming {
    /// `parsing YAML file F: text`
    ParsingFile,
    /// `"F": text`
    Quoted,
    /// The text names the file itself.
    None,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigLocation {
    /// Counted from 1.
    pub line: u32,
    /// The path from the top of the file, such as `scrape_configs[0].job_name`.
    pub path: String,
}

impl ConfigError {
    pub(crate) fn bare(text: impl Into<String>) -> Self {
        ConfigError { file: None, naming: Naming::None, text: text.into(), place: None, suggestion: None }
    }

    pub(crate) fn of_problem(problem: &Problem, tree: &Tree) -> Self {
        let place = (!problem.path.is_empty())
            .then(|| ConfigLocation { line: tree.line_of(&problem.path), path: show_path(&problem.path) });
        ConfigError { place, ..Self::bare(problem.text.clone()) }
    }

    pub(crate) fn with_suggestion(mut self, key: Option<String>) -> Self {
        self.suggestion = key;
        self
    }

    /// The key that an unknown one was probably meant to be. It is not part of the text, which programs compare with
    /// Prometheus'.
    pub fn suggestion(&self) -> Option<&str> {
        self.suggestion.as_deref()
    }

    pub(crate) fn in_file(mut self, file: &Path, naming: Naming) -> Self {
        self.file = Some(file.to_owned());
        self.naming = naming;
        self
    }

    /// The file that was refused, if there is one.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Line and key, unless the text has the line itself.
    pub fn place(&self) -> Option<&ConfigLocation> {
        self.place.as_ref()
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.naming) {
            (Some(file), Naming::ParsingFile) => write!(f, "parsing YAML file {}: ", file.display())?,
            (Some(file), Naming::Quoted) => {
                write!(f, "{}: ", ferula_go::quote::go_quote(&file.to_string_lossy()))?;
            }
            _ => {}
        }
        f.write_str(&self.text)?;
        match &self.place {
            Some(place) => write!(f, " (line {}: {})", place.line, place.path),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ConfigError {}
