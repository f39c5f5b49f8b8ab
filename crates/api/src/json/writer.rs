//! JSON written piece by piece into a buffer that is passed on when full.
//!
//! The writer only keeps track of commas; callers open and close in the right order. There are two ways to
//! escape, as in Prometheus: label names and values are plain JSON; every other string also escapes `<`, `>` and `&`.

use ferula_go::json::{push_iterator_html_string, push_iterator_string};
use ferula_model::LabelSet;

use super::number::{push_i64, push_json_number, push_sample_value, push_timestamp, push_u64};
use super::time_texts::TimeTexts;

/// The buffer is passed on once it holds this much.
const CHUNK_BYTES: usize = 64 * 1024;

/// Receives full buffers. Returns `false` once the client has gone.
pub type Sink<'a> = &'a mut dyn FnMut(Vec<u8>) -> bool;

/// Writes JSON.
pub struct JsonWriter<'a> {
    out: Vec<u8>,
    sink: Sink<'a>,
    /// The next value or key needs a comma before it.
    comma: bool,
    /// The client has gone; further output is discarded.
    gone: bool,
    times: TimeTexts,
}

impl<'a> JsonWriter<'a> {
    /// A writer whose full buffers go to `sink`.
    pub fn new(sink: Sink<'a>) -> Self {
        JsonWriter {
            out: Vec::with_capacity(1024),
            sink,
            comma: false,
            gone: false,
            times: TimeTexts::default(),
        }
    }

    /// Passes on the rest.
    pub fn finish(mut self) {
        if !self.gone {
            let rest = std::mem::take(&mut self.out);
            (self.sink)(rest);
        }
    }

    /// Whether the client has gone, so that further output is useless.
    pub fn gone(&self) -> bool {
        self.gone
    }

    fn before_value(&mut self) {
        if self.comma {
            self.out.push(b',');
        }
        self.comma = true;
    }

