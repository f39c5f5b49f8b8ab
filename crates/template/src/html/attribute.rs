//! What the value of an attribute is, by the attribute's name.

/// Kinds of value that matter for escaping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    Plain,
    Css,
    Html,
    Js,
    Url,
    Srcset,
    /// Changes how the document is read or what requests carry.
    Unsafe,
}

/// Names with a kind of their own, sorted within each kind. The rest of those that HTML knows are plain, even where they
/// look like an address.
const URLS: [&str; 17] = [
    "action",
    "archive",
    "background",
    "cite",
    "classid",
    "codebase",
    "data",
    "formaction",
    "href",
    "icon",
    "longdesc",
    "manifest",
    "poster",
    "profile",
    "src",
    "usemap",
    "xmlns",
];
const UNSAFE: [&str; 22] = [
    "accept-charset",
    "async",
    "challenge",
    "charset",
    "content",
    "crossorigin",
    "defer",
    "enctype",
    "form",
    "formenctype",
    "formmethod",
    "formnovalidate",
    "http-equiv",
    "keytype",
    "language",
    "method",
    "novalidate",
    "pattern",
    "rel",
    "sandbox",
    "type",
    "value",
];
/// Known names that the rules for unknown ones would take for something else.
const PLAIN: [&str; 1] = ["srclang"];

/// The kind of the value of an attribute; the name in lower case.
pub fn kind_of(name: &str) -> ValueKind {
    let name = match (name.strip_prefix("data-"), name.split_once(':')) {
        (Some(rest), _) => rest,
        (None, Some(("xmlns", _))) => return ValueKind::Url,
        (None, Some((_, rest))) => rest,
        (None, None) => name,
    };
    match name {
        "srcdoc" => ValueKind::Html,
        "srcset" => ValueKind::Srcset,
        "style" => ValueKind::Css,
        name if URLS.contains(&name) => ValueKind::Url,
        name if UNSAFE.contains(&name) => ValueKind::Unsafe,
        name if PLAIN.contains(&name) => ValueKind::Plain,
        name if name.starts_with("on") => ValueKind::Js,
        // Pages keep addresses in attributes of their own.
        name if ["src", "uri", "url"].iter().any(|part| name.contains(part)) => ValueKind::Url,
        _ => ValueKind::Plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_decide_what_a_value_is() {
        for (names, kind) in [
            (["href", "xlink:href", "data-href", "xmlns:any", "tweet-url", "data-uri-x"], ValueKind::Url),
            (["onclick", "onanything", "data-onx", "svg:onload", "on", "data-on"], ValueKind::Js),
            (["title", "alt", "class", "srclang", "x-y", "data-x"], ValueKind::Plain),
            (["type", "rel", "sandbox", "data-type", "http-equiv", "content"], ValueKind::Unsafe),
        ] {
            for name in names {
                assert_eq!(kind_of(name), kind, "{name}");
            }
        }
        let others = ["style", "srcset", "srcdoc"].map(kind_of);
        assert_eq!(others, [ValueKind::Css, ValueKind::Srcset, ValueKind::Html]);
    }
}
