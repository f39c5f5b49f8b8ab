//! Identifies the same series in different sources by a keyed 128-bit hash of the labels, so that joining
//! sources neither builds nor compares label texts. The keys are random in every process, and a collision is
//! not expected within the life of the universe.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::{Arc, LazyLock};

use crate::block::Ulid;
use crate::sync::{Mutex, RwLock, rank};

static KEYS: LazyLock<[RandomState; 2]> = LazyLock::new(|| [RandomState::new(), RandomState::new()]);

/// The hash of a label set, given in the order of names.
pub fn identity<'a>(labels: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> u128 {
    let half = |keys: &RandomState| {
        let mut hasher = keys.build_hasher();
        labels.clone().for_each(|label| label.hash(&mut hasher));
        u128::from(hasher.finish())
    };
    half(&KEYS[0]) << 64 | half(&KEYS[1])
}

/// Maximum number of cached identities per block; 32 bytes each.
const KEPT_MAX: usize = 1 << 18;

/// Cached identities of the series of one block.
#[derive(Debug, Default)]
pub struct Identities(RwLock<HashMap<u32, u128>, rank::Identities>);

impl Identities {
    /// The identity of a series, computed if it is not cached.
    pub fn get<E>(&self, number: u32, work_out: impl FnOnce() -> Result<u128, E>) -> Result<u128, E> {
        if let Some(known) = self.0.read().get(&number) {
            return Ok(*known);
        }
        let found = work_out()?;
        let mut kept = self.0.write();
        if kept.len() < KEPT_MAX {
            kept.insert(number, found);
        }
        Ok(found)
    }
}

/// Identities by block.
#[derive(Debug, Default)]
pub struct IdentityCache(Mutex<HashMap<Ulid, Arc<Identities>>, rank::IdentityCache>);

impl IdentityCache {
    /// Those of a block.
    pub fn of(&self, block: Ulid) -> Arc<Identities> {
        self.0.lock().entry(block).or_default().clone()
    }

    /// Drops those of all other blocks.
    pub fn retain(&self, blocks: &BTreeSet<Ulid>) {
        self.0.lock().retain(|ulid, _| blocks.contains(ulid));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_labels_have_one_identity_and_others_another() {
        let of = |labels: &[(&str, &str)]| identity(labels.iter().copied());
        assert_eq!(of(&[("a", "b"), ("c", "d")]), of(&[("a", "b"), ("c", "d")]));
        let others = [
            of(&[("a", "bc")]),
            of(&[("ab", "c")]),
            of(&[("a", "b"), ("c", "")]),
            of(&[("a", "b")]),
            of(&[]),
        ];
        assert_eq!(others.iter().collect::<BTreeSet<_>>().len(), others.len());
    }

    #[test]
    fn an_identity_is_computed_once() {
        let identities = Identities::default();
        assert_eq!(identities.get(7, || Ok::<_, ()>(1)), Ok(1));
        assert_eq!(identities.get(7, || Err(())), Ok(1));
        assert_eq!(identities.get(8, || Err(())), Err(()));
    }
}
