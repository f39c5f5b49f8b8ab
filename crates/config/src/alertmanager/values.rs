//! The scalar values of Alertmanager's configuration.

use std::collections::BTreeMap;
use std::time::Duration;

use ferula_go::duration;
use ferula_go::quote::go_quote;

use crate::error::Problem;
use crate::http_client::HttpClientConfig;
use crate::scalars::{Secret, from_secret_text, from_text};
use crate::url::Url;
use crate::yaml::decode::{Decoder, Value};
use crate::yaml::dialect::Dialect;
use crate::yaml::emit::PrintedValue;
use crate::yaml::resolve::Resolved;
use crate::yaml::tree::{NodeId, NodeKind, Step, Tree};

/// How a masked value is written. Read back, it is a value that nobody knows.
pub(crate) const SECRET_TOKEN: &str = "<secret>";

/// A section `http_config`. It is checked as soon as it is read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HttpConfig(pub HttpClientConfig);

impl Value for HttpConfig {
    fn zero() -> Self {
        HttpConfig(HttpClientConfig::zero())
    }

    fn decode(&mut self, id: NodeId, d: &mut Decoder<'_>) -> Result<(), Problem> {
        let before = d.errors();
        self.0.decode(id, d)?;
        if d.errors() > before {
            return Ok(());
        }
        self.0.check().map_err(|problem| d.below(problem))
    }

    fn go_type() -> String {
        HttpClientConfig::go_type()
    }

    fn is_zero(&self) -> bool {
        false
    }

    fn print(&self) -> PrintedValue {
        self.0.print()
    }

    fn join_directory(&mut self, dir: &str) {
        self.0.join_directory(dir);
    }
}

/// Parses an address with a scheme of `http` or `https` and a host.
pub(crate) fn parse_http_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("unsupported scheme {} for URL", go_quote(url.scheme())));
    }
    if url.host().is_empty() {
        return Err("missing host for URL".to_owned());
    }
    Ok(url)
}

/// An `http` or `https` address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpUrl(Url);

impl HttpUrl {
    /// An address that is known to be good.
    pub(crate) fn known(text: &str) -> Self {
        HttpUrl(parse_http_url(text).expect("defaults are addresses"))
    }

    /// The address as it was written, password included.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Adds a slash to the path unless it ends in one.
    pub(crate) fn end_path_with_slash(&mut self) {
        let text = self.0.as_str();
        let end = text.find(['?', '#']).unwrap_or(text.len());
        if !text[..end].ends_with('/') {
            let longer = format!("{}/{}", &text[..end], &text[end..]);
            self.0 = Url::parse(&longer).expect("a longer path keeps the address good");
        }
    }
}

impl Value for HttpUrl {
    fn zero() -> Self {
        HttpUrl::default()
    }

    fn decode(&mut self, id: NodeId, d: &mut Decoder<'_>) -> Result<(), Problem> {
        from_text(self, id, d, |text| parse_http_url(&text).map(HttpUrl))
    }

    fn go_type() -> String {
        "string".into()
    }

    fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    fn print(&self) -> PrintedValue {
        PrintedValue::Text(self.0.redacted())
    }
}

/// An address that is itself a secret, as webhooks with a token in their path are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretUrl(Secret);

impl SecretUrl {
    /// The address; empty when it was masked in the file that was read.
    pub fn reveal(&self) -> &str {
        self.0.reveal()
    }

    pub(crate) fn of(url: &HttpUrl) -> Self {
        SecretUrl(Secret::new(url.as_str()))
    }
}

impl Value for SecretUrl {
    fn zero() -> Self {
        SecretUrl::default()
    }

    fn decode(&mut self, id: NodeId, d: &mut Decoder<'_>) -> Result<(), Problem> {
        from_secret_text(self, id, d, |text| match text.as_str() {
            SECRET_TOKEN => Ok(SecretUrl::default()),
            text => parse_http_url(text).map(|url| SecretUrl(Secret::new(url.as_str()))),
        })
    }

    fn go_type() -> String {
        "string".into()
    }

    fn is_zero(&self) -> bool {
        false
    }

    fn print(&self) -> PrintedValue {
        PrintedValue::Text(SECRET_TOKEN.to_owned())
    }
}

/// A secret address that may be a template.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretTemplateUrl(Secret);

impl SecretTemplateUrl {
    /// The address or template itself, for the one place that uses it.
    pub fn reveal(&self) -> &str {
        self.0.reveal()
    }

    /// Whether nothing was configured.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Value for SecretTemplateUrl {
    fn zero() -> Self {
        SecretTemplateUrl::default()
    }

