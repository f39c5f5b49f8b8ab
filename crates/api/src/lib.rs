//! HTTP routes, parameters, JSON, status codes.
