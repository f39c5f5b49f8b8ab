//! Text within HTML and XML, as Go's libraries escape it.

/// `html.EscapeString`: text between tags and inside quotes.
pub fn escape(text: &str) -> String {
    escape_with(text, |_| None)
}

/// `template.HTMLEscapeString`: a NUL also becomes U+FFFD.
pub fn escape_template(text: &str) -> String {
    escape_with(text, |c| (c == '\0').then_some("\u{fffd}"))
}

/// `xml.EscapeText`: white space but the blank is escaped too, and what XML cannot hold becomes U+FFFD.
pub fn escape_xml(text: &str) -> String {
    escape_with(text, |c| match c {
        '\t' => Some("&#x9;"),
        '\n' => Some("&#xA;"),
        '\r' => Some("&#xD;"),
        '\0'..=' ' if c != ' ' => Some("\u{fffd}"),
        '\u{fffe}' | '\u{ffff}' => Some("\u{fffd}"),
        _ => None,
    })
}

fn escape_with(text: &str, more: impl Fn(char) -> Option<&'static str>) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            c => match more(c) {
                Some(escaped) => out.push_str(escaped),
                None => out.push(c),
            },
        }
    }
    out
}
