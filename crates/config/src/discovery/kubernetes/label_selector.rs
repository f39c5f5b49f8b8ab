//! Kubernetes' label selectors: `a`, `!a`, `a=b`, `a==b`, `a!=b`, `a in (b, c)`, `a notin (b)`, `a>1`, `a<1`.
//!
//! The grammar and the texts of errors are those of Kubernetes' library (`apimachinery`, `labels.Parse`).

use ferula_go::number::atoi;
use ferula_go::quote::go_quote;

/// Why a selector is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    #[error("unable to parse requirement: {0}")]
    Requirement(String),
    #[error("found '{found}', expected: {expected}")]
    Unexpected { found: String, expected: &'static str },
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Comma,
    OpenParenthesis,
    CloseParenthesis,
    Not,
    /// `=`, `==`, `!=`, `<`, `>`
    Operator(String),
    /// A name or value; `in` and `notin` are words where an operator is expected.
    Word(String),
    End,
}

impl Token {
    fn text(&self) -> &str {
        match self {
            Token::Comma => ",",
            Token::OpenParenthesis => "(",
            Token::CloseParenthesis => ")",
            Token::Not => "!",
            Token::Operator(text) | Token::Word(text) => text,
            Token::End => "",
        }
    }
}

const SPECIAL: &[char] = &['=', '!', '(', ')', ',', '>', '<'];

fn tokens(mut text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    loop {
        text = text.trim_start_matches([' ', '\t', '\r', '\n']);
        let Some(first) = text.chars().next() else { break };
        let length = match SPECIAL.contains(&first) {
            true => special_bytes(text),
            false => text
                .find(|c| SPECIAL.contains(&c) || matches!(c, ' ' | '\t' | '\r' | '\n'))
                .unwrap_or(text.len()),
        };
        let (token, rest) = text.split_at(length);
        tokens.push(match token {
            "," => Token::Comma,
            "(" => Token::OpenParenthesis,
            ")" => Token::CloseParenthesis,
            "!" => Token::Not,
            "=" | "==" | "!=" | "<" | ">" => Token::Operator(token.to_owned()),
            word => Token::Word(word.to_owned()),
        });
        text = rest;
    }
    tokens.push(Token::End);
    tokens
}

/// The longest run of special characters that is a token.
fn special_bytes(text: &str) -> usize {
    if text.starts_with("==") || text.starts_with("!=") { 2 } else { 1 }
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

/// Checks a selector.
///
/// # Errors
/// It is invalid.
pub fn check_label_selector(text: &str) -> Result<(), SelectorError> {
    Parser { tokens: tokens(text), at: 0 }.selector()
}

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).unwrap_or(&Token::End)
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    fn selector(&mut self) -> Result<(), SelectorError> {
        let unexpected = |token: &Token, expected| {
            Err(SelectorError::Unexpected { found: token.text().to_owned(), expected })
        };
        loop {
            match self.peek() {
                Token::Word(_) | Token::Not => {}
                Token::End => return Ok(()),
                other => return unexpected(other, "!, identifier, or 'end of string'"),
            }
            self.requirement().map_err(SelectorError::Requirement)?;
            match self.next() {
                Token::End => return Ok(()),
                Token::Comma => {}
                other => return unexpected(&other, "',' or 'end of string'"),
            }
            if !matches!(self.peek(), Token::Word(_) | Token::Not) {
                return unexpected(self.peek(), "identifier after ','");
            }
        }
    }

    fn requirement(&mut self) -> Result<(), String> {
        let is_negated = *self.peek() == Token::Not;
        if is_negated {
            self.at += 1;
        }
        let key = match self.next() {
            Token::Word(key) => key,
            other => return Err(format!("found '{}', expected: identifier", other.text())),
        };
        check_key(&key)?;
        // After `!key` nothing else may follow, which the caller notices.
        if is_negated || matches!(self.peek(), Token::End | Token::Comma) {
            return Ok(());
        }
        let operator = match self.next() {
            Token::Operator(text) => text,
            Token::Word(text) if text == "in" || text == "notin" => text,
            other => {
                let found = other.text();
                return Err(format!("found '{found}', expected: in, notin, =, ==, !=, gt, lt"));
            }
        };
        let values = if operator.ends_with("in") { self.values()? } else { vec![self.value()?] };
        let of_numbers = matches!(operator.as_str(), "<" | ">");
        let mut problems: Vec<String> = Vec::new();
        for (index, value) in
            values.iter().enumerate().filter(|(_, value)| of_numbers && atoi(value).is_err())
        {
            problems.push(format!(
                "values[{index}]: Invalid value: {}: for 'Gt', 'Lt' operators, the value must be an integer",
                go_quote(value)
            ));
        }
        for (index, value) in values.iter().enumerate() {
            let why = value_problems(value);
            if !why.is_empty() {
                problems.push(format!("values[{index}][{key}]: Invalid value: {}: {why}", go_quote(value)));
            }
        }
        match problems.len() {
            0 => Ok(()),
            1 => Err(problems.concat()),
            _ => Err(format!("[{}]", problems.join(", "))),
        }
    }

    /// A list in parentheses. Missing values are empty ones.
    fn values(&mut self) -> Result<Vec<String>, String> {
        let open = self.next();
        if open != Token::OpenParenthesis {
            return Err(format!("found '{}' expected: '('", open.text()));
        }
        match self.peek() {
            Token::Word(_) | Token::Comma => {}
            Token::CloseParenthesis => {
                self.at += 1;
                return Ok(vec![String::new()]);
            }
            other => return Err(format!("found '{}', expected: ',', ')' or identifier", other.text())),
        }
        let mut values = Vec::new();
        loop {
            match self.next() {
                Token::Word(value) => {
                    values.push(value);
                    match self.peek() {
                        Token::Comma => {}
                        Token::CloseParenthesis => break,
                        other => return Err(format!("found '{}', expected: ',' or ')'", other.text())),
                    }
                }
                Token::Comma => match self.peek() {
                    Token::CloseParenthesis => {
                        values.push(String::new());
                        break;
                    }
                    Token::Comma => {
                        self.at += 1;
                        values.push(String::new());
                    }
                    _ if values.is_empty() => values.push(String::new()),
                    _ => {}
                },
                other => return Err(format!("found '{}', expected: ',', or identifier", other.text())),
            }
        }
        self.at += 1;
        values.sort();
        values.dedup();
        Ok(values)
    }

    fn value(&mut self) -> Result<String, String> {
        if matches!(self.peek(), Token::End | Token::Comma) {
            return Ok(String::new());
        }
        match self.next() {
            Token::Word(value) => Ok(value),
            other => Err(format!("found '{}', expected: identifier", other.text())),
        }
    }
}

