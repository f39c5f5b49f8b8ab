//! One condition on a label: `name="x"`, `!=`, `=~`, `!~`.

use std::fmt;

use ferula_go::regexp::SyntaxError;

use crate::labels::is_legacy_label_name;
use crate::regex::LabelRegex;

/// How a matcher compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`, anchored at both ends
    Regex,
    /// `!~`, anchored at both ends
    NotRegex,
}

impl MatchOp {
    /// The operator as written.
    pub const fn as_str(self) -> &'static str {
        match self {
            MatchOp::Equal => "=",
            MatchOp::NotEqual => "!=",
            MatchOp::Regex => "=~",
            MatchOp::NotRegex => "!~",
        }
    }
}

/// One condition on a label. A label that a series lacks has the value "".
#[derive(Clone, Debug)]
pub struct Matcher {
    /// Name of the label.
    pub name: Box<str>,
    /// How to compare.
    pub op: MatchOp,
    /// What to compare with: a value, or the regex as written.
    pub value: Box<str>,
    regex: Option<LabelRegex>,
}

impl Matcher {
    /// A matcher; compiles the regex if it has one.
    pub fn new(op: MatchOp, name: &str, value: &str) -> Result<Self, SyntaxError> {
        let regex = match op {
            MatchOp::Equal | MatchOp::NotEqual => None,
            MatchOp::Regex | MatchOp::NotRegex => Some(LabelRegex::new(value)?),
        };
        Ok(Matcher { name: name.into(), op, value: value.into(), regex })
    }

    /// The matcher `name="value"`.
    pub fn equal(name: &str, value: &str) -> Self {
        Matcher { name: name.into(), op: MatchOp::Equal, value: value.into(), regex: None }
    }

    /// Whether a label with this value satisfies the matcher.
    pub fn matches(&self, value: &str) -> bool {
        match (self.op, &self.regex) {
            (MatchOp::Equal, _) => *self.value == *value,
            (MatchOp::NotEqual, _) => *self.value != *value,
            (MatchOp::Regex, Some(regex)) => regex.is_match(value),
            (MatchOp::NotRegex, Some(regex)) => !regex.is_match(value),
            (MatchOp::Regex | MatchOp::NotRegex, None) => {
                unreachable!("new() compiles the regex of every regex matcher")
            }
        }
    }

    /// Whether a series without the label satisfies the matcher.
    pub fn matches_empty(&self) -> bool {
        self.matches("")
    }

    /// The compiled regex of `=~` and `!~`.
    pub fn regex(&self) -> Option<&LabelRegex> {
        self.regex.as_ref()
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.op == other.op && self.value == other.value
    }
}

impl Eq for Matcher {}

impl std::hash::Hash for Matcher {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (&self.name, self.op, &self.value).hash(state);
    }
}

/// Prints `name="value"`, the name quoted when it is not a legacy name.
impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_legacy_label_name(&self.name) {
            f.write_str(&self.name)?;
        } else {
            f.write_str(&ferula_go::quote::go_quote(&self.name))?;
        }
        write!(f, "{}{}", self.op.as_str(), ferula_go::quote::go_quote(&self.value))
    }
}
