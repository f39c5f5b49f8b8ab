//! Decides which requests go through a proxy.
//!
//! `proxy_url` alone applies to every request. With `no_proxy`, or a proxy from the environment, requests to this machine
//! and to the listed hosts go directly, by the rules of Go's `httpproxy`.

use std::net::IpAddr;

use ferula_config::http_client::ProxyConfig;
use http::header::HeaderMap;

use crate::error::SetupError;
use crate::secret::{basic_text, header_name, secret_value};
use crate::url::{self, Url, masked_text, port_or_default};

/// The proxies of a section.
#[derive(Debug, Default)]
pub(crate) struct Proxies {
    for_http: Option<Proxy>,
    for_https: Option<Proxy>,
    /// `None` if every request uses the proxy.
    bypass: Option<Bypass>,
    /// Sent with `CONNECT` only.
    pub connect_headers: HeaderMap,
}

/// The protocol of a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ProxyProtocol {
    Http,
    Https,
    Socks5,
}

/// One proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Proxy {
    pub kind: ProxyProtocol,
    pub url: Url,
}

impl Proxy {
    /// `host:port` without a scheme means an HTTP proxy.
    fn parse(address: &str) -> Result<Option<Proxy>, SetupError> {
        if address.is_empty() {
            return Ok(None);
        }
        let refused = |reason: String| SetupError::Proxy { address: masked_text(address), reason };
        let known = |url: &Url| match url.scheme() {
            "http" => Some(ProxyProtocol::Http),
            "https" => Some(ProxyProtocol::Https),
            "socks5" | "socks5h" => Some(ProxyProtocol::Socks5),
            _ => None,
        };
        let parsed = Url::parse(address).ok().filter(|url| known(url).is_some() && !url.host().is_empty());
        let url = match parsed {
            Some(url) => url,
            None => url::parse(&format!("http://{address}")).map_err(|error| refused(error.to_string()))?,
        };
        let kind = known(&url).unwrap_or(ProxyProtocol::Http);
        Ok(Some(Proxy { kind, url }))
    }

    /// `Proxy-Authorization`, if the proxy's URL contains a name.
    pub fn authorization(&self) -> Option<String> {
        let name = self.url.username()?;
        Some(basic_text(&name, &self.url.password().unwrap_or_default()))
    }
}

impl Proxies {
    /// The proxies of a section; `environment` looks up a variable.
    pub fn of(
        config: &ProxyConfig,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, SetupError> {
        let mut connect_headers = HeaderMap::new();
        for (name, values) in &config.proxy_connect_header {
            let name = header_name(name)?;
            for value in values {
                let value = secret_value(&name, value.reveal()).map_err(|_| {
                    SetupError::Header(crate::error::HeaderError::Value(name.as_str().to_owned()))
                })?;
                connect_headers.append(&name, value);
            }
        }
        if config.proxy_from_environment {
            let variable = |name: &str| {
                [name.to_ascii_uppercase(), name.to_ascii_lowercase()]
                    .iter()
                    .find_map(|name| environment(name).filter(|value| !value.is_empty()))
                    .unwrap_or_default()
            };
            return Ok(Proxies {
                for_http: Proxy::parse(&variable("http_proxy"))?,
                for_https: Proxy::parse(&variable("https_proxy"))?,
                bypass: Some(Bypass::parse(&variable("no_proxy"))),
                connect_headers,
            });
        }
        let proxy = Proxy::parse(config.proxy_url.as_str())?;
        let bypass = (!config.no_proxy.is_empty()).then(|| Bypass::parse(&config.no_proxy));
        Ok(Proxies { for_http: proxy.clone(), for_https: proxy, bypass, connect_headers })
    }

    /// The proxy for requests to `url`.
    pub fn of_url(&self, url: &Url) -> Option<&Proxy> {
        let proxy = if url.scheme() == "https" { &self.for_https } else { &self.for_http }.as_ref()?;
        let straight = |bypass: &Bypass| bypass.covers(&url.hostname(), &port_or_default(url));
        (!self.bypass.as_ref().is_some_and(straight)).then_some(proxy)
    }
}

/// Hosts that are reached without the proxy.
#[derive(Debug, Default, PartialEq, Eq)]
struct Bypass(Vec<Rule>);

#[derive(Debug, PartialEq, Eq)]
enum Rule {
    /// `*`
    All,
    /// `10.0.0.0/8`
    Network { address: IpAddr, prefix_bits: u32 },
    /// `10.0.0.1` or `10.0.0.1:80`
    Address { address: IpAddr, port: Option<String> },
    /// `example.com` (also everything below it), `.example.com` or `*.example.com` (only what is below it),
    /// each with or without a port. `suffix` begins with the dot.
    Domain { suffix: String, itself: bool, port: Option<String> },
}

impl Bypass {
    fn parse(list: &str) -> Self {
        Bypass(list.split(',').filter_map(|item| Rule::parse(item.trim())).collect())
    }

