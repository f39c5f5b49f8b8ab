//! Servers and proxies for testing HTTP clients, and a table of what every key of a client's section must do.
//!
//! The HTTP client and all that use it run the same table, each in its own way: the same section means the same
//! everywhere. Rows without a `tls_config` of their own are run over TLS too.
//!
//! ```text
//! Lab::start ─▶ servers, proxies, certificates     Lab::cases ─▶ section, address, expected outcome
//! Lab::run ─▶ for each case: a client, one request, and what must be true of the next requests
//! ```

mod servers;

use std::path::PathBuf;

use tempfile::TempDir;

pub use servers::{Behaviour, Issued, ReceivedHeads, Server};

/// A case: a client with this section sends one request to this address.
#[derive(Clone, Debug)]
pub struct Case {
    pub name: String,
    /// YAML, in flow style.
    pub section: String,
    /// `http` or `https`
    pub scheme: &'static str,
    /// `host:port`
    pub address: String,
    /// Dialled instead of the address. In Prometheus, only a target of a scrape can have one.
    pub unix_socket: Option<PathBuf>,
    pub expected: Expected,
    pub then: FollowUp,
}

/// What is done with the same client after the first request.
#[derive(Clone, Debug)]
pub enum FollowUp {
    Nothing,
    /// Four more requests go over the same connection to this server.
    SameConnection(&'static str),
    /// A file of the lab gets another text, and the next request must do this.
    Rewritten {
        file: &'static str,
        text: String,
        expected: Expected,
    },
}

/// The expected outcome of a case.
#[derive(Clone, Debug)]
pub enum Expected {
    /// The request arrives at this server, with all of these in its head, in lower case, and none of those.
    Arrives { at: &'static str, with: Vec<String>, without: Vec<String> },
    /// It fails, and the reason ends with this text.
    Fails(String),
}

/// Everything that the cases need.
pub struct Lab {
    servers: Vec<(&'static str, Server)>,
    directory: TempDir,
    authority: String,
    another_authority: String,
    another_key: String,
    certificate: String,
    key: String,
    /// Heads of requests and the server that got them, in the order of arrival.
    seen: ReceivedHeads,
}

fn arrives(at: &'static str, with: &[&str], without: &[&str]) -> Expected {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    Expected::Arrives { at, with: owned(with), without: owned(without) }
}

fn fails(reason: &str) -> Expected {
    Expected::Fails(reason.to_owned())
}

impl Case {
    /// The URL of a path at the case's server.
    pub fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.address)
    }

    /// The section's keys beside others, in YAML's flow style: `{first, basic_auth: …}`.
    pub fn section_with(&self, first: &str) -> String {
        format!("{{{first}, {}", &self.section[1..])
    }
}

impl Lab {
    /// Starts all servers.
    pub async fn start() -> Self {
        let seen = ReceivedHeads::default();
        let directory = tempfile::tempdir().expect("a directory");
        let issued = servers::Issued::new();
        let mut servers = Vec::new();
        for (name, behaviour) in servers::all(&issued) {
            servers.push((name, Server::start(name, behaviour, seen.clone()).await));
        }
        for (name, behaviour) in servers::on_sockets(&issued) {
            let path = directory.path().join(name);
            servers.push((name, Server::start_on_socket(name, &path, behaviour, seen.clone())));
        }
        // They know one another's ports only now.
        let port = |name: &str| port_of(&servers, name);
        for (name, to) in [
            ("redirect-away", format!("http://localhost:{}/away", port("plain"))),
            ("redirect-home", format!("http://127.0.0.1:{}/home", port("plain"))),
            ("tls-redirect-away", format!("https://localhost:{}/away", port("tls"))),
            ("tls-redirect-home", format!("https://127.0.0.1:{}/home", port("tls"))),
        ] {
            let server = &servers.iter().find(|(found, _)| *found == name).expect("it was started").1;
            server.redirect_to(to);
        }
        let lab = Lab {
            servers,
            authority: issued.authority_pem(),
            another_authority: Issued::new().authority_pem(),
            another_key: issued.another_client_pem().1,
            certificate: issued.client_pem().0,
            key: issued.client_pem().1,
            directory,
            seen,
        };
        lab.write("ca.pem", &lab.authority);
        lab.write("cert.pem", &lab.certificate);
        lab.write("key.pem", &lab.key);
        lab.write("secret", "from-file\n");
        lab
    }

