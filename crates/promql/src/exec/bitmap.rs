//! Presence of samples, one bit per step, as slices of words.

/// Words that hold `bits` bits.
pub(crate) const fn words_for(bits: usize) -> usize {
    bits.div_ceil(64)
}

/// Whether the bit is set.
#[inline]
pub(crate) fn get(words: &[u64], bit: usize) -> bool {
    words[bit / 64] >> (bit % 64) & 1 != 0
}

/// Sets the bit.
#[inline]
pub(crate) fn set(words: &mut [u64], bit: usize) {
    words[bit / 64] |= 1 << (bit % 64);
}

/// Clears the bit.
#[inline]
pub(crate) fn clear(words: &mut [u64], bit: usize) {
    words[bit / 64] &= !(1 << (bit % 64));
}

/// Sets the first `bits` bits and clears the rest.
pub(crate) fn fill(words: &mut [u64], bits: usize) {
    for (index, word) in words.iter_mut().enumerate() {
        *word = match bits.saturating_sub(index * 64) {
            0 => 0,
            left if left >= 64 => u64::MAX,
            left => (1 << left) - 1,
        };
    }
}

/// How many bits are set.
pub(crate) fn count(words: &[u64]) -> usize {
    words.iter().map(|word| word.count_ones() as usize).sum()
}

/// Whether no bit is set.
pub(crate) fn is_empty(words: &[u64]) -> bool {
    words.iter().all(|&word| word == 0)
}

/// The lowest set bit.
pub(crate) fn first(words: &[u64]) -> Option<usize> {
    words
        .iter()
        .enumerate()
        .find(|(_, word)| **word != 0)
        .map(|(index, word)| index * 64 + word.trailing_zeros() as usize)
}

/// The highest set bit.
pub(crate) fn last(words: &[u64]) -> Option<usize> {
    words
        .iter()
        .enumerate()
        .rev()
        .find(|(_, word)| **word != 0)
        .map(|(index, word)| index * 64 + 63 - word.leading_zeros() as usize)
}

/// The lowest bit that is set in both.
pub(crate) fn first_common(a: &[u64], b: &[u64]) -> Option<usize> {
    a.iter()
        .zip(b)
        .enumerate()
        .find(|(_, (a, b))| *a & *b != 0)
        .map(|(index, (a, b))| index * 64 + (a & b).trailing_zeros() as usize)
}

/// Sets in `into` what is set in `from`.
pub(crate) fn union(into: &mut [u64], from: &[u64]) {
    for (into, from) in into.iter_mut().zip(from) {
        *into |= from;
    }
}

/// The set bits, rising.
pub(crate) fn ones(words: &[u64]) -> impl Iterator<Item = usize> + '_ {
    words.iter().enumerate().flat_map(|(index, &word)| SetBits(word).map(move |bit| index * 64 + bit))
}

/// Set bits of one word, rising.
struct SetBits(u64);

impl Iterator for SetBits {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let bit = self.0.trailing_zeros() as usize;
        self.0 &= self.0 - 1;
        Some(bit)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bitmaps_are_sets_of_numbers(bits in proptest::collection::btree_set(0usize..200, 0..40)) {
            let mut words = vec![0; words_for(200)];
            for &bit in &bits {
                set(&mut words, bit);
            }
            prop_assert_eq!(ones(&words).collect::<Vec<_>>(), bits.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(count(&words), bits.len());
            prop_assert_eq!(first(&words), bits.first().copied());
            prop_assert_eq!(last(&words), bits.last().copied());
            prop_assert_eq!(is_empty(&words), bits.is_empty());
            for &bit in &bits {
                prop_assert!(get(&words, bit));
                clear(&mut words, bit);
            }
            prop_assert!(is_empty(&words));
        }

        #[test]
        fn fill_sets_exactly_the_first_bits(bits in 0usize..300) {
            let mut words = vec![0; 5];
            fill(&mut words, bits);
            prop_assert_eq!(count(&words), bits);
            prop_assert_eq!(last(&words), bits.checked_sub(1));
        }
    }
}
