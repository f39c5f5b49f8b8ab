//! Cuts a template into tokens: text outside of `{{ }}`, words inside.

use ferula_go::quote::go_quote;
use ferula_go::unicode::{is_digit, is_letter, is_print};

/// Why a text cannot be cut into tokens, in the words of Go's lexer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum LexError {
    #[error("unclosed comment")]
    OpenComment,
    #[error("comment ends before closing delimiter")]
    CommentBeforeDelimiter,
    #[error("unclosed action")]
    OpenAction,
    #[error("unclosed left paren")]
    OpenParen,
    #[error("unexpected right paren")]
    RightParen,
    #[error("expected :=")]
    Colon,
    #[error("unterminated quoted string")]
    OpenString,
    #[error("unterminated raw quoted string")]
    OpenRawString,
    #[error("unterminated character constant")]
    OpenChar,
    #[error("unrecognized character in action: {}", shown_char(*.0))]
    Unrecognized(char),
    #[error("bad character {}", shown_char(*.0))]
    BadCharacter(char),
    #[error("bad number syntax: {}", go_quote(.0))]
    Number(String),
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// The token's text is the error; nothing follows it.
    Error,
    Bool,
    /// One printable ASCII character that means nothing by itself, such as a comma.
    Char,
    CharConstant,
    Assign,
    Declare,
    End,
    Field,
    Identifier,
    LeftDelimiter,
    LeftParen,
    Number,
    Pipe,
    RawString,
    RightDelimiter,
    RightParen,
    Space,
    String,
    Text,
    Variable,
    Keyword(Keyword),
}

/// Words with a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keyword {
    Block,
    Break,
    Continue,
    Define,
    Dot,
    Else,
    End,
    If,
    Nil,
    Range,
    Template,
    With,
}

const KEYWORDS: [(&str, Keyword); 11] = [
    ("block", Keyword::Block),
    ("break", Keyword::Break),
    ("continue", Keyword::Continue),
    ("define", Keyword::Define),
    ("else", Keyword::Else),
    ("end", Keyword::End),
    ("if", Keyword::If),
    ("nil", Keyword::Nil),
    ("range", Keyword::Range),
    ("template", Keyword::Template),
    ("with", Keyword::With),
];

/// One token.
#[derive(Clone, Debug)]
pub struct Token {
    pub kind: TokenKind,
    /// Byte where it begins.
    pub position: usize,
    /// Line where it begins, from 1.
    pub line: usize,
    pub text: String,
}

impl Token {
    /// The token as error texts show it.
    pub fn shown(&self) -> String {
        match self.kind {
            TokenKind::End => "EOF".to_owned(),
            TokenKind::Error => self.text.clone(),
            TokenKind::Keyword(_) => format!("<{}>", self.text),
            _ if self.text.len() > 10 => {
                format!("{}...", go_quote(&self.text.chars().take(10).collect::<String>()))
            }
            _ => go_quote(&self.text),
        }
    }
}

const LEFT: &str = "{{";
const RIGHT: &str = "}}";

/// All tokens; the last is `End` or `Error`.
pub fn tokens(text: &str) -> Vec<Token> {
    let mut lexer = Lexer { text, at: 0, start: 0, line: 1, start_line: 1, parens: 0, out: Vec::new() };
    if let Err(error) = lexer.outside() {
        lexer.out.push(Token {
            kind: TokenKind::Error,
            position: lexer.start,
            line: lexer.start_line,
            text: error.to_string(),
        });
    }
    lexer.out
}