    fn decode(&mut self, id: NodeId, d: &mut Decoder<'_>) -> Result<(), Problem> {
        from_secret_text(self, id, d, |text| {
            let is_checked = !text.is_empty() && text != SECRET_TOKEN && !text.contains("{{");
            match is_checked.then(|| parse_http_url(&text)) {
                Some(Err(error)) => Err(format!("invalid URL: {error}")),
                _ => Ok(SecretTemplateUrl(Secret::new(text))),
            }
        })
    }

    fn go_type() -> String {
        "string".into()
    }

    fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    fn print(&self) -> PrintedValue {
        self.0.print()
    }
}

/// A `host:port`; the host may be empty, the port may not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostPort {
    pub host: String,
    pub port: String,
}

impl HostPort {
    /// Whether nothing was configured.
    pub fn is_empty(&self) -> bool {
        self.host.is_empty() && self.port.is_empty()
    }

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(HostPort::default());
        }
        let (host, port) = split_host_port(text).map_err(|why| format!("address {text}: {why}"))?;
        if port.is_empty() {
            return Err(format!("address {}: port cannot be empty", go_quote(text)));
        }
        Ok(HostPort { host: host.to_owned(), port: port.to_owned() })
    }
}

impl std::fmt::Display for HostPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.is_empty(), self.host.contains(':')) {
            (true, _) => Ok(()),
            (false, true) => write!(f, "[{}]:{}", self.host, self.port),
            (false, false) => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// Go's `net.SplitHostPort`.
fn split_host_port(text: &str) -> Result<(&str, &str), &'static str> {
    let colon = text.rfind(':').ok_or("missing port in address")?;
    let (host, port) = (&text[..colon], &text[colon + 1..]);
    if let Some(inner) = text.strip_prefix('[') {
        let end = inner.find(']').ok_or("missing ']' in address")?;
        return match &inner[end + 1..] {
            "" => Err("missing port in address"),
            rest if rest.starts_with(':') && !rest[1..].contains(':') => {
                let host = &inner[..end];
                if host.contains('[') || rest.contains('[') {
                    return Err("unexpected '[' in address");
                }
                if rest.contains(']') { Err("unexpected ']' in address") } else { Ok((host, port)) }
            }
            rest if rest.starts_with(':') => Err("too many colons in address"),
            _ => Err("missing port in address"),
        };
    }
    if host.contains(':') {
        return Err("too many colons in address");
    }
    if text.contains('[') {
        return Err("unexpected '[' in address");
    }
    if text.contains(']') {
        return Err("unexpected ']' in address");
    }
    Ok((host, port))
}

impl Value for HostPort {
    fn zero() -> Self {
        HostPort::default()
    }

    fn decode(&mut self, id: NodeId, d: &mut Decoder<'_>) -> Result<(), Problem> {
        from_text(self, id, d, |text| HostPort::parse(&text))
    }

    fn go_type() -> String {
        "string".into()
    }

    fn is_zero(&self) -> bool {
        self.is_empty()
    }

    fn print(&self) -> PrintedValue {
        PrintedValue::Text(self.to_string())
    }
}

/// A duration as Go's library writes it: `1m30s`. Numbers are nanoseconds where the field is one of go-yaml's own. A negative
/// duration counts as none, as it does where Go uses these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GoDuration(pub Duration);

impl Value for GoDuration {
    fn zero() -> Self {
        GoDuration::default()
    }

    fn decode(&mut self, id: NodeId, d: &mut Decoder<'_>) -> Result<(), Problem> {
        if let NodeKind::Scalar(scalar) = &d.node(id).kind {
            match d.resolve(scalar)? {
                Resolved::Int(nanos) if i64::try_from(nanos).is_ok() => {
                    self.0 = not_negative(i64::try_from(nanos).unwrap_or(0));
                    return Ok(());
                }
                Resolved::Float(nanos) if nanos.abs() <= i64::MAX as f64 => {
                    self.0 = not_negative(nanos as i64);
                    return Ok(());
                }
                Resolved::Str => {
                    if let Some(duration) = parse_go_duration(&scalar.value) {
                        self.0 = duration;
                        return Ok(());
                    }
                }
                _ => {}
            }
        }
        d.wrong_type(id, "time.Duration")
    }

    fn go_type() -> String {
        "time.Duration".into()
    }

    fn is_zero(&self) -> bool {
        self.0.is_zero()
    }

    fn print(&self) -> PrintedValue {
        PrintedValue::Text(duration::format(i64::try_from(self.0.as_nanos()).unwrap_or(i64::MAX)))
    }
}

/// The same for a field with its own type: always a text, refused with the error of Go's library.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TextDuration(pub Duration);

impl Value for TextDuration {
    fn zero() -> Self {
        TextDuration::default()
    }