    fn covers(&self, host: &str, port: &str) -> bool {
        let host = host.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase();
        let address = host.split('%').next().and_then(|host| host.parse::<IpAddr>().ok());
        let this_machine = host == "localhost" || address.is_some_and(|address| address.is_loopback());
        this_machine || self.0.iter().any(|rule| rule.covers(&host, address, port))
    }
}

impl Rule {
    fn parse(item: &str) -> Option<Rule> {
        let item = item.to_ascii_lowercase();
        match item.as_str() {
            "" => return None,
            "*" => return Some(Rule::All),
            _ => {}
        }
        if let Some((address, bits)) = item.split_once('/')
            && let (Ok(address), Ok(prefix_bits)) = (address.parse::<IpAddr>(), bits.parse::<u32>())
            && prefix_bits <= if address.is_ipv4() { 32 } else { 128 }
        {
            return Some(Rule::Network { address, prefix_bits });
        }
        let (host, port) = split_port(&item);
        if let Ok(address) = host.trim_matches(['[', ']']).parse() {
            return Some(Rule::Address { address, port });
        }
        if host.is_empty() {
            // Only a port: this is not a rule.
            return None;
        }
        let host = if host.starts_with("*.") { &host[1..] } else { host };
        Some(match host.strip_prefix('.') {
            Some(_) => Rule::Domain { suffix: host.to_owned(), itself: false, port },
            None => Rule::Domain { suffix: format!(".{host}"), itself: true, port },
        })
    }

    fn covers(&self, host: &str, host_address: Option<IpAddr>, host_port: &str) -> bool {
        let port_fits = |port: &Option<String>| port.as_deref().is_none_or(|port| port == host_port);
        match self {
            Rule::All => true,
            Rule::Network { address, prefix_bits } => {
                host_address.is_some_and(|host| in_network(host, *address, *prefix_bits))
            }
            Rule::Address { address, port } => host_address == Some(*address) && port_fits(port),
            Rule::Domain { suffix, itself, port } => {
                (host.ends_with(suffix.as_str()) || (*itself && *host == suffix[1..])) && port_fits(port)
            }
        }
    }
}

/// Splits `host:80`; an IPv6 address without brackets has no port.
fn split_port(item: &str) -> (&str, Option<String>) {
    match item.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port.to_owned())),
        _ => (item, None),
    }
}

fn in_network(host: IpAddr, network: IpAddr, prefix_bits: u32) -> bool {
    let same = |host: u128, network: u128, width: u32| {
        let shift = width - prefix_bits;
        shift >= 128 || host >> shift == network >> shift
    };
    match (host.to_canonical(), network) {
        (IpAddr::V4(host), IpAddr::V4(network)) => {
            same(u32::from(host).into(), u32::from(network).into(), 32)
        }
        (IpAddr::V6(host), IpAddr::V6(network)) => same(host.into(), network.into(), 128),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use ferula_config::http_client::HttpClientConfig;

    use super::*;

    #[test]
    fn no_proxy_is_read_as_in_go() {
        for (list, host, port, straight) in [
            ("example.com", "example.com", "80", true),
            ("example.com", "a.example.com", "80", true),
            ("example.com", "anexample.com", "80", false),
            (".example.com", "example.com", "80", false),
            (".example.com", "a.example.com", "80", true),
            ("*.example.com", "a.b.example.com", "80", true),
            ("*.example.com", "example.com", "80", false),
            ("Example.COM", "EXAMPLE.com", "80", true),
            ("example.com:8080", "example.com", "8080", true),
            ("example.com:8080", "example.com", "80", false),
            ("*.example.com:443", "a.example.com", "443", true),
            ("10.0.0.0/8", "10.1.2.3", "80", true),
            ("10.0.0.0/8", "11.1.2.3", "80", false),
            ("0.0.0.0/0", "11.1.2.3", "80", true),
            ("10.0.0.1", "10.0.0.1", "9", true),
            ("10.0.0.1:80", "10.0.0.1", "9", false),
            ("fd00::/8", "fd12::1", "80", true),
            ("fd00::1", "fd00::1", "80", true),
            ("[fd00::1]:80", "fd00::1", "80", true),
            ("[fd00::1]:81", "fd00::1", "80", false),
            ("*", "anything", "80", true),
            ("", "localhost", "80", true),
            ("x", "127.0.0.1", "80", true),
            ("x", "::1", "80", true),
            ("a, b ,c", "b", "80", true),
            ("a,,b", "c", "80", false),
        ] {
            assert_eq!(Bypass::parse(list).covers(host, port), straight, "{list} for {host}:{port}");
        }
    }

    fn proxies(yaml: &str, environment: &[(&str, &str)]) -> Proxies {
        let config = HttpClientConfig::parse_file(yaml, ".").expect("a section");
        let variable =
            |name: &str| environment.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        Proxies::of(&config.proxy, variable).expect("proxies")
    }

    fn taken(proxies: &Proxies, url: &str) -> Option<String> {
        proxies.of_url(&Url::parse(url).expect("a URL")).map(|proxy| proxy.url.host())
    }

    #[test]
    fn the_environment_has_a_proxy_for_each_scheme() {
        let environment =
            [("HTTP_PROXY", "plain:1"), ("https_proxy", "http://secure:2"), ("NO_PROXY", "in.example")];
        let from_environment = proxies("proxy_from_environment: true", &environment);
        assert_eq!(taken(&from_environment, "http://h/").as_deref(), Some("plain:1"));
        assert_eq!(taken(&from_environment, "https://h/").as_deref(), Some("secure:2"));
        assert_eq!(taken(&from_environment, "https://in.example/"), None);
        assert_eq!(taken(&from_environment, "http://localhost/"), None);
        assert_eq!(taken(&proxies("{}", &environment), "http://h/"), None);
    }

    #[test]
    fn a_proxy_url_alone_takes_even_this_machine() {
        assert_eq!(
            taken(&proxies("proxy_url: http://p:1", &[]), "http://localhost/").as_deref(),
            Some("p:1")
        );
        let with_exceptions = proxies("{proxy_url: 'http://p:1', no_proxy: x}", &[]);
        assert_eq!(taken(&with_exceptions, "http://localhost/"), None);
        assert_eq!(taken(&with_exceptions, "http://y/").as_deref(), Some("p:1"));
    }
}
