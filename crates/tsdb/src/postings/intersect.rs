//! The intersection of two lists.

/// If one list is this many times longer than the other, it is searched instead of scanned.
const GALLOP_RATIO: usize = 16;

/// Numbers in both lists.
pub fn intersect(a: &[u32], b: &[u32]) -> Vec<u32> {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    let mut both = Vec::with_capacity(short.len());
    common(short, long, |number| {
        both.push(number);
        true
    });
    both
}

/// Whether a number is in both lists.
pub fn intersects(a: &[u32], b: &[u32]) -> bool {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    let mut found = false;
    common(short, long, |_| {
        found = true;
        false
    });
    found
}

/// Calls `visit` with the common numbers until it returns `false`.
fn common(short: &[u32], mut long: &[u32], mut visit: impl FnMut(u32) -> bool) {
    let gallop = long.len() / GALLOP_RATIO > short.len();
    for number in short {
        let at = if gallop {
            gallop_to(long, *number)
        } else {
            long.iter().position(|other| other >= number).unwrap_or(long.len())
        };
        long = &long[at..];
        match long.first() {
            None => return,
            Some(other) if other == number && !visit(*number) => return,
            Some(_) => {}
        }
    }
}

/// Position of the first number that is not less than `number`: doubles the step, then uses binary search.
fn gallop_to(list: &[u32], number: u32) -> usize {
    let mut step = 1;
    while step < list.len() && list[step] < number {
        step *= 2;
    }
    let from = step / 2;
    from + list[from..list.len().min(step + 1)].partition_point(|other| *other < number)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn list(max: u32, len: usize) -> impl Strategy<Value = Vec<u32>> {
        prop::collection::btree_set(0..max, 0..len).prop_map(|set| set.into_iter().collect())
    }

    proptest! {
        #[test]
        fn equals_the_intersection_of_sets(a in list(100, 60), b in prop_oneof![list(100, 60), list(4000, 2000)]) {
            let (set_a, set_b): (BTreeSet<_>, BTreeSet<_>) = (a.iter().collect(), b.iter().collect());
            let expected: Vec<u32> = set_a.intersection(&set_b).map(|n| **n).collect();
            prop_assert_eq!(intersects(&a, &b), !expected.is_empty());
            prop_assert_eq!(intersect(&b, &a), expected);
        }
    }
}