    /// Passes the buffer on if it is full. Called after values that may be numerous.
    pub fn breathe(&mut self) {
        if self.out.len() >= CHUNK_BYTES {
            let full = std::mem::replace(&mut self.out, Vec::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 4));
            self.gone = self.gone || !(self.sink)(full);
        }
    }

    /// `{`
    pub fn begin_object(&mut self) {
        self.before_value();
        self.out.push(b'{');
        self.comma = false;
    }

    /// `}`
    pub fn end_object(&mut self) {
        self.out.push(b'}');
        self.comma = true;
    }

    /// `[`
    pub fn begin_array(&mut self) {
        self.before_value();
        self.out.push(b'[');
        self.comma = false;
    }

    /// `]`
    pub fn end_array(&mut self) {
        self.out.push(b']');
        self.comma = true;
        self.breathe();
    }

    /// A key of an object; its value must follow.
    pub fn key(&mut self, key: &str) {
        self.before_value();
        push_iterator_html_string(&mut self.out, key);
        self.out.push(b':');
        self.comma = false;
    }

    /// A key that is not HTML-escaped.
    pub fn plain_key(&mut self, key: &str) {
        self.before_value();
        push_iterator_string(&mut self.out, key);
        self.out.push(b':');
        self.comma = false;
    }

    /// A string.
    pub fn string(&mut self, text: &str) {
        self.before_value();
        push_iterator_html_string(&mut self.out, text);
    }

    /// A key and a string.
    pub fn field(&mut self, key: &str, text: &str) {
        self.key(key);
        self.string(text);
    }

    /// `true` or `false`.
    pub fn bool(&mut self, value: bool) {
        self.before_value();
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
    }

    /// `null`
    pub fn null(&mut self) {
        self.before_value();
        self.out.extend_from_slice(b"null");
    }

    /// A whole number.
    pub fn int(&mut self, number: i64) {
        self.before_value();
        push_i64(&mut self.out, number);
    }

    /// A whole number.
    pub fn uint(&mut self, number: u64) {
        self.before_value();
        push_u64(&mut self.out, number);
    }

    /// A number as Go's JSON encoder prints it.
    pub fn number(&mut self, value: f64) {
        self.before_value();
        push_json_number(&mut self.out, value);
    }

    /// A point in time as seconds.
    pub fn timestamp(&mut self, millis: i64) {
        self.before_value();
        push_timestamp(&mut self.out, millis);
    }

    /// A sample's value: a number in quotes.
    pub fn sample_value(&mut self, value: f64) {
        self.before_value();
        self.out.push(b'"');
        push_sample_value(&mut self.out, value);
        self.out.push(b'"');
    }

    /// Writes text that already is JSON.
    pub fn raw(&mut self, json: &str) {
        self.before_value();
        self.out.extend_from_slice(json.as_bytes());
    }

    /// Labels as an object, not HTML-escaped.
    pub fn labels(&mut self, labels: &LabelSet) {
        self.label_pairs(labels.iter());
    }

    /// Label pairs as an object, not HTML-escaped, in the order given.
    pub fn label_pairs<'l>(&mut self, pairs: impl Iterator<Item = (&'l str, &'l str)>) {
        self.begin_object();
        for (name, value) in pairs {
            self.before_value();
            push_iterator_string(&mut self.out, name);
            self.out.push(b':');
            push_iterator_string(&mut self.out, value);
        }
        self.end_object();
        self.breathe();
    }

    /// `[time,"value"],[time,"value"]…` inside an array that is open.
    pub fn float_points(&mut self, points: &[(i64, f64)]) {
        let mut next_time = 0;
        for (millis, value) in points {
            self.before_value();
            self.times.push(&mut self.out, *millis, &mut next_time);
            push_sample_value(&mut self.out, *value);
            self.out.extend_from_slice(b"\"]");
            self.breathe();
        }
    }

    /// Strings as an array.
    pub fn strings<S: AsRef<str>>(&mut self, texts: impl IntoIterator<Item = S>) {
        self.begin_array();
        for text in texts {
            self.string(text.as_ref());
            self.breathe();
        }
        self.end_array();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(write: impl FnOnce(&mut JsonWriter<'_>)) -> String {
        let mut all = Vec::new();
        let mut sink = |chunk: Vec<u8>| {
            all.extend(chunk);
            true
        };
        let mut json = JsonWriter::new(&mut sink);
        write(&mut json);
        json.finish();
        String::from_utf8(all).expect("JSON is UTF-8")
    }

    #[test]
    fn commas_are_placed_correctly() {
        let text = written(|json| {
            json.begin_object();
            json.field("a", "x");
            json.key("b");
            json.begin_array();
            json.int(-1);
            json.begin_object();
            json.end_object();
            json.begin_array();
            json.end_array();
            json.null();
            json.bool(true);
            json.timestamp(1500);
            json.sample_value(f64::INFINITY);
            json.end_array();
            json.key("c");
            json.uint(7);
            json.end_object();
        });
        assert_eq!(text, r#"{"a":"x","b":[-1,{},[],null,true,1.500,"+Inf"],"c":7}"#);
    }

    #[test]
    fn labels_are_not_html_escaped_and_strings_are() {
        let text = written(|json| {
            json.begin_array();
            json.labels(&LabelSet::from_pairs([("<a>", "&\u{2028}\"\\\u{1}")]));
            json.string("<a>&\u{2028}\u{2029}é");
            json.end_array();
        });
        assert_eq!(
            text,
            "[{\"<a>\":\"&\u{2028}\\\"\\\\\\u0001\"},\"\\u003ca\\u003e\\u0026\\u2028\\u2029é\"]"
        );
    }

    #[test]
    fn a_client_that_disconnects_ends_the_writing() {
        let mut chunks = 0;
        let mut sink = |_: Vec<u8>| {
            chunks += 1;
            false
        };
        let mut json = JsonWriter::new(&mut sink);
        json.begin_array();
        json.float_points(&vec![(0, 0.5); 20_000]);
        assert!(json.gone());
        json.finish();
        assert_eq!(chunks, 1);
    }

    proptest! {
        #[test]
        fn any_string_reads_back(text: String, html: bool) {
            let mut out = Vec::new();
            if html { push_iterator_html_string(&mut out, &text) } else { push_iterator_string(&mut out, &text) }
            prop_assert_eq!(serde_json::from_slice::<String>(&out).expect("JSON"), text);
        }
    }
}
