//! The only HTTP client: configured by a section of the configuration file.
//!
//! ```text
//! HttpClientConfig ─▶ HttpClient ─ send(Request) ─▶ Response
//!                        │
//!   secret, oauth2, aws: credentials     proxy, connect, tls: connections     redirect: further requests
//! ```
//!
//! Here: authentication, TLS, proxies, redirects, connection reuse, and errors in the words of Go's client.
//! Elsewhere: what is requested and how long callers wait (they drop the future), decompression of pages
//! (`ferula-scraper`), what the section may contain (`ferula-config`).
//!
//! Always true: the same section has the same meaning everywhere. Credentials and configured headers are sent
//! only to the requested host and hosts below it. No error shows the name or password of a URL. Files of the
//! section are read again before each request, so a replaced file takes effect immediately.
//!
//! hyper is used without reqwest; see `docs/decisions/http-client.md`.

mod answer_head;
pub mod aws;
mod client;
mod connect;
pub mod error;
mod error_text;
mod head_error;
pub mod jwt;
mod message;
mod oauth2;
mod pool;
pub mod program;
mod proxy;
mod redirect;
mod secret;
mod tls;
pub mod url;
mod wire;

pub use bytes::Bytes;
pub use client::{HttpClient, HttpClients};
pub use error::{BodyError, Cause, IdentityError, RequestError, SetupError};
pub use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
pub use message::{Request, Response};
pub use tls::TlsClient;
pub use url::{Url, masked};
