//! The client: sends one request and returns one answer, with everything that the section adds.
//!
//! ```text
//! send ─▶ files read again ─▶ headers and credentials ─▶ connection (pool, or new) ─▶ answer ─┬─▶ caller
//!            ▲                                                                              │
//!            └──────────────────────────── redirect, up to ten times ◀──────────────────────┘
//! ```

use std::sync::{Arc, Mutex, Weak};

use ferula_config::http_client::{HttpClientConfig, TlsVersion};
use ferula_go::sync::MutexExt;
use ferula_go::url::percent_encode;
use http::header::{AUTHORIZATION, HOST, HeaderMap, HeaderValue, LOCATION, PROXY_AUTHORIZATION, USER_AGENT};
use http::{Method, Uri};
use http_body_util::Full;
use hyper::body::Incoming;

use crate::connect::{self, Connection, HeaderRoom, Route, Sender};
use crate::error::{Cause, RequestError, SetupError};
use crate::error_text::answer_cause;
use crate::message::{Request, Response};
use crate::oauth2::{self, Ask, PendingTokenRequest, TokenSource};
use crate::pool::{Key, Lease, Pool};
use crate::proxy::Proxies;
use crate::redirect::{self, REDIRECTS_MAX};
use crate::secret::{Credentials, OwnHeaders, basic_text, secret_value};
use crate::tls::Tls;
use crate::url::masked;

/// A client configured by a section. Clones are handles to the same client.
#[derive(Clone, Debug)]
pub struct HttpClient(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    tls: Tls,
    proxies: Proxies,
    credentials: Credentials,
    own_headers: OwnHeaders,
    tokens: Option<TokenSource>,
    follows_redirects: bool,
    user_agent: HeaderValue,
    pool: Arc<Pool>,
    /// Whether files have to be read before a request.
    reads_files: bool,
}

/// What the section adds to a request.
#[derive(Clone, Debug, Default)]
struct Additions {
    authorization: Option<HeaderValue>,
    headers: HeaderMap,
}

/// Why an attempt failed, and whether a retry may help.
struct Failed {
    cause: Cause,
    /// The server has not seen any of the request.
    unsent: bool,
    /// The server has begun to answer.
    answered: bool,
    /// The headers of the answer exceed the usual room.
    too_large: bool,
}

impl HttpClient {
    /// Creates a client. Blocks while it reads the files of the section once.
    ///
    /// # Errors
    /// Unreadable files, invalid certificates or keys, and unsupported options.
    pub fn new(config: &HttpClientConfig, user_agent: &'static str) -> Result<Self, SetupError> {
        let tls = Tls::new(&config.tls_config, config.enable_http2)?;
        let credentials = Credentials::of(config)?;
        let own_headers = OwnHeaders::of(config)?;
        let tokens = match &config.oauth2 {
            Some(section) => {
                let client = HttpClient::new(&oauth2::client_section(section), user_agent)?;
                Some(TokenSource::new(section, Box::new(client))?)
            }
            None => None,
        };
        Ok(HttpClient(Arc::new(Inner {
            proxies: Proxies::of(&config.proxy, |name| std::env::var(name).ok())?,
            reads_files: tls.has_files() || credentials.has_files() || own_headers.has_files(),
            tls,
            credentials,
            own_headers,
            tokens,
            follows_redirects: config.follow_redirects,
            user_agent: HeaderValue::from_static(user_agent),
            pool: Arc::default(),
        })))
    }

