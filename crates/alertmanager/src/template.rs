//! Notification templates: the default definitions, custom files, and the template texts of a configuration.
//!
//! ```text
//! default.tmpl, email.tmpl, files of `templates` ─▶ one set of names
//! a field of the configuration ─ parsed into it ─▶ text, or HTML with contextual escaping
//! ```
//!
//! Here: the set of templates, and rendering. Below: data, functions and times that templates can use. The
//! template language is in `ferula-template`.
//!
//! Always true: every rendering is bounded in steps, depth and bytes.

mod data;
mod functions;
mod time;

use std::path::Path;

use ferula_config::glob;
use ferula_runtime::SharedClock;
use ferula_template::{FunctionMap, Limits, Template, TemplateError, Value};

pub use self::data::{Data, DataAlert, DataJsonError};
pub(crate) use self::time::TimeValue;

/// Limits of one rendering. A group may contain very many alerts.
const LIMITS: Limits = Limits { steps: 20_000_000, output_bytes: 16 << 20, depth: 250 };

const DEFAULTS: [&str; 2] = [include_str!("template/default.tmpl"), include_str!("template/email.tmpl")];

/// Named templates, ready to render texts that use them.
#[derive(Clone, Debug)]
pub struct Templates {
    set: Template,
    functions: FunctionMap,
    external_url: String,
}

/// Why templates cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum TemplatesError {
    #[error("open {file}: {error}")]
    File { file: String, error: std::io::Error },
    /// Go's text, which begins with the file name.
    #[error("{0}")]
    Parse(#[from] TemplateError),
}

impl Templates {
    /// Loads the defaults and the files that match the patterns; later definitions replace earlier ones.
    ///
    /// # Errors
    /// A file cannot be read, or is not a valid template.
    pub fn load(
        patterns: &[String],
        external_url: &str,
        clock: &SharedClock,
    ) -> Result<Self, TemplatesError> {
        let functions = functions::functions(clock);
        let mut set = Template::default();
        for text in DEFAULTS {
            set.add("", text, &functions)?;
        }
        for file in patterns.iter().flat_map(|pattern| glob(pattern)) {
            let text =
                std::fs::read(&file).map_err(|error| TemplatesError::File { file: file.clone(), error })?;
            let name =
                Path::new(&file).file_name().map_or(file.as_str().into(), |name| name.to_string_lossy());
            set.add(&name, &String::from_utf8_lossy(&text), &functions)?;
        }
        Ok(Templates { set, functions, external_url: external_url.to_owned() })
    }

    /// The named defaults alone, for when files that redefine them do not work.
    pub(crate) fn built_in(external_url: &str) -> &'static Templates {
        static BUILT_IN: std::sync::OnceLock<Templates> = std::sync::OnceLock::new();
        BUILT_IN.get_or_init(|| {
            let clock = ferula_runtime::RealClock::shared();
            Templates::load(&[], external_url, &clock).expect("the defaults are templates")
        })
    }

    /// Errors of all files that match the patterns, each with the file's whole name.
    pub fn check_files(patterns: &[String], clock: &SharedClock) -> Vec<(String, TemplatesError)> {
        let functions = functions::functions(clock);
        let mut problems = Vec::new();
        for file in patterns.iter().flat_map(|pattern| glob(pattern)) {
            let text = match std::fs::read(&file) {
                Ok(text) => text,
                Err(error) => {
                    problems.push((file.clone(), TemplatesError::File { file, error }));
                    continue;
                }
            };
            let name =
                Path::new(&file).file_name().map_or(file.as_str().into(), |name| name.to_string_lossy());
            let parsed = Template::parse(&name, &String::from_utf8_lossy(&text), &functions);
            if let Err(error) = parsed {
                problems.push((file, error.into()));
            }
        }
        problems
    }

    /// The external URL of this Alertmanager.
    pub fn external_url(&self) -> &str {
        &self.external_url
    }

    /// Renders plain text.
    ///
    /// # Errors
    /// Go's text for what is wrong and where.
    pub fn text(&self, text: &str, data: &Value) -> Result<String, TemplateError> {
        self.render(text, data, false)
    }

    /// Renders HTML: the output of actions is escaped according to its context.
    ///
    /// # Errors
    /// Go's text for what is wrong and where.
    pub fn html(&self, text: &str, data: &Value) -> Result<String, TemplateError> {
        self.render(text, data, true)
    }

    fn render(&self, text: &str, data: &Value, is_html: bool) -> Result<String, TemplateError> {
        if text.is_empty() {
            return Ok(String::new());
        }
        // Most fields are plain text.
        if !is_html && !text.contains("{{") {
            return Ok(text.to_owned());
        }
        let mut set = self.set.clone();
        set.add("", text, &self.functions)?;
        if is_html {
            set = set.escaped()?;
        }
        set.execute(data, &self.functions, &LIMITS)
    }
}
