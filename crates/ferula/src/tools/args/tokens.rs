//! Splits arguments into flags, values and words.

use std::collections::VecDeque;

use ferula_go::quote::go_quote;

use super::flag::{Flag, ValueKind};
use super::value::open_error;

/// The number of argument files to read before they are assumed to include each other in a cycle.
const FILES_MAX: usize = 64;

/// One token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// `--name`
    Long(String),
    /// `-n`
    Short(String),
    /// A value or a word.
    Word(String),
    /// A token that could not be read.
    Error(String),
    /// The end of the arguments.
    End,
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Token::Long(name) => write!(f, "--{name}"),
            Token::Short(name) => write!(f, "-{name}"),
            Token::Word(text) | Token::Error(text) => f.write_str(text),
            Token::End => f.write_str("EOL"),
        }
    }
}

/// A stream of tokens.
pub struct Tokens {
    rest: VecDeque<String>,
    peeked: Vec<Token>,
    words_only: bool,
    files: usize,
}

impl Tokens {
    /// Splits these arguments.
    pub fn new(arguments: &[String]) -> Self {
        Tokens { rest: arguments.iter().cloned().collect(), peeked: Vec::new(), words_only: false, files: 0 }
    }

    /// The next token, without consuming it. Which short flags exist decides how `-abc` is split.
    pub fn peek(&mut self, flags: &[&'static Flag]) -> Token {
        if let Some(token) = self.peeked.last() {
            return token.clone();
        }
        let token = self.next(flags);
        self.peeked.push(token.clone());
        token
    }

    /// Consumes the next token.
    pub fn next(&mut self, flags: &[&'static Flag]) -> Token {
        if let Some(token) = self.peeked.pop() {
            return token;
        }
        loop {
            let Some(argument) = self.rest.pop_front() else { return Token::End };
            if self.words_only {
                return Token::Word(argument);
            }
            if argument == "--" {
                self.words_only = true;
                continue;
            }
            if let Some(long) = argument.strip_prefix("--") {
                let Some((name, value)) = long.split_once('=') else { return Token::Long(long.to_owned()) };
                self.peeked.push(Token::Word(value.to_owned()));
                return Token::Long(name.to_owned());
            }
            if let Some(letters) = argument.strip_prefix('-') {
                return self.short(letters, flags);
            }
            let Some(file) = argument.strip_prefix('@') else { return Token::Word(argument) };
            match self.lines(file) {
                Ok(lines) => lines.into_iter().rev().for_each(|line| self.rest.push_front(line)),
                Err(error) => return Token::Error(error),
            }
        }
    }

    /// `-n`, `-nVALUE`, or several switches in one.
    fn short(&mut self, letters: &str, flags: &[&'static Flag]) -> Token {
        let Some(letter) = letters.chars().next() else { return Token::Word(String::new()) };
        let rest = &letters[letter.len_utf8()..];
        let takes_value =
            flags.iter().any(|flag| flag.short == Some(letter) && flag.kind != ValueKind::Switch);
        if !rest.is_empty() {
            if takes_value {
                self.peeked.push(Token::Word(rest.to_owned()));
            } else {
                self.rest.push_front(format!("-{rest}"));
            }
        }
        Token::Short(letter.to_string())
    }

    /// The lines of `@file`.
    fn lines(&mut self, file: &str) -> Result<Vec<String>, String> {
        if file.is_empty() {
            return Err("expected @ file to expand arguments from".into());
        }
        self.files += 1;
        if self.files > FILES_MAX {
            return Err(format!("argument files include each other: {file}"));
        }
        let text = std::fs::read_to_string(file).map_err(|error| {
            format!("failed to open arguments file {}: {}", go_quote(file), open_error(file, &error))
        })?;
        let is_argument = |line: &&str| !line.starts_with('#') && !line.trim().is_empty();
        Ok(text.lines().filter(is_argument).map(str::to_owned).collect())
    }
}
