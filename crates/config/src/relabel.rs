//! Relabel rules as written, which is how they are shown; what they do is `ferula_model::relabel`.

use ferula_go::Regexp;
use ferula_model::labels::NameScheme;
use ferula_model::regex::LabelRegex;
use ferula_model::relabel::{Action, RelabelError, Rule};

use crate::error::{ConfigError, Problem};
use crate::global::ValidationScheme;
use crate::scalars::{Uint64, from_text};
use crate::section::section;
use crate::yaml::decode::{Decoder, Value, decode_document};
use crate::yaml::emit::PrintedValue;
use crate::yaml::tree::{NodeId, NodeKind, Step};

section! {
    /// One relabel rule as written.
    pub struct RelabelConfig as "*relabel.Config" read as "relabel.plain" {
        omit source_labels: SourceLabels;
        keep separator: String = ";".into();
        omit regex: RelabelRegex;
        omit modulus: Uint64;
        omit target_label: String;
        keep replacement: String = "$1".into();
        omit action: ActionName = ActionName("replace".into());
    }
}

/// Names of labels, printed in brackets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SourceLabels(pub Vec<String>);

impl Value for SourceLabels {
    fn zero() -> Self {
        SourceLabels::default()
    }

    fn decode(&mut self, id: NodeId, d: &mut Decoder<'_>) -> Result<(), Problem> {
        if !matches!(d.node(id).kind, NodeKind::Sequence(_)) {
            return d.wrong_type(id, &Self::go_type());
        }
        let before = d.errors();
        self.0.decode(id, d)?;
        match self.0.iter().find(|name| name.is_empty()) {
            Some(_) if d.errors() == before => Err(d.problem("\"\" is not a valid label name")),
            _ => Ok(()),
        }
    }

    fn go_type() -> String {
        "model.LabelNames".into()
    }

    fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    fn print(&self) -> PrintedValue {
        PrintedValue::List { items: self.0.iter().map(Value::print).collect(), flow: true }
    }
}

/// The pattern of a rule; `None` when none was written, which matches everything and is not shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RelabelRegex(pub Option<String>);

impl RelabelRegex {
    /// The pattern in effect.
    pub fn pattern(&self) -> &str {
        self.0.as_deref().unwrap_or("(.*)")
    }
}

impl Value for RelabelRegex {
    /// An explicit null matches only the empty text.
    fn zero() -> Self {
        RelabelRegex(Some(String::new()))
    }

    fn decode(&mut self, id: NodeId, d: &mut Decoder<'_>) -> Result<(), Problem> {
        from_text(self, id, d, |text| match LabelRegex::new(&text) {
            Ok(_) => Ok(RelabelRegex(Some(text))),
            // Prometheus compiles the pattern with its anchors, and its errors show them.
            Err(error) => Err(Regexp::new(&format!("^(?s:{text})$")).err().unwrap_or(error).to_string()),
        })
    }

    fn go_type() -> String {
        "relabel.Regexp".into()
    }

    fn is_zero(&self) -> bool {
        self.0.is_none()
    }

    fn print(&self) -> PrintedValue {
        PrintedValue::Text(self.pattern().to_owned())
    }
}

/// The name of an action in lower case; empty when it was explicitly left empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ActionName(String);

impl ActionName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for ActionName {
    fn zero() -> Self {
        ActionName::default()
    }

    fn decode(&mut self, id: NodeId, d: &mut Decoder<'_>) -> Result<(), Problem> {
        from_text(self, id, d, |text| {
            let action = Action::parse(&text).map_err(|error| error.to_string());
            action.map(|action| ActionName(action.as_str().to_owned()))
        })
    }

    fn go_type() -> String {
        "relabel.Action".into()
    }

    fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    fn print(&self) -> PrintedValue {
        PrintedValue::Text(self.0.clone())
    }
}