    /// A file in the lab's directory: `ca.pem`, `cert.pem`, `key.pem`, `secret`, or one of the test's own.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file into the lab's directory.
    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("the directory can be written");
    }

    /// The address of a server.
    pub fn address(&self, name: &str) -> String {
        format!("127.0.0.1:{}", port_of(&self.servers, name))
    }

    /// Connections that a server accepted so far.
    pub fn connections(&self, name: &str) -> usize {
        self.servers.iter().find(|(found, _)| *found == name).expect("a server of the lab").1.connections()
    }

    /// Compares the outcome of a case with the expected one. An error of `outcome` is the reason why the request failed.
    pub fn judge(&self, case: &Case, outcome: Result<(), String>) {
        let seen = std::mem::take(&mut *self.seen.lock().expect("no test panics here"));
        let name = &case.name;
        match (&case.expected, outcome) {
            (Expected::Fails(reason), Err(found)) => {
                // Where a text of the server would follow, there is none.
                let found = found.trim_end_matches([':', ' ']);
                assert!(found.ends_with(reason.as_str()), "{name}: {found:?} does not end with {reason:?}");
            }
            (Expected::Fails(_), Ok(())) => panic!("{name}: it should have failed"),
            (Expected::Arrives { .. }, Err(reason)) => panic!("{name}: {reason}; seen: {seen:?}"),
            (Expected::Arrives { at, with, without }, Ok(())) => {
                let head = seen.iter().rev().find(|(server, _)| server == at);
                let (_, head) = head.unwrap_or_else(|| panic!("{name}: nothing came to {at}, but {seen:?}"));
                let head = head.to_ascii_lowercase();
                for text in with {
                    assert!(head.contains(text.as_str()), "{name}: {text:?} is missing in {head:?}");
                }
                for text in without {
                    assert!(!head.contains(text.as_str()), "{name}: {text:?} should not be in {head:?}");
                }
            }
        }
    }

    /// Runs the table. `connect` makes a client from the section of a case, and `send` sends one request with it; both
    /// return the reason why it failed.
    pub async fn run<C>(
        &self,
        cases: Vec<Case>,
        connect: impl Fn(&Case) -> Result<C, String>,
        send: impl AsyncFn(&C, &Case) -> Result<(), String>,
    ) {
        for case in cases {
            let connected = match case.then {
                FollowUp::SameConnection(server) => Some((server, self.connections(server))),
                _ => None,
            };
            let client = match connect(&case) {
                Ok(client) => client,
                Err(reason) => {
                    self.judge(&case, Err(reason));
                    continue;
                }
            };
            self.judge(&case, send(&client, &case).await);
            match &case.then {
                FollowUp::Nothing => {}
                FollowUp::SameConnection(_) => {
                    for _ in 0..4 {
                        self.judge(&case, send(&client, &case).await);
                    }
                }
                FollowUp::Rewritten { file, text, expected } => {
                    let before = std::fs::read_to_string(self.path(file)).expect("a file of the lab");
                    self.write(file, text);
                    let case = Case { expected: expected.clone(), ..case.clone() };
                    self.judge(&case, send(&client, &case).await);
                    self.write(file, &before);
                }
            }
            if let Some((server, before)) = connected {
                assert_eq!(self.connections(server), before + 1, "{}: connections of {server}", case.name);
            }
        }
    }

    /// The table without Unix sockets, which only a target of a scrape can have.
    pub fn cases_of_addresses(&self) -> Vec<Case> {
        self.cases().into_iter().filter(|case| case.unix_socket.is_none()).collect()
    }

