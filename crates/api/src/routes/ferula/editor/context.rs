//! Determines what may be inserted at the cursor. Only the text before the cursor has to be valid, and only
//! as a sequence of tokens.

use ferula_model::Matcher;
use ferula_promql_syntax::{Piece, PieceClass, parse_metric_selector, pieces};

/// What may be inserted at the cursor.
#[derive(Debug, PartialEq)]
pub(super) enum CompletionKind {
    /// A metric or a function.
    Operand,
    /// A keyword that may follow an operand.
    Operator,
    /// A label name in a selector.
    Label(Vec<Matcher>),
    /// A value of the label, in an open or a closed string.
    Value {
        label: String,
        matchers: Vec<Matcher>,
        quote: char,
        closed: bool,
    },
    /// A label name in a grouping or matching clause.
    Grouping(Vec<Matcher>),
    Duration,
    Nothing,
}

/// What may be inserted, and the text that a candidate replaces; positions in bytes.
#[derive(Debug, PartialEq)]
pub(super) struct Context {
    pub wanted: CompletionKind,
    pub from: usize,
    pub to: usize,
}

const GROUPINGS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];

/// `cursor` is a position between characters.
pub(super) fn context(text: &str, cursor: usize) -> Context {
    let before = &text[..cursor];
    let (all, stop) = pieces(before);
    let nothing = Context { wanted: CompletionKind::Nothing, from: cursor, to: cursor };
    if let Some(at) = stop {
        return open_string(text, cursor, &all, at).unwrap_or(nothing);
    }
    if let Some(last) = all.last() {
        let inside_string = last.class == PieceClass::String && last.span.end == cursor;
        if (last.class == PieceClass::Comment && !before[last.span.start..].contains('\n')) || inside_string {
            return nothing;
        }
    }
    let all: Vec<Piece> = all.into_iter().filter(|piece| piece.class != PieceClass::Comment).collect();
    let is_word = |piece: &Piece| {
        matches!(
            piece.class,
            PieceClass::Name | PieceClass::Keyword | PieceClass::Number | PieceClass::Duration
        ) && piece.span.end == cursor
    };
    let (word, left) = match all.split_last() {
        Some((last, left)) if is_word(last) => (Some(last), left),
        _ => (None, all.as_slice()),
    };
    let number = word.is_some_and(|word| matches!(word.class, PieceClass::Number | PieceClass::Duration));
    let from = word.map_or(cursor, |word| word.span.start);
    let to = cursor + text[cursor..].bytes().take_while(|byte| is_name_byte(*byte)).count();
    let show = |piece: &Piece| &before[piece.span.start..piece.span.end];
    let open = open_bracket(before, left);
    let previous = left.last().map_or("", show);
    let wanted = match open.map(|at| (at, show(&left[at]))) {
        Some((at, "{")) if !number && (previous == "{" || previous == ",") => {
            CompletionKind::Label(selector_matchers(text, before, left, at, to))
        }
        Some((_, "{")) => CompletionKind::Nothing,
        Some((_, "[")) if matches!(previous, "[" | ":") => CompletionKind::Duration,
        Some((_, "[")) => CompletionKind::Nothing,
        Some((at, _)) if at > 0 && is_grouping(show(&left[at - 1])) && !number => {
            CompletionKind::Grouping(grouped_matchers(text, left[at - 1].span.start, cursor))
        }
        _ if number => CompletionKind::Nothing,
        _ if follows_operand(before, left) => CompletionKind::Operator,
        _ => CompletionKind::Operand,
    };
    Context { wanted, from, to }
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':')
}

fn is_grouping(word: &str) -> bool {
    GROUPINGS.iter().any(|grouping| grouping.eq_ignore_ascii_case(word))
}

/// Index of the innermost open bracket.
fn open_bracket(text: &str, pieces: &[Piece]) -> Option<usize> {
    let mut open = Vec::new();
    for (at, piece) in pieces.iter().enumerate() {
        match &text[piece.span.start..piece.span.end] {
            "(" | "{" | "[" => open.push(at),
            ")" | "}" | "]" => drop(open.pop()),
            _ => {}
        }
    }
    open.pop()
}

