//! Instruments with one name and different label values.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

use ferula_go::sync::RwLockExt;
use ferula_model::{LabelSet, Metric, MetricType, MetricValue};

/// Something that counts or measures and can be read at any time. Clones are handles to the same instrument.
pub trait Instrument: Clone + Send + Sync + 'static {
    /// The type shown on the page.
    const KIND: MetricType;

    /// The current value.
    fn read(&self) -> MetricValue;
}

/// Instruments with one name. A member appears when it is first used. Hot paths should keep the member, not the family.
#[derive(Clone)]
pub struct Family<M>(Arc<Core<M>>);

struct Core<M> {
    label_names: Vec<String>,
    make: Box<dyn Fn() -> M + Send + Sync>,
    /// Keyed by the label values, in the order of `label_names`.
    members: RwLock<BTreeMap<Vec<String>, M>>,
}

impl<M: Instrument> Family<M> {
    pub(crate) fn new(label_names: &[&str], make: impl Fn() -> M + Send + Sync + 'static) -> Self {
        Family(Arc::new(Core {
            label_names: label_names.iter().map(|name| (*name).to_owned()).collect(),
            make: Box::new(make),
            members: RwLock::default(),
        }))
    }

    pub(crate) fn label_names(&self) -> &[String] {
        &self.0.label_names
    }

    /// The member with these label values; created if there is none.
    ///
    /// # Panics
    /// If the number of values differs from the number of labels.
    pub fn with(&self, values: &[&str]) -> M {
        assert_eq!(values.len(), self.0.label_names.len(), "one value for each of {:?}", self.0.label_names);
        let key: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
        if let Some(member) = self.0.members.read_locked().get(&key) {
            return member.clone();
        }
        let mut members = self.0.members.write_locked();
        members.entry(key).or_insert_with(|| (self.0.make)()).clone()
    }

    /// Removes the member with these label values. Handles to it stay usable but are no longer read.
    pub fn remove(&self, values: &[&str]) {
        let key: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
        self.0.members.write_locked().remove(&key);
    }

    /// Removes all members.
    pub fn clear(&self) {
        self.0.members.write_locked().clear();
    }

    pub(crate) fn read(&self) -> Vec<Metric> {
        let members = self.0.members.read_locked();
        members
            .iter()
            .map(|(values, member)| Metric {
                labels: LabelSet::from_pairs(self.0.label_names.iter().zip(values)),
                value: member.read(),
                timestamp: None,
            })
            .collect()
    }
}