    /// The table.
    pub fn cases(&self) -> Vec<Case> {
        let ca = self.path("ca.pem").display().to_string();
        let mut cases = self.plain_cases();
        cases.extend(self.oauth2_cases(&ca));
        let over_tls: Vec<Case> = cases.iter().filter_map(|case| self.over_tls(case, &ca)).collect();
        cases.extend(over_tls);
        cases.extend(self.redirect_cases(&ca));
        cases.extend(self.tls_cases(&ca));
        cases.extend(self.answer_cases());
        cases.extend(self.proxy_cases(&ca));
        cases.extend(self.socket_cases(&ca));
        cases
    }

    /// A case whose request goes to a server that speaks HTTP.
    fn plain(&self, name: &str, section: &str, with: &[&str]) -> Case {
        Case {
            name: name.to_owned(),
            section: section.to_owned(),
            scheme: "http",
            address: self.address("plain"),
            unix_socket: None,
            expected: arrives("plain", with, &[]),
            then: FollowUp::Nothing,
        }
    }

    /// The same case at a server that speaks TLS, unless it is about a server of its own.
    fn over_tls(&self, case: &Case, ca: &str) -> Option<Case> {
        let to_tls = |expected: &Expected| match expected {
            Expected::Arrives { at: "plain", with, without } => {
                Expected::Arrives { at: "tls", with: with.clone(), without: without.clone() }
            }
            other => other.clone(),
        };
        let (comma, rest) = if case.section == "{}" { ("", "}") } else { (", ", &case.section[1..]) };
        (case.address == self.address("plain")).then(|| Case {
            name: format!("{} over TLS", case.name),
            section: format!("{{tls_config: {{ca_file: '{ca}'}}{comma}{rest}"),
            scheme: "https",
            address: self.address("tls"),
            unix_socket: None,
            expected: to_tls(&case.expected),
            then: match &case.then {
                FollowUp::SameConnection(_) => FollowUp::SameConnection("tls"),
                FollowUp::Rewritten { file, text, expected } => {
                    FollowUp::Rewritten { file, text: text.clone(), expected: to_tls(expected) }
                }
                FollowUp::Nothing => FollowUp::Nothing,
            },
        })
    }

    fn plain_cases(&self) -> Vec<Case> {
        let secret = self.path("secret").display().to_string();
        let plain = |name: &str, section: &str, with: &[&str]| self.plain(name, section, with);
        let reread = |name: &str, section: String, with: &str, then: &str| Case {
            then: FollowUp::Rewritten {
                file: "secret",
                text: "other\n".to_owned(),
                expected: arrives("plain", &[then], &[]),
            },
            ..self.plain(name, &section, &[with])
        };
        vec![
            Case {
                expected: arrives("plain", &["user-agent: "], &["authorization"]),
                then: FollowUp::SameConnection("plain"),
                ..plain("nothing", "{}", &[])
            },
            plain(
                "basic_auth",
                "{basic_auth: {username: u, password: p}}",
                &["authorization: basic dtpw\r\n"],
            ),
            plain(
                "basic_auth without a password",
                "{basic_auth: {username: u}}",
                &["authorization: basic dto=\r\n"],
            ),
            reread(
                "basic_auth files",
                format!("{{basic_auth: {{username_file: '{secret}', password_file: '{secret}'}}}}"),
                "authorization: basic znjvbs1mawxlomzyb20tzmlszq==\r\n",
                "authorization: basic b3rozxi6b3rozxi=\r\n",
            ),
            plain(
                "authorization",
                "{authorization: {type: Own, credentials: c}}",
                &["authorization: own c\r\n"],
            ),
            reread(
                "authorization credentials_file",
                format!("{{authorization: {{credentials_file: '{secret}'}}}}"),
                "authorization: bearer from-file\r\n",
                "authorization: bearer other\r\n",
            ),
            plain("authorization without credentials", "{authorization: {}}", &["authorization: bearer\r\n"]),
            plain("bearer_token", "{bearer_token: t}", &["authorization: bearer t\r\n"]),
            reread(
                "bearer_token_file",
                format!("{{bearer_token_file: '{secret}'}}"),
                "authorization: bearer from-file\r\n",
                "authorization: bearer other\r\n",
            ),
            plain(
                "http_headers",
                "{http_headers: {X-Own: {values: [a, b], secrets: [s]}}}",
                &["x-own: a\r\n", "x-own: b\r\n", "x-own: s\r\n"],
            ),
            reread(
                "http_headers files",
                format!("{{http_headers: {{X-Own: {{files: ['{secret}']}}}}}}"),
                "x-own: from-file\r\n",
                "x-own: other\r\n",
            ),
            Case {
                expected: fails(
                    "unable to read headers file /proc/nowhere/x: open /proc/nowhere/x: no such file or directory",
                ),
                ..plain(
                    "http_headers without their file",
                    "{http_headers: {X-Own: {files: [/proc/nowhere/x]}}}",
                    &[],
                )
            },
            Case {
                address: "127.0.0.1:1".into(),
                expected: fails("dial tcp 127.0.0.1:1: connect: connection refused"),
                ..plain("nobody there", "{}", &[])
            },
            Case {
                scheme: "https",
                address: self.address("refusing-proxy"),
                expected: fails("http: server gave HTTP response to HTTPS client"),
                ..plain("HTTP where TLS is required", "{}", &[])
            },
        ]
    }

