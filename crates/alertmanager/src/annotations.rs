//! The annotations of an alert, in one allocation: there are as many of them as alerts.

use std::fmt;
use std::sync::{Arc, LazyLock};

use ferula_go::protobuf::{Reader, push_varint};

/// Names and values in order of their names; values may be empty. Cloning copies a pointer.
#[derive(Clone, PartialEq, Eq)]
pub struct Annotations(
    /// Names and values in turn, each behind its length.
    Arc<[u8]>,
);

static NONE: LazyLock<Annotations> = LazyLock::new(|| Annotations(Arc::new([])));

impl Annotations {
    /// Annotations from pairs that are sorted by name.
    pub fn new<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut packed = Vec::new();
        for (name, value) in pairs {
            for text in [name.as_ref(), value.as_ref()] {
                push_varint(&mut packed, text.len() as u64);
                packed.extend_from_slice(text.as_bytes());
            }
        }
        match packed.as_slice() {
            [] => NONE.clone(),
            packed => Annotations(packed.into()),
        }
    }

    /// Whether these are the pairs.
    pub fn is_of<'p>(&self, pairs: impl IntoIterator<Item = (&'p str, &'p str)>) -> bool {
        let mut reader = Reader::new(&self.0);
        let mut is_next =
            |text: &str| reader.delimited().ok().flatten().is_some_and(|known| known == text.as_bytes());
        let are_equal = pairs.into_iter().all(|(name, value)| is_next(name) && is_next(value));
        are_equal && matches!(reader.delimited(), Ok(None))
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut reader = Reader::new(&self.0);
        let mut text =
            move || reader.delimited().ok().flatten().and_then(|bytes| std::str::from_utf8(bytes).ok());
        std::iter::from_fn(move || Some((text()?, text()?)))
    }
}

impl Default for Annotations {
    fn default() -> Self {
        NONE.clone()
    }
}

impl fmt::Debug for Annotations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_packed_is_there(pairs in proptest::collection::vec((".{0,3}", "(?s:.{0,200})"), 0..4)) {
            let annotations = Annotations::new(pairs.iter().map(|(name, value)| (name, value)));
            let read: Vec<(String, String)> =
                annotations.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            prop_assert_eq!(&read, &pairs);
            let borrowed = |pairs: &[(String, String)]| {
                annotations.is_of(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())))
            };
            prop_assert!(borrowed(&pairs));
            let mut other = pairs.clone();
            other.push(("more".to_owned(), String::new()));
            prop_assert!(!borrowed(&other));
            if !pairs.is_empty() {
                prop_assert!(!borrowed(&pairs[1..]));
                other.pop();
                other[0].1.push('x');
                prop_assert!(!borrowed(&other));
            }
        }
    }
}
