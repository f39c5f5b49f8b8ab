//! Servers and proxies for testing HTTP clients, and a table of what every key of a client's section must do.
//!
//! The HTTP client, the scraper and the notifier run the same table, each in its own way: the same section means the
//! same everywhere.
//!
//! ```text
//! Lab::start ─▶ servers, proxies, certificates     Lab::cases ─▶ section, address, expected outcome
//! ```

mod servers;

use std::path::PathBuf;

use tempfile::TempDir;

pub use servers::{Behaviour, Issued, ReceivedHeads, Server};

/// A case: a client with this section sends one request to this address.
#[derive(Clone, Debug)]
pub struct Case {
    pub name: &'static str,
    /// YAML, in flow style.
    pub section: String,
    /// `http` or `https`
    pub scheme: &'static str,
    /// `host:port`
    pub address: String,
    pub expected: Expected,
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
    certificate: String,
    key: String,
    /// Heads of requests and the server that got them, in the order of arrival.
    seen: ReceivedHeads,
}

fn arrives(at: &'static str, with: &[&str], without: &[&str]) -> Expected {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    Expected::Arrives { at, with: owned(with), without: owned(without) }
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
        // They know one another's ports only now.
        let port = |name: &str| port_of(&servers, name);
        for (name, to) in [
            ("redirect-away", format!("http://localhost:{}/away", port("plain"))),
            ("redirect-home", format!("http://127.0.0.1:{}/home", port("plain"))),
        ] {
            let server = &servers.iter().find(|(found, _)| *found == name).expect("it was started").1;
            server.redirect_to(to);
        }
        let lab = Lab {
            servers,
            authority: issued.authority_pem(),
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
        let name = case.name;
        match (&case.expected, outcome) {
            (Expected::Fails(reason), Err(found)) => {
                assert!(found.ends_with(reason.as_str()), "{name}: {found:?} does not end with {reason:?}");
            }
            (Expected::Fails(_), Ok(())) => panic!("{name}: it should have failed"),
            (Expected::Arrives { .. }, Err(reason)) => panic!("{name}: {reason}; seen: {seen:?}"),
            (Expected::Arrives { at, with, without }, Ok(())) => {
                let head = seen.iter().rev().find(|(server, _)| server == at);
                let (_, head) = head.unwrap_or_else(|| panic!("{name}: nothing came to {at}, but {seen:?}"));
                let head = head.to_lowercase();
                for text in with {
                    assert!(head.contains(text.as_str()), "{name}: {text:?} is missing in {head:?}");
                }
                for text in without {
                    assert!(!head.contains(text.as_str()), "{name}: {text:?} should not be in {head:?}");
                }
            }
        }
    }

    /// The table.
    pub fn cases(&self) -> Vec<Case> {
        let at = |name: &str| self.address(name);
        let file = |name: &str| self.path(name).display().to_string();
        let quoted = |text: &str| format!("\"{}\"", text.replace('\n', "\\n"));
        let (ca, cert, key, secret) = (file("ca.pem"), file("cert.pem"), file("key.pem"), file("secret"));
        let plain = |name, section: &str, with: &[&str]| Case {
            name,
            section: section.to_owned(),
            scheme: "http",
            address: at("plain"),
            expected: arrives("plain", with, &[]),
        };
        let tls = |name, section: String, server: &'static str, expected| Case {
            name,
            section,
            scheme: "https",
            address: at(server),
            expected,
        };
        let fails = |reason: &str| Expected::Fails(reason.to_owned());
        let mut cases = vec![
            Case {
                expected: arrives("plain", &["user-agent: "], &["authorization"]),
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
            plain(
                "basic_auth files",
                &format!("{{basic_auth: {{username_file: '{secret}', password_file: '{secret}'}}}}"),
                &["authorization: basic znjvbs1mawxlomzyb20tzmlszq==\r\n"],
            ),
            plain(
                "authorization",
                "{authorization: {type: Own, credentials: c}}",
                &["authorization: own c\r\n"],
            ),
            plain(
                "authorization credentials_file",
                &format!("{{authorization: {{credentials_file: '{secret}'}}}}"),
                &["authorization: bearer from-file\r\n"],
            ),
            plain("authorization without credentials", "{authorization: {}}", &["authorization: bearer\r\n"]),
            plain("bearer_token", "{bearer_token: t}", &["authorization: bearer t\r\n"]),
            plain(
                "bearer_token_file",
                &format!("{{bearer_token_file: '{secret}'}}"),
                &["authorization: bearer from-file\r\n"],
            ),
            plain(
                "http_headers",
                &format!(
                    "{{http_headers: {{X-Own: {{values: [a, b], secrets: [s], files: ['{secret}']}}}}}}"
                ),
                &["x-own: a\r\n", "x-own: b\r\n", "x-own: s\r\n", "x-own: from-file\r\n"],
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
                address: at("redirect-away"),
                expected: arrives(
                    "plain",
                    &[" /away ", "referer: http://127.0.0.1:"],
                    &["authorization", "x-own"],
                ),
                ..plain(
                    "a redirect to another host",
                    "{bearer_token: t, http_headers: {X-Own: {values: [a]}}}",
                    &[],
                )
            },
            Case {
                address: at("redirect-home"),
                expected: arrives("plain", &[" /home ", "authorization: bearer t\r\n", "x-own: a\r\n"], &[]),
                ..plain(
                    "a redirect to another port",
                    "{bearer_token: t, http_headers: {X-Own: {values: [a]}}}",
                    &[],
                )
            },
            Case {
                address: at("redirect-home"),
                expected: fails("307 Temporary Redirect"),
                ..plain("follow_redirects: false", "{follow_redirects: false}", &[])
            },
            Case {
                address: "127.0.0.1:1".into(),
                expected: fails("dial tcp 127.0.0.1:1: connect: connection refused"),
                ..plain("nobody there", "{}", &[])
            },
        ];
        cases.extend([
            tls(
                "ca_file",
                format!("{{tls_config: {{ca_file: '{ca}'}}}}"),
                "tls",
                arrives("tls", &["http/2.0"], &[]),
            ),
            tls(
                "ca",
                format!("{{tls_config: {{ca: {}}}}}", quoted(&self.authority)),
                "tls",
                arrives("tls", &[], &[]),
            ),
            tls(
                "no ca",
                "{}".into(),
                "tls",
                fails(
                    "tls: failed to verify certificate: x509: certificate signed by unknown authority \
                     (its signer is \"CN=the lab's authority\")",
                ),
            ),
            tls(
                "insecure_skip_verify",
                "{tls_config: {insecure_skip_verify: true}}".into(),
                "tls",
                arrives("tls", &[], &[]),
            ),
            tls(
                "enable_http2: false",
                format!("{{enable_http2: false, tls_config: {{ca_file: '{ca}'}}}}"),
                "tls",
                arrives("tls", &["http/1.1"], &[]),
            ),
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
            tls(
                "cert_file and key_file",
                format!("{{tls_config: {{ca_file: '{ca}', cert_file: '{cert}', key_file: '{key}'}}}}"),
                "tls-mutual",
                arrives("tls-mutual", &[], &[]),
            ),
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
            Case {
                scheme: "https",
                expected: fails("http: server gave HTTP response to HTTPS client"),
                ..plain("HTTP where TLS is required", "{}", &[])
            },
        ]);
        cases.extend(self.proxy_cases(&ca));
        cases.extend(self.oauth2_cases(&ca, &secret));
        cases
    }

    fn proxy_cases(&self, ca: &str) -> Vec<Case> {
        let at = |name: &str| self.address(name);
        let (proxy, socks, tls_proxy) = (at("proxy"), at("socks"), at("tls-proxy"));
        let target = at("plain");
        let http = |name, section: String, expected| Case {
            name,
            section,
            scheme: "http",
            address: at("plain"),
            expected,
        };
        let https = |name, section: String, expected| Case {
            name,
            section,
            scheme: "https",
            address: at("tls"),
            expected,
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
                Expected::Fails("no acceptable authentication methods".into()),
            ),
            https(
                "a proxy that refuses",
                format!("{{proxy_url: 'http://{}'}}", at("refusing-proxy")),
                Expected::Fails("Get lost".into()),
            ),
            https(
                "no proxy there",
                "{proxy_url: 'http://127.0.0.1:1'}".into(),
                Expected::Fails("proxyconnect tcp: dial tcp 127.0.0.1:1: connect: connection refused".into()),
            ),
        ]
    }

    fn oauth2_cases(&self, ca: &str, secret: &str) -> Vec<Case> {
        let (tokens, form_tokens) = (self.address("tls-tokens"), self.address("form-tokens"));
        let proxy = self.address("proxy");
        let oauth2 = |name, options: String, expected| Case {
            name,
            section: format!("{{oauth2: {{client_id: i, {options}}}}}"),
            scheme: "http",
            address: self.address("plain"),
            expected,
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
            oauth2(
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
            ),
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
                Expected::Fails(
                    "x509: certificate signed by unknown authority (its signer is \"CN=the lab's authority\")".into(),
                ),
            ),
            oauth2(
                "oauth2 that is refused",
                format!("client_secret: s, token_url: 'http://{}/t'", self.address("refusing-tokens")),
                Expected::Fails("oauth2: \"invalid_client\" \"nobody knows i\"".into()),
            ),
        ]
    }
}

fn port_of(servers: &[(&'static str, Server)], name: &str) -> u16 {
    servers.iter().find(|(found, _)| *found == name).expect("a server of the lab").1.port()
}