    fn decode(&mut self, id: NodeId, d: &mut Decoder<'_>) -> Result<(), Problem> {
        from_text(self, id, d, |text| {
            let parsed = ferula_go::duration::parse(&text).map_err(|error| error.to_string());
            parsed.map(|nanos| TextDuration(Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))))
        })
    }

    fn go_type() -> String {
        "config.duration".into()
    }

    fn is_zero(&self) -> bool {
        self.0.is_zero()
    }

    fn print(&self) -> PrintedValue {
        GoDuration(self.0).print()
    }
}

/// Go's `time.ParseDuration`.
fn parse_go_duration(text: &str) -> Option<Duration> {
    duration::parse(text).ok().map(not_negative)
}

fn not_negative(nanos: i64) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

/// Any YAML value, for parts that are passed on unchanged.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum AnyValue {
    #[default]
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    List(Vec<AnyValue>),
    Map(BTreeMap<String, AnyValue>),
}

impl AnyValue {
    /// Reads YAML of any shape as Alertmanager does, with the booleans of YAML 1.1; `None` where it is not YAML.
    pub fn parse(text: &str) -> Option<Self> {
        let Some(tree) = Tree::parse(text.as_bytes()).ok()? else { return Some(AnyValue::Null) };
        let mut value = AnyValue::Null;
        Decoder::new(&tree, Dialect::V2).run(&mut value).ok()?;
        Some(value)
    }
}

impl Value for AnyValue {
    fn zero() -> Self {
        AnyValue::Null
    }

    fn decode(&mut self, id: NodeId, d: &mut Decoder<'_>) -> Result<(), Problem> {
        *self = match &d.node(id).kind {
            NodeKind::Scalar(scalar) => match d.resolve(scalar)? {
                Resolved::Null => AnyValue::Null,
                Resolved::Bool(value) => AnyValue::Bool(value),
                Resolved::Int(value) => AnyValue::Int(value),
                Resolved::Float(value) => AnyValue::Float(value),
                _ => {
                    let mut text = String::new();
                    text.decode(id, d)?;
                    AnyValue::Text(text)
                }
            },
            NodeKind::Sequence(items) => {
                let mut list = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    let mut value = AnyValue::Null;
                    d.step(Step::Index(index), |d| d.read(&mut value, *item))?;
                    list.push(value);
                }
                AnyValue::List(list)
            }
            NodeKind::Mapping(_) => {
                let mut map = BTreeMap::new();
                map.decode(id, d)?;
                AnyValue::Map(map)
            }
            NodeKind::Alias { .. } => unreachable!("aliases are followed before decoding"),
        };
        Ok(())
    }

    fn go_type() -> String {
        "interface {}".into()
    }

    fn is_zero(&self) -> bool {
        *self == AnyValue::Null
    }

    fn print(&self) -> PrintedValue {
        match self {
            AnyValue::Null => PrintedValue::Null,
            AnyValue::Bool(value) => value.print(),
            AnyValue::Int(value) => PrintedValue::Plain(value.to_string()),
            AnyValue::Float(value) => value.print(),
            AnyValue::Text(text) => text.print(),
            AnyValue::List(items) => {
                PrintedValue::List { items: items.iter().map(Value::print).collect(), flow: false }
            }
            AnyValue::Map(map) => map.print(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negative_durations_are_zero_and_words_of_other_languages_none() {
        for (text, nanos) in
            [("0", Some(0)), ("-1s", Some(0)), ("90m1s", Some(5_401_000_000_000)), ("15ns", Some(15))]
        {
            assert_eq!(parse_go_duration(text).map(|duration| duration.as_nanos()), nanos, "{text}");
        }
        for wrong in ["", "1", "1d", "m", "1x", "999999999h", "1m 2s"] {
            assert_eq!(parse_go_duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn addresses_of_mail_servers_are_split_as_in_go() {
        for (text, expected) in [
            ("", Ok("")),
            ("mail:25", Ok("mail:25")),
            (":25", Ok(":25")),
            ("[::1]:465", Ok("[::1]:465")),
            ("mail", Err("address mail: missing port in address")),
            ("mail:", Err(r#"address "mail:": port cannot be empty"#)),
            ("a:b:c", Err("address a:b:c: too many colons in address")),
            ("[::1:25", Err("address [::1:25: missing ']' in address")),
            ("[::1]25", Err("address [::1]25: missing port in address")),
            ("a]:25", Err("address a]:25: unexpected ']' in address")),
        ] {
            let found = HostPort::parse(text).map(|found| found.to_string());
            assert_eq!(found, expected.map(str::to_owned).map_err(str::to_owned), "{text}");
        }
    }

    #[test]
    fn a_path_gets_its_slash_before_the_query() {
        for (text, expected) in
            [("http://h", "http://h/"), ("http://h/a?b=/", "http://h/a/?b=/"), ("http://h/a/", "http://h/a/")]
        {
            let mut url = HttpUrl::known(text);
            url.end_path_with_slash();
            assert_eq!(url.as_str(), expected);
        }
    }
}
