//! A safe interface to libyaml's event parser.
//!
//! go-yaml is a port of the same library, so syntax errors have the words that users of Prometheus
//! know. `serde_yaml` uses the same parser, but hides lines, aliases and duplicate keys; see
//! `docs/decisions/yaml-reader.md`. This file holds the crate's only `unsafe` code.

use std::ffi::CStr;
use std::marker::PhantomData;
use std::mem::MaybeUninit;

use libyaml_rs as sys;

/// Where an event starts, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub line: u32,
    pub column: u32,
}

/// A part of a document, in the order of the text.
#[derive(Debug)]
pub(crate) enum Event {
    /// A stream or a document begins. A reader of one document needs neither.
    Boundary,
    StreamEnd,
    DocumentEnd,
    Alias(String),
    Scalar {
        value: String,
        tag: String,
        anchor: Option<String>,
        /// Written plain, without a tag: its type follows from its text.
        plain_implicit: bool,
    },
    SequenceStart(Option<String>),
    SequenceEnd,
    MappingStart(Option<String>),
    MappingEnd,
}

/// A document that is not YAML; the text is go-yaml's after `yaml: `.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("yaml: {text}")]
pub struct SyntaxError {
    text: String,
    /// The byte at which an escape starts that libyaml does not know.
    unknown_escape_at: Option<usize>,
}

impl SyntaxError {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        SyntaxError { text: text.into(), unknown_escape_at: None }
    }

    /// The input with the escape that was refused written in another way, when go-yaml knows it: `\'`.
    pub(crate) fn repaired(&self, input: &[u8]) -> Option<Vec<u8>> {
        let text = std::str::from_utf8(input).ok()?;
        let (before, quoted) = text.split_at_checked(self.unknown_escape_at?)?;
        quoted.starts_with(r"\'").then_some(())?;
        let mut out = before.to_owned();
        let mut rest = quoted;
        // The whole scalar at once, so that a document is read again once for each scalar at most.
        while let Some(at) = rest.find(['\\', '"']) {
            out.push_str(&rest[..at]);
            rest = &rest[at..];
            if rest.starts_with('"') {
                break;
            }
            let escape = rest.char_indices().nth(2).map_or(rest.len(), |(end, _)| end);
            out.push_str(match &rest[..escape] {
                r"\'" => r"\x27",
                other => other,
            });
            rest = &rest[escape..];
        }
        out.push_str(rest);
        Some(out.into_bytes())
    }
}

/// Yields the events of `input`. libyaml must not be called again after an error; [`Parser::next`] makes sure of it.
pub(crate) struct Parser<'i> {
    raw: Box<MaybeUninit<sys::yaml_parser_t>>,
    failed: bool,
    /// Only when the input has a `\/` somewhere, which go-yaml refuses inside double quotes.
    slashes: Option<EscapedSlashes<'i>>,
    input: PhantomData<&'i [u8]>,
}

impl<'i> Parser<'i> {
    pub fn new(input: &'i [u8]) -> Self {
        let mut raw = Box::new(MaybeUninit::<sys::yaml_parser_t>::uninit());
        // SAFETY: `raw` is a heap place of the right size that does not move while the parser lives;
        // initialise fills it, and the input slice outlives the parser by the lifetime `'i`.
        unsafe {
            let parser = raw.as_mut_ptr();
            let made = sys::yaml_parser_initialize(parser);
            assert!(made.ok, "libyaml allocates or aborts");
            sys::yaml_parser_set_input_string(parser, input.as_ptr(), input.len() as u64);
        }
        Parser { raw, failed: false, slashes: EscapedSlashes::of(input), input: PhantomData }
    }

