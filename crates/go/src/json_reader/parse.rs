//! Parses text to a tree, with Go's grammar, error texts and repair of invalid Unicode.

use super::error::JsonError;

/// Deeper nesting is refused. Go's limit is 10,000, but no legitimate answer exceeds 50.
pub(super) const DEPTH_MAX: usize = 500;

/// A text with more values is refused: `[0,0,…` would take 16 times its size in memory.
pub(super) const VALUES_MAX: usize = 16 << 20;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Null,
    Bool(bool),
    /// As written: the target field determines whether it has to be an integer.
    Number(String),
    Text(String),
    Array(Vec<Node>),
    /// In the order written; keys may repeat.
    Object(Vec<(String, Node)>),
}

pub(super) fn parse(bytes: &[u8]) -> Result<Node, JsonError> {
    let mut parser = Parser::new(bytes);
    let node = parser.value()?;
    match parser.skip_space() {
        None => Ok(node),
        Some(byte) => Err(unexpected(byte, "after top-level value")),
    }
}

/// The first value of a stream.
pub(super) fn parse_first(bytes: &[u8]) -> Result<Node, JsonError> {
    let mut parser = Parser::new(bytes);
    if parser.skip_space().is_none() {
        return Err(JsonError::Empty);
    }
    parser.value().map_err(|error| match error {
        JsonError::UnexpectedEnd { .. } => JsonError::UnexpectedEnd { stream: true },
        // The end was inside a literal or number.
        _ if parser.at > bytes.len() => JsonError::UnexpectedEnd { stream: true },
        other => other,
    })
}

struct Parser<'b> {
    bytes: &'b [u8],
    at: usize,
    depth: usize,
    values: usize,
}

fn syntax(text: impl Into<String>) -> JsonError {
    JsonError::Syntax(text.into())
}

fn end() -> JsonError {
    JsonError::UnexpectedEnd { stream: false }
}

fn unexpected(byte: u8, context: &str) -> JsonError {
    let shown = match byte {
        b'\'' => r"'\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        byte => {
            let quoted = crate::quote::go_quote(&char::from(byte).to_string());
            format!("'{}'", &quoted[1..quoted.len() - 1])
        }
    };
    syntax(format!("invalid character {shown} {context}"))
}