    /// `follow_redirects`, and what is sent to the new address: from HTTP to HTTP, and from TLS to TLS.
    fn redirect_cases(&self, ca: &str) -> Vec<Case> {
        const SECRETS: &str = "bearer_token: t, http_headers: {X-Own: {values: [a]}}";
        let tls = format!("tls_config: {{ca_file: '{ca}'}}");
        let mut cases = Vec::new();
        for (scheme, to, section) in [("http", "plain", ""), ("https", "tls", &*tls)] {
            let from = |name: &str| {
                self.address(&if scheme == "https" { format!("tls-{name}") } else { name.into() })
            };
            let case = |name: &str, keys: &str, server: &str, expected| Case {
                name: format!("{name} ({scheme})"),
                section: format!("{{{keys}, {section}}}"),
                scheme,
                address: from(server),
                unix_socket: None,
                expected,
                then: FollowUp::Nothing,
            };
            let referer = format!("referer: {scheme}://127.0.0.1:");
            cases.extend([
                case(
                    "a redirect to another host",
                    SECRETS,
                    "redirect-away",
                    arrives(to, &["/away ", &referer], &["authorization", "x-own"]),
                ),
                case(
                    "a redirect to another port",
                    SECRETS,
                    "redirect-home",
                    arrives(to, &["/home ", "authorization: bearer t\r\n", "x-own: a\r\n"], &[]),
                ),
                case(
                    "follow_redirects: false",
                    "follow_redirects: false",
                    "redirect-home",
                    fails("307 Temporary Redirect"),
                ),
            ]);
        }
        cases
    }