    /// The next event with its place; `StreamEnd` is the last one.
    pub fn next(&mut self) -> Result<(Event, Mark), SyntaxError> {
        if self.failed {
            return Err(SyntaxError::new("the document was already refused"));
        }
        let mut event = MaybeUninit::<sys::yaml_event_t>::uninit();
        // SAFETY: the parser was initialised in `new` and has not failed. A successful parse fills `event`,
        // whose strings are copied out before it is deleted exactly once.
        unsafe {
            let parser = self.raw.as_mut_ptr();
            if sys::yaml_parser_parse(parser, event.as_mut_ptr()).fail {
                self.failed = true;
                return Err(syntax_error(&*parser));
            }
            let raw = event.assume_init_mut();
            let mark = Mark { line: place(raw.start_mark.line), column: place(raw.start_mark.column) };
            let double_quoted = raw.type_ == sys::YAML_SCALAR_EVENT
                && raw.data.scalar.style == sys::YAML_DOUBLE_QUOTED_SCALAR_STYLE;
            let bytes = raw.start_mark.index as usize..raw.end_mark.index as usize;
            let converted = match &mut self.slashes {
                Some(slashes) if double_quoted => slashes.check(bytes).and_then(|()| convert(raw)),
                _ => convert(raw),
            };
            sys::yaml_event_delete(raw);
            converted.map(|event| (event, mark))
        }
    }
}

impl Drop for Parser<'_> {
    fn drop(&mut self) {
        // SAFETY: initialised in `new`, deleted only here.
        unsafe { sys::yaml_parser_delete(self.raw.as_mut_ptr()) }
    }
}

/// Finds `\/` in double-quoted scalars: libyaml reads it as a slash, go-yaml does not know it.
struct EscapedSlashes<'i> {
    text: &'i str,
    /// A byte, and the lines before it. Scalars come in the order of the text.
    reached: (usize, usize),
}

impl<'i> EscapedSlashes<'i> {
    fn of(input: &'i [u8]) -> Option<Self> {
        let text = std::str::from_utf8(input).ok()?;
        text.contains(r"\/").then_some(EscapedSlashes { text, reached: (0, 0) })
    }

    fn check(&mut self, scalar: std::ops::Range<usize>) -> Result<(), SyntaxError> {
        let (start, lines) = self.reached;
        let passed = self.text.get(start..scalar.start).unwrap_or_default();
        let mut line = lines + passed.matches('\n').count();
        self.reached = (scalar.start, line);
        let mut chars = self.text.get(scalar).unwrap_or_default().chars();
        while let Some(c) = chars.next() {
            line += usize::from(c == '\n');
            if c == '\\' {
                match chars.next() {
                    Some('/') if line == 0 => return Err(SyntaxError::new("found unknown escape character")),
                    Some('/') => {
                        let text = format!("line {}: found unknown escape character", line + 1);
                        return Err(SyntaxError::new(text));
                    }
                    escaped => line += usize::from(escaped == Some('\n')),
                }
            }
        }
        Ok(())
    }
}

fn place(from_zero: u64) -> u32 {
    u32::try_from(from_zero).unwrap_or(u32::MAX).saturating_add(1)
}

/// # Safety
/// `raw` must hold an event that the parser filled in and that was not deleted yet.
unsafe fn convert(raw: &sys::yaml_event_t) -> Result<Event, SyntaxError> {
    // SAFETY: each union field is read only under the event type that sets it; pointers are null or
    // NUL-terminated, and `value` has `length` bytes.
    unsafe {
        Ok(match raw.type_ {
            sys::YAML_STREAM_END_EVENT => Event::StreamEnd,
            sys::YAML_DOCUMENT_END_EVENT => Event::DocumentEnd,
            sys::YAML_ALIAS_EVENT => Event::Alias(c_text(raw.data.alias.anchor)?.unwrap_or_default()),
            sys::YAML_SCALAR_EVENT => {
                let scalar = raw.data.scalar;
                let bytes = std::slice::from_raw_parts(scalar.value, scalar.length as usize);
                Event::Scalar {
                    value: utf8(bytes)?,
                    tag: c_text(scalar.tag)?.unwrap_or_default(),
                    anchor: c_text(scalar.anchor)?,
                    plain_implicit: scalar.plain_implicit,
                }
            }
            sys::YAML_SEQUENCE_START_EVENT => Event::SequenceStart(c_text(raw.data.sequence_start.anchor)?),
            sys::YAML_SEQUENCE_END_EVENT => Event::SequenceEnd,
            sys::YAML_MAPPING_START_EVENT => Event::MappingStart(c_text(raw.data.mapping_start.anchor)?),
            sys::YAML_MAPPING_END_EVENT => Event::MappingEnd,
            _ => Event::Boundary,
        })
    }
}

