//! Parses XML to a tree, as far as answers of services require it, with the behaviour of Go's `encoding/xml`.
//!
//! Names have no prefixes. As in Go, entities other than the five of XML itself are errors, so no entity can
//! expand. Nesting and the number of elements are limited.

pub(crate) mod rpc;

use std::ops::Range;

use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};

/// Deeper nesting is refused; no legitimate answer has it.
const DEPTH_MAX: usize = 100;
/// A text with more elements is refused: `<a/>` takes 40 times its size in memory.
const ELEMENTS_MAX: usize = 2 << 20;
/// Elements with more attributes are refused.
const ATTRIBUTES_MAX: usize = 100;

/// Why a text cannot be parsed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum XmlError {
    #[error("XML syntax error at byte {0}: {1}")]
    Syntax(u64, String),
    #[error("XML syntax error at byte {0}: invalid character entity &{1};")]
    Entity(u64, String),
    #[error("XML syntax error: unexpected EOF")]
    Truncated,
    #[error("XML syntax error: invalid UTF-8")]
    NotUtf8,
    #[error("xml: encoding {} declared but Decoder.CharsetReader is nil", ferula_go::quote::go_quote(.0))]
    Encoding(String),
    #[error("exceeded max depth")]
    TooDeep,
    #[error("the answer has more than {ELEMENTS_MAX} elements")]
    TooMany,
    #[error("expected element type <{wanted}> but have <{found}>")]
    Root { wanted: &'static str, found: String },
    #[error("strconv.ParseInt: parsing {}: invalid syntax", ferula_go::quote::go_quote(.0))]
    Integer(String),
    #[error("strconv.ParseBool: parsing {}: invalid syntax", ferula_go::quote::go_quote(.0))]
    Bool(String),
}

/// A text and its root element.
#[derive(Debug)]
pub(crate) struct Document {
    text: String,
    root: Element,
}

#[derive(Debug, Default)]
pub(crate) struct Element {
    pub name: String,
    attributes: Vec<(String, String)>,
    /// Its direct text content, joined.
    pub text: String,
    pub children: Vec<Element>,
    /// The position of its content in the document.
    content: Range<usize>,
}

impl Document {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, XmlError> {
        let text = std::str::from_utf8(bytes).map_err(|_| XmlError::NotUtf8)?;
        Ok(Document { root: parse(text)?, text: text.to_owned() })
    }

    /// The root element, which must have this name.
    pub(crate) fn root(&self, name: &'static str) -> Result<&Element, XmlError> {
        match &self.root {
            root if root.name == name => Ok(root),
            root => Err(XmlError::Root { wanted: name, found: root.name.clone() }),
        }
    }

    /// Everything between the tags of an element, as written.
    pub(crate) fn content(&self, element: &Element) -> &str {
        self.text.get(element.content.clone()).unwrap_or_default()
    }
}

impl Element {
    /// The first child with this name.
    pub(crate) fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The element at the end of a path of names.
    pub(crate) fn at(&self, path: &[&str]) -> Option<&Element> {
        path.iter().try_fold(self, |element, name| element.child(name))
    }

    /// All children with this name.
    pub(crate) fn all<'e>(&'e self, name: &'e str) -> impl Iterator<Item = &'e Element> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The items of a list: the children named `item` of the child `list`.
    pub(crate) fn items<'e>(&'e self, list: &str, item: &'e str) -> impl Iterator<Item = &'e Element> {
        self.child(list).into_iter().flat_map(move |list| list.all(item))
    }

    /// The text at the end of a path, or "".
    pub(crate) fn text_at(&self, path: &[&str]) -> &str {
        self.at(path).map_or("", |element| element.text.as_str())
    }

    /// An attribute, or "".
    pub(crate) fn attribute(&self, name: &str) -> &str {
        self.attributes.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.as_str())
    }

    /// The text as a number; an empty text is 0.
    pub(crate) fn integer(&self) -> Result<i64, XmlError> {
        match self.text.trim() {
            "" => Ok(0),
            text => text.parse().map_err(|_| XmlError::Integer(text.to_owned())),
        }
    }
}

/// Parses a boolean as Go's `strconv.ParseBool` does; an empty text is false.
pub(crate) fn boolean(text: &str) -> Result<bool, XmlError> {
    match text.trim() {
        "" | "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        other => Err(XmlError::Bool(other.to_owned())),
    }
}

