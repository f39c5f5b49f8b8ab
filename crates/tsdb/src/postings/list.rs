//! The difference of two lists.

/// Removes from `list` the numbers that are in `gone`.
pub fn subtract(list: &mut Vec<u32>, gone: &[u32]) {
    if gone.is_empty() {
        return;
    }
    let mut gone = gone.iter().copied().peekable();
    list.retain(|number| {
        while gone.next_if(|other| other < number).is_some() {}
        gone.peek() != Some(number)
    });
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn equals_the_difference_of_sets(
            list in prop::collection::btree_set(0u32..100, 0..60),
            gone in prop::collection::btree_set(0u32..100, 0..60),
        ) {
            let expected: Vec<u32> = list.difference(&gone).copied().collect();
            let mut list: Vec<u32> = list.into_iter().collect();
            let gone: BTreeSet<u32> = gone;
            subtract(&mut list, &gone.into_iter().collect::<Vec<_>>());
            prop_assert_eq!(list, expected);
        }
    }
}
