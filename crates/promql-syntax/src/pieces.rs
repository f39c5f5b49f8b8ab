//! A text cut into pieces, also one that is not finished: for editors, which colour it and complete what stands at the
//! cursor.

use crate::ast::Span;
use crate::lexer::Lexer;
use crate::token::TokenKind;

/// A piece of a text; blanks between pieces belong to none of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    pub class: PieceClass,
    pub span: Span,
}

/// What a piece is, as far as that can be told without its surroundings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PieceClass {
    /// A name of a metric, label or function.
    Name,
    /// A word of the language: `sum`, `by`, `and`, `offset`.
    Keyword,
    Number,
    Duration,
    String,
    Operator,
    /// Brackets, commas and colons.
    Punctuation,
    Comment,
}

impl PieceClass {
    /// The name that editors use.
    pub const fn as_str(self) -> &'static str {
        match self {
            PieceClass::Name => "name",
            PieceClass::Keyword => "keyword",
            PieceClass::Number => "number",
            PieceClass::Duration => "duration",
            PieceClass::String => "string",
            PieceClass::Operator => "operator",
            PieceClass::Punctuation => "punctuation",
            PieceClass::Comment => "comment",
        }
    }

    fn of(kind: TokenKind) -> Self {
        match kind {
            TokenKind::Comment => PieceClass::Comment,
            TokenKind::Identifier | TokenKind::MetricIdentifier => PieceClass::Name,
            TokenKind::Number => PieceClass::Number,
            TokenKind::Duration => PieceClass::Duration,
            TokenKind::String => PieceClass::String,
            TokenKind::Assign
            | TokenKind::RegexEqual
            | TokenKind::RegexNotEqual
            | TokenKind::At
            | TokenKind::Operator(_) => PieceClass::Operator,
            TokenKind::Aggregator(_) | TokenKind::Keyword(_) | TokenKind::Preprocessor(_) => {
                PieceClass::Keyword
            }
            _ => PieceClass::Punctuation,
        }
    }
}

/// The pieces up to where the lexer cannot continue, and that place if it is not the end.
pub fn pieces(text: &str) -> (Vec<Piece>, Option<usize>) {
    let mut lexer = Lexer::new(text, false);
    let mut all = Vec::new();
    loop {
        match lexer.next_or_comment() {
            Ok(token) if token.kind == TokenKind::Eof => return (all, None),
            Ok(token) => {
                let word = text.as_bytes().get(token.span.start).is_some_and(u8::is_ascii_alphabetic);
                let class = match PieceClass::of(token.kind) {
                    // `and`, `unless`.
                    PieceClass::Operator if word => PieceClass::Keyword,
                    class => class,
                };
                all.push(Piece { class, span: token.span });
            }
            // Brackets that are open at the end are an error of the whole, not of a piece.
            Err(error) => return (all, Some(error.span.start).filter(|at| *at < text.len())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> (Vec<String>, Option<usize>) {
        let (pieces, stop) = pieces(text);
        let show =
            |piece: &Piece| format!("{}:{}", piece.class.as_str(), &text[piece.span.start..piece.span.end]);
        (pieces.iter().map(show).collect(), stop)
    }

    #[test]
    fn a_text_is_cut_as_far_as_it_goes() {
        for (text, pieces, stop) in [
            (
                "sum by (le) (x[5m] offset -1h) # end",
                "keyword:sum keyword:by punctuation:( name:le punctuation:) punctuation:( name:x punctuation:[ duration:5m punctuation:] keyword:offset operator:- duration:1h punctuation:) comment:#_end",
                None,
            ),
            ("up{job=~\"a", "name:up punctuation:{ name:job operator:=~", Some(8)),
            ("rate(x[5", "name:rate punctuation:( name:x punctuation:[ number:5", None),
            ("a and (", "name:a keyword:and punctuation:(", None),
            ("a ? b", "name:a", Some(2)),
            ("", "", None),
        ] {
            let (found, stopped) = shown(text);
            let found: Vec<String> = found.iter().map(|piece| piece.replace(' ', "_")).collect();
            assert_eq!((found.join(" "), stopped), (pieces.to_owned(), stop), "{text}");
        }
    }
}