impl<'b> Parser<'b> {
    fn new(bytes: &'b [u8]) -> Self {
        Parser { bytes, at: 0, depth: 0, values: 0 }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn next(&mut self) -> Result<u8, JsonError> {
        let byte = self.peek().ok_or_else(end)?;
        self.at += 1;
        Ok(byte)
    }

    /// The next byte of a literal, number or escape. If the text ends inside one, Go reports a space.
    fn next_inside(&mut self) -> u8 {
        let byte = self.peek().unwrap_or(b' ');
        self.at += 1;
        byte
    }

    fn skip_space(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.peek() {
            self.at += 1;
        }
        self.peek()
    }

    fn value(&mut self) -> Result<Node, JsonError> {
        self.values += 1;
        if self.values > VALUES_MAX {
            return Err(syntax(format!("more than {VALUES_MAX} values")));
        }
        match self.skip_space().ok_or_else(end)? {
            b'{' => self.nested(Self::object),
            b'[' => self.nested(Self::array),
            b'"' => self.text().map(Node::Text),
            b'-' | b'0'..=b'9' => self.number().map(Node::Number),
            b't' => self.word("true", Node::Bool(true)),
            b'f' => self.word("false", Node::Bool(false)),
            b'n' => self.word("null", Node::Null),
            byte => Err(unexpected(byte, "looking for beginning of value")),
        }
    }

    fn nested(&mut self, read: fn(&mut Self) -> Result<Node, JsonError>) -> Result<Node, JsonError> {
        if self.depth == DEPTH_MAX {
            return Err(syntax("exceeded max depth"));
        }
        self.depth += 1;
        self.at += 1;
        let node = read(self);
        self.depth -= 1;
        node
    }

    fn object(&mut self) -> Result<Node, JsonError> {
        let mut entries = Vec::new();
        if self.skip_space() == Some(b'}') {
            self.at += 1;
            return Ok(Node::Object(entries));
        }
        loop {
            match self.skip_space().ok_or_else(end)? {
                b'"' => {}
                byte => return Err(unexpected(byte, "looking for beginning of object key string")),
            }
            let key = self.text()?;
            match self.skip_space().ok_or_else(end)? {
                b':' => self.at += 1,
                byte => return Err(unexpected(byte, "after object key")),
            }
            entries.push((key, self.value()?));
            self.skip_space();
            match self.next()? {
                b',' => {}
                b'}' => return Ok(Node::Object(entries)),
                byte => return Err(unexpected(byte, "after object key:value pair")),
            }
        }
    }

    fn array(&mut self) -> Result<Node, JsonError> {
        let mut items = Vec::new();
        if self.skip_space() == Some(b']') {
            self.at += 1;
            return Ok(Node::Array(items));
        }
        loop {
            items.push(self.value()?);
            self.skip_space();
            match self.next()? {
                b',' => {}
                b']' => return Ok(Node::Array(items)),
                byte => return Err(unexpected(byte, "after array element")),
            }
        }
    }

    fn word(&mut self, word: &str, node: Node) -> Result<Node, JsonError> {
        for expected in word.chars() {
            let byte = self.next_inside();
            if char::from(byte) != expected {
                return Err(unexpected(byte, &format!("in literal {word} (expecting '{expected}')")));
            }
        }
        Ok(node)
    }

    fn number(&mut self) -> Result<String, JsonError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.next_inside() {
            b'0' => {}
            b'1'..=b'9' => self.digits(),
            byte => return Err(unexpected(byte, "in numeric literal")),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digit("after decimal point in numeric literal")?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digit("in exponent of numeric literal")?;
        }
        Ok(String::from_utf8_lossy(&self.bytes[start..self.at]).into_owned())
    }

    /// At least one digit.
    fn digit(&mut self, context: &str) -> Result<(), JsonError> {
        let byte = self.next_inside();
        if !byte.is_ascii_digit() {
            return Err(unexpected(byte, context));
        }
        self.digits();
        Ok(())
    }

    fn digits(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
    }

    fn text(&mut self) -> Result<String, JsonError> {
        self.at += 1;
        let mut out = String::new();
        let mut start = self.at;
        loop {
            let byte = self.next()?;
            match byte {
                b'"' | b'\\' => {
                    // As in Go, each invalid byte becomes a U+FFFD of its own.
                    for chunk in self.bytes[start..self.at - 1].utf8_chunks() {
                        out.push_str(chunk.valid());
                        out.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
                    }
                    if byte == b'"' {
                        return Ok(out);
                    }
                    let escaped = self.escape()?;
                    out.push(escaped);
                    start = self.at;
                }
                0..0x20 => return Err(unexpected(byte, "in string literal")),
                _ => {}
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        Ok(match self.next_inside() {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            byte @ (b'"' | b'\\' | b'/') => char::from(byte),
            b'u' => {
                let unit = self.hex()?;
                char::from_u32(unit).unwrap_or_else(|| self.pair(unit))
            }
            byte => return Err(unexpected(byte, "in string escape code")),
        })
    }

    /// The character of a surrogate pair whose first half has been read. A lone half is not a character, and
    /// what follows it is parsed separately.
    fn pair(&mut self, high: u32) -> char {
        let rest = Parser { at: self.at, ..Parser::new(self.bytes) };
        let Some(low) = rest.low_half().filter(|_| (0xd800..0xdc00).contains(&high)) else {
            return char::REPLACEMENT_CHARACTER;
        };
        self.at += r"\uXXXX".len();
        char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00))
            .unwrap_or(char::REPLACEMENT_CHARACTER)
    }

    fn low_half(mut self) -> Option<u32> {
        (self.next_inside() == b'\\' && self.next_inside() == b'u').then_some(())?;
        self.hex().ok().filter(|unit| (0xdc00..0xe000).contains(unit))
    }

