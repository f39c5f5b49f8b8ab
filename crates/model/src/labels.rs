//! Label sets: sorted `name="value"` pairs, cheap to clone and compare.
//!
//! Always true: names are strictly ascending (bytewise), and no value is empty, because an empty value means
//! the same as a missing label everywhere in Prometheus.

use std::cell::Cell;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock};

use twox_hash::XxHash64;

/// The label that holds the metric name.
pub const METRIC_NAME: &str = "__name__";
/// The label of a classic histogram's bucket bound.
pub const BUCKET_LABEL: &str = "le";
/// The label of a series' type, with `type-and-unit-labels`.
pub const TYPE_LABEL: &str = "__type__";
/// The label of a series' unit, with `type-and-unit-labels`.
pub const UNIT_LABEL: &str = "__unit__";

/// A sorted, immutable set of labels. Cloning copies a pointer.
///
/// Ordered as Prometheus orders results: pair by pair, name before value, the shorter set first.
#[derive(Clone)]
pub struct LabelSet(Arc<Packed>);

/// Names and values in one string, in order name, value, name, value…
struct Packed {
    text: Box<str>,
    ends: Ends,
}

/// End of each piece in the text. Most sets are small and need no separate allocation.
#[derive(PartialEq, Eq, Hash)]
enum Ends {
    /// The number of entries in use; the rest are 0. Used whenever they fit, so that equal sets have equal
    /// representations.
    Few(u8, [u16; FEW]),
    Many(Box<[u32]>),
}

/// The pieces of ten labels.
const FEW: usize = 20;

impl Ends {
    fn new(ends: &[u32]) -> Self {
        let mut few = [0; FEW];
        let fits = ends.len() <= FEW && ends.last().is_none_or(|last| *last <= u32::from(u16::MAX));
        if !fits {
            return Ends::Many(ends.into());
        }
        for (to, from) in few.iter_mut().zip(ends) {
            *to = *from as u16;
        }
        Ends::Few(ends.len() as u8, few)
    }

    #[inline]
    fn len(&self) -> usize {
        match self {
            Ends::Few(len, _) => usize::from(*len),
            Ends::Many(ends) => ends.len(),
        }
    }

    #[inline]
    fn get(&self, index: usize) -> usize {
        match self {
            Ends::Few(_, ends) => usize::from(ends[index]),
            Ends::Many(ends) => ends[index] as usize,
        }
    }
}

/// A larger scratch string than this is not kept.
const SCRATCH_BYTES_MAX: usize = 16 * 1024;

thread_local! {
    /// Scratch space for [`LabelSet::from_sorted`]; empty while in use.
    static SCRATCH: Cell<(String, Vec<u32>)> = const { Cell::new((String::new(), Vec::new())) };
}

static EMPTY: LazyLock<LabelSet> =
    LazyLock::new(|| LabelSet(Arc::new(Packed { text: "".into(), ends: Ends::new(&[]) })));

impl LabelSet {
    /// The set without labels.
    pub fn empty() -> Self {
        EMPTY.clone()
    }

    /// Builds a set from pairs in any order. If a name is repeated, the last value is used; empty values are omitted.
    pub fn from_pairs<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut builder = LabelSetBuilder::new();
        for (name, value) in pairs {
            builder.set(name.as_ref(), value.as_ref());
        }
        builder.finish()
    }

    /// Builds a set from pairs whose names are strictly ascending and whose values are not empty.
    ///
    /// # Panics
    /// If all the text together exceeds 4 GiB.
    pub fn from_sorted<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        // Label sets are created by the hundred thousand, so the scratch space is reused.
        let (mut text, mut ends) = SCRATCH.take();
        text.clear();
        ends.clear();
        for (name, value) in pairs {
            text.push_str(name);
            ends.push(u32::try_from(text.len()).expect("label sets stay below 4 GiB"));
            text.push_str(value);
            ends.push(u32::try_from(text.len()).expect("label sets stay below 4 GiB"));
        }
        let set = match ends.as_slice() {
            [] => Self::empty(),
            ends => LabelSet(Arc::new(Packed { text: text.as_str().into(), ends: Ends::new(ends) })),
        };
        if text.capacity() <= SCRATCH_BYTES_MAX {
            SCRATCH.set((text, ends));
        }
        debug_assert!(set.iter().zip(set.iter().skip(1)).all(|(a, b)| a.0 < b.0), "names rise: {set}");
        set
    }

    /// How many labels there are.
    pub fn len(&self) -> usize {
        self.0.ends.len() / 2
    }

    /// Whether there is no label at all.
    pub fn is_empty(&self) -> bool {
        self.0.ends.len() == 0
    }

    fn piece(&self, index: usize) -> &str {
        let start = if index == 0 { 0 } else { self.0.ends.get(index - 1) };
        &self.0.text[start..self.0.ends.get(index)]
    }

    /// The pairs in order of their names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> + DoubleEndedIterator + Clone {
        (0..self.len()).map(|label| (self.piece(2 * label), self.piece(2 * label + 1)))
    }

    /// The value of `name`, if the set has it.
    pub fn get(&self, name: &str) -> Option<&str> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            match self.piece(2 * middle).cmp(name) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return Some(self.piece(2 * middle + 1)),
            }
        }
        None
    }

    /// The value of `name`, or "" if the set lacks it: the two mean the same.
    pub fn value(&self, name: &str) -> &str {
        self.get(name).unwrap_or("")
    }

    /// The metric name, or "".
    pub fn metric_name(&self) -> &str {
        self.value(METRIC_NAME)
    }

    /// A builder that starts from this set.
    pub fn to_builder(&self) -> LabelSetBuilder {
        LabelSetBuilder { pairs: self.iter().map(|(n, v)| (n.into(), v.into())).collect() }
    }

    /// The set without `name`.
    pub fn without(&self, name: &str) -> Self {
        if self.get(name).is_none() {
            return self.clone();
        }
        Self::from_sorted(self.iter().filter(|(n, _)| *n != name))
    }

    /// Keeps only the labels whose name satisfies `keep`.
    pub fn retain(&self, mut keep: impl FnMut(&str) -> bool) -> Self {
        Self::from_sorted(self.iter().filter(|(n, _)| keep(n)))
    }
}

