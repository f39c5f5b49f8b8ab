//! The tokens of a page, exactly as in Prometheus' lexers (`promlex.l`, `openmetricslex.l`).
//!
//! Positions matter as much as tokens: errors quote the page from the start of the token to the byte at which the
//! lexer stopped. A NUL ends the page, except in label values, help texts and comments, which may contain it.

/// Kinds of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    Invalid,
    Eof,
    Linebreak,
    Whitespace,
    Help,
    Type,
    Unit,
    EofWord,
    Text,
    Comment,
    MetricName,
    QuotedString,
    BraceOpen,
    BraceClose,
    LabelName,
    LabelValue,
    Comma,
    Equal,
    Timestamp,
    Value,
}

impl Token {
    /// The name that errors use.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Token::Invalid => "INVALID",
            Token::Eof => "EOF",
            Token::Linebreak => "LINEBREAK",
            Token::Whitespace => "WHITESPACE",
            Token::Help => "HELP",
            Token::Type => "TYPE",
            Token::Unit => "UNIT",
            Token::EofWord => "EOFWORD",
            Token::Text => "TEXT",
            Token::Comment => "COMMENT",
            Token::MetricName => "MNAME",
            Token::QuotedString => "QSTRING",
            Token::BraceOpen => "BOPEN",
            Token::BraceClose => "BCLOSE",
            Token::LabelName => "LNAME",
            Token::LabelValue => "LVALUE",
            Token::Comma => "COMMA",
            Token::Equal => "EQUAL",
            Token::Timestamp => "TIMESTAMP",
            Token::Value => "VALUE",
        }
    }
}

/// Which tokens may come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Init,
    /// After `#`.
    Comment,
    /// After `HELP`, `TYPE` or `UNIT`.
    MetaName,
    /// After the name of a meta line.
    MetaText,
    Labels,
    LabelValue,
    Value,
    Timestamp,
    /// Inside the braces of an exemplar.
    Exemplar,
    ExemplarValue,
    ExemplarTimestamp,
}

/// Whose tokens to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Spaces and tabs between tokens; a newline is assumed after the last byte.
    Text,
    /// Exactly one space.
    OpenMetrics,
}

