//! The Go text/template language that annotations and notifications use.