impl Default for LabelSet {
    fn default() -> Self {
        Self::empty()
    }
}

impl PartialEq for LabelSet {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || (self.0.ends == other.0.ends && self.0.text == other.0.text)
    }
}

impl Eq for LabelSet {}

impl Hash for LabelSet {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.text.hash(state);
        self.0.ends.hash(state);
    }
}

impl PartialOrd for LabelSet {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for LabelSet {
    fn cmp(&self, other: &Self) -> Ordering {
        self.iter().cmp(other.iter())
    }
}

/// Prints `{a="1", b="2"}` with Go's `%q` quoting of values, the metric name as an ordinary label, as
/// Prometheus' `Labels.String`.
impl fmt::Display for LabelSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (index, (name, value)) in self.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            if is_legacy_label_name(name) {
                f.write_str(name)?;
            } else {
                f.write_str(&ferula_go::quote::go_quote(name))?;
            }
            write!(f, "={}", ferula_go::quote::go_quote(value))?;
        }
        f.write_str("}")
    }
}

impl fmt::Debug for LabelSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The hash that Prometheus calls `Labels.Hash`, of pairs sorted by name: XXH64 of names and values as its label sets have
/// them in memory, each behind its length. What is spread by it happens at the same moments in both programs.
pub fn prometheus_hash<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> u64 {
    let mut encoded = Vec::new();
    for text in pairs.into_iter().flat_map(|(name, value)| [name, value]) {
        // One byte, or 255 and three bytes.
        match u8::try_from(text.len()) {
            Ok(short) if short < u8::MAX => encoded.push(short),
            _ => {
                let bytes = (text.len() as u64).to_le_bytes();
                encoded.extend_from_slice(&[u8::MAX, bytes[0], bytes[1], bytes[2]]);
            }
        }
        encoded.extend_from_slice(text.as_bytes());
    }
    XxHash64::oneshot(0, &encoded)
}

/// Whether `name` matches `[a-zA-Z_][a-zA-Z0-9_]*`.
pub fn is_legacy_label_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .enumerate()
            .all(|(i, b)| b.is_ascii_alphabetic() || b == b'_' || (i > 0 && b.is_ascii_digit()))
}

/// Whether `name` matches `[a-zA-Z_:][a-zA-Z0-9_:]*`.
pub fn is_legacy_metric_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .enumerate()
            .all(|(i, b)| b.is_ascii_alphabetic() || b == b'_' || b == b':' || (i > 0 && b.is_ascii_digit()))
}

/// Which names of metrics and labels are valid (`metric_name_validation_scheme`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum NameScheme {
    /// Any non-empty text.
    #[default]
    Utf8,
    /// Letters, digits, `_`, and `:` in metric names; no leading digit.
    Legacy,
}

impl NameScheme {
    /// Whether `name` may be the name of a label.
    pub fn is_label_name(self, name: &str) -> bool {
        match self {
            NameScheme::Utf8 => !name.is_empty(),
            NameScheme::Legacy => is_legacy_label_name(name),
        }
    }

    /// Whether `name` may be the name of a metric.
    pub fn is_metric_name(self, name: &str) -> bool {
        match self {
            NameScheme::Utf8 => !name.is_empty(),
            NameScheme::Legacy => is_legacy_metric_name(name),
        }
    }
}

