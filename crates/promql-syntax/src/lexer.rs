//! Query text to tokens, one at a time and only as far as the parser has asked.
//!
//! Here: which scanner applies where (statements, inside braces, inside brackets, series descriptions) and the texts
//! of lexical errors. Elsewhere: the scanners themselves (`scan`), what a word means (`token`).
//! Which token may come next depends on the state, and the states and their errors are those of Prometheus' lexer:
//! its error messages can be matched only by failing at the same byte.

use ferula_go::quote::go_quote;

use crate::ast::{BinaryOp, Span};
use crate::error::ParseError;
use crate::scan::{self, is_alpha, is_space, length};
use crate::token::{self, Keyword, Token, TokenKind};

/// The lexer's state, beyond its flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Statements,
    InsideBraces,
    /// Inside brackets, until the first number.
    DurationExpr,
    /// Values of a series description.
    Values,
    Histogram,
    Buckets,
    /// After a minus sign among buckets.
    BucketNumber,
}

/// Whether and how a histogram of a series description is being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HistogramState {
    None,
    Open,
    /// Closed, and directly followed by `x`, `+` or `-`.
    BeforeOperator(TokenKind),
}

/// See the top of the file.
pub(crate) struct Lexer<'a> {
    input: &'a str,
    pos: usize,
    /// Where the token being read starts.
    start: usize,
    state: State,
    series: bool,
    histogram: HistogramState,
    paren_depth: usize,
    brace_open: bool,
    bracket_open: bool,
    got_colon: bool,
    got_duration: bool,
}

type Lexed = Result<Token, Box<ParseError>>;

impl<'a> Lexer<'a> {
    /// A lexer of an expression, or of a series description.
    pub fn new(input: &'a str, series: bool) -> Self {
        Lexer {
            input,
            pos: 0,
            start: 0,
            state: State::Statements,
            series,
            histogram: HistogramState::None,
            paren_depth: 0,
            brace_open: false,
            bracket_open: false,
            got_colon: false,
            got_duration: false,
        }
    }

    /// The next token that is not a comment. After the end of the text always [`TokenKind::Eof`].
    pub fn next(&mut self) -> Lexed {
        loop {
            let token = self.next_or_comment()?;
            if token.kind != TokenKind::Comment {
                return Ok(token);
            }
        }
    }

    /// The next token. After the end of the text always [`TokenKind::Eof`].
    pub fn next_or_comment(&mut self) -> Lexed {
        loop {
            let token = match self.state {
                State::Statements => self.statements()?,
                State::InsideBraces => self.inside_braces()?,
                State::DurationExpr => self.duration_expr()?,
                State::Values => self.values()?,
                State::Histogram => self.in_histogram()?,
                State::Buckets => self.buckets()?,
                State::BucketNumber => {
                    self.state = State::Buckets;
                    Some(self.number()?)
                }
            };
            if let Some(token) = token {
                return Ok(token);
            }
        }
    }

