//! Keys of series of a protobuf page: bytes that are equal for the same series, and from which its labels can be read.
//!
//! ```text
//! part (1) │ bits of the bound or quantile (8) │ length of the name (4) │ name of the family │ label fields, as sent
//! ```
//! The first byte is none that the key of a text page can begin with. The same labels in another order make another key
//! of the same series, as another spelling does in text.

use ferula_go::protobuf::{ProtobufError, Reader};
use ferula_model::labels::{BUCKET_LABEL, METRIC_NAME};

use super::fields::each_field;
use crate::labels::{KeyError, LabelScratch, QUANTILE_LABEL};
use crate::number::openmetrics_float;

/// Which series of a metric it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum SeriesPart {
    /// The only one.
    Whole,
    Count,
    Sum,
    /// With its upper bound.
    Bucket(f64),
    Quantile(f64),
    /// A native histogram.
    Histogram,
}

const WHOLE: u8 = 1;
const COUNT: u8 = 2;
const SUM: u8 = 3;
const BUCKET: u8 = 4;
const QUANTILE: u8 = 5;
const HISTOGRAM: u8 = 6;

const NUMBER_AT: usize = 1;
const LENGTH_AT: usize = 9;
const NAME_AT: usize = 13;

/// Puts keys together, one after the other.
#[derive(Clone, Debug, Default)]
pub(super) struct KeyBuffer {
    bytes: Vec<u8>,
    labels_at: usize,
    /// Bytes of all keys that were handed out.
    handed_out: u64,
}

impl KeyBuffer {
    /// Keys of this family come next.
    pub(super) fn begin(&mut self, family: &[u8]) {
        self.bytes.clear();
        self.bytes.resize(NAME_AT, 0);
        // No page of a scrape has 4 GiB.
        let length = u32::try_from(family.len()).unwrap_or(u32::MAX);
        self.bytes[LENGTH_AT..NAME_AT].copy_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(family);
        self.labels_at = self.bytes.len();
    }

    /// Keys of another metric come next.
    pub(super) fn clear_labels(&mut self) {
        self.bytes.truncate(self.labels_at);
    }

    /// Label fields of the metric, as they were sent.
    pub(super) fn push_labels(&mut self, fields: &[u8]) {
        self.bytes.extend_from_slice(fields);
    }

    /// Bytes of all keys so far.
    pub(super) fn handed_out(&self) -> u64 {
        self.handed_out
    }

    /// The key of a series of the metric.
    pub(super) fn of(&mut self, part: SeriesPart) -> &[u8] {
        let (tag, number) = match part {
            SeriesPart::Whole => (WHOLE, 0.0),
            SeriesPart::Count => (COUNT, 0.0),
            SeriesPart::Sum => (SUM, 0.0),
            SeriesPart::Bucket(bound) => (BUCKET, bound),
            SeriesPart::Quantile(quantile) => (QUANTILE, quantile),
            SeriesPart::Histogram => (HISTOGRAM, 0.0),
        };
        self.handed_out = self.handed_out.saturating_add(self.bytes.len() as u64);
        self.bytes[0] = tag;
        self.bytes[NUMBER_AT..LENGTH_AT].copy_from_slice(&number.to_bits().to_le_bytes());
        &self.bytes
    }
}

/// Whether a key is one of a protobuf page.
pub(crate) fn is_key(key: &[u8]) -> bool {
    matches!(key.first(), Some(WHOLE..=HISTOGRAM))
}

/// Decodes a key; what is wrong with its labels comes out here.
pub(crate) fn decode(key: &[u8], out: &mut LabelScratch) -> Result<(), KeyError> {
    let (head, rest) = key.split_at_checked(NAME_AT).ok_or(KeyError::NotAKey)?;
    let number = |at: usize, length: usize| {
        let mut bytes = [0; 8];
        bytes[..length].copy_from_slice(&head[at..at + length]);
        u64::from_le_bytes(bytes)
    };
    let (bound, length) = (f64::from_bits(number(NUMBER_AT, 8)), number(LENGTH_AT, 4) as usize);
    let (name, labels) = rest.split_at_checked(length).ok_or(KeyError::NotAKey)?;
    let name = std::str::from_utf8(name).map_err(|_| KeyError::NotAKey)?;
    let (suffix, extra) = match head[0] {
        WHOLE | HISTOGRAM => ("", None),
        COUNT => ("_count", None),
        SUM => ("_sum", None),
        BUCKET => ("_bucket", Some(BUCKET_LABEL)),
        QUANTILE => ("", Some(QUANTILE_LABEL)),
        _ => return Err(KeyError::NotAKey),
    };
    out.push_joined(METRIC_NAME, name, suffix);
    push_labels(labels, out)?;
    if let Some(extra) = extra {
        out.push(extra, &openmetrics_float(bound));
    }
    Ok(())
}

fn push_labels(fields: &[u8], out: &mut LabelScratch) -> Result<(), KeyError> {
    let mut reader = Reader::new(fields);
    while let Some((_, value)) = reader.field()? {
        let (name, value) = read_label(value.bytes("Label")?)?;
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let name = match name.map(std::str::from_utf8) {
            Some(Ok(name)) if !name.is_empty() => name,
            // One that is left out is judged with the label set.
            None => "",
            Some(_) => return Err(KeyError::LabelName(text(name.unwrap_or_default()))),
        };
        out.push(name, std::str::from_utf8(value).map_err(|_| KeyError::LabelValue(text(value)))?);
    }
    Ok(())
}

/// Name and value of a `LabelPair`; empty where they are left out.
pub(super) fn read_label(message: &[u8]) -> Result<(Option<&[u8]>, &[u8]), ProtobufError> {
    let (mut name, mut text) = (None, &[][..]);
    each_field(message, |number, value| {
        match number {
            1 => name = Some(value.bytes("Name")?),
            2 => text = value.bytes("Value")?,
            _ => {}
        }
        Ok::<_, ProtobufError>(())
    })?;
    Ok((name, text))
}

/// Decodes the labels of an exemplar message.
pub(crate) fn decode_exemplar(message: &[u8], out: &mut LabelScratch) -> Result<(), KeyError> {
    let mut reader = Reader::new(message);
    while let Some((number, value)) = reader.field()? {
        if number == 1 {
            let (name, value) = read_label(value.bytes("Label")?)?;
            let text = |bytes| std::str::from_utf8(bytes).map_err(|_| KeyError::NotAKey);
            out.push(text(name.unwrap_or_default())?, text(value)?);
        }
    }
    Ok(())
}
