//! The one way out: an HTTP client as a section of the configuration describes it.
//!
//! ```text
//! HttpClientConfig ─▶ HttpClient ─ send(Request) ─▶ Response
//!                        │
//!   secret, oauth2, aws: who asks      proxy, connect, tls: over which way      redirect: where it leads
//! ```
//!
//! Here: authentication, TLS, proxies, redirects, connections that are used again, and errors in the words of Go's
//! client. Elsewhere: who asks for what and how long they wait (callers drop the future), decompression of pages
//! (`ferula-scraper`), what the section may hold (`ferula-config`).
//!
//! Always true: the same section means the same everywhere. Credentials and configured headers reach the host that was
//! named, and hosts below it, never another one. No error shows a name or password of a URL. Files of the section are
//! read again before each request, so a replaced one counts from then on.
//!
//! hyper is used below reqwest's level, see `docs/decisions/http-client.md`.

pub mod aws;
mod client;
mod connect;
pub mod error;
mod error_text;
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
pub use error::{BodyError, Cause, RequestError, SetupError};
pub use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
pub use message::{Request, Response};
pub use tls::TlsClient;
pub use url::Url;