/// Parses up to the end of the root element; what follows is ignored.
fn parse(text: &str) -> Result<Element, XmlError> {
    let mut reader = quick_xml::Reader::from_str(text);
    let mut open: Vec<Element> = Vec::new();
    let mut elements = 0;
    loop {
        let before = reader.buffer_position();
        let event = reader.read_event().map_err(|error| XmlError::Syntax(before, error.to_string()))?;
        let after = reader.buffer_position() as usize;
        let closed = match event {
            Event::Start(start) => {
                elements += 1;
                if open.len() == DEPTH_MAX {
                    return Err(XmlError::TooDeep);
                }
                if elements > ELEMENTS_MAX {
                    return Err(XmlError::TooMany);
                }
                open.push(element(&start, before, after)?);
                None
            }
            Event::Empty(start) => {
                elements += 1;
                if elements > ELEMENTS_MAX {
                    return Err(XmlError::TooMany);
                }
                Some(element(&start, before, after)?)
            }
            Event::End(_) => open.pop().map(|mut element| {
                element.content.end = before as usize;
                element
            }),
            Event::Eof => return Err(XmlError::Truncated),
            Event::Decl(declaration) => {
                if let Some(Ok(encoding)) = declaration.encoding()
                    && !encoding.eq_ignore_ascii_case("utf-8")
                {
                    return Err(XmlError::Encoding(encoding.into_owned()));
                }
                None
            }
            other => {
                if let Some(element) = open.last_mut() {
                    add_text(&mut element.text, &other, before)?;
                }
                None
            }
        };
        if let Some(closed) = closed {
            match open.last_mut() {
                Some(parent) => parent.children.push(closed),
                None => return Ok(closed),
            }
        }
    }
}

fn element(start: &BytesStart<'_>, at: u64, content: usize) -> Result<Element, XmlError> {
    let mut attributes = Vec::new();
    // Checking for duplicates takes quadratic time.
    for attribute in start.attributes().with_checks(false) {
        let attribute = attribute.map_err(|error| XmlError::Syntax(at, error.to_string()))?;
        let value = attribute.normalized_value(XmlVersion::Implicit1_0);
        let value = value.map_err(|error| XmlError::Syntax(at, error.to_string()))?;
        attributes.push((attribute.key.local_name().as_ref().to_owned(), value.into_owned()));
        if attributes.len() > ATTRIBUTES_MAX {
            return Err(XmlError::TooMany);
        }
    }
    let name = start.local_name().as_ref().to_owned();
    Ok(Element { name, attributes, content: content..content, ..Element::default() })
}

/// Adds the text of an event, if it has any.
fn add_text(out: &mut String, event: &Event<'_>, at: u64) -> Result<(), XmlError> {
    match event {
        Event::Text(text) => out.push_str(&text.xml10_content()),
        Event::CData(text) => out.push_str(&text.xml10_content()),
        Event::GeneralRef(reference) => {
            let entity = || XmlError::Entity(at, reference.to_string());
            let resolved = reference.resolve_char_ref().map_err(|_| entity())?;
            out.push(match (resolved, &**reference) {
                (Some(c), _) => c,
                (None, "lt") => '<',
                (None, "gt") => '>',
                (None, "amp") => '&',
                (None, "apos") => '\'',
                (None, "quot") => '"',
                _ => return Err(entity()),
            });
        }
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_read_with_text_attributes_and_content() {
        let text = "<?xml version='1.0' encoding='UTF-8'?><!DOCTYPE x><a xmlns:p='u'> x<!-- c --><p:b k='1&amp;2'>y &lt;\
                    &#233;<![CDATA[<z>]]></p:b><b/><c><d>1</d> <d> 2 </d></c>w</a> trailing <";
        let document = Document::parse(text.as_bytes()).expect("good XML");
        let root = document.root("a").expect("its name");
        assert_eq!(root.text, " xw");
        let b = root.child("b").expect("the first");
        assert_eq!((b.text.as_str(), b.attribute("k"), b.attribute("none")), ("y <é<z>", "1&2", ""));
        assert_eq!(root.all("b").count(), 2);
        let numbers: Vec<i64> = root.items("c", "d").map(|d| d.integer().expect("a number")).collect();
        assert_eq!(numbers, [1, 2]);
        assert_eq!(document.content(root.child("c").expect("it")), "<d>1</d> <d> 2 </d>");
        assert_eq!(root.text_at(&["c", "d"]), "1");
        assert!(document.root("html").is_err());
    }

    #[test]
    fn invalid_or_excessive_xml_is_refused() {
        let deep = "<a>".repeat(1_000_000);
        let many = format!("<a>{}</a>", "<b/>".repeat(ELEMENTS_MAX + 1));
        let attributes = format!("<a {}/>", "k='v' ".repeat(1_000_000));
        for (text, error) in [
            ("", "XML syntax error: unexpected EOF"),
            ("<a><b>", "XML syntax error: unexpected EOF"),
            ("<a><b></a>", "XML syntax error at byte 6"),
            ("<a>&x;</a>", "XML syntax error at byte 3: invalid character entity &x;"),
            (
                "<!DOCTYPE a [<!ENTITY x 'xx'><!ENTITY y '&x;&x;'>]><a>&y;</a>",
                "XML syntax error at byte 54: invalid character entity &y;",
            ),
            ("<?xml version='1.0' encoding='latin1'?><a/>", "xml: encoding \"latin1\" declared but"),
            (&deep, "exceeded max depth"),
            (&many, "the answer has more than"),
            (&attributes, "the answer has more than"),
        ] {
            let found = Document::parse(text.as_bytes()).expect_err(error).to_string();
            assert!(found.starts_with(error), "{found}");
        }
        assert_eq!(Document::parse(b"<a>\xff</a>").unwrap_err(), XmlError::NotUtf8);
    }
}
