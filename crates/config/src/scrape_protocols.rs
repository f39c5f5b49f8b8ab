//! The exposition formats that a job asks its targets for, in order of preference.

use crate::error::Problem;
use crate::yaml::decode::{Decoder, Value};
use crate::yaml::emit::PrintedValue;
use crate::yaml::tree::{NodeId, NodeKind};

/// The name of an exposition format. Names are checked with the job, not when they are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScrapeProtocol(String);

const PROTOCOLS: [&str; 5] = [
    "OpenMetricsText0.0.1",
    "OpenMetricsText1.0.0",
    "PrometheusProto",
    "PrometheusText0.0.4",
    "PrometheusText1.0.0",
];

/// The formats that are requested by default, in order of preference. Native histograms need protobuf before them.
const DEFAULT_PROTOCOLS: [&str; 4] =
    ["OpenMetricsText1.0.0", "OpenMetricsText0.0.1", "PrometheusText1.0.0", "PrometheusText0.0.4"];

impl ScrapeProtocol {
    /// The name as written, such as `PrometheusText0.0.4`; "" where none was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn check(&self) -> Result<(), UnknownProtocol> {
        if PROTOCOLS.contains(&self.0.as_str()) {
            return Ok(());
        }
        Err(UnknownProtocol(self.0.clone()))
    }

    pub(crate) fn defaults(native_histograms: bool) -> ScrapeProtocols {
        let proto = native_histograms.then_some("PrometheusProto");
        let names = proto.into_iter().chain(DEFAULT_PROTOCOLS);
        ScrapeProtocols(Some(names.map(|name| ScrapeProtocol(name.to_owned())).collect()))
    }
}

impl Value for ScrapeProtocol {
    fn zero() -> Self {
        ScrapeProtocol::default()
    }

    fn decode(&mut self, id: NodeId, d: &mut Decoder<'_>) -> Result<(), Problem> {
        if !matches!(d.node(id).kind, NodeKind::Scalar(_)) {
            return d.wrong_type(id, &Self::go_type());
        }
        let before = d.errors();
        let mut text = String::new();
        text.decode(id, d)?;
        if d.errors() == before {
            self.0 = text;
        }
        Ok(())
    }

    fn go_type() -> String {
        "config.ScrapeProtocol".into()
    }

    fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    fn print(&self) -> PrintedValue {
        PrintedValue::Text(self.0.clone())
    }
}

/// Formats in the order in which they are wanted. An empty list is not the same as none: it is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScrapeProtocols(Option<Vec<ScrapeProtocol>>);

impl std::ops::Deref for ScrapeProtocols {
    type Target = [ScrapeProtocol];

    fn deref(&self) -> &[ScrapeProtocol] {
        self.0.as_deref().unwrap_or_default()
    }
}

impl ScrapeProtocols {
    pub(crate) fn is_given(&self) -> bool {
        self.0.is_some()
    }

    /// Refuses an empty list, and unknown and repeated protocols.
    pub(crate) fn check(&self) -> Result<(), ProtocolsError> {
        if self.is_empty() {
            return Err(ProtocolsError::Empty);
        }
        for (index, protocol) in self.iter().enumerate() {
            if self[..index].iter().any(|earlier| earlier.0.eq_ignore_ascii_case(&protocol.0)) {
                let all: Vec<&str> = self.iter().map(ScrapeProtocol::as_str).collect();
                return Err(ProtocolsError::Duplicate(all.join(" ")));
            }
            protocol.check()?;
        }
        Ok(())
    }
}

/// Why a list of scrape protocols is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProtocolsError {
    #[error("scrape_protocols cannot be empty")]
    Empty,
    #[error("duplicated protocol in scrape_protocols, got [{0}]")]
    Duplicate(String),
    #[error("scrape_protocols: {0}")]
    Unknown(#[from] UnknownProtocol),
}

/// A name of no format.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown scrape protocol {0}, supported: [{list}]", list = PROTOCOLS.join(" "))]
pub(crate) struct UnknownProtocol(String);

impl Value for ScrapeProtocols {
    fn zero() -> Self {
        ScrapeProtocols::default()
    }

    fn decode(&mut self, id: NodeId, d: &mut Decoder<'_>) -> Result<(), Problem> {
        self.0.decode(id, d)
    }

    fn go_type() -> String {
        Vec::<ScrapeProtocol>::go_type()
    }

    fn is_zero(&self) -> bool {
        self.is_empty()
    }

    fn print(&self) -> PrintedValue {
        self.0.print()
    }
}