struct Lexer<'a> {
    text: &'a str,
    /// Next byte to read.
    at: usize,
    /// Start of the current token.
    start: usize,
    /// Line of `at` as far as it was counted, and of `start`.
    line: usize,
    start_line: usize,
    parens: i32,
    out: Vec<Token>,
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_alphanumeric(c: char) -> bool {
    c == '_' || is_letter(c) || is_digit(c)
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    /// Drops what was read since the last token.
    fn ignore(&mut self) {
        self.line += self.text[self.start..self.at].matches('\n').count();
        self.start = self.at;
        self.start_line = self.line;
    }

    fn emit(&mut self, kind: TokenKind) {
        let text = self.text[self.start..self.at].to_owned();
        self.out.push(Token { kind, position: self.start, line: self.start_line, text });
        self.ignore();
    }

    /// Text up to the next `{{`, again and again.
    fn outside(&mut self) -> Result<(), LexError> {
        loop {
            let Some(found) = self.rest().find(LEFT) else {
                self.at = self.text.len();
                if self.at > self.start {
                    self.emit(TokenKind::Text);
                }
                self.emit(TokenKind::End);
                return Ok(());
            };
            let delimiter = self.at + found;
            let trims = has_left_trim_marker(&self.text[delimiter + LEFT.len()..]);
            self.at = delimiter;
            if trims {
                self.at = self.start + self.text[self.start..delimiter].trim_end_matches(is_space).len();
            }
            if self.at > self.start {
                self.emit(TokenKind::Text);
            }
            self.at = delimiter;
            self.ignore();
            let marker = if trims { 2 } else { 0 };
            if self.text[delimiter + LEFT.len() + marker..].starts_with("/*") {
                self.at = delimiter + LEFT.len() + marker;
                self.comment()?;
                continue;
            }
            self.at += LEFT.len();
            self.emit(TokenKind::LeftDelimiter);
            self.at += marker;
            self.ignore();
            self.parens = 0;
            self.inside()?;
        }
    }

    fn comment(&mut self) -> Result<(), LexError> {
        let end = self.rest().find("*/").ok_or(LexError::OpenComment)?;
        self.at += end + 2;
        let (closes, trims) = self.at_right_delimiter();
        if !closes {
            return Err(LexError::CommentBeforeDelimiter);
        }
        self.close(trims);
        self.ignore();
        Ok(())
    }

    /// Whether `}}` or ` -}}` comes next, and whether it is the latter.
    fn at_right_delimiter(&self) -> (bool, bool) {
        if has_right_trim_marker(self.rest()) && self.text[self.at + 2..].starts_with(RIGHT) {
            return (true, true);
        }
        (self.rest().starts_with(RIGHT), false)
    }

    /// Reads the right delimiter and, where it trims, the space after it.
    fn close(&mut self, trims: bool) {
        self.at += RIGHT.len() + if trims { 2 } else { 0 };
        if trims {
            self.at = self.text.len() - self.rest().trim_start_matches(is_space).len();
        }
    }

    fn right_delimiter(&mut self, trims: bool) {
        if trims {
            self.at += 2;
            self.ignore();
        }
        self.at += RIGHT.len();
        self.emit(TokenKind::RightDelimiter);
        if trims {
            self.at = self.text.len() - self.rest().trim_start_matches(is_space).len();
            self.ignore();
        }
    }

    /// Words up to and with the right delimiter.
    fn inside(&mut self) -> Result<(), LexError> {
        loop {
            let (closes, trims) = self.at_right_delimiter();
            if closes {
                if self.parens > 0 {
                    return Err(LexError::OpenParen);
                }
                self.right_delimiter(trims);
                return Ok(());
            }
            let Some(c) = self.next() else { return Err(LexError::OpenAction) };
            match c {
                c if is_space(c) => self.space(),
                '=' => self.emit(TokenKind::Assign),
                ':' => {
                    if self.next() != Some('=') {
                        return Err(LexError::Colon);
                    }
                    self.emit(TokenKind::Declare);
                }
                '|' => self.emit(TokenKind::Pipe),
                '"' => self.quoted('"', LexError::OpenString, TokenKind::String)?,
                '\'' => self.quoted('\'', LexError::OpenChar, TokenKind::CharConstant)?,
                '`' => {
                    let end = self.rest().find('`').ok_or(LexError::OpenRawString)?;
                    self.at += end + 1;
                    self.emit(TokenKind::RawString);
                }
                '$' => self.name(TokenKind::Variable)?,
                // A dot that ends the text is read as a number, as in Go.
                '.' if self.peek().is_some_and(|c| !c.is_ascii_digit()) => self.name(TokenKind::Field)?,
                '.' | '+' | '-' | '0'..='9' => {
                    self.at -= 1;
                    self.number()?;
                }
                c if is_alphanumeric(c) => self.identifier()?,
                '(' => {
                    self.emit(TokenKind::LeftParen);
                    self.parens += 1;
                }
                ')' => {
                    self.parens -= 1;
                    if self.parens < 0 {
                        return Err(LexError::RightParen);
                    }
                    self.emit(TokenKind::RightParen);
                }
                c if c.is_ascii_graphic() => self.emit(TokenKind::Char),
                c => return Err(LexError::Unrecognized(c)),
            }
        }
    }

    /// A run of space, but for the one space that belongs to ` -}}`.
    fn space(&mut self) {
        loop {
            let before = self.at - 1;
            if has_right_trim_marker(&self.text[before..]) && self.text[before + 2..].starts_with(RIGHT) {
                self.at = before;
                if self.at > self.start {
                    self.emit(TokenKind::Space);
                }
                return;
            }
            if !self.peek().is_some_and(is_space) {
                break;
            }
            self.at += 1;
        }
        self.emit(TokenKind::Space);
    }

    fn quoted(&mut self, end: char, unterminated: LexError, kind: TokenKind) -> Result<(), LexError> {
        loop {
            match self.next() {
                Some('\\') if self.peek().is_some_and(|c| c != '\n') => {
                    self.next();
                }
                None | Some('\n' | '\\') => return Err(unterminated),
                Some(c) if c == end => break,
                Some(_) => {}
            }
        }
        self.emit(kind);
        Ok(())
    }

    /// What follows `.` or `$`.
    fn name(&mut self, kind: TokenKind) -> Result<(), LexError> {
        if self.at_terminator() {
            self.emit(if kind == TokenKind::Field { TokenKind::Keyword(Keyword::Dot) } else { kind });
            return Ok(());
        }
        self.word()?;
        self.emit(kind);
        Ok(())
    }

    fn identifier(&mut self) -> Result<(), LexError> {
        self.word()?;
        let word = &self.text[self.start..self.at];
        let keyword = KEYWORDS.iter().find(|(text, _)| *text == word).map(|(_, keyword)| *keyword);
        self.emit(match (keyword, word) {
            (Some(keyword), _) => TokenKind::Keyword(keyword),
            (None, "true" | "false") => TokenKind::Bool,
            (None, _) => TokenKind::Identifier,
        });
        Ok(())
    }

    fn word(&mut self) -> Result<(), LexError> {
        while self.peek().is_some_and(is_alphanumeric) {
            self.next();
        }
        match self.peek() {
            Some(c) if !self.at_terminator() => Err(LexError::BadCharacter(c)),
            _ => Ok(()),
        }
    }

    /// Whether what comes next may stand directly behind a name.
    fn at_terminator(&self) -> bool {
        match self.peek() {
            None => true,
            Some(c) if is_space(c) => true,
            Some('.' | ',' | '|' | ':' | ')' | '(') => true,
            Some(_) => self.rest().starts_with(RIGHT),
        }
    }

    fn number(&mut self) -> Result<(), LexError> {
        let mut sound = self.scan_number();
        // What follows a sign could be the imaginary part of a number, which nothing here needs.
        if sound && self.peek().is_some_and(|c| matches!(c, '+' | '-')) {
            self.scan_number();
            sound = false;
        }
        if !sound {
            return Err(LexError::Number(self.text[self.start..self.at].to_owned()));
        }
        self.emit(TokenKind::Number);
        Ok(())
    }

    /// Passes over a number, and over one character that may not follow it; whether there was none.
    fn scan_number(&mut self) -> bool {
        let bytes = self.rest().as_bytes();
        let mut at = usize::from(matches!(bytes.first(), Some(b'+' | b'-')));
        let prefix = bytes.get(at..at + 2).map(<[u8]>::to_ascii_lowercase);
        let (allowed, is_prefixed): (&[u8], bool) = match prefix.as_deref() {
            Some(b"0x") => (b"0123456789_abcdefABCDEF", true),
            Some(b"0o") => (b"01234567_", true),
            Some(b"0b") => (b"01_", true),
            _ => (b"0123456789_", false),
        };
        at += if is_prefixed { 2 } else { 0 };
        let run = |at: usize| {
            let rest = bytes.get(at..).unwrap_or(&[]);
            rest.iter().take_while(|b| allowed.contains(b)).count()
        };
        at += run(at);
        if bytes.get(at) == Some(&b'.') {
            at += 1;
            at += run(at);
        }
        let exponent: &[u8] = match (is_prefixed, prefix.as_deref()) {
            (false, _) => b"eE",
            (true, Some(b"0x")) => b"pP",
            _ => b"",
        };
        if bytes.get(at).is_some_and(|b| exponent.contains(b)) {
            at += 1;
            at += usize::from(matches!(bytes.get(at), Some(b'+' | b'-')));
            at += bytes
                .get(at..)
                .unwrap_or(&[])
                .iter()
                .take_while(|b| b.is_ascii_digit() || **b == b'_')
                .count();
        }
        self.at += at;
        if let Some(c) = self.peek().filter(|c| is_alphanumeric(*c)) {
            self.at += c.len_utf8();
            return false;
        }
        true
    }
}

fn has_left_trim_marker(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next() == Some('-') && chars.next().is_some_and(is_space)
}

fn has_right_trim_marker(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(is_space) && chars.next() == Some('-')
}

/// Go's `%#U`: `U+0040 '@'`.
fn shown_char(c: char) -> String {
    if !is_print(c) { format!("U+{:04X}", c as u32) } else { format!("U+{:04X} '{c}'", c as u32) }
}