impl RelabelConfig {
    /// Whether the file has `null` or nothing where a rule should be.
    fn is_null_item(&self) -> bool {
        self.action.0.is_empty() && self.separator.is_empty() && self.replacement.is_empty()
    }

    /// The rule as it is applied.
    ///
    /// # Errors
    /// What is wrong with the rule; the rules of a loaded configuration are all sound.
    pub fn rule(&self, names: NameScheme) -> Result<Rule, RelabelError> {
        if self.action.0.is_empty() {
            return Err(RelabelError::NoAction);
        }
        let rule = Rule {
            source_labels: self.source_labels.0.clone(),
            separator: self.separator.clone(),
            regex: LabelRegex::new(self.regex.pattern())?,
            modulus: self.modulus.0,
            target_label: self.target_label.clone(),
            replacement: self.replacement.clone(),
            action: Action::parse(self.action.as_str())?,
            scheme: names,
        };
        rule.validate()?;
        // Writing out the default regex is not the same as leaving it out.
        let equal = matches!(rule.action, Action::KeepEqual | Action::DropEqual);
        if equal && self.regex.0.is_some() {
            return Err(RelabelError::OnlySourceAndTarget(rule.action));
        }
        Ok(rule)
    }
}

/// Reads a list of rules that stands in no file.
///
/// # Errors
/// What is wrong with it, with its line; as for a list in a configuration.
pub fn parse_rules(text: &str, names: NameScheme) -> Result<Vec<Rule>, ConfigError> {
    let mut written: Vec<RelabelConfig> = Vec::new();
    let tree = decode_document(text.as_bytes(), &mut written)?;
    let rule = |(index, rule): (usize, &RelabelConfig)| {
        rule.rule(names).map_err(|error| {
            let problem = Problem { text: error.to_string(), path: vec![Step::Index(index)] };
            match &tree {
                Some(tree) => ConfigError::of_problem(&problem, tree),
                None => ConfigError::bare(problem.text),
            }
        })
    };
    written.iter().enumerate().map(rule).collect()
}

/// The rules of a list that was checked when it was loaded.
pub fn compiled(rules: &[RelabelConfig], names: &ValidationScheme) -> Vec<Rule> {
    rules.iter().filter_map(|rule| rule.rule(names.scheme()).ok()).collect()
}

/// Refuses null rules in a list, with the error text of the section that holds the list.
pub(crate) fn no_null_rules(rules: &[RelabelConfig], key: &str, text: &str) -> Result<(), Problem> {
    match rules.iter().position(RelabelConfig::is_null_item) {
        Some(index) => Err(Problem::new(text).at_item(key, index)),
        None => Ok(()),
    }
}

/// Checks every rule of a list.
pub(crate) fn check_rules(
    rules: &[RelabelConfig],
    key: &str,
    names: &ValidationScheme,
) -> Result<(), Problem> {
    for (index, rule) in rules.iter().enumerate() {
        rule.rule(names.scheme()).map_err(|error| Problem::new(error.to_string()).at_item(key, index))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_that_stand_in_no_file_are_read_as_those_of_one() {
        let text =
            "- source_labels: [a]\n  regex: x.*\n  action: drop\n- {target_label: b, replacement: c}\n";
        let rules = parse_rules(text, NameScheme::Utf8).expect("they are right");
        assert_eq!(rules.iter().map(|rule| rule.action.as_str()).collect::<Vec<_>>(), ["drop", "replace"]);
        assert_eq!(parse_rules("", NameScheme::Utf8), Ok(Vec::new()));
        for (text, why) in [
            ("- {action: drop}\n- {action: hashmod}", "line 2"),
            ("- {action: fly}", "unknown relabel action"),
            ("- {regex: '('}", "error parsing regexp"),
            ("a: 1", "cannot unmarshal"),
            ("- [", "yaml:"),
            ("- {nothing: 1}", "nothing"),
        ] {
            let error = parse_rules(text, NameScheme::Utf8).expect_err(text).to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