    fn hex(&mut self) -> Result<u32, JsonError> {
        let mut unit = 0;
        for _ in 0..4 {
            let byte = self.next_inside();
            let digit = char::from(byte)
                .to_digit(16)
                .ok_or_else(|| unexpected(byte, r"in \u hexadecimal character escape"))?;
            unit = unit << 4 | digit;
        }
        Ok(unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers recorded from Go's `json.Unmarshal`.
    #[test]
    fn texts_are_repaired_or_refused_as_in_go() {
        let text = |bytes: &[u8]| match parse(bytes) {
            Ok(Node::Text(text)) => Ok(text),
            Ok(other) => Ok(format!("{other:?}")),
            Err(error) => Err(error.to_string()),
        };
        for (bytes, read) in [
            (&b"\"a\\/b\""[..], "a/b"),
            (b"\"\\ud83d\\ude00\"", "\u{1f600}"),
            (b"\"\\ud83d\"", "\u{fffd}"),
            (b"\"\\ud83dx\"", "\u{fffd}x"),
            (b"\"\\ud83d\\u0041\"", "\u{fffd}A"),
            (b"\"\\ud83d\\ud83d\\ude00\"", "\u{fffd}\u{1f600}"),
            (b"\"\\ude00\"", "\u{fffd}"),
            (b"\"a\xffb\"", "a\u{fffd}b"),
            (b"\"\xe2\x82\"", "\u{fffd}\u{fffd}"),
            (b"\"\xed\xa0\x80\"", "\u{fffd}\u{fffd}\u{fffd}"),
            (b"\"\\u0000\"", "\0"),
        ] {
            assert_eq!(text(bytes).as_deref(), Ok(read), "{}", bytes.escape_ascii());
        }
        for (bytes, error) in [
            (&b""[..], "unexpected end of JSON input"),
            (b"  ", "unexpected end of JSON input"),
            (b"[1", "unexpected end of JSON input"),
            (b"\"a", "unexpected end of JSON input"),
            (b"[1,]", "invalid character ']' looking for beginning of value"),
            (b"{a:1}", "invalid character 'a' looking for beginning of object key string"),
            (b"{\"a\" 1}", "invalid character '1' after object key"),
            (b"{\"a\":1 \"b\"}", "invalid character '\"' after object key:value pair"),
            (b"[1 2]", "invalid character '2' after array element"),
            (b"[] []", "invalid character '[' after top-level value"),
            (b"nul!", "invalid character '!' in literal null (expecting 'l')"),
            (b"01", "invalid character '1' after top-level value"),
            (b"-x", "invalid character 'x' in numeric literal"),
            (b"1.x", "invalid character 'x' after decimal point in numeric literal"),
            (b"1e'", "invalid character '\\'' in exponent of numeric literal"),
            (b"\"\n\"", "invalid character '\\n' in string literal"),
            (b"\"\\x\"", "invalid character 'x' in string escape code"),
            (b"\"\\u00g0\"", "invalid character 'g' in \\u hexadecimal character escape"),
            (b"\xff", "invalid character '\u{ff}' looking for beginning of value"),
            (b"-", "invalid character ' ' in numeric literal"),
            (b"1e", "invalid character ' ' in exponent of numeric literal"),
            (b"tru", "invalid character ' ' in literal true (expecting 'e')"),
            (b"\"\\", "invalid character ' ' in string escape code"),
            (b"[}", "invalid character '}' looking for beginning of value"),
            (b"<html>", "invalid character '<' looking for beginning of value"),
        ] {
            assert_eq!(text(bytes), Err(error.to_owned()), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn depth_is_bounded() {
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(parse(deep(DEPTH_MAX).as_bytes()).is_ok());
        assert_eq!(parse(deep(10_000).as_bytes()), Err(syntax("exceeded max depth")));
        assert_eq!(parse("{\"a\":".repeat(100_000).as_bytes()), Err(syntax("exceeded max depth")));
    }
}
