//! Renders fields of a configuration for one notification.

use ferula_config::alertmanager::AnyValue;
use ferula_template::{TemplateError, Value};

use super::listing::{plain_listing, plain_title};
use super::rendering::{Rendering, Role, TemplateFault};
use super::{Notification, NotifyError};
use crate::template::{Data, Templates};

/// Maximum nesting depth of values.
const DEPTH_MAX: usize = 64;
/// Services cut longer texts, so what must be read is at the beginning.
const LONG_TEXT_BYTES: usize = 700;

/// Renders fields one by one. After an error, further fields render as empty; the error is checked at the
/// end.
pub(super) struct Fields<'a> {
    templates: &'a Templates,
    rendering: Option<&'a Rendering>,
    data: &'a Data,
    dot: Value,
    /// An error for which there is no replacement.
    error: Option<TemplateError>,
}

impl<'a> Fields<'a> {
    pub fn new(templates: &'a Templates, data: &'a Data, notification: &Notification<'a>) -> Self {
        Fields { templates, rendering: notification.rendering, data, dot: data.value(true), error: None }
    }

    pub fn text(&mut self, template: &str) -> String {
        self.field(template, false, None).0
    }

    pub fn html(&mut self, template: &str) -> String {
        self.field(template, true, None).0
    }

    fn run(&self, templates: &Templates, text: &str, is_html: bool) -> Result<String, TemplateError> {
        if is_html { templates.html(text, &self.dot) } else { templates.text(text, &self.dot) }
    }

    /// The field's text, and whether it replaces one that failed. `role` is that of a text that is not in a field.
    fn field(&mut self, template: &str, is_html: bool, role: Option<Role>) -> (String, bool) {
        if self.error.is_some() {
            return (String::new(), false);
        }
        let rendered = self.run(self.templates, template, is_html);
        let Some(rendering) = self.rendering else {
            let text = rendered.unwrap_or_else(|error| {
                self.error = Some(error);
                String::new()
            });
            return (text, false);
        };
        let field = rendering.catalog().field(template);
        let is_main = field.is_some_and(|field| field.is_main);
        let (mut text, has_failed) = match rendered {
            Ok(text) => (text, false),
            Err(error) => {
                let path = field.map_or("a value", |field| field.path.as_str());
                rendering.note(TemplateFault { field: path.to_owned(), error: error.to_string() });
                let role = field.map(|field| field.role).or(role).unwrap_or(Role::Address);
                if role == Role::Address {
                    return match rendering.sample_address() {
                        Some(sample) => (sample.to_owned(), true),
                        None => {
                            self.error = Some(error);
                            (String::new(), false)
                        }
                    };
                }
                let default = field.and_then(|field| field.default.as_deref());
                let default = default.filter(|default| *default != template);
                (self.stand_in(default, template, role, is_main, is_html), true)
            }
        };
        let names_errors =
            is_main || has_failed && role_is_text(field, role) && !rendering.catalog().has_main();
        if names_errors && let Some(error_note) = rendering.error_note() {
            let error_note = if is_html { escaped(&error_note) } else { error_note };
            text = match text.len() {
                0 => error_note,
                1..LONG_TEXT_BYTES => format!("{text}\n{error_note}"),
                _ if is_html => format!("{text}\n{error_note}"),
                _ => format!("{error_note}\n{text}"),
            };
        }
        (text, has_failed)
    }

    /// What replaces a field that failed.
    fn stand_in(&self, default: Option<&str>, own: &str, role: Role, is_main: bool, is_html: bool) -> String {
        let built_in = Templates::built_in(self.templates.external_url());
        // The failure may be in a default template that was redefined.
        let pristine = default.unwrap_or(own);
        let tries = [default.map(|text| (self.templates, text)), default.map(|_| (built_in, pristine))];
        for (templates, text) in tries.into_iter().flatten() {
            match self.run(templates, text, is_html) {
                Ok(text) if !(is_main && text.trim().is_empty()) => return text,
                _ => {}
            }
        }
        if default.is_none()
            && own.contains("template \"")
            && let Ok(text) = self.run(built_in, own, is_html)
            && !text.trim().is_empty()
        {
            return text;
        }
        match role {
            Role::Address | Role::Short => String::new(),
            Role::Title => plain_title(self.data),
            Role::Text if is_html => format!("<pre>{}</pre>", escaped(&plain_listing(self.data))),
            Role::Text => plain_listing(self.data),
        }
    }

    /// A text about fields that failed, for services that have a separate place for it.
    pub fn error_note(&self) -> Option<String> {
        self.rendering?.error_note()
    }

    /// Whether fields that fail are replaced.
    pub fn stands_in(&self) -> bool {
        self.rendering.is_some()
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
                let (text, has_failed) = self.field(template, false, Some(Role::Text));
                // A list is plain text, whatever it looks like.
                match AnyValue::parse(&text).filter(|_| !has_failed) {
                    None | Some(AnyValue::Text(_)) => AnyValue::Text(text),
                    Some(value) => self.any_at(&value, depth + 1),
                }
            }
            AnyValue::List(items) => {
                AnyValue::List(items.iter().map(|item| self.any_at(item, depth + 1)).collect())
            }
            AnyValue::Map(map) => {
                let entries = map.iter().map(|(key, value)| {
                    let name = self.field(key, false, Some(Role::Title)).0;
                    (name, self.any_at(value, depth + 1))
                });
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
        if let Some(error) = self.error.take() {
            return Err(NotifyError::fatal(format!("{prefix}{error}")));
        }
        match self.rendering.is_some_and(Rendering::asks_for_another) {
            true => Err(NotifyError::fatal("a template failed")),
            false => Ok(()),
        }
    }

    /// Renders a field whose errors have their own prefix.
    ///
    /// # Errors
    /// The field is invalid; the text begins with `prefix`.
    pub fn check_field(&mut self, prefix: &str) -> Result<(), NotifyError> {
        match self.error.take() {
            Some(error) => Err(NotifyError::fatal(format!("{prefix}{error}"))),
            None => Ok(()),
        }
    }

    /// A field with its own error text. [`Fields::check`] must follow before anything is sent.
    ///
    /// # Errors
    /// The error, if there is no replacement.
    pub fn checked(&mut self, template: &str, prefix: &str) -> Result<String, NotifyError> {
        let text = self.text(template);
        self.check_field(prefix).map(|()| text)
    }
}

fn role_is_text(field: Option<&super::rendering::TemplateField>, role: Option<Role>) -> bool {
    field.map(|field| field.role).or(role) == Some(Role::Text)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
