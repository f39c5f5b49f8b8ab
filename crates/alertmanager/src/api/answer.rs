//! Answers, and the JSON in them.

use ferula_go::json::push_string;

/// A complete answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// JSON, or empty.
    pub body: Vec<u8>,
    /// The allowed methods, for status 405.
    pub allow: Option<&'static str>,
}

impl Answer {
    /// Status 200 with a body, to which a newline is added.
    pub fn json(mut body: String) -> Self {
        body.push('\n');
        Answer { status: 200, body: body.into_bytes(), allow: None }
    }

    /// A status without a body.
    pub fn empty(status: u16) -> Self {
        Answer { status, ..Answer::default() }
    }

    /// An error from a handler: a JSON string.
    pub fn text(status: u16, text: &str) -> Self {
        let mut body = String::new();
        push_string(&mut body, text);
        Answer { status, ..Answer::json(body) }
    }

    /// An error from request validation, before any handler runs.
    pub fn coded(status: u16, code: u16, message: &str) -> Self {
        let mut body = format!("{{\"code\":{code},\"message\":");
        push_string(&mut body, message);
        body.push('}');
        Answer { status, body: body.into_bytes(), allow: None }
    }

    /// Adds the allowed methods.
    pub fn with_allow(mut self, methods: &'static str) -> Self {
        self.allow = Some(methods);
        self
    }
}

/// Writes JSON objects and lists, and the commas in between.
#[derive(Debug, Default)]
pub struct Json(pub String);

impl Json {
    fn separate(&mut self) {
        if !matches!(self.0.as_bytes().last(), None | Some(b'{' | b'[' | b':')) {
            self.0.push(',');
        }
    }

    /// `{` … `}`
    pub fn object(&mut self, write: impl FnOnce(&mut Self)) {
        self.separate();
        self.0.push('{');
        write(self);
        self.0.push('}');
    }

    /// `[` … `]`
    pub fn list<T>(&mut self, items: impl IntoIterator<Item = T>, mut write: impl FnMut(&mut Self, T)) {
        self.separate();
        self.0.push('[');
        items.into_iter().for_each(|item| write(self, item));
        self.0.push(']');
    }

    /// A key; its value must follow.
    pub fn key(&mut self, name: &str) -> &mut Self {
        self.separate();
        push_string(&mut self.0, name);
        self.0.push(':');
        self
    }

    /// A string.
    pub fn text(&mut self, text: &str) {
        self.separate();
        push_string(&mut self.0, text);
    }

    /// A number or `true`, `false`, `null`.
    pub fn plain(&mut self, value: impl std::fmt::Display) {
        self.separate();
        self.0.push_str(&value.to_string());
    }

    /// An object whose values are strings.
    pub fn pairs<'p>(&mut self, pairs: impl IntoIterator<Item = (&'p str, &'p str)>) {
        self.object(|json| pairs.into_iter().for_each(|(name, value)| json.key(name).text(value)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_stand_between_values_only() {
        let mut json = Json::default();
        json.object(|json| {
            json.key("a").list([1, 2], |json, n| json.plain(n));
            json.key("b").object(|_| {});
            json.key("c").list(["x:", "y"], |json, text| json.object(|json| json.key(text).text("{")));
            json.key("d").pairs([("k", "v"), ("l", "\"")]);
        });
        assert_eq!(json.0, r#"{"a":[1,2],"b":{},"c":[{"x:":"{"},{"y":"{"}],"d":{"k":"v","l":"\""}}"#);
    }
}