/// # Safety
/// `text` must be null or point at NUL-terminated bytes.
unsafe fn c_text(text: *const u8) -> Result<Option<String>, SyntaxError> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: not null, so NUL-terminated by the caller's promise.
    let bytes = unsafe { CStr::from_ptr(text.cast()) }.to_bytes();
    utf8(bytes).map(Some)
}

fn utf8(bytes: &[u8]) -> Result<String, SyntaxError> {
    String::from_utf8(bytes.to_vec()).map_err(|_| SyntaxError::new("invalid UTF-8 in a scalar"))
}

/// go-yaml's text: the line of the problem, then the problem. As in go-yaml, scanner errors count lines from 1 and the
/// others from 0.
fn syntax_error(parser: &sys::yaml_parser_t) -> SyntaxError {
    let scanner = u64::from(parser.error == sys::YAML_SCANNER_ERROR);
    let line = match (parser.problem_mark.line, parser.context_mark.line) {
        (0, context) => context,
        (problem, _) => problem + scanner,
    };
    // SAFETY: libyaml's problem texts are null or static NUL-terminated strings.
    let problem = unsafe { c_text(parser.problem.cast()) }.ok().flatten();
    let problem = problem.unwrap_or_else(|| "unknown problem parsing YAML content".to_owned());
    let unknown_escape_at =
        (problem == "found unknown escape character").then_some(parser.problem_mark.index as usize);
    let text = if line == 0 { problem } else { format!("line {line}: {problem}") };
    SyntaxError { text, unknown_escape_at }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(input: &[u8]) -> Result<Vec<Event>, SyntaxError> {
        let mut parser = Parser::new(input);
        let mut events = Vec::new();
        loop {
            match parser.next()?.0 {
                Event::StreamEnd => return Ok(events),
                event => events.push(event),
            }
        }
    }

    #[test]
    fn anchors_tags_and_long_scalars_are_copied_out() {
        let long = "x".repeat(100_000);
        let text = format!("a: &here !!str \"{long}\"\nb: *here\nc: [1, {{d: e}}]\n");
        let events = all(text.as_bytes()).unwrap();
        let Event::Scalar { value, tag, anchor, plain_implicit } = &events[4] else {
            panic!("{:?}", events[4])
        };
        assert_eq!(
            (value.len(), tag.as_str(), anchor.as_deref()),
            (100_000, "tag:yaml.org,2002:str", Some("here"))
        );
        assert!(!plain_implicit);
        assert!(events.iter().any(|event| matches!(event, Event::Alias(name) if name == "here")));
    }

    #[test]
    fn syntax_errors_read_as_go_yamls() {
        for (text, error) in [
            ("a: b: c\n", "yaml: mapping values are not allowed in this context"),
            ("a: 1\nb: c: d\n", "yaml: line 2: mapping values are not allowed in this context"),
            ("a: [1\nb: 2\n", "yaml: line 1: did not find expected ',' or ']'"),
            ("x:\n- a\n  b: *\n", "yaml: line 3: mapping values are not allowed in this context"),
            (r#"{a: "it\/s"}"#, "yaml: found unknown escape character"),
            ("a: \"x\n  y\\/z\"\n", "yaml: line 2: found unknown escape character"),
            ("a: ä\nb: 'x\\/y'\nc: \"ö\\\\/\"\nd: \"\\/\"\n", "yaml: line 4: found unknown escape character"),
            ("\t- a", "yaml: found character that cannot start any token"),
        ] {
            assert_eq!(all(text.as_bytes()).unwrap_err().to_string(), error, "{text:?}");
        }
        assert!(all(b"a: \xff\n").is_err());
        assert!(all(b"\xff\xfea\0").is_ok(), "UTF-16 with a byte order mark is YAML too");
    }

    #[test]
    fn a_refused_document_stays_refused() {
        let mut parser = Parser::new(b"a: b: c");
        while parser.next().is_ok() {}
        assert!(parser.next().is_err());
    }
}
