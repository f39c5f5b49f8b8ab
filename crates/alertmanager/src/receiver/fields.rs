//! Renders fields of a configuration for one notification.

use ferula_config::alertmanager::AnyValue;
use ferula_template::{TemplateError, Value};

use super::NotifyError;
use crate::template::{Data, Templates};

/// Maximum nesting depth of values.
const DEPTH_MAX: usize = 64;

/// Renders fields one by one. After an error, further fields render as empty; the error is checked at the
/// end.
pub(super) struct Fields<'a> {
    templates: &'a Templates,
    dot: Value,
    error: Option<TemplateError>,
}

impl<'a> Fields<'a> {
    pub fn new(templates: &'a Templates, data: &Data) -> Self {
        Fields { templates, dot: data.value(true), error: None }
    }

    pub fn text(&mut self, template: &str) -> String {
        self.render(|templates, dot| templates.text(template, dot))
    }

    pub fn html(&mut self, template: &str) -> String {
        self.render(|templates, dot| templates.html(template, dot))
    }

    fn render(&mut self, run: impl FnOnce(&Templates, &Value) -> Result<String, TemplateError>) -> String {
        if self.error.is_some() {
            return String::new();
        }
        run(self.templates, &self.dot).unwrap_or_else(|error| {
            self.error = Some(error);
            String::new()
        })
    }

    /// Renders all strings of a value. A result that parses as another YAML type (a number, a list) becomes a
    /// value of that type.
    pub fn any(&mut self, value: &AnyValue) -> AnyValue {
        self.any_at(value, 0)
    }

    fn any_at(&mut self, value: &AnyValue, depth: usize) -> AnyValue {
        if depth > DEPTH_MAX {
            let text = format!("values nested more than {DEPTH_MAX} deep");
            self.error.get_or_insert(TemplateError::Limit(text));
            return AnyValue::Null;
        }
        match value {
            AnyValue::Text(template) => {
                let text = self.text(template);
                match AnyValue::parse(&text) {
                    None | Some(AnyValue::Text(_)) => AnyValue::Text(text),
                    Some(value) => self.any_at(&value, depth + 1),
                }
            }
            AnyValue::List(items) => {
                AnyValue::List(items.iter().map(|item| self.any_at(item, depth + 1)).collect())
            }
            AnyValue::Map(map) => {
                let entries = map.iter().map(|(key, value)| (self.text(key), self.any_at(value, depth + 1)));
                AnyValue::Map(entries.collect())
            }
            other => other.clone(),
        }
    }

    /// Checks whether all fields so far could be rendered.
    ///
    /// # Errors
    /// The first error, preceded by `prefix`.
    pub fn check(&mut self, prefix: &str) -> Result<(), NotifyError> {
        match self.error.take() {
            None => Ok(()),
            Some(error) => Err(NotifyError::fatal(format!("{prefix}{error}"))),
        }
    }

    /// Renders a field whose errors have a prefix of their own.
    ///
    /// # Errors
    /// See [`Fields::check`].
    pub fn checked(&mut self, template: &str, prefix: &str) -> Result<String, NotifyError> {
        let text = self.text(template);
        self.check(prefix).map(|()| text)
    }
}