    /// A setting that cannot be honoured to the letter although the client works; worth a warning at load.
    pub fn caveat(config: &HttpClientConfig) -> Option<&'static str> {
        let oauth2 = config.oauth2.as_ref().map(|oauth2| &oauth2.tls_config);
        let sections = || std::iter::once(&config.tls_config).chain(oauth2);
        let is_old = |version: &TlsVersion| matches!(version.as_str(), "TLS10" | "TLS11");
        if sections().any(|tls| is_old(&tls.max_version)) {
            return Some(
                "tls_config.max_version allows only TLS 1.0 or 1.1, which are not supported: no connection with TLS can be made",
            );
        }
        sections().any(|tls| is_old(&tls.min_version)).then_some(
            "tls_config.min_version allows TLS 1.0 or 1.1, which are not supported: only 1.2 and 1.3 are offered",
        )
    }

    /// Sends a request. There is no time limit: callers drop the future when their time is up.
    ///
    /// # Errors
    /// No answer arrived. An answer with any status is not an error here.
    pub async fn send(&self, mut request: Request) -> Result<Response, RequestError> {
        let home = request.url.clone();
        let method = request.method.clone();
        let mut at_home = true;
        let mut last_location = String::new();
        for _ in 0..=REDIRECTS_MAX {
            let fail =
                |request: &Request, cause| RequestError::new(&request.method, masked(&request.url), cause);
            let response = self.round_trip(&request, at_home).await.map_err(|cause| fail(&request, cause))?;
            if !self.0.follows_redirects {
                return Ok(response);
            }
            let location = response.header_text(&LOCATION);
            let next = redirect::next_request(&request, response.status(), &location);
            let Some(mut next) = next.map_err(|cause| fail(&request, cause))? else { return Ok(response) };
            response.drain().await;
            // Once left, the original host stays untrusted: a redirect by another host may lead back to it.
            at_home &= redirect::is_at_home(&home, &next.url);
            if !at_home {
                redirect::remove_secrets(&mut next.headers);
            }
            // Go's error has the address from the last answer; a password in it is masked here.
            last_location = if location.contains('@') { masked(&next.url) } else { location };
            request = next;
        }
        Err(RequestError::new(&method, last_location, Cause::TooManyRedirects(REDIRECTS_MAX)))
    }

    /// Sends one request and receives its answer, whatever the status.
    async fn round_trip(&self, request: &Request, at_home: bool) -> Result<Response, Cause> {
        let inner = &self.0;
        match request.url.scheme() {
            "http" | "https" if request.url.host().is_empty() => return Err(Cause::NoHost),
            "http" | "https" => {}
            other => return Err(Cause::Scheme(other.to_owned())),
        }
        let additions = self.additions(at_home).await?;
        let mut headers = self.headers_of(request, additions)?;
        if at_home && let Some(tokens) = &inner.tokens {
            headers.insert(AUTHORIZATION, tokens.authorization().await?);
        }
        let mut route = Route {
            url: &request.url,
            proxy: match request.unix_socket {
                None => inner.proxies.of_url(&request.url),
                Some(_) => None,
            },
            unix_socket: request.unix_socket.as_deref(),
            header_room: HeaderRoom::Usual,
        };
        if route.asks_proxy()
            && let Some(text) = route.proxy.and_then(crate::proxy::Proxy::authorization)
        {
            headers.insert(PROXY_AUTHORIZATION, secret_value(&PROXY_AUTHORIZATION, &text)?);
        }
        let key = Key::of(&route);
        let repeatable = matches!(request.method.as_str(), "GET" | "HEAD" | "OPTIONS" | "TRACE");
        if inner.pool.is_wordy(&key) {
            route.header_room = HeaderRoom::Full;
        }
        let mut waiting = inner.pool.take(&key, route.header_room);
        loop {
            let reused = waiting.is_some();
            let generation = inner.pool.generation();
            let connection = match waiting.take() {
                Some(connection) => connection,
                None => connect::open(&route, &inner.tls, &inner.proxies).await?,
            };
            if let (Sender::Http2(sender), false) = (&connection.sender, reused) {
                inner.pool.share(&key, generation, sender, &connection.wire);
            }
            match self.exchange(connection, &route, request, headers.clone(), &key, generation).await {
                Ok(response) => return Ok(response),
                // Servers may close idle connections at any time, so a request can meet a closing one.
                Err(failed) if reused && (failed.unsent || (repeatable && !failed.answered)) => {}
                Err(failed) if failed.too_large && route.header_room == HeaderRoom::Usual => {
                    inner.pool.note_wordy(&key);
                    route.header_room = HeaderRoom::Full;
                    if !repeatable {
                        // The server has already acted on this request; the next one gets the room.
                        return Err(failed.cause);
                    }
                }
                Err(failed) => return Err(failed.cause),
            }
        }
    }

    /// What the section adds, with the current contents of its files.
    async fn additions(&self, at_home: bool) -> Result<Additions, Cause> {
        if !self.0.reads_files {
            return self.0.additions(at_home);
        }
        let inner = self.0.clone();
        let read = move || {
            if inner.tls.refresh().map_err(Cause::Section)? {
                inner.pool.renew();
            }
            inner.additions(at_home)
        };
        tokio::task::spawn_blocking(read).await.map_err(|error| Cause::Other(error.to_string()))?
    }

    fn headers_of(&self, request: &Request, additions: Additions) -> Result<HeaderMap, Cause> {
        let mut headers = request.headers.clone();
        if !headers.contains_key(AUTHORIZATION) {
            // Credentials in the URL take precedence over those in the section.
            let of_address = request.url.username().map(|name| {
                let text = basic_text(&name, &request.url.password().unwrap_or_default());
                secret_value(&AUTHORIZATION, &text)
            });
            if let Some(value) = of_address.transpose()?.or(additions.authorization) {
                headers.insert(AUTHORIZATION, value);
            }
        }
        for (name, value) in &additions.headers {
            headers.append(name, value.clone());
        }
        if !headers.contains_key(USER_AGENT) {
            headers.insert(USER_AGENT, self.0.user_agent.clone());
        }
        Ok(headers)
    }

    async fn exchange(
        &self,
        connection: Connection,
        route: &Route<'_>,
        request: &Request,
        headers: HeaderMap,
        key: &Key,
        generation: u64,
    ) -> Result<Response, Failed> {
        let Connection { sender, wire } = connection;
        let http2 = matches!(sender, Sender::Http2(_));
        let message = message(route, request, headers, http2).map_err(|cause| Failed {
            cause,
            unsent: false,
            answered: false,
            too_large: false,
        })?;
        let failed = |error: hyper::Error, unsent: bool| Failed {
            cause: answer_cause(&error, &wire),
            unsent,
            answered: wire.answered() && !http2,
            too_large: error.is_parse_too_large(),
        };
        let url = request.url.clone();
        match sender {
            Sender::Http1(mut sender) => {
                sender.ready().await.map_err(|error| failed(error, true))?;
                wire.begin();
                let sent = sender.try_send_request(message).await;
                let response = sent.map_err(|mut error| {
                    let unsent = error.take_message().is_some();
                    failed(error.into_error(), unsent)
                })?;
                let lease = Lease {
                    pool: self.0.pool.clone(),
                    key: key.clone(),
                    room: route.header_room,
                    generation,
                    sender,
                    wire: wire.clone(),
                };
                Ok(Response::new(response, url, wire, Some(lease)))
            }
            Sender::Http2(mut sender) => {
                sender.ready().await.map_err(|error| failed(error, true))?;
                let sent = sender.try_send_request(message).await;
                let response: http::Response<Incoming> = sent.map_err(|mut error| {
                    let unsent = error.take_message().is_some();
                    failed(error.into_error(), unsent)
                })?;
                Ok(Response::new(response, url, wire, None))
            }
        }
    }
}

