//! Characters as package `unicode` classifies and maps them, and texts as `strings` maps them: one character at a time.
//!
//! Rust's own mappings do not serve. They follow a newer Unicode, turn `ß` into `SS`, and look at the letters around a
//! final `Σ`.

mod tables;

/// `strconv.IsPrint`: letters, marks, numbers, punctuation, symbols, and the ASCII space.
pub fn is_print(c: char) -> bool {
    if c.is_ascii() { (' '..='~').contains(&c) } else { contains(tables::PRINT, c) }
}

/// `unicode.IsLetter`
pub fn is_letter(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_alphabetic() } else { contains(tables::LETTER, c) }
}

/// `unicode.IsDigit`
pub fn is_digit(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_digit() } else { contains(tables::DIGIT, c) }
}

/// `unicode.IsSpace`
pub fn is_space(c: char) -> bool {
    matches!(
        c,
        '\t'..='\r' | ' ' | '\u{85}' | '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{2028}' | '\u{2029}'
            | '\u{202f}' | '\u{205f}' | '\u{3000}'
    )
}

/// `unicode.ToUpper`
pub fn to_upper(c: char) -> char {
    if c.is_ascii() { c.to_ascii_uppercase() } else { mapped(tables::UPPER, c).unwrap_or(c) }
}

/// `unicode.ToLower`
pub fn to_lower(c: char) -> char {
    if c.is_ascii() { c.to_ascii_lowercase() } else { mapped(tables::LOWER, c).unwrap_or(c) }
}

/// `unicode.ToTitle`
pub fn to_title(c: char) -> char {
    if c.is_ascii() {
        c.to_ascii_uppercase()
    } else {
        mapped(tables::TITLE, c).unwrap_or_else(|| to_upper(c))
    }
}

/// `strings.ToUpper`
pub fn upper(text: &str) -> String {
    if text.is_ascii() { text.to_ascii_uppercase() } else { text.chars().map(to_upper).collect() }
}

/// `strings.ToLower`
pub fn lower(text: &str) -> String {
    if text.is_ascii() { text.to_ascii_lowercase() } else { text.chars().map(to_lower).collect() }
}

/// Whether one of the ranges holds `c`.
fn contains(ranges: &[u32], c: char) -> bool {
    // Even places hold first code points: after an odd number of smaller bounds a range is open.
    let code = u32::from(c);
    let smaller = ranges.partition_point(|bound| *bound < code);
    smaller % 2 == 1 || ranges.get(smaller) == Some(&code)
}

/// What `c` is mapped to, if one of the runs holds it.
fn mapped(runs: &[[i32; 4]], c: char) -> Option<char> {
    let code = i32::try_from(u32::from(c)).ok()?;
    let [first, last, step, added] = *runs.get(runs.partition_point(|[_, last, ..]| *last < code))?;
    if code < first || code > last || (code - first) % step != 0 {
        return None;
    }
    char::from_u32(u32::try_from(code + added).ok()?)
}
