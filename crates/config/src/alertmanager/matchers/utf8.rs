//! The UTF-8 grammar: `{` name op value `,` … `}`, braces and the last comma optional; names and values bare or in double
//! quotes. Errors name the columns, counted in characters.

use ferula_go::quote;

use super::matcher::{MatchOp, Matcher, is_reserved};
use super::whole_value::MatcherError;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TokenKind {
    OpenBrace,
    CloseBrace,
    Comma,
    Op(MatchOp),
    Quoted,
    Unquoted,
}

#[derive(Clone, Copy, Debug)]
struct Token<'i> {
    kind: TokenKind,
    text: &'i str,
    /// Characters before the token, and before its end.
    columns: (usize, usize),
}

impl Token<'_> {
    fn is_name_or_value(self) -> bool {
        matches!(self.kind, TokenKind::Quoted | TokenKind::Unquoted)
    }

    /// The text without quotes and escapes.
    fn unquoted(self) -> Result<String, MatcherError> {
        if self.kind == TokenKind::Unquoted {
            return Ok(self.text.to_owned());
        }
        unquote(self.text).ok_or_else(|| {
            let (start, end) = self.columns;
            MatcherError(format!("{start}:{end}: {}: invalid input", self.text))
        })
    }
}

struct Lexer<'i> {
    input: &'i str,
    /// Byte and character position.
    at: usize,
    column: usize,
}

/// The next token, where another was expected.
enum Next<'i> {
    Token(Token<'i>),
    End,
}

impl<'i> Lexer<'i> {
    fn peek_char(&self) -> Option<char> {
        self.input[self.at..].chars().next()
    }

    fn bump(&mut self) {
        if let Some(c) = self.peek_char() {
            self.at += c.len_utf8();
            self.column += 1;
        }
    }

    fn accept(&mut self, wanted: char) -> bool {
        let found = self.peek_char() == Some(wanted);
        if found {
            self.bump();
        }
        found
    }

    /// The next token, consumed.
    fn scan(&mut self) -> Result<Next<'i>, MatcherError> {
        while self.peek_char().is_some_and(char::is_whitespace) {
            self.bump();
        }
        let Some(first) = self.peek_char() else { return Ok(Next::End) };
        let (start, start_column) = (self.at, self.column);
        let kind = match first {
            '{' => self.single(TokenKind::OpenBrace),
            '}' => self.single(TokenKind::CloseBrace),
            ',' => self.single(TokenKind::Comma),
            '=' | '!' => self.operator(start, start_column)?,
            '"' => self.quoted(start, start_column)?,
            c if !is_reserved(c) => {
                while self.peek_char().is_some_and(|c| !is_reserved(c)) {
                    self.bump();
                }
                TokenKind::Unquoted
            }
            _ => {
                self.bump();
                return Err(self.error(start, start_column, "invalid input"));
            }
        };
        let (text, columns) = (&self.input[start..self.at], (start_column, self.column));
        Ok(Next::Token(Token { kind, text, columns }))
    }

    fn single(&mut self, kind: TokenKind) -> TokenKind {
        self.bump();
        kind
    }

    fn operator(&mut self, start: usize, start_column: usize) -> Result<TokenKind, MatcherError> {
        if self.accept('!') {
            if self.accept('=') {
                return Ok(TokenKind::Op(MatchOp::NotEqual));
            }
            if self.accept('~') {
                return Ok(TokenKind::Op(MatchOp::NotRegexp));
            }
            if self.at >= self.input.len() {
                return Err(MatcherError(format!(
                    "{start_column}:{}: unexpected end of input, expected one of '=~'",
                    self.column
                )));
            }
            return Err(self.error(start, start_column, "expected one of '=~'"));
        }
        self.bump();
        Ok(TokenKind::Op(if self.accept('~') { MatchOp::Regexp } else { MatchOp::Equal }))
    }

    fn quoted(&mut self, start: usize, start_column: usize) -> Result<TokenKind, MatcherError> {
        self.bump();
        let mut escaped = false;
        while let Some(c) = self.peek_char() {
            self.bump();
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => return Ok(TokenKind::Quoted),
                _ => {}
            }
        }
        Err(self.error(start, start_column, "missing end \""))
    }

    fn error(&self, start: usize, start_column: usize, what: &str) -> MatcherError {
        MatcherError(format!("{start_column}:{}: {}: {what}", self.column, &self.input[start..self.at]))
    }

    /// The next token without consuming it.
    fn peek(&self) -> Result<Next<'i>, MatcherError> {
        Lexer { input: self.input, at: self.at, column: self.column }.scan()
    }

    /// The next token if `wanted` takes it; `missing` ends the error otherwise.
    fn expect(
        &mut self,
        wanted: impl Fn(Token<'i>) -> bool,
        missing: &str,
    ) -> Result<Token<'i>, MatcherError> {
        match self.peek() {
            Ok(Next::Token(token)) if wanted(token) => {
                self.scan()?;
                Ok(token)
            }
            other => Err(unexpected(other, missing)),
        }
    }
}

