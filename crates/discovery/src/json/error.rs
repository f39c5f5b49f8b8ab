//! Why a text is not the JSON that is wanted.

use std::fmt;

use serde::de::{Expected, Unexpected};

/// Why a text is not the JSON that is wanted, in Go's words where Go has some.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not JSON, or JSON that is too deep or too large.
    #[error("{0}")]
    Syntax(String),
    /// A key that a strict struct does not have.
    #[error("json: unknown field {}", ferula_go::quote::go_quote(.0))]
    UnknownField(String),
    /// A value of another type than its field.
    #[error("json: cannot unmarshal {found} into {wanted}")]
    Type {
        /// What is there.
        found: String,
        /// What the field takes.
        wanted: String,
    },
    /// What a struct's own check says.
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
