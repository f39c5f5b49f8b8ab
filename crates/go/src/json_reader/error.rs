//! Why a text is not the expected JSON.

use std::fmt;

use serde::de::{Expected, Unexpected};

/// Why a text is not the expected JSON; in Go's words where Go has a text for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// The text ends inside a value.
    #[error("{}", if *.stream { "unexpected EOF" } else { "unexpected end of JSON input" })]
    UnexpectedEnd { stream: bool },
    /// A stream without a value.
    #[error("EOF")]
    Empty,
    /// Not JSON, or too deep or too large.
    #[error("{0}")]
    Syntax(String),
    /// A key that a strict struct does not have.
    #[error("json: unknown field {}", crate::quote::go_quote(.0))]
    UnknownField(String),
    /// A value whose type differs from that of its field.
    #[error("json: cannot unmarshal {found} into {wanted}")]
    Type { found: String, wanted: String },
    /// An error from a struct's own validation.
    #[error("{0}")]
    Custom(String),
}

impl serde::de::Error for JsonError {
    fn custom<T: fmt::Display>(text: T) -> Self {
        JsonError::Custom(text.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        JsonError::Type { found: found.to_string(), wanted: wanted.to_string() }
    }

    fn unknown_field(field: &str, _known: &'static [&'static str]) -> Self {
        JsonError::UnknownField(field.to_owned())
    }
}
