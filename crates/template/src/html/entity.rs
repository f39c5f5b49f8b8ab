//! Character references of HTML, as far as they can change what a value means: numbers, and the names of punctuation.

const NAMED: [(&str, char); 34] = [
    ("quot", '"'),
    ("QUOT", '"'),
    ("amp", '&'),
    ("AMP", '&'),
    ("lt", '<'),
    ("LT", '<'),
    ("gt", '>'),
    ("GT", '>'),
    ("apos", '\''),
    ("sol", '/'),
    ("bsol", '\\'),
    ("colon", ':'),
    ("semi", ';'),
    ("num", '#'),
    ("quest", '?'),
    ("lpar", '('),
    ("rpar", ')'),
    ("lbrace", '{'),
    ("lcub", '{'),
    ("rbrace", '}'),
    ("rcub", '}'),
    ("lbrack", '['),
    ("rbrack", ']'),
    ("grave", '`'),
    ("NewLine", '\n'),
    ("Tab", '\t'),
    ("equals", '='),
    ("dollar", '$'),
    ("ast", '*'),
    ("comma", ','),
    ("period", '.'),
    ("excl", '!'),
    ("plus", '+'),
    ("nbsp", '\u{a0}'),
];

/// The text with its references replaced. Unknown names stay as they are.
pub fn decode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        match reference(&rest[1..]) {
            Some((c, length)) => {
                out.push(c);
                rest = &rest[1 + length..];
            }
            None => {
                out.push('&');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// The character of the reference that `text` begins with, after its `&`, and how many bytes it takes.
fn reference(text: &str) -> Option<(char, usize)> {
    if let Some(number) = text.strip_prefix('#') {
        let (digits, radix, prefix) = match number.strip_prefix(['x', 'X']) {
            Some(digits) => (digits, 16, 2),
            None => (number, 10, 1),
        };
        let length = digits.chars().take_while(|c| c.is_digit(radix)).count();
        if length == 0 {
            return None;
        }
        let code = u32::from_str_radix(&digits[..length], radix).unwrap_or(u32::MAX);
        let c = char::from_u32(code).filter(|c| *c != '\0').unwrap_or(char::REPLACEMENT_CHARACTER);
        let semicolon = usize::from(digits[length..].starts_with(';'));
        return Some((c, prefix + length + semicolon));
    }
    let length = text.bytes().take_while(u8::is_ascii_alphanumeric).count();
    let (name, has_end) = (&text[..length], text[length..].starts_with(';'));
    if has_end {
        return NAMED.iter().find(|(known, _)| *known == name).map(|(_, c)| (*c, length + 1));
    }
    // The oldest names need no semicolon.
    let old = ["quot", "QUOT", "amp", "AMP", "lt", "LT", "gt", "GT", "nbsp"];
    let known = old.iter().find(|old| name.starts_with(**old))?;
    NAMED.iter().find(|(name, _)| name == known).map(|(_, c)| (*c, known.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_replaced_and_the_rest_stays() {
        // Recorded from html.UnescapeString.
        for (text, expected) in [
            ("a&quot;b&#39;c&#x27;d&#X27", "a\"b'c'd'"),
            ("&lt&gt;&amp;lt;", "<>&lt;"),
            ("&notanentity; & &; &#; &#x;", "&notanentity; & &; &#; &#x;"),
            ("&#0;&#x110000;&#99999999999;", "\u{fffd}\u{fffd}\u{fffd}"),
            ("javascript&colon;x&lpar;&rpar;&NewLine;", "javascript:x()\n"),
            ("&ltx &quot", "<x \""),
        ] {
            assert_eq!(decode(text), expected, "{text}");
        }
    }
}