impl Ask for HttpClient {
    fn ask(&self, request: Request) -> PendingTokenRequest<'_> {
        Box::pin(self.send(request))
    }
}

impl Inner {
    fn additions(&self, at_home: bool) -> Result<Additions, Cause> {
        if !at_home {
            return Ok(Additions::default());
        }
        Ok(Additions { authorization: self.credentials.value()?, headers: self.own_headers.values()? })
    }
}

/// Builds the request as it is sent.
fn message(
    route: &Route<'_>,
    request: &Request,
    mut headers: HeaderMap,
    http2: bool,
) -> Result<http::Request<Full<bytes::Bytes>>, Cause> {
    let host = request.url.host();
    let host = host.strip_suffix(':').unwrap_or(&host);
    let target = request.url.request_uri();
    let whole = http2 || route.asks_proxy();
    let text = if whole { format!("{}://{host}{target}", request.url.scheme()) } else { target };
    if !http2 {
        let value =
            HeaderValue::from_str(host).map_err(|_| Cause::Other("http: invalid Host header".to_owned()))?;
        headers.insert(HOST, value);
    }
    let mut message = http::Request::new(Full::new(request.body.clone()));
    *message.method_mut() = request.method.clone();
    *message.uri_mut() = uri(&text)?;
    *message.headers_mut() = headers;
    if request.body.is_empty() && request.method == Method::POST {
        message.headers_mut().insert(http::header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    Ok(message)
}

/// The target of a request line. Encodes the few bytes that hyper refuses to send.
fn uri(text: &str) -> Result<Uri, Cause> {
    if let Ok(uri) = text.parse() {
        return Ok(uri);
    }
    let is_sent = |byte: u8| byte.is_ascii() && !b" \"<>\\^`{|}".contains(&byte);
    let encoded = percent_encode(text.as_bytes(), is_sent);
    encoded.parse().map_err(|error: http::uri::InvalidUri| Cause::Other(error.to_string()))
}

/// Clients by section: users with equal sections share one client and its connections.
#[derive(Clone, Debug, Default)]
pub struct HttpClients(Arc<Mutex<Vec<(HttpClientConfig, Weak<Inner>)>>>);

impl HttpClients {
    /// The client of this section, created if there is none.
    ///
    /// # Errors
    /// See [`HttpClient::new`].
    pub fn get(&self, config: &HttpClientConfig, user_agent: &'static str) -> Result<HttpClient, SetupError> {
        let mut clients = self.0.locked();
        clients.retain(|(_, client)| client.strong_count() > 0);
        let known =
            clients.iter().find(|(known, _)| known == config).and_then(|(_, client)| client.upgrade());
        if let Some(client) = known {
            return Ok(HttpClient(client));
        }
        let client = HttpClient::new(config, user_agent)?;
        clients.push((config.clone(), Arc::downgrade(&client.0)));
        Ok(client)
    }
}