const QUALIFIED_NAME: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
    alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
    '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must \
    start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start \
    and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is \
    '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const NAME_BYTES_MAX: usize = 63;
const PREFIX_BYTES_MAX: usize = 253;

/// Letters, digits, `-`, `_` and `.`, with a letter or digit at both ends.
fn is_name(text: &str) -> bool {
    let ends = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.ends_with(|c: char| c.is_ascii_alphanumeric())
    };
    ends(text) && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

fn is_subdomain(text: &str) -> bool {
    text.split('.').all(|part| is_name(part) && !part.contains(|c: char| c.is_ascii_uppercase() || c == '_'))
}

fn check_key(key: &str) -> Result<(), String> {
    let mut problems: Vec<String> = Vec::new();
    let parts: Vec<&str> = key.split('/').collect();
    let (prefix, name) = match parts[..] {
        [name] => (None, name),
        [prefix, name] => (Some(prefix), name),
        _ => {
            let text = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
            return Err(invalid_key(key, &format!("a valid label key {QUALIFIED_NAME} {text}")));
        }
    };
    match prefix {
        Some("") => problems.push("prefix part must be non-empty".to_owned()),
        Some(prefix) => {
            if prefix.len() > PREFIX_BYTES_MAX {
                problems.push(format!("prefix part must be no more than {PREFIX_BYTES_MAX} bytes"));
            }
            if !is_subdomain(prefix) {
                problems.push(format!("prefix part {SUBDOMAIN}"));
            }
        }
        None => {}
    }
    if name.is_empty() {
        problems.push("name part must be non-empty".to_owned());
    } else if name.len() > NAME_BYTES_MAX {
        problems.push(format!("name part must be no more than {NAME_BYTES_MAX} bytes"));
    }
    if !is_name(name) {
        problems.push(format!("name part {QUALIFIED_NAME}"));
    }
    if problems.is_empty() { Ok(()) } else { Err(invalid_key(key, &problems.join("; "))) }
}

fn invalid_key(key: &str, why: &str) -> String {
    format!("<nil>: Invalid value: {}: {why}", go_quote(key))
}

/// "" for a valid value.
fn value_problems(value: &str) -> String {
    let mut problems: Vec<String> = Vec::new();
    if value.len() > NAME_BYTES_MAX {
        problems.push(format!("must be no more than {NAME_BYTES_MAX} bytes"));
    }
    if !value.is_empty() && !is_name(value) {
        problems.push(VALUE.to_owned());
    }
    problems.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Selectors and what promtool 3.5 says about them, "" for valid ones; both as JSON strings.
    #[test]
    fn selectors_are_judged_as_by_prometheus() {
        let table = include_str!("../../../../../testdata/config/label_selectors.tsv");
        let mut count = 0;
        for line in table.lines() {
            let (selector, expected) = line.split_once('\t').expect("two columns");
            let text = |json: &str| serde_json::from_str::<String>(json).expect("a JSON string");
            let found =
                check_label_selector(&text(selector)).err().map_or(String::new(), |error| error.to_string());
            assert_eq!(found, text(expected), "{selector}");
            count += 1;
        }
        assert!(count > 90, "{count}");
    }
}