/// The error for a token where something else was expected.
fn unexpected(found: Result<Next<'_>, MatcherError>, missing: &str) -> MatcherError {
    MatcherError(match found {
        Ok(Next::Token(token)) => {
            let (start, end) = token.columns;
            format!("{start}:{end}: unexpected {}: {missing}", token.text)
        }
        Ok(Next::End) => format!("end of input: {missing}"),
        Err(error) => format!("{error}: {missing}"),
    })
}

const NO_NAME: &str = "expected label name";
const NO_VALUE: &str = "expected label value";
const NO_OPERATOR: &str = "expected an operator such as '=', '!=', '=~' or '!~'";
const NO_END_OF_MATCHER: &str = "expected a comma or close brace";
const NO_MATCHER: &str = "expected a matcher or close brace after comma";
const NO_OPEN_BRACE: &str = "expected opening brace";
const NO_CLOSE_BRACE: &str = "expected close brace";
const NO_END: &str = "expected end of input";

/// Reads any number of matchers.
pub(super) fn parse(input: &str) -> Result<Vec<Matcher>, MatcherError> {
    let mut lexer = Lexer { input, at: 0, column: 0 };
    let mut matchers = Vec::new();
    let braced = match lexer.peek()? {
        Next::End => return Ok(matchers),
        Next::Token(token) => token.kind == TokenKind::OpenBrace,
    };
    if braced {
        lexer.scan()?;
    }
    match lexer.peek()? {
        Next::End => {}
        Next::Token(token) if token.kind == TokenKind::CloseBrace => {}
        Next::Token(_) => list(&mut lexer, &mut matchers)?,
    }
    close(&mut lexer, braced)?;
    match lexer.scan() {
        Ok(Next::End) => Ok(matchers),
        Ok(Next::Token(token)) => {
            let (start, end) = token.columns;
            Err(MatcherError(format!("{start}:{end}: {}: {NO_END}", token.text)))
        }
        Err(error) => Err(MatcherError(format!("{error}: {NO_END}"))),
    }
}

/// Reads matchers up to a brace or the end.
fn list(lexer: &mut Lexer<'_>, matchers: &mut Vec<Matcher>) -> Result<(), MatcherError> {
    loop {
        matchers.push(matcher(lexer)?);
        match lexer.peek() {
            Ok(Next::End) => return Ok(()),
            Ok(Next::Token(token)) if token.kind == TokenKind::CloseBrace => return Ok(()),
            Ok(Next::Token(token)) if token.kind == TokenKind::Comma => lexer.scan()?,
            other => return Err(unexpected(other, NO_END_OF_MATCHER)),
        };
        match lexer.peek() {
            Ok(Next::End) => return Ok(()),
            Ok(Next::Token(token)) if token.kind == TokenKind::CloseBrace => return Ok(()),
            Ok(Next::Token(token)) if token.is_name_or_value() => {}
            other => return Err(unexpected(other, NO_MATCHER)),
        }
    }
}

fn matcher(lexer: &mut Lexer<'_>) -> Result<Matcher, MatcherError> {
    let name = lexer.expect(Token::is_name_or_value, NO_NAME)?.unquoted()?;
    let op = lexer.expect(|token| matches!(token.kind, TokenKind::Op(_)), NO_OPERATOR)?;
    let value = lexer.expect(Token::is_name_or_value, NO_VALUE)?.unquoted()?;
    let TokenKind::Op(op) = op.kind else { unreachable!("only operators are accepted") };
    Matcher::new(name, op, value).map_err(|error| MatcherError(format!("failed to create matcher: {error}")))
}

/// Reads the closing brace, which must be there exactly if the opening one was.
fn close(lexer: &mut Lexer<'_>, braced: bool) -> Result<(), MatcherError> {
    let is_brace = |token: Token<'_>| token.kind == TokenKind::CloseBrace;
    match (lexer.expect(is_brace, NO_CLOSE_BRACE), braced) {
        (Ok(_), true) | (Err(_), false) => Ok(()),
        (Ok(_), false) => Err(MatcherError(format!("0:{}: }}: {NO_OPEN_BRACE}", lexer.column))),
        (Err(error), true) => Err(MatcherError(format!("0:{}: {error}", lexer.column))),
    }
}

/// Go's `strconv.Unquote` of a text in double quotes; what is not UTF-8 then is refused.
fn unquote(text: &str) -> Option<String> {
    String::from_utf8(quote::unquote(text)?).ok()
}