/// A lexer over a whole page.
#[derive(Clone, Debug)]
pub(crate) struct Lexer<'a> {
    bytes: &'a [u8],
    dialect: Dialect,
    state: State,
    /// First byte of the current token.
    pub(crate) start: usize,
    /// First byte after the current token, or the byte that fits no token.
    pub(crate) at: usize,
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(bytes: &'a [u8], dialect: Dialect) -> Self {
        Lexer { bytes, dialect, state: State::Init, start: 0, at: 0 }
    }

    /// Length of the page, including the newline that text pages get after their last byte.
    fn length(&self) -> usize {
        self.bytes.len() + usize::from(self.dialect == Dialect::Text)
    }

    /// The byte at `at`; 0 after the end.
    fn byte(&self, at: usize) -> u8 {
        match self.bytes.get(at) {
            Some(byte) => *byte,
            None if at < self.length() => b'\n',
            None => 0,
        }
    }

    fn current(&self) -> u8 {
        self.byte(self.at)
    }

    /// Advances by one byte, and over NULs where they are allowed.
    fn advance(&mut self) -> u8 {
        self.at += 1;
        if matches!(self.state, State::LabelValue | State::MetaText | State::Comment) {
            while self.at < self.length() && self.current() == 0 {
                self.at += 1;
            }
        }
        self.current()
    }

    /// The page from `from` to `to`.
    pub(crate) fn slice(&self, from: usize, to: usize) -> &'a [u8] {
        self.bytes.get(from..to.min(self.bytes.len())).unwrap_or_default()
    }

    /// The page from `from` to the byte at which the lexer stopped, inclusive, as errors quote it.
    pub(crate) fn quoted(&self, from: usize, to: usize) -> String {
        let end = to.min(self.length());
        let mut shown = self.slice(from, end).to_vec();
        if end > self.bytes.len() {
            shown.push(b'\n');
        }
        crate::error::quote(&shown)
    }

    /// Bytes of the current token.
    pub(crate) fn token(&self) -> &'a [u8] {
        self.slice(self.start, self.at)
    }

    /// Whether the lexer is at the start of a line, with nothing pending.
    pub(crate) fn at_line_start(&self) -> bool {
        self.state == State::Init
    }

    /// Continues after a line that was read by other code.
    pub(crate) fn jump(&mut self, to: usize) {
        self.at = to;
    }

    /// The next token that is not white space. After an invalid token the lexer stays where it stopped.
    pub(crate) fn next(&mut self) -> Token {
        loop {
            let token = self.any_next();
            if token != Token::Whitespace {
                return token;
            }
        }
    }

    fn any_next(&mut self) -> Token {
        if self.at >= self.length() {
            return Token::Eof;
        }
        self.start = self.at;
        match self.dialect {
            Dialect::Text => self.next_text(),
            Dialect::OpenMetrics => self.next_openmetrics(),
        }
    }

    fn next_text(&mut self) -> Token {
        if is_blank(self.current()) {
            while is_blank(self.advance()) {}
            // Spaces before a help text belong to it, unless nothing follows them.
            if self.state != State::MetaText || matches!(self.current(), b'\n' | 0) {
                return Token::Whitespace;
            }
        }
        match self.state {
            State::Init => match self.current() {
                0 => Token::Eof,
                b'\n' => self.single(Token::Linebreak, State::Init),
                b'#' => self.text_comment(),
                b'{' => self.single(Token::BraceOpen, State::Labels),
                _ => self.metric_name(State::Value),
            },
            State::MetaName => self.meta_name(),
            State::MetaText => {
                while !matches!(self.current(), b'\n' | 0) {
                    self.advance();
                }
                self.found(Token::Text, State::Init)
            }
            State::Labels => self.in_labels(State::Labels, State::Value, State::LabelValue, true),
            State::LabelValue => self.quoted_text(Token::LabelValue, State::Labels, true),
            State::Value => match self.current() {
                b'{' => self.single(Token::BraceOpen, State::Labels),
                _ => self
                    .run(Token::Value, State::Timestamp, |byte| !matches!(byte, b'{' | b' ' | b'\t' | b'\n')),
            },
            State::Timestamp => match self.current() {
                b'\n' => self.single(Token::Linebreak, State::Init),
                _ => self.run(Token::Timestamp, State::Timestamp, |byte| byte.is_ascii_digit()),
            },
            // Never the state between two tokens of a text page.
            State::Comment | State::Exemplar | State::ExemplarValue | State::ExemplarTimestamp => {
                Token::Invalid
            }
        }
    }

    fn next_openmetrics(&mut self) -> Token {
        match self.state {
            State::Init => match self.current() {
                b'#' => self.openmetrics_comment(),
                b'{' => self.single(Token::BraceOpen, State::Labels),
                _ => self.metric_name(State::Value),
            },
            State::MetaName => self.meta_name(),
            State::MetaText => self.openmetrics_meta_text(),
            State::Labels => self.in_labels(State::Labels, State::Value, State::LabelValue, true),
            State::LabelValue => self.quoted_text(Token::LabelValue, State::Labels, false),
            State::Value => match self.current() {
                b'{' => self.single(Token::BraceOpen, State::Labels),
                _ => self.spaced(Token::Value, State::Timestamp),
            },
            State::Timestamp => match self.current() {
                b'\n' => self.single(Token::Linebreak, State::Init),
                b' ' if self.byte(self.at + 1) == b'#' => self.exemplar_or_timestamp(),
                _ => self.spaced(Token::Timestamp, State::Timestamp),
            },
            State::Exemplar => {
                self.in_labels(State::Exemplar, State::ExemplarValue, State::ExemplarValue, false)
            }
            State::ExemplarValue => match self.current() {
                b'"' => self.quoted_text(Token::LabelValue, State::Exemplar, false),
                _ => self.spaced(Token::Value, State::ExemplarTimestamp),
            },
            State::ExemplarTimestamp => match self.current() {
                b'\n' => self.single(Token::Linebreak, State::Init),
                _ => self.spaced(Token::Timestamp, State::ExemplarTimestamp),
            },
            // An invalid comment leaves the lexer here; nothing fits any more.
            State::Comment => Token::Invalid,
        }
    }

    fn found(&mut self, token: Token, state: State) -> Token {
        self.state = state;
        token
    }

    fn single(&mut self, token: Token, state: State) -> Token {
        self.advance();
        self.found(token, state)
    }

    /// One or more matching bytes; NUL never matches.
    fn run(&mut self, token: Token, state: State, fits: impl Fn(u8) -> bool) -> Token {
        let first = self.at;
        while self.current() != 0 && fits(self.current()) {
            self.advance();
        }
        if self.at == first { Token::Invalid } else { self.found(token, state) }
    }

    fn metric_name(&mut self, then: State) -> Token {
        if !crate::scan::starts_metric(self.current()) {
            return Token::Invalid;
        }
        self.run(Token::MetricName, then, crate::scan::continues_metric)
    }

    fn meta_name(&mut self) -> Token {
        match self.current() {
            b'"' => self.quoted_text(Token::MetricName, State::MetaText, true),
            _ => self.metric_name(State::MetaText),
        }
    }

    /// Text in double quotes. A backslash escapes the next byte, which cannot be a newline.
    fn quoted_text(&mut self, token: Token, then: State, line_breaks: bool) -> Token {
        if self.current() != b'"' {
            return Token::Invalid;
        }
        loop {
            match self.advance() {
                b'"' => {
                    self.at += 1;
                    return self.found(token, then);
                }
                b'\\' => {
                    if matches!(self.advance(), b'\n' | 0) {
                        return Token::Invalid;
                    }
                }
                0 => return Token::Invalid,
                b'\n' if !line_breaks => return Token::Invalid,
                _ => {}
            }
        }
    }

    /// Inside braces: the states that follow a quoted name or comma, the closing brace, an equals sign.
    fn in_labels(&mut self, here: State, closed: State, equal: State, line_breaks: bool) -> Token {
        match self.current() {
            b'}' => self.single(Token::BraceClose, closed),
            b'=' => self.single(Token::Equal, equal),
            b',' => self.single(Token::Comma, here),
            b'"' => self.quoted_text(Token::QuotedString, here, line_breaks),
            byte if crate::scan::starts_label(byte) => {
                self.run(Token::LabelName, here, crate::scan::continues_label)
            }
            _ => Token::Invalid,
        }
    }

    /// `#` and what follows it in a text page: the word HELP or TYPE, or a comment up to the newline.
    fn text_comment(&mut self) -> Token {
        if !is_blank(self.advance()) {
            return self.skip_comment();
        }
        while is_blank(self.advance()) {}
        self.state = State::Comment;
        let (word, token): (&[u8], _) = match self.current() {
            b'H' => (b"HELP", Token::Help),
            _ => (b"TYPE", Token::Type),
        };
        if !self.word(word) || !is_blank(self.current()) {
            return self.skip_comment();
        }
        while is_blank(self.advance()) {}
        self.found(token, State::MetaName)
    }

    fn skip_comment(&mut self) -> Token {
        loop {
            match self.current() {
                0 => return Token::Eof,
                b'\n' => return self.found(Token::Comment, State::Init),
                _ => self.advance(),
            };
        }
    }

    /// Consumes the word; stops at the first byte that differs.
    fn word(&mut self, word: &[u8]) -> bool {
        word.iter().all(|byte| {
            let same = self.current() == *byte;
            if same {
                self.advance();
            }
            same
        })
    }

    fn openmetrics_comment(&mut self) -> Token {
        if self.advance() != b' ' {
            return Token::Invalid;
        }
        self.advance();
        self.state = State::Comment;
        let (word, token): (&[u8], _) = match self.current() {
            b'H' => (b"HELP ", Token::Help),
            b'T' => (b"TYPE ", Token::Type),
            b'U' => (b"UNIT ", Token::Unit),
            _ => (b"EOF", Token::EofWord),
        };
        if !self.word(word) {
            return Token::Invalid;
        }
        if token != Token::EofWord {
            return self.found(token, State::MetaName);
        }
        if self.current() == b'\n' {
            self.advance();
        }
        self.found(token, State::Init)
    }

    /// One space, then everything up to and including the newline.
    fn openmetrics_meta_text(&mut self) -> Token {
        if self.current() != b' ' {
            return Token::Invalid;
        }
        while !matches!(self.advance(), b'\n' | 0) {}
        if self.current() == 0 {
            return Token::Invalid;
        }
        self.single(Token::Text, State::Init)
    }

    /// One space and a run of other bytes.
    fn spaced(&mut self, token: Token, state: State) -> Token {
        if self.current() != b' ' {
            return Token::Invalid;
        }
        self.advance();
        self.run(token, state, |byte| !matches!(byte, b' ' | b'\n'))
    }

    /// ` # {` begins an exemplar; ` #` followed by other bytes would be a timestamp.
    fn exemplar_or_timestamp(&mut self) -> Token {
        self.advance();
        if self.advance() != b' ' {
            while !matches!(self.current(), b' ' | b'\n' | 0) {
                self.advance();
            }
            return self.found(Token::Timestamp, State::Timestamp);
        }
        if self.advance() != b'{' {
            return Token::Invalid;
        }
        self.single(Token::Comment, State::Exemplar)
    }
}
