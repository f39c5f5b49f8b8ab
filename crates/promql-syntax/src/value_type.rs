//! The four types that the value of an expression can have.

/// What an expression evaluates to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// One number per step.
    Scalar,
    /// One sample per series and step.
    Vector,
    /// Several samples per series and step.
    Matrix,
    String,
}

impl ValueType {
    /// The name in Prometheus' JSON: `vector`, `scalar`, `matrix`, `string`.
    pub const fn as_str(self) -> &'static str {
        match self {
            ValueType::Scalar => "scalar",
            ValueType::Vector => "vector",
            ValueType::Matrix => "matrix",
            ValueType::String => "string",
        }
    }

    /// The name in error messages: `instant vector`, `range vector`, otherwise as in JSON.
    pub const fn documented(self) -> &'static str {
        match self {
            ValueType::Vector => "instant vector",
            ValueType::Matrix => "range vector",
            other => other.as_str(),
        }
    }
}