    fn tls_cases(&self, ca: &str) -> Vec<Case> {
        let file = |name: &str| self.path(name).display().to_string();
        let quoted = |text: &str| format!("\"{}\"", text.replace('\n', "\\n"));
        let (cert, key) = (file("cert.pem"), file("key.pem"));
        let tls = |name: &str, section: String, server: &'static str, expected| Case {
            name: name.to_owned(),
            section,
            scheme: "https",
            address: self.address(server),
            unix_socket: None,
            expected,
            then: FollowUp::Nothing,
        };
        const UNKNOWN: &str = "tls: failed to verify certificate: x509: certificate signed by unknown authority \
            (its signer is \"CN=the lab's authority\")";
        vec![
            Case {
                then: FollowUp::Rewritten {
                    file: "ca.pem",
                    text: self.another_authority.clone(),
                    expected: fails(UNKNOWN),
                },
                ..tls(
                    "ca_file",
                    format!("{{tls_config: {{ca_file: '{ca}'}}}}"),
                    "tls",
                    arrives("tls", &["http/2.0"], &[]),
                )
            },
            tls(
                "ca",
                format!("{{tls_config: {{ca: {}}}}}", quoted(&self.authority)),
                "tls",
                arrives("tls", &[], &[]),
            ),
            tls("no ca", "{}".into(), "tls", fails(UNKNOWN)),
            tls(
                "insecure_skip_verify",
                "{tls_config: {insecure_skip_verify: true}}".into(),
                "tls",
                arrives("tls", &[], &[]),
            ),
            Case {
                then: FollowUp::SameConnection("tls"),
                ..tls(
                    "enable_http2: false",
                    format!("{{enable_http2: false, tls_config: {{ca_file: '{ca}'}}}}"),
                    "tls",
                    arrives("tls", &["http/1.1"], &[]),
                )
            },
            tls(
                "a wrong name",
                format!("{{tls_config: {{ca_file: '{ca}'}}}}"),
                "tls-named",
                fails(
                    "x509: cannot validate certificate for 127.0.0.1 because it doesn't contain any IP SANs",
                ),
            ),
            tls(
                "server_name",
                format!("{{tls_config: {{ca_file: '{ca}', server_name: lab.example}}}}"),
                "tls-named",
                arrives("tls-named", &[], &[]),
            ),
            tls(
                "another server_name",
                format!("{{tls_config: {{ca_file: '{ca}', server_name: x.example}}}}"),
                "tls-named",
                fails("x509: certificate is valid for lab.example, not x.example"),
            ),
            Case {
                then: FollowUp::Rewritten {
                    file: "key.pem",
                    text: self.another_key.clone(),
                    expected: fails("tls: private key does not match public key"),
                },
                ..tls(
                    "cert_file and key_file",
                    format!("{{tls_config: {{ca_file: '{ca}', cert_file: '{cert}', key_file: '{key}'}}}}"),
                    "tls-mutual",
                    arrives("tls-mutual", &[], &[]),
                )
            },
            tls(
                "cert and key",
                format!(
                    "{{tls_config: {{ca_file: '{ca}', cert: {}, key: {}}}}}",
                    quoted(&self.certificate),
                    quoted(&self.key)
                ),
                "tls-mutual",
                arrives("tls-mutual", &[], &[]),
            ),
            tls(
                "no client certificate",
                format!("{{tls_config: {{ca_file: '{ca}'}}}}"),
                "tls-mutual",
                fails("remote error: tls: certificate required"),
            ),
            tls(
                "min_version",
                format!("{{tls_config: {{ca_file: '{ca}', min_version: TLS13}}}}"),
                "tls12",
                fails("remote error: tls: protocol version not supported"),
            ),
            tls(
                "a low min_version",
                format!("{{tls_config: {{ca_file: '{ca}', min_version: TLS10}}}}"),
                "tls12",
                arrives("tls12", &[], &[]),
            ),
            tls(
                "max_version",
                format!("{{tls_config: {{ca_file: '{ca}', max_version: TLS12}}}}"),
                "tls13",
                fails("remote error: tls: protocol version not supported"),
            ),
        ]
    }

    /// Servers behind Unix sockets. The address is only a name.
    fn socket_cases(&self, ca: &str) -> Vec<Case> {
        let socket = |name: &str, section: String, scheme, server: &'static str| Case {
            name: name.to_owned(),
            section,
            scheme,
            address: "localhost".to_owned(),
            unix_socket: Some(self.path(server)),
            expected: arrives(server, &["authorization: bearer t\r\n"], &[]),
            then: FollowUp::SameConnection(server),
        };
        vec![
            socket("a Unix socket", "{bearer_token: t}".into(), "http", "socket"),
            socket(
                "a Unix socket is dialled whatever proxy there is",
                "{bearer_token: t, proxy_url: 'http://127.0.0.1:1'}".into(),
                "http",
                "socket",
            ),
            socket(
                "a Unix socket with TLS",
                format!("{{bearer_token: t, tls_config: {{ca_file: '{ca}'}}}}"),
                "https",
                "tls-socket",
            ),
            Case {
                unix_socket: Some("/proc/nowhere/socket".into()),
                expected: fails("dial unix /proc/nowhere/socket: connect: no such file or directory"),
                then: FollowUp::Nothing,
                ..socket("no Unix socket there", "{}".into(), "http", "socket")
            },
        ]
    }

    /// Answers that Go's client reads in a way of its own.
    fn answer_cases(&self) -> Vec<Case> {
        let case = |name: &str, server: &str, expected| Case {
            address: self.address(server),
            expected,
            ..self.plain(name, "{}", &[])
        };
        vec![
            case("the server's own words for a status", "own-words", fails("503 Backend fetch failed")),
            case("a status without words", "no-words", fails("529")),
            case("a redirect to nowhere", "no-location", fails("302 Found")),
            case(
                "an answer that is not HTTP",
                "not-http",
                fails(
                    r#"net/http: HTTP/1.x transport connection broken: malformed HTTP response "SSH-2.0-OpenSSH_9""#,
                ),
            ),
            case(
                "a space in the name of a field, and a version above 1.1",
                "odd-head",
                arrives("odd-head", &[], &[]),
            ),
            case("an interim answer first", "interim", arrives("interim", &[], &[])),
            case(
                "no length, but the end of the connection",
                "until-closed",
                arrives("until-closed", &[], &[]),
            ),
            case("300 kB of header fields", "large-head", arrives("large-head", &[], &[])),
            case(
                "11 MB of header fields",
                "endless-head",
                fails("net/http: server response headers exceeded 10485760 bytes; aborted"),
            ),
            case("nothing but the end of the connection", "silent", fails("EOF")),
        ]
    }

    fn proxy_cases(&self, ca: &str) -> Vec<Case> {
        let at = |name: &str| self.address(name);
        let (proxy, socks, tls_proxy) = (at("proxy"), at("socks"), at("tls-proxy"));
        let target = at("plain");
        let http =
            |name: &str, section: String, expected| Case { section, expected, ..self.plain(name, "{}", &[]) };
        let https = |name: &str, section: String, expected| Case {
            scheme: "https",
            address: at("tls"),
            ..http(name, section, expected)
        };
        vec![
            http(
                "proxy_url",
                format!("{{proxy_url: 'http://u:p@{proxy}', proxy_connect_header: {{X-Connect: [c]}}}}"),
                arrives(
                    "proxy",
                    &[&format!(" http://{target}/"), "proxy-authorization: basic dtpw\r\n"],
                    &["x-connect"],
                ),
            ),
            https(
                "proxy_url and proxy_connect_header for https",
                format!(
                    "{{proxy_url: 'http://u:p@{proxy}', proxy_connect_header: {{X-Connect: [c]}}, tls_config: {{ca_file: '{ca}'}}}}"
                ),
                arrives(
                    "proxy",
                    &["connect 127.0.0.1:", "proxy-authorization: basic dtpw\r\n", "x-connect: c\r\n"],
                    &[],
                ),
            ),
            http(
                "no_proxy",
                format!("{{proxy_url: 'http://{proxy}', no_proxy: '*.example.com,127.0.0.0/8'}}"),
                arrives("plain", &[], &[" http://"]),
            ),
            http(
                "a proxy that is spoken to in TLS",
                format!("{{proxy_url: 'https://{tls_proxy}', tls_config: {{ca_file: '{ca}'}}}}"),
                arrives("tls-proxy", &[&format!(" http://{target}/")], &[]),
            ),
            http(
                "a SOCKS5 proxy",
                format!("{{proxy_url: 'socks5://u:p@{socks}'}}"),
                arrives("socks", &[&format!("u:p {target}")], &[]),
            ),
            https(
                "a SOCKS5 proxy for https",
                format!("{{proxy_url: 'socks5://u:p@{socks}', tls_config: {{ca_file: '{ca}'}}}}"),
                arrives("socks", &[], &[]),
            ),
            http(
                "a SOCKS5 proxy that refuses",
                format!("{{proxy_url: 'socks5://{socks}'}}"),
                fails("no acceptable authentication methods"),
            ),
            https(
                "a proxy that refuses",
                format!("{{proxy_url: 'http://{}'}}", at("refusing-proxy")),
                fails("Get lost"),
            ),
            https(
                "no proxy there",
                "{proxy_url: 'http://127.0.0.1:1'}".into(),
                fails("proxyconnect tcp: dial tcp 127.0.0.1:1: connect: connection refused"),
            ),
        ]
    }

    fn oauth2_cases(&self, ca: &str) -> Vec<Case> {
        let secret = self.path("secret").display().to_string();
        let (tokens, form_tokens) = (self.address("tls-tokens"), self.address("form-tokens"));
        let proxy = self.address("proxy");
        let oauth2 = |name: &str, options: String, expected| Case {
            section: format!("{{oauth2: {{client_id: i, {options}}}}}"),
            expected,
            ..self.plain(name, "{}", &[])
        };
        let own_tls = format!("token_url: 'https://{tokens}/t', tls_config: {{ca_file: '{ca}'}}");
        let key = crate::shared::workspace_root().join("testdata/tls/signing-key.pem").display().to_string();
        let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
        vec![
            oauth2(
                "oauth2",
                format!("client_secret: s, {own_tls}"),
                arrives("plain", &["authorization: bearer lab-token\r\n"], &[]),
            ),
            Case {
                then: FollowUp::Rewritten {
                    file: "secret",
                    text: "other\n".to_owned(),
                    expected: arrives("tls-tokens", &["authorization: basic atpvdghlcg==\r\n"], &[]),
                },
                ..oauth2(
                    "oauth2 scopes and parameters",
                    format!(
                        "client_secret_file: '{secret}', scopes: [a, b], endpoint_params: {{p: 'x y'}}, {own_tls}"
                    ),
                    arrives(
                        "tls-tokens",
                        &[
                            "authorization: basic atpmcm9tlwzpbgu=\r\n",
                            "grant_type=client_credentials&p=x+y&scope=a+b",
                        ],
                        &[],
                    ),
                )
            },
            oauth2(
                "oauth2 with its own proxy",
                format!("client_secret: s, proxy_url: 'http://{proxy}', {own_tls}"),
                arrives("proxy", &[&format!("connect {tokens} ")], &[]),
            ),
            oauth2(
                "oauth2 at a server that wants the secret in the form",
                format!("client_secret: s, token_url: 'http://{form_tokens}/t'"),
                arrives("form-tokens", &["client_id=i&client_secret=s&grant_type=client_credentials"], &[]),
            ),
            oauth2(
                "oauth2 with a signed assertion",
                format!("grant_type: '{grant}', client_certificate_key_file: '{key}', {own_tls}"),
                arrives("tls-tokens", &["assertion=eyjhbgcioijsuzi1niisinr5cci6ikpxvcj9."], &["basic"]),
            ),
            oauth2(
                "oauth2 without its own ca",
                format!("client_secret: s, token_url: 'https://{tokens}/t'"),
                fails(
                    "x509: certificate signed by unknown authority (its signer is \"CN=the lab's authority\")",
                ),
            ),
            oauth2(
                "oauth2 that is refused",
                format!("client_secret: s, token_url: 'http://{}/t'", self.address("refusing-tokens")),
                fails("oauth2: \"invalid_client\" \"nobody knows i\""),
            ),
        ]
    }
}

fn port_of(servers: &[(&'static str, Server)], name: &str) -> u16 {
    servers.iter().find(|(found, _)| *found == name).expect("a server of the lab").1.port()
}
