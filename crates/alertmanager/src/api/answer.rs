//! Answers with their statuses, and the JSON in them.

use std::fmt::Write as _;

use ferula_go::json::push_string;

use crate::time::Time;

/// What an answer says about its request. Only here stand the numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status {
    #[default]
    Ok,
    BadRequest,
    /// Switched off.
    Forbidden,
    NotFound,
    MethodNotAllowed,
    /// No representation that the client accepts.
    NotAcceptable,
    /// The other member of the pair has the same name.
    Conflict,
    TooLarge,
    UnsupportedMediaType,
    /// The body is understood, and does not meet the schema.
    Invalid,
    Internal,
    /// Not available now; a retry may succeed.
    Unavailable,
}

impl Status {
    /// The number of the status.
    pub const fn code(self) -> u16 {
        match self {
            Status::Ok => 200,
            Status::BadRequest => 400,
            Status::Forbidden => 403,
            Status::NotFound => 404,
            Status::MethodNotAllowed => 405,
            Status::NotAcceptable => 406,
            Status::Conflict => 409,
            Status::TooLarge => 413,
            Status::UnsupportedMediaType => 415,
            Status::Invalid => 422,
            Status::Internal => 500,
            Status::Unavailable => 503,
        }
    }
}

/// A complete answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub status: Status,
    /// JSON, or empty.
    pub body: Vec<u8>,
    /// The allowed methods, if this one is not.
    pub allow: Option<&'static str>,
}

impl Answer {
    /// A success with a body, to which a newline is added.
    pub fn json(mut body: String) -> Self {
        body.push('\n');
        Answer { status: Status::Ok, body: body.into_bytes(), allow: None }
    }

    /// A status without a body.
    pub fn empty(status: Status) -> Self {
        Answer { status, ..Answer::default() }
    }

    /// An error from a handler: a JSON string.
    pub fn text(status: Status, text: &str) -> Self {
        let mut body = String::new();
        push_string(&mut body, text);
        Answer { status, ..Answer::json(body) }
    }

    /// An error from request validation, before any handler runs.
    pub fn refused(status: Status, message: &str) -> Self {
        Self::coded(status, status.code(), message)
    }

    /// The body does not meet the schema; `code` names the rule.
    pub fn invalid(code: u16, message: &str) -> Self {
        Self::coded(Status::Invalid, code, message)
    }

    fn coded(status: Status, code: u16, message: &str) -> Self {
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

    /// A list whose items were written in several parts.
    pub fn list_of(parts: Vec<Json>) -> Json {
        let mut json = Json::default();
        json.0.push('[');
        for part in parts.into_iter().filter(|part| !part.0.is_empty()) {
            json.separate();
            json.0.push_str(&part.0);
        }
        json.0.push(']');
        json
    }

    /// A key without special characters; its value must follow.
    pub fn key(&mut self, name: &'static str) -> &mut Self {
        self.separate();
        self.0.push('"');
        self.0.push_str(name);
        self.0.push_str("\":");
        self
    }

    fn any_key(&mut self, name: &str) -> &mut Self {
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

    /// A time with three fractional digits.
    pub fn time(&mut self, time: Time) {
        self.separate();
        self.0.push('"');
        time.push_rfc3339_millis(&mut self.0);
        self.0.push('"');
    }

    /// A number or `true`, `false`, `null`.
    pub fn plain(&mut self, value: impl std::fmt::Display) {
        self.separate();
        let _ = write!(self.0, "{value}");
    }

    /// An object whose values are strings.
    pub fn pairs<'p>(&mut self, pairs: impl IntoIterator<Item = (&'p str, &'p str)>) {
        self.object(|json| pairs.into_iter().for_each(|(name, value)| json.any_key(name).text(value)));
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
            json.key("c").list(["x:", "y"], |json, text| json.object(|json| json.any_key(text).text("{")));
            json.key("d").pairs([("k", "v"), ("l", "\"")]);
        });
        let part = |numbers: &[i32]| {
            let mut json = Json::default();
            numbers.iter().for_each(|n| json.plain(n));
            json
        };
        assert_eq!(Json::list_of(vec![part(&[1]), part(&[]), part(&[2, 3])]).0, "[1,2,3]");
        assert_eq!(Json::list_of(Vec::new()).0, "[]");
        assert_eq!(json.0, r#"{"a":[1,2],"b":{},"c":[{"x:":"{"},{"y":"{"}],"d":{"k":"v","l":"\""}}"#);
    }
}