    fn rest(&self) -> &'a str {
        &self.input[self.pos..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn advance(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.pos += c.len_utf8();
        Some(c)
    }

    fn accept(&mut self, c: char) -> bool {
        let found = self.peek() == Some(c);
        if found {
            self.pos += c.len_utf8();
        }
        found
    }

    fn skip_spaces(&mut self) {
        self.pos += length(scan::spaces, self.rest());
        self.start = self.pos;
    }

    fn emit(&mut self, kind: TokenKind) -> Token {
        let token = Token { kind, span: Span { start: self.start, end: self.pos } };
        self.start = self.pos;
        token
    }

    fn error(&self, message: impl Into<String>) -> Box<ParseError> {
        let span = Span { start: self.start, end: self.input.len() };
        Box::new(ParseError::new(self.input, span, message))
    }

    /// The text read so far of the current token, in quotes.
    fn quoted(&self) -> String {
        go_quote(&self.input[self.start..self.pos])
    }

    /// Top level of an expression, and what follows the first number inside brackets.
    fn statements(&mut self) -> Result<Option<Token>, Box<ParseError>> {
        match self.histogram {
            HistogramState::None => {}
            HistogramState::Open if self.bracket_open => return self.buckets(),
            _ => return self.in_histogram(),
        }
        if self.brace_open {
            return self.inside_braces();
        }
        if self.rest().starts_with('#') {
            return Ok(Some(self.comment()));
        }
        let Some(c) = self.advance() else { return self.end().map(Some) };
        if is_space(c) {
            self.skip_spaces();
            return Ok(None);
        }
        let kind = match c {
            ',' => TokenKind::Comma,
            '@' => TokenKind::At,
            '=' | '!' | '<' | '>' => self.comparison(c)?,
            '"' | '\'' | '`' => return self.string(c).map(Some),
            '(' => return Ok(Some(self.open_paren())),
            ')' => return self.close_paren().map(Some),
            '{' => {
                self.brace_open = true;
                self.state = State::InsideBraces;
                TokenKind::LeftBrace
            }
            '[' => return self.open_bracket().map(Some),
            ']' if !self.bracket_open => return Err(self.error("unexpected right bracket ']'")),
            ']' => {
                self.bracket_open = false;
                TokenKind::RightBracket
            }
            c if starts_number(c, self.peek()) => {
                self.pos = self.start;
                return self.number_or_duration().map(Some);
            }
            c if (is_alpha(c) || c == ':') && self.bracket_open => return self.word_in_brackets(c).map(Some),
            c if is_alpha(c) || c == ':' => return Ok(Some(self.keyword_or_identifier())),
            c => match arithmetic(c) {
                Some(op) => TokenKind::Operator(op),
                None => return Err(self.error(format!("unexpected character: {}", quote_rune(Some(c))))),
            },
        };
        Ok(Some(self.emit(kind)))
    }

    fn end(&mut self) -> Lexed {
        if self.paren_depth != 0 {
            return Err(self.error("unclosed left parenthesis"));
        }
        if self.bracket_open {
            return Err(self.error("unclosed left bracket"));
        }
        Ok(self.emit(TokenKind::Eof))
    }

    fn comment(&mut self) -> Token {
        self.pos += length(scan::comment, self.rest());
        self.emit(TokenKind::Comment)
    }

    fn comparison(&mut self, first: char) -> Result<TokenKind, Box<ParseError>> {
        let op = match first {
            '=' if self.accept('=') => BinaryOp::Eq,
            '=' if self.peek() == Some('~') => {
                return Err(self.error("unexpected character after '=': '~'"));
            }
            '=' => return Ok(TokenKind::Assign),
            '!' if self.accept('=') => BinaryOp::Ne,
            '!' => {
                let found = quote_rune(self.peek());
                return Err(self.error(format!("unexpected character after '!': {found}")));
            }
            '<' if self.accept('=') => BinaryOp::Le,
            '<' if self.accept('/') => BinaryOp::TrimUpper,
            '<' => BinaryOp::Lt,
            _ if self.accept('=') => BinaryOp::Ge,
            _ if self.accept('/') => BinaryOp::TrimLower,
            _ => BinaryOp::Gt,
        };
        Ok(TokenKind::Operator(op))
    }

    fn open_paren(&mut self) -> Token {
        self.paren_depth += 1;
        self.emit(TokenKind::LeftParen)
    }

    fn close_paren(&mut self) -> Lexed {
        let token = self.emit(TokenKind::RightParen);
        match self.paren_depth.checked_sub(1) {
            Some(depth) => self.paren_depth = depth,
            None => return Err(self.error("unexpected right parenthesis ')'")),
        }
        Ok(token)
    }

    fn open_bracket(&mut self) -> Lexed {
        if self.bracket_open {
            return Err(self.error("unexpected left bracket '['"));
        }
        self.got_colon = false;
        let token = self.emit(TokenKind::LeftBracket);
        self.skip_spaces();
        self.bracket_open = true;
        self.state = State::DurationExpr;
        Ok(token)
    }

    /// A colon or a duration word behind the first number inside brackets.
    fn word_in_brackets(&mut self, first: char) -> Lexed {
        if first == ':' {
            if self.got_colon {
                return Err(self.error("unexpected colon ':'"));
            }
            self.got_colon = true;
            return Ok(self.emit(TokenKind::Colon));
        }
        if starts_duration_word(first)
            && let Some(token) = self.duration_word()
        {
            return Ok(token);
        }
        Err(self.error(format!("unexpected character: {}, expected ':'", quote_rune(Some(first)))))
    }

    /// The rest of a duration word whose first letter has been read.
    fn duration_word(&mut self) -> Option<Token> {
        self.pos += length(scan::letters, self.rest());
        let word = self.input[self.start..self.pos].to_ascii_lowercase();
        token::duration_word(&word).map(|word| self.emit(TokenKind::Preprocessor(word)))
    }

    fn duration_expr(&mut self) -> Result<Option<Token>, Box<ParseError>> {
        let Some(c) = self.advance() else {
            return Err(self.error("unexpected end of input in duration expression"));
        };
        let kind = match c {
            ']' => {
                self.bracket_open = false;
                self.got_colon = false;
                self.state = State::Statements;
                TokenKind::RightBracket
            }
            ':' => {
                let colon = self.emit(TokenKind::Colon);
                if !self.got_duration {
                    return Err(self.error("unexpected colon before duration in duration expression"));
                }
                if self.got_colon {
                    return Err(self.error("unexpected repeated colon in duration expression"));
                }
                self.got_colon = true;
                return Ok(Some(colon));
            }
            '(' => return Ok(Some(self.open_paren())),
            ')' => return self.close_paren().map(Some),
            ',' => TokenKind::Comma,
            c if is_space(c) => {
                self.skip_spaces();
                return Ok(None);
            }
            c if starts_number(c, self.peek()) => {
                self.pos = self.start;
                self.got_duration = true;
                return self.number_or_duration().map(Some);
            }
            c => match arithmetic(c) {
                Some(op) => TokenKind::Operator(op),
                None => {
                    let word = if starts_duration_word(c) { self.duration_word() } else { None };
                    return match word {
                        Some(token) => Ok(Some(token)),
                        None => Err(self.error(format!(
                            "unexpected character in duration expression: {}",
                            quote_rune(Some(c))
                        ))),
                    };
                }
            },
        };
        Ok(Some(self.emit(kind)))
    }

    fn number_or_duration(&mut self) -> Lexed {
        let scanned = scan::number_or_duration(self.rest(), self.series);
        self.state = State::Statements;
        match scanned {
            Ok((numeral, bytes)) => {
                self.pos += bytes;
                Ok(self.emit(match numeral {
                    scan::Numeral::Number => TokenKind::Number,
                    scan::Numeral::Duration => TokenKind::Duration,
                }))
            }
            Err(bytes) => {
                self.pos += bytes;
                Err(self.error(format!("bad number or duration syntax: {}", self.quoted())))
            }
        }
    }

    fn number(&mut self) -> Lexed {
        match scan::number(self.rest(), self.series) {
            Ok(bytes) => {
                self.pos += bytes;
                Ok(self.emit(TokenKind::Number))
            }
            Err(bytes) => {
                self.pos += bytes;
                Err(self.error(format!("bad number syntax: {}", self.quoted())))
            }
        }
    }

    /// A word whose first character has been read.
    fn keyword_or_identifier(&mut self) -> Token {
        self.pos += length(scan::word, self.rest());
        let text = &self.input[self.start..self.pos];
        let kind = match token::word(text) {
            // Names of metrics before they became keywords; now keywords only in front of a parenthesis.
            Some(TokenKind::Keyword(Keyword::Fill | Keyword::FillLeft | Keyword::FillRight))
                if !self.rest().trim_start_matches(is_space).starts_with('(') =>
            {
                TokenKind::Identifier
            }
            Some(kind) => kind,
            None if text.contains(':') => TokenKind::MetricIdentifier,
            None => TokenKind::Identifier,
        };
        let token = self.emit(kind);
        self.state = if self.series && self.peek() != Some('{') { State::Values } else { State::Statements };
        token
    }

    /// A string whose opening quote has been read.
    fn string(&mut self, quote: char) -> Lexed {
        self.state = State::Statements;
        loop {
            let plain = scan::plain_text(quote);
            self.pos +=
                if quote == '`' { length(scan::raw_text, self.rest()) } else { length(plain, self.rest()) };
            match self.advance() {
                Some(c) if c == quote => return Ok(self.emit(TokenKind::String)),
                Some(char::REPLACEMENT_CHARACTER) => return Err(self.error("invalid UTF-8 rune")),
                Some('\\') => self.escape(quote)?,
                _ if quote == '`' => return Err(self.error("unterminated raw string")),
                _ => return Err(self.error("unterminated quoted string")),
            }
        }
    }

    /// Checks an escape sequence whose backslash has been read.
    fn escape(&mut self, quote: char) -> Result<(), Box<ParseError>> {
        let not_terminated = |lexer: &Self| lexer.error("escape sequence not terminated");
        let Some(kind) = self.advance() else { return Err(not_terminated(self)) };
        let (digits, radix, value_max) = match kind {
            'a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\' => return Ok(()),
            c if c == quote => return Ok(()),
            '0'..='7' => (3, 8, 255),
            'x' => (2, 16, 255),
            'u' => (4, 16, u32::from(char::MAX)),
            'U' => (8, 16, u32::from(char::MAX)),
            c => return Err(self.error(format!("unknown escape sequence {}", describe_rune(c)))),
        };
        if radix == 8 {
            self.pos -= 1;
        }
        let mut value = 0u32;
        for _ in 0..digits {
            let Some(c) = self.advance() else { return Err(not_terminated(self)) };
            let Some(digit) = c.to_digit(radix) else {
                let message = format!("illegal character {} in escape sequence", describe_rune(c));
                return Err(self.error(message));
            };
            // Eight hexadecimal digits fill the type exactly.
            value = value.wrapping_mul(radix).wrapping_add(digit);
        }
        if value > value_max || (0xd800..0xe000).contains(&value) {
            return Err(self.error("escape sequence is an invalid Unicode code point"));
        }
        Ok(())
    }

    fn inside_braces(&mut self) -> Result<Option<Token>, Box<ParseError>> {
        if self.rest().starts_with('#') {
            self.state = State::Statements;
            return Ok(Some(self.comment()));
        }
        let Some(c) = self.advance() else {
            return Err(self.error("unexpected end of input inside braces"));
        };
        let kind = match c {
            c if is_space(c) => {
                self.skip_spaces();
                return Ok(None);
            }
            c if is_alpha(c) => {
                self.pos += length(scan::identifier, self.rest());
                TokenKind::Identifier
            }
            ',' => TokenKind::Comma,
            '"' | '\'' | '`' => return self.string(c).map(Some),
            '=' if self.accept('~') => TokenKind::RegexEqual,
            '=' => TokenKind::Assign,
            '!' if self.accept('~') => TokenKind::RegexNotEqual,
            '!' if self.accept('=') => TokenKind::Operator(BinaryOp::Ne),
            '!' => {
                let found = quote_rune(self.peek());
                return Err(self.error(format!("unexpected character after '!' inside braces: {found}")));
            }
            '{' => return Err(self.error("unexpected left brace '{'")),
            '}' => {
                self.brace_open = false;
                self.state = if self.series { State::Values } else { State::Statements };
                TokenKind::RightBrace
            }
            c => {
                return Err(
                    self.error(format!("unexpected character inside braces: {}", quote_rune(Some(c))))
                );
            }
        };
        Ok(Some(self.emit(kind)))
    }

    fn values(&mut self) -> Result<Option<Token>, Box<ParseError>> {
        if self.histogram != HistogramState::None {
            return self.in_histogram();
        }
        let Some(c) = self.advance() else {
            self.state = State::Statements;
            return Ok(None);
        };
        let kind = match c {
            '{' if self.accept('{') => {
                self.histogram = HistogramState::Open;
                self.state = State::Histogram;
                TokenKind::OpenHistogram
            }
            c if is_space(c) => {
                let token = self.emit(TokenKind::Space);
                self.skip_spaces();
                return Ok(Some(token));
            }
            '+' => TokenKind::Operator(BinaryOp::Add),
            '-' => TokenKind::Operator(BinaryOp::Sub),
            'x' => TokenKind::Times,
            '_' => TokenKind::Blank,
            c if starts_number(c, self.peek()) => {
                self.pos = self.start;
                return self.number().map(Some);
            }
            c if is_alpha(c) => return Ok(Some(self.keyword_or_identifier())),
            c => {
                return Err(
                    self.error(format!("unexpected character in series sequence: {}", quote_rune(Some(c))))
                );
            }
        };
        Ok(Some(self.emit(kind)))
    }

    fn in_histogram(&mut self) -> Result<Option<Token>, Box<ParseError>> {
        if let HistogramState::BeforeOperator(kind) = self.histogram {
            self.histogram = HistogramState::None;
            self.state = State::Values;
            self.advance();
            return Ok(Some(self.emit(kind)));
        }
        self.state = State::Histogram;
        let next = self.advance();
        let kind = match next {
            Some(c) if is_space(c) => {
                let token = self.emit(TokenKind::Space);
                self.skip_spaces();
                return Ok(Some(token));
            }
            Some(c) if is_alpha(c) => return self.histogram_word().map(Some),
            Some(':') => TokenKind::Colon,
            Some('-') => TokenKind::Operator(BinaryOp::Sub),
            Some(c) if c.is_ascii_digit() => {
                self.pos = self.start;
                return self.number().map(Some);
            }
            Some('[') => {
                self.bracket_open = true;
                self.state = State::Buckets;
                TokenKind::LeftBracket
            }
            Some('}') if self.accept('}') => {
                self.state = State::Values;
                self.histogram = match self.peek() {
                    Some('x') => HistogramState::BeforeOperator(TokenKind::Times),
                    Some('+') => HistogramState::BeforeOperator(TokenKind::Operator(BinaryOp::Add)),
                    Some('-') => HistogramState::BeforeOperator(TokenKind::Operator(BinaryOp::Sub)),
                    _ => HistogramState::None,
                };
                TokenKind::CloseHistogram
            }
            c => {
                let found = quote_rune(c);
                return Err(self.error(format!("histogram description incomplete unexpected: {found}")));
            }
        };
        Ok(Some(self.emit(kind)))
    }

    /// A word inside `{{…}}` whose first letter has been read.
    fn histogram_word(&mut self) -> Lexed {
        self.pos += length(scan::letters, self.rest());
        let word = &self.input[self.start..self.pos];
        if let Some(field) = token::histogram_field(word) {
            if self.peek() != Some(':') {
                return Err(self.error("missing `:` for histogram descriptor"));
            }
            return Ok(self.emit(TokenKind::HistogramField(field)));
        }
        if token::word(word) == Some(TokenKind::Number) {
            return Ok(self.emit(TokenKind::Number));
        }
        match token::reset_hint(word) {
            Some(hint) => Ok(self.emit(TokenKind::ResetHint(hint))),
            None => Err(self.error(format!("bad histogram descriptor found: {}", go_quote(word)))),
        }
    }

    fn buckets(&mut self) -> Result<Option<Token>, Box<ParseError>> {
        self.state = State::Buckets;
        let next = self.advance();
        let kind = match next {
            Some(c) if is_space(c) => {
                let token = self.emit(TokenKind::Space);
                self.skip_spaces();
                return Ok(Some(token));
            }
            Some('-') => {
                self.state = State::BucketNumber;
                TokenKind::Operator(BinaryOp::Sub)
            }
            Some(c) if c.is_ascii_digit() => {
                self.pos = self.start;
                return self.number().map(Some);
            }
            Some(']') => {
                self.bracket_open = false;
                self.state = State::Histogram;
                TokenKind::RightBracket
            }
            // Letters gather until they are `inf` or `nan`.
            Some(c) if is_alpha(c) => {
                let word = &self.input[self.start..self.pos];
                if token::word(word) != Some(TokenKind::Number) {
                    return Ok(None);
                }
                TokenKind::Number
            }
            c => {
                let found = quote_rune(c);
                return Err(self.error(format!("invalid character in buckets description: {found}")));
            }
        };
        Ok(Some(self.emit(kind)))
    }
}

fn starts_number(c: char, next: Option<char>) -> bool {
    c.is_ascii_digit() || (c == '.' && next.is_some_and(|next| next.is_ascii_digit()))
}

fn starts_duration_word(c: char) -> bool {
    matches!(c.to_ascii_lowercase(), 's' | 'r' | 'm')
}

fn arithmetic(c: char) -> Option<BinaryOp> {
    Some(match c {
        '+' => BinaryOp::Add,
        '-' => BinaryOp::Sub,
        '*' => BinaryOp::Mul,
        '/' => BinaryOp::Div,
        '%' => BinaryOp::Mod,
        '^' => BinaryOp::Pow,
        _ => return None,
    })
}

/// Go's `%q` of a rune: single quotes, escapes as in strings. The end of the text counts as U+FFFD.
fn quote_rune(c: Option<char>) -> String {
    match c {
        None => "'\u{fffd}'".to_owned(),
        Some('\'') => "'\\''".to_owned(),
        Some('"') => "'\"'".to_owned(),
        Some(c) => format!("'{}'", go_quote(c.encode_utf8(&mut [0; 4])).trim_matches('"')),
    }
}

/// Go's `%#U` of a rune: `U+0071 'q'`; the character only when it can be printed.
fn describe_rune(c: char) -> String {
    let code = format!("U+{:04X}", u32::from(c));
    let quoted = go_quote(c.encode_utf8(&mut [0; 4]));
    let printable = quoted.len() == c.len_utf8() + 2 || matches!(c, '"' | '\\');
    if printable { format!("{code} '{c}'") } else { code }
}
