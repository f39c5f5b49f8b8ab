//! Query parameters.

use ferula_config::alertmanager::{Matcher, MatcherSyntax, parse_matcher};
use ferula_go::Regexp;
use ferula_go::unicode;
use ferula_go::url::parse_query;

use super::answer::{Answer, Status};

/// The parameters of a request.
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    pub fn new(query: &str) -> Self {
        Params(parse_query(query).0)
    }

    /// The first value of a parameter.
    pub fn first(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// All values of a parameter.
    pub fn all<'p>(&'p self, name: &'p str) -> impl Iterator<Item = &'p str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A boolean parameter that is true by default: only a value that is present and not a word for "yes"
    /// turns it off.
    pub fn is_on(&self, name: &str) -> bool {
        // The words come from the library on which Alertmanager's API is built.
        const YES: [&str; 10] = ["true", "1", "yes", "ok", "y", "on", "selected", "checked", "t", "enabled"];
        match self.first(name) {
            None | Some("") => true,
            Some(value) => YES.contains(&unicode::lower(value).as_str()),
        }
    }

    /// One matcher per value.
    pub fn matchers(&self, name: &str, syntax: MatcherSyntax, prefix: &str) -> Result<Vec<Matcher>, Answer> {
        let values = self.0.iter().filter(|(known, _)| known == name);
        let parse = |(_, value): &(String, String)| {
            let parsed = parse_matcher(value, syntax);
            parsed
                .map(|parsed| parsed.value)
                .map_err(|error| Answer::text(Status::BadRequest, &format!("{prefix}{error}")))
        };
        values.map(parse).collect()
    }

    /// The receivers selected by `receiver` and `receiver_matchers`.
    pub fn receivers(&self, syntax: MatcherSyntax) -> Result<ReceiverFilter, Answer> {
        let regexp = match self.first("receiver") {
            None => None,
            Some(text) => Some(Regexp::new(&format!("^(?:{text})$")).map_err(|error| {
                Answer::text(Status::BadRequest, &format!("failed to parse receiver param: {error}"))
            })?),
        };
        let matchers =
            self.matchers("receiver_matchers", syntax, "failed to parse receiver_matchers param: ")?;
        Ok(ReceiverFilter { regexp, matchers })
    }
}

/// Selects receivers.
pub(super) struct ReceiverFilter {
    regexp: Option<Regexp>,
    matchers: Vec<Matcher>,
}

impl ReceiverFilter {
    /// Whether one of the receivers is selected; `labels_of` returns a label of a receiver.
    pub fn passes<'n>(
        &self,
        names: impl Iterator<Item = &'n str> + Clone,
        label_of: impl Fn(&str, &str) -> Option<String>,
    ) -> bool {
        let by_name = |regexp: &Regexp| names.clone().any(|name| regexp.is_match(name));
        let by_labels = || {
            names.clone().any(|name| {
                let value = |label: &str| label_of(name, label).unwrap_or_default();
                self.matchers.iter().all(|matcher| matcher.matches(&value(matcher.name())))
            })
        };
        self.regexp.as_ref().is_none_or(by_name) && (self.matchers.is_empty() || by_labels())
    }

    /// Whether every receiver is selected.
    pub fn is_empty(&self) -> bool {
        self.regexp.is_none() && self.matchers.is_empty()
    }
}
