//! HTTP: routes, parameters, JSON, status codes.
pub mod compression;
pub mod cors;
pub mod error;
pub mod json;
pub mod params;