/// Whether an operand ends before the cursor, so that only an operator or modifier can follow.
fn follows_operand(text: &str, left: &[Piece]) -> bool {
    left.last().is_some_and(|piece| match piece.class {
        PieceClass::Name | PieceClass::Number | PieceClass::Duration | PieceClass::String => true,
        PieceClass::Punctuation => matches!(&text[piece.span.start..piece.span.end], ")" | "}" | "]"),
        _ => false,
    })
}

/// The context inside a string that starts at `at`: a label value if the string belongs to a matcher.
fn open_string(text: &str, cursor: usize, left: &[Piece], at: usize) -> Option<Context> {
    let quote = text[at..].chars().next().filter(|c| matches!(c, '"' | '\'' | '`'))?;
    let before = &text[..cursor];
    let open = open_bracket(before, left)
        .filter(|open| &before[left[*open].span.start..left[*open].span.end] == "{")?;
    let [.., label, operator] = left else { return None };
    if operator.class != PieceClass::Operator {
        return None;
    }
    let end = cursor + closing_quote(&text[cursor..], quote).unwrap_or(0);
    let closed = closing_quote(&text[cursor..], quote).is_some();
    let behind = if closed { end + quote.len_utf8() } else { end };
    Some(Context {
        wanted: CompletionKind::Value {
            label: unquoted(&before[label.span.start..label.span.end]).to_owned(),
            matchers: selector_matchers(text, before, &left[..left.len() - 2], open, behind),
            quote,
            closed,
        },
        from: at + quote.len_utf8(),
        to: end,
    })
}

/// The length of the rest of a string; `None` if it is not closed before the end of the line or the braces.
fn closing_quote(rest: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in rest.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quote != '`' => escaped = true,
            '\n' | '}' | ',' => return None,
            c if c == quote => return Some(at),
            _ => {}
        }
    }
    None
}

fn unquoted(word: &str) -> &str {
    let trimmed = word.trim_start_matches(['"', '\'', '`']);
    if trimmed.len() < word.len() { trimmed.trim_end_matches(['"', '\'', '`']) } else { word }
}

/// The metric and the complete matchers of the selector whose braces open at the token `brace`, both before
/// and after the cursor.
fn selector_matchers(text: &str, before: &str, left: &[Piece], brace: usize, behind: usize) -> Vec<Matcher> {
    let show = |piece: &Piece| &before[piece.span.start..piece.span.end];
    let mut parts = Vec::new();
    if let Some(name) = brace.checked_sub(1).map(|at| &left[at])
        && name.class == PieceClass::Name
    {
        parts.push(format!("__name__=\"{}\"", show(name)));
    }
    parts.extend(finished(before, &left[brace + 1..]));
    let rest = format!("{{{}", &text[behind.min(text.len())..]);
    let (after, _) = pieces(&rest);
    let end = after.iter().position(|piece| &rest[piece.span.start..piece.span.end] == "}").unwrap_or(0);
    parts.extend(finished(&rest, &after[..end]));
    parse_metric_selector(&format!("{{{}}}", parts.join(","))).unwrap_or_default()
}

/// Matchers `label op "value"` of which all three parts exist.
fn finished(text: &str, pieces: &[Piece]) -> Vec<String> {
    let is_matcher = |three: &&[Piece]| {
        matches!(three[0].class, PieceClass::Name | PieceClass::Keyword | PieceClass::String)
            && three[1].class == PieceClass::Operator
            && three[2].class == PieceClass::String
    };
    let show = |three: &[Piece]| text[three[0].span.start..three[2].span.end].to_owned();
    pieces.windows(3).filter(is_matcher).map(show).collect()
}

/// The selector to which a grouping refers: the next one, or else the first one before its clause. None is written yet
/// when people begin with the clause; then any series may be meant.
fn grouped_matchers(text: &str, clause: usize, cursor: usize) -> Vec<Matcher> {
    let rest = &text[cursor..];
    let behind = rest.find(')').map_or("", |at| &rest[at + 1..]);
    first_selector(behind).or_else(|| first_selector(&text[..clause])).unwrap_or_default()
}

