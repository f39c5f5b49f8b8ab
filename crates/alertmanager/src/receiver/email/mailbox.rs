//! Address lists of headers: `a@x, "B, C" <b@y> (note)`.

/// Why a text is not an address list.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum MailboxError {
    #[error("mail: no address")]
    Empty,
    #[error("mail: missing '@' or angle-addr")]
    NoAt,
    #[error("mail: unclosed angle-addr")]
    Unclosed,
    #[error("mail: unclosed quoted-string")]
    UnclosedQuote,
    #[error("mail: misformatted parenthetical comment")]
    Comment,
    #[error("mail: expected comma")]
    NoComma,
}

/// The addresses without display names.
pub fn addresses(text: &str) -> Result<Vec<String>, MailboxError> {
    let mut all = Vec::new();
    for mailbox in split(text)? {
        if !mailbox.trim().is_empty() {
            all.push(address(&mailbox)?);
        }
    }
    if all.is_empty() { Err(MailboxError::Empty) } else { Ok(all) }
}

/// Splits at commas and removes comments; quotes and angle brackets protect their content.
fn split(text: &str) -> Result<Vec<String>, MailboxError> {
    let (mut parts, mut part) = (Vec::new(), String::new());
    let (mut in_quotes, mut in_angle, mut comments) = (false, false, 0usize);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' if in_quotes || comments > 0 => {
                let next = chars.next();
                if comments == 0 {
                    part.push(c);
                    part.extend(next);
                }
            }
            '(' if !in_quotes => comments += 1,
            ')' if !in_quotes => comments = comments.checked_sub(1).ok_or(MailboxError::Comment)?,
            _ if comments > 0 => {}
            '"' => {
                in_quotes = !in_quotes;
                part.push(c);
            }
            ',' if !in_quotes && !in_angle => parts.push(std::mem::take(&mut part)),
            c => {
                if !in_quotes {
                    in_angle = c == '<' || in_angle && c != '>';
                }
                part.push(c);
            }
        }
    }
    match (in_quotes, in_angle, comments) {
        (true, ..) => Err(MailboxError::UnclosedQuote),
        (_, true, _) => Err(MailboxError::Unclosed),
        (_, _, 1..) => Err(MailboxError::Comment),
        _ => {
            parts.push(part);
            Ok(parts)
        }
    }
}

fn address(mailbox: &str) -> Result<String, MailboxError> {
    let mailbox = mailbox.trim();
    if mailbox.chars().any(char::is_control) {
        return Err(MailboxError::NoAt);
    }
    let bare = match angle_start(mailbox) {
        Some(start) => {
            let (inside, after) = mailbox[start + 1..].split_once('>').ok_or(MailboxError::Unclosed)?;
            if !after.trim().is_empty() {
                return Err(MailboxError::NoComma);
            }
            inside.trim()
        }
        None => mailbox,
    };
    let (local, domain) = bare.rsplit_once('@').ok_or(MailboxError::NoAt)?;
    // A quoted local part may contain anything except a line break.
    let is_quoted = local.len() > 1 && local.starts_with('"') && local.ends_with('"');
    let is_odd = |c: char| c == '<' || c == '>';
    let has_space = !is_quoted && local.contains([' ', '\t', '"', '@']) || domain.contains([' ', '\t', '"']);
    if local.is_empty() || domain.is_empty() || has_space || bare.chars().any(is_odd) {
        return Err(MailboxError::NoAt);
    }
    Ok(bare.to_owned())
}

/// The position of the angle bracket outside of quotes.
fn angle_start(mailbox: &str) -> Option<usize> {
    let (mut in_quotes, mut is_escaped) = (false, false);
    for (at, c) in mailbox.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if in_quotes => is_escaped = true,
            '"' => in_quotes = !in_quotes,
            '<' if !in_quotes => return Some(at),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_taken_apart() {
        for (text, expected) in [
            ("a@x", vec!["a@x"]),
            ("a@x, b@y", vec!["a@x", "b@y"]),
            ("A <a@x>, \"B, C <d>\" <b@y> (note, more)", vec!["a@x", "b@y"]),
            ("Ü (a \\) b) <ü@x>,", vec!["ü@x"]),
            ("\"a b\"@x", vec!["\"a b\"@x"]),
        ] {
            let expected: Vec<String> = expected.into_iter().map(str::to_owned).collect();
            assert_eq!(addresses(text), Ok(expected), "{text}");
        }
        for (text, error) in [
            ("", MailboxError::Empty),
            ("alice", MailboxError::NoAt),
            ("<a@x", MailboxError::Unclosed),
            ("\"a@x", MailboxError::UnclosedQuote),
            ("a@x)", MailboxError::Comment),
            ("A <a@x> B", MailboxError::NoComma),
            ("a@x\r\nRCPT TO:<b@y>", MailboxError::NoAt),
            ("a@x\r\nDATA", MailboxError::NoAt),
        ] {
            assert_eq!(addresses(text), Err(error), "{text}");
        }
    }
}