/// Collects labels in any order and builds a [`LabelSet`].
#[derive(Clone, Debug, Default)]
pub struct LabelSetBuilder {
    /// Sorted by name, values not empty.
    pairs: Vec<(Box<str>, Box<str>)>,
}

impl LabelSetBuilder {
    /// A builder without labels.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets `name` to `value`; an empty value removes the label.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        match self.pairs.binary_search_by(|(n, _)| (**n).cmp(name)) {
            Ok(at) if value.is_empty() => {
                self.pairs.remove(at);
            }
            Ok(at) => self.pairs[at].1 = value.into(),
            Err(_) if value.is_empty() => {}
            Err(at) => self.pairs.insert(at, (name.into(), value.into())),
        }
        self
    }

    /// Removes `name` if present.
    pub fn remove(&mut self, name: &str) -> &mut Self {
        self.set(name, "")
    }

    /// Keeps only the labels whose name satisfies `keep`.
    pub fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) -> &mut Self {
        self.pairs.retain(|(n, _)| keep(n));
        self
    }

    /// The value of `name`, or "" if it is not set.
    pub fn value(&self, name: &str) -> &str {
        self.pairs.binary_search_by(|(n, _)| (**n).cmp(name)).map_or("", |at| &self.pairs[at].1)
    }

    /// The pairs so far, in order of their names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(n, v)| (&**n, &**v))
    }

    /// The label set.
    pub fn finish(&self) -> LabelSet {
        LabelSet::from_sorted(self.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_hashed_as_prometheus_keeps_them() {
        // Real hashes are in the test of the scraper's targets. XXH64 of nothing is in its specification.
        assert_eq!(prometheus_hash([]), 0xef46_db37_51d8_e999);
        for (length, encoded) in [(254, &[254][..]), (255, &[255, 255, 0, 0]), (300, &[255, 44, 1, 0])] {
            let value = "x".repeat(length);
            let bytes = [&[1, b'a'], encoded, value.as_bytes()].concat();
            assert_eq!(prometheus_hash([("a", value.as_str())]), XxHash64::oneshot(0, &bytes), "{length}");
        }
    }

    #[test]
    fn pairs_come_back_sorted_and_empty_values_are_absent() {
        let set = LabelSet::from_pairs([("job", "api"), ("__name__", "up"), ("gone", "")]);
        assert_eq!(set.iter().collect::<Vec<_>>(), [("__name__", "up"), ("job", "api")]);
        assert_eq!(set.get("gone"), None);
        assert_eq!(set.value("gone"), "");
        assert_eq!(set.to_string(), r#"{__name__="up", job="api"}"#);
        assert_eq!(set.without("job"), LabelSet::from_pairs([("__name__", "up")]));
    }

    #[test]
    fn the_order_is_total_and_agrees_with_equality() {
        let mut sets = Vec::new();
        for names in [["a", "b"], ["a", "ab"], ["\u{e9}", "z"]] {
            for one in ["", "1", "10", "\u{7f}", "\u{80}"] {
                for other in ["", "1", "\0"] {
                    sets.push(LabelSet::from_pairs([(names[0], one), (names[1], other)]));
                }
            }
        }
        ferula_testkit::assert_total_order(&sets, LabelSet::cmp);
        for a in &sets {
            assert!(sets.iter().all(|b| (a == b) == a.cmp(b).is_eq()), "{a}");
        }
    }

    #[test]
    fn order_is_pair_by_pair_and_the_shorter_set_comes_first() {
        let a = LabelSet::from_pairs([("a", "1")]);
        let ab = LabelSet::from_pairs([("a", "1"), ("b", "0")]);
        let b = LabelSet::from_pairs([("b", "0")]);
        assert!(LabelSet::empty() < a && a < ab && ab < b);
    }

    #[test]
    fn pieces_that_share_a_text_are_not_confused() {
        // "ab"="c" and "a"="bc" have the same concatenation.
        assert_ne!(LabelSet::from_pairs([("ab", "c")]), LabelSet::from_pairs([("a", "bc")]));
    }

    #[test]
    fn large_sets_behave_like_small_ones() {
        let long = "x".repeat(40_000);
        for count in [9, 10, 11, 200] {
            let pairs: Vec<(String, String)> =
                (0..count).map(|label| (format!("name_{label:03}"), label.to_string())).collect();
            let set = LabelSet::from_pairs(pairs.clone());
            assert_eq!(set.len(), count);
            assert!(set.iter().eq(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))));
            assert_eq!(set.get("name_005"), Some("5"));
            assert_eq!(set, set.to_builder().finish());
        }
        let long = LabelSet::from_pairs([("a", long.as_str()), ("b", &long), ("c", "1")]);
        assert_eq!((long.value("b").len(), long.value("c")), (40_000, "1"));
        assert_eq!(long.without("b").without("a"), LabelSet::from_pairs([("c", "1")]));
    }
}