fn first_selector(text: &str) -> Option<Vec<Matcher>> {
    let (all, _) = pieces(text);
    let show = |piece: &Piece| &text[piece.span.start..piece.span.end];
    let mut in_clause = false;
    for (at, piece) in all.iter().enumerate() {
        let next = all.get(at + 1).map_or("", show);
        // Labels of a clause are no metrics.
        in_clause = (in_clause && show(piece) != ")") || (is_grouping(show(piece)) && next == "(");
        if piece.class != PieceClass::Name || next == "(" || in_clause {
            continue;
        }
        if next != "{" {
            return parse_metric_selector(show(piece)).ok();
        }
        let close = all[at..].iter().find(|piece| show(piece) == "}")?;
        return parse_metric_selector(&text[piece.span.start..close.span.end]).ok();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `|` marks the cursor.
    fn at(marked: &str) -> (String, String) {
        let cursor = marked.find('|').expect("a cursor");
        let text = marked.replace('|', "");
        let found = context(&text, cursor);
        let show = |matchers: &[Matcher]| {
            matchers
                .iter()
                .map(|m| format!("{}{}{}", m.name, m.op.as_str(), m.value))
                .collect::<Vec<_>>()
                .join(",")
        };
        let wanted = match &found.wanted {
            CompletionKind::Operand => "operand".to_owned(),
            CompletionKind::Operator => "operator".to_owned(),
            CompletionKind::Duration => "duration".to_owned(),
            CompletionKind::Nothing => "nothing".to_owned(),
            CompletionKind::Label(matchers) => format!("label of {}", show(matchers)),
            CompletionKind::Grouping(matchers) => format!("grouping of {}", show(matchers)),
            CompletionKind::Value { label, matchers, closed, .. } => {
                format!("value of {label} in {}{}", show(matchers), if *closed { "" } else { ", open" })
            }
        };
        (wanted, text[found.from..found.to].to_owned())
    }

    #[test]
    fn the_position_of_the_cursor_determines_the_candidates() {
        for (text, wanted, replaced) in [
            ("|", "operand", ""),
            ("htt|", "operand", "htt"),
            ("htt|p_total", "operand", "http_total"),
            ("sum(|", "operand", ""),
            ("sum(ra|", "operand", "ra"),
            ("a + |", "operand", ""),
            ("a |", "operator", ""),
            ("rate(a[5m]) o|", "operator", "o"),
            ("up{|", "label of __name__=up", ""),
            ("up{jo|}", "label of __name__=up", "jo"),
            ("up{job=\"a\", in|", "label of __name__=up,job=a", "in"),
            ("up{|, job=\"a\"}", "label of __name__=up,job=a", ""),
            ("up{job=\"|", "value of job in __name__=up, open", ""),
            ("up{job=~\"pro|\"}", "value of job in __name__=up", "pro"),
            ("up{job=\"|x\", zone!=\"b\"}", "value of job in __name__=up,zone!=b", "x"),
            ("{\"a.b\"=\"|", "value of a.b in , open", ""),
            ("up{job=\"a\"|", "nothing", ""),
            ("up{job=|", "nothing", ""),
            ("rate(up[|", "duration", ""),
            ("rate(up[5|", "duration", "5"),
            ("up[1h:5|", "duration", "5"),
            ("sum by (|) (rate(up{job=\"a\"}[5m]))", "grouping of job=a,__name__=up", ""),
            ("sum(rate(up[5m])) by (jo|", "grouping of __name__=up", "jo"),
            ("a * on (|", "grouping of __name__=a", ""),
            ("sum by (jo|", "grouping of ", "jo"),
            ("sum by (jo|)", "grouping of ", "jo"),
            ("sum by (|) (max without (b) (up))", "grouping of __name__=up", ""),
            ("a # com|", "nothing", ""),
            ("label_replace(a, \"x|", "nothing", ""),
            ("5|", "nothing", "5"),
            ("ü|", "nothing", ""),
            ("sum(a ? |", "nothing", ""),
        ] {
            assert_eq!(at(text), (wanted.to_owned(), replaced.to_owned()), "{text}");
        }
    }

    #[test]
    fn any_cursor_in_any_text_gets_an_answer() {
        for text in [
            "sum by (é) (x{a=\"ü💥\",b!~'c'}[5m:1m] @ end()) # ö",
            "{{{((([[[",
            "\"'`\\\n}",
            "up{job=\"a\\\"b\"}",
        ] {
            for cursor in (0..=text.len()).filter(|at| text.is_char_boundary(*at)) {
                let found = context(text, cursor);
                assert!(
                    found.from <= cursor && cursor <= found.to && found.to <= text.len(),
                    "{text} {cursor}"
                );
                assert!(text.is_char_boundary(found.from) && text.is_char_boundary(found.to));
            }
        }
    }
}
