//! Forms in several parts (`multipart/form-data`), as `Request.ParseMultipartForm` reads them: what `curl -F` sends.

use crate::mime::media_type_and_parameter;

/// More fields than this are taken for no form.
const FIELDS_MAX: usize = 10_000;

/// Names and values of the fields in a body. Files are left out.
///
/// `None` if the header has no boundary, or the body is not a form with this boundary up to its end; Go then knows no
/// field of it.
pub fn form_values(content_type: &str, body: &[u8]) -> Option<Vec<(String, String)>> {
    let (media_type, boundary) = media_type_and_parameter(content_type, "boundary").ok()?;
    if media_type != "multipart/form-data" {
        return None;
    }
    let delimiter = format!("--{}", boundary?).into_bytes();
    let mut rest = after_preamble(body, &delimiter)?;
    let mut values = Vec::new();
    loop {
        // What follows a delimiter: its end of line, or two dashes behind the last one.
        if rest.starts_with(b"--") {
            return Some(values);
        }
        rest = rest.strip_prefix(b"\r\n").or_else(|| rest.strip_prefix(b"\n"))?;
        let (head, after) = head(rest)?;
        let end = find(after, &[b"\r\n", &*delimiter].concat())?;
        if let Some((name, value)) = field(head, &after[..end]) {
            values.push((name, value));
        }
        if values.len() > FIELDS_MAX {
            return None;
        }
        rest = &after[end + 2 + delimiter.len()..];
    }
}

/// What follows the first delimiter, which begins a line.
fn after_preamble<'a>(body: &'a [u8], delimiter: &[u8]) -> Option<&'a [u8]> {
    if let Some(rest) = body.strip_prefix(delimiter) {
        return Some(rest);
    }
    let before = [b"\n", delimiter].concat();
    find(body, &before).map(|at| &body[at + before.len()..])
}

/// The header of a part, and what follows its empty line.
fn head(part: &[u8]) -> Option<(&[u8], &[u8])> {
    if let Some(rest) = part.strip_prefix(b"\r\n") {
        return Some((&[], rest));
    }
    find(part, b"\r\n\r\n").map(|end| (&part[..end], &part[end + 4..]))
}

/// Name and value of a part that has a name and is no file.
fn field(head: &[u8], value: &[u8]) -> Option<(String, String)> {
    let head = String::from_utf8_lossy(head);
    let disposition = head.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-disposition").then_some(value.trim())
    })?;
    let (kind, name) = media_type_and_parameter(disposition, "name").ok()?;
    let (_, file) = media_type_and_parameter(disposition, "filename").ok()?;
    if kind != "form-data" || file.is_some_and(|file| !file.is_empty()) {
        return None;
    }
    Some((name.filter(|name| !name.is_empty())?, String::from_utf8_lossy(value).into_owned()))
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=XX";

    fn part(name: &str, value: &str) -> String {
        format!("--XX\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    }

    fn values(content_type: &str, body: &str) -> Option<Vec<(String, String)>> {
        form_values(content_type, body.as_bytes())
    }

    #[test]
    fn fields_are_read_in_order_and_files_left_out() {
        let file =
            "--XX\r\nContent-Disposition: form-data; name=f; filename=x\r\nContent-Type: a/b\r\n\r\nz\r\n";
        let body = format!("preamble\r\n{}{file}{}--XX--\r\n", part("query", "1\r\n+ 1"), part("q\\\"x", ""));
        let expected = [("query", "1\r\n+ 1"), ("q\"x", "")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        assert_eq!(values(TYPE, &body), Some(expected.clone()));
        assert_eq!(values("Multipart/Form-Data; boundary=\"XX\"", &body), Some(expected));
    }

    #[test]
    fn a_body_that_is_no_whole_form_has_no_fields() {
        let whole = format!("{}--XX--\r\n", part("a", "b"));
        assert!(values(TYPE, &whole).is_some());
        for cut in 0..whole.len() - 4 {
            assert_eq!(values(TYPE, &whole[..cut]), None, "{cut}");
        }
        for content_type in
            ["multipart/form-data", "multipart/form-data; boundary=YY", "text/plain; boundary=XX", ""]
        {
            assert_eq!(values(content_type, &whole), None, "{content_type}");
        }
    }
}
