//! Fields that cannot be rendered: what is sent in their place, so that a broken template costs no page.
//!
//! ```text
//! own template ─fails─► the field's default ─fails─► the default with the built-in names ─fails─► a plain listing
//!       └─ an address: nothing can replace it, so the attempt fails
//! ```
//!
//! A notification is composed again when a field failed, so that its main text can name the fields and errors. No request that
//! tells anybody is made before that. Here: which text is which field, and what replaces it. Elsewhere: rendering
//! (`fields`), the check of a whole configuration (`super::check`).

use std::sync::{Arc, Mutex};

use ferula_config::alertmanager::{IntegrationTexts, Receiver};
use ferula_go::sync::MutexExt;

/// Bytes of an error that is shown in a notification.
const ERROR_BYTES_MAX: usize = 300;
/// Errors that are shown in a notification.
const ERRORS_SHOWN_MAX: usize = 3;
/// What an address is taken for while a configuration is checked.
const SAMPLE_ADDRESS: &str = "check@example.com";

/// A field that could not be rendered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TemplateFault {
    /// `title`, `fields[0].value`; a secret has no name here.
    pub field: String,
    /// Go's text.
    pub error: String,
}

impl std::fmt::Display for TemplateFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.field, self.error)
    }
}

/// What may replace a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Nothing: it says where to send.
    Address,
    /// The default, or else nothing: a color, a link, a priority.
    Short,
    /// One line about the alerts.
    Title,
    /// A plain listing of the alerts.
    Text,
}

/// A text of the configuration, and what it is for.
#[derive(Debug)]
pub(super) struct TemplateField {
    pub path: String,
    text: String,
    pub default: Option<String>,
    pub role: Role,
    /// Whether it names the fields that failed.
    pub is_main: bool,
}

/// The texts of one integration.
#[derive(Debug, Default)]
pub struct Catalog {
    fields: Vec<TemplateField>,
    service: &'static str,
}

impl Catalog {
    /// The texts of an integration of a receiver.
    pub fn of(receiver: &Receiver, service: &'static str, index: usize) -> Self {
        let all = receiver.texts();
        let own = all.into_iter().find(|texts| texts.service == service && texts.index == index);
        Catalog::new(service, own.unwrap_or_default())
    }

    fn new(service: &'static str, texts: IntegrationTexts) -> Self {
        let is_set = |path: &str| texts.texts.iter().any(|text| text.path == path && !text.text.is_empty());
        let main: &[&str] = match service {
            "email" => &["html", "text"],
            _ => MAIN.iter().find(|(name, _)| *name == service).map_or(&[], |(_, paths)| paths),
        };
        // Both texts of a mail are read by somebody; elsewhere the first one that is there.
        let shown = if service == "email" { main.len() } else { 1 };
        let main: Vec<&str> = main.iter().copied().filter(|path| is_set(path)).take(shown).collect();
        let fields = texts.texts.into_iter().map(|text| TemplateField {
            role: role_of(service, &text.path),
            default: text.default.or_else(|| required_default(service, &text.path)),
            is_main: main.contains(&text.path.as_str()),
            path: text.path,
            text: text.text,
        });
        Catalog { fields: fields.collect(), service }
    }

    /// The field that holds this text.
    pub(super) fn field(&self, text: &str) -> Option<&TemplateField> {
        self.fields.iter().find(|field| field.text == text)
    }

    /// Whether a text of this integration names the fields that failed.
    pub(super) fn has_main(&self) -> bool {
        // PagerDuty has details for it.
        self.service == "pagerduty" || self.fields.iter().any(|field| field.is_main)
    }
}

/// What replaces fields without a default that a service does not accept empty.
fn required_default(service: &str, path: &str) -> Option<String> {
    let text = match (service, path) {
        ("pagerduty", "severity") => "error",
        ("pagerduty", "source") => "{{ template \"pagerduty.default.client\" . }}",
        ("victorops", "message_type") => "CRITICAL",
        _ => return None,
    };
    Some(text.to_owned())
}

/// The texts that people read, the best first.
const MAIN: [(&str, &[&str]); 15] = [
    ("slack", &["text", "pretext", "title", "message_text"]),
    ("discord", &["message", "content", "title"]),
    ("telegram", &["message"]),
    ("msteams", &["text", "title"]),
    ("msteamsv2", &["text", "title"]),
    ("webex", &["message"]),
    ("wechat", &["message"]),
    ("rocketchat", &["text", "title"]),
    ("mattermost", &["text", "attachments[0].text", "title"]),
    ("opsgenie", &["description", "message"]),
    ("victorops", &["state_message", "entity_display_name"]),
    ("pushover", &["message", "title"]),
    ("sns", &["message"]),
    ("jira", &["description.template"]),
    ("webhook", &[]),
];

fn role_of(service: &str, path: &str) -> Role {
    let last = path.rsplit('.').next().unwrap_or(path);
    let last = &last[..last.find('[').unwrap_or(last.len())];
    match (service, path) {
        ("email", "to" | "from") | ("jira", "project" | "issue_type") | ("webex", "room_id") => {
            return Role::Address;
        }
        ("sns", "api_url" | "topic_arn" | "phone_number" | "target_arn") => return Role::Address,
        ("victorops", "routing_key") | ("wechat", "corp_id") | ("pushover", "token" | "user_key") => {
            return Role::Address;
        }
        ("email", "headers.Subject") | ("jira", "summary.template") | ("msteams", "summary") => {
            return Role::Title;
        }
        ("email", _) if path.starts_with("headers.") => return Role::Short,
        ("sns", _) if path.starts_with("attributes.") => return Role::Short,
        // What belongs into a field of an issue is not known; a listing might be refused.
        ("jira", _) if path.starts_with("fields.") || path.starts_with("labels") => return Role::Short,
        ("webhook", _) | ("pagerduty" | "opsgenie", _)
            if path.starts_with("payload") || path.starts_with("details.") =>
        {
            return Role::Text;
        }
        ("pagerduty", "description") | ("opsgenie", "message") => return Role::Title,
        _ => {}
    }
    match last {
        "title" | "subject" | "entity_display_name" | "fallback" => Role::Title,
        "text" | "message" | "message_text" | "html" | "description" | "template" | "content" | "pretext"
        | "value" | "state_message" | "note" | "card" => match path.contains("actions") {
            true => Role::Short,
            false => Role::Text,
        },
        _ if path.starts_with("custom_fields.") => Role::Text,
        _ => Role::Short,
    }
}

/// How the fields of one notification are rendered: what failed, and what the next composition knows of that.
#[derive(Debug)]
pub struct Rendering {
    catalog: Arc<Catalog>,
    /// Nothing is sent, and an address that fails does not end the composition.
    is_check: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Faults of this composition and those before, each once.
    faults: Vec<TemplateFault>,
    /// How many of them the main text of this composition names.
    named: usize,
    must_repeat: bool,
    /// Whether faults that are found now are not named any more.
    is_last: bool,
}

impl Rendering {
    pub(super) fn new(catalog: Arc<Catalog>, is_check: bool) -> Self {
        Rendering { catalog, is_check, state: Mutex::default() }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.locked()
    }

    pub(super) fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Whether an address may be anything.
    pub(super) fn sample_address(&self) -> Option<&'static str> {
        self.is_check.then_some(SAMPLE_ADDRESS)
    }

    pub(super) fn note(&self, fault: TemplateFault) {
        let mut state = self.state();
        if !state.faults.contains(&fault) {
            state.faults.push(fault);
        }
    }

    /// Whether the notification must be composed again, because its main text does not name a field that failed.
    pub(super) fn asks_for_another(&self) -> bool {
        let mut state = self.state();
        state.must_repeat = !state.is_last && state.faults.len() > state.named;
        state.must_repeat
    }

    /// Begins another composition if the last one asked for it.
    pub(super) fn begin_another(&self, is_last: bool) -> bool {
        let mut state = self.state();
        state.named = state.faults.len();
        state.is_last = is_last;
        std::mem::take(&mut state.must_repeat)
    }

    /// What failed so far.
    pub(super) fn faults(&self) -> Vec<TemplateFault> {
        self.state().faults.clone()
    }

    /// What the main text says of fields that failed; `None` when none did.
    pub(super) fn error_note(&self) -> Option<String> {
        let state = self.state();
        let named = &state.faults[..state.named];
        if named.is_empty() {
            return None;
        }
        let mut lines: Vec<String> = named
            .iter()
            .take(ERRORS_SHOWN_MAX)
            .map(|fault| {
                let shown =
                    &fault.error[..fault.error.floor_char_boundary(ERROR_BYTES_MAX.min(fault.error.len()))];
                format!("The template of {} failed: {shown}", fault.field)
            })
            .collect();
        if named.len() > ERRORS_SHOWN_MAX {
            lines.push(format!("{} more templates failed.", named.len() - ERRORS_SHOWN_MAX));
        }
        Some(lines.join("\n"))
    }
}
