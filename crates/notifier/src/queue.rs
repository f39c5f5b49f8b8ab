//! Alerts waiting for one Alertmanager.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use ferula_go::sync::MutexExt;
use ferula_model::{Alert, LabelSet};
use std::collections::HashMap;

/// A bounded queue. When it is full, the oldest alerts are dropped because newer ones carry more information.
///
/// A newer alert with the same labels and state replaces the waiting one, so an outage does not fill the queue with
/// repetitions and no outdated alert is sent. Firing and resolved are both kept, in order.
pub(crate) struct Queue {
    capacity: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Numbered consecutively, starting at `first`.
    alerts: VecDeque<Arc<Alert>>,
    first: u64,
    /// The newest waiting alert with these labels.
    newest: HashMap<LabelSet, u64>,
}

impl Queue {
    pub fn new(capacity: usize) -> Self {
        Queue { capacity, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.locked()
    }

    pub fn len(&self) -> usize {
        self.state().alerts.len()
    }

    /// Adds alerts; returns how many were dropped to make room.
    pub fn add(&self, alerts: &[Arc<Alert>]) -> usize {
        let mut state = self.state();
        for alert in alerts {
            state.add(alert.clone());
        }
        state.shrink(self.capacity)
    }

    /// Takes up to `most` alerts from the front.
    pub fn take(&self, most: usize) -> Vec<Arc<Alert>> {
        let mut state = self.state();
        let count = most.min(state.alerts.len());
        (0..count).filter_map(|_| state.pop()).collect()
    }

    /// Puts a batch back at the front, except alerts that a newer one has replaced. Returns how many were dropped
    /// because the queue is full.
    pub fn put_back(&self, batch: Vec<Arc<Alert>>) -> usize {
        let mut state = self.state();
        for alert in batch.into_iter().rev() {
            let newer = state.newest.get(&alert.labels).copied();
            let superseded = newer.is_some_and(|number| state.at(number).resolved == alert.resolved);
            if superseded {
                continue;
            }
            // Numbers may fall below their starting point: they wrap, and only differences count.
            state.first = state.first.wrapping_sub(1);
            let first = state.first;
            state.newest.entry(alert.labels.clone()).or_insert(first);
            state.alerts.push_front(alert);
        }
        state.shrink(self.capacity)
    }
}

impl State {
    fn at(&self, number: u64) -> &Alert {
        let index =
            usize::try_from(number.wrapping_sub(self.first)).expect("numbers of waiting alerts are close");
        &self.alerts[index]
    }

    fn add(&mut self, alert: Arc<Alert>) {
        if let Some(number) = self.newest.get(&alert.labels).copied()
            && self.at(number).resolved == alert.resolved
        {
            let index = usize::try_from(number.wrapping_sub(self.first)).expect("numbers are close");
            self.alerts[index] = alert;
            return;
        }
        let number = self.first.wrapping_add(self.alerts.len() as u64);
        self.newest.insert(alert.labels.clone(), number);
        self.alerts.push_back(alert);
    }

    fn pop(&mut self) -> Option<Arc<Alert>> {
        let alert = self.alerts.pop_front()?;
        if self.newest.get(&alert.labels) == Some(&self.first) {
            self.newest.remove(&alert.labels);
        }
        self.first = self.first.wrapping_add(1);
        Some(alert)
    }

    fn shrink(&mut self, capacity: usize) -> usize {
        let excess = self.alerts.len().saturating_sub(capacity);
        for _ in 0..excess {
            self.pop();
        }
        excess
    }
}

#[cfg(test)]
mod tests {
    use ferula_model::UnixNanos;

    use super::*;

    /// `a` is firing, `A` is resolved; the number is the time.
    fn alerts(texts: &[&str]) -> Vec<Arc<Alert>> {
        let alert = |text: &&str| {
            let (name, moment) = text.split_at(1);
            Arc::new(Alert {
                labels: LabelSet::from_pairs([("alertname", name.to_lowercase())]),
                annotations: Arc::new([]),
                starts_at: None,
                ends_at: moment.parse().ok().map(UnixNanos),
                resolved: name != name.to_lowercase(),
                generator_url: "".into(),
            })
        };
        texts.iter().map(alert).collect()
    }

    fn shown(alerts: &[Arc<Alert>]) -> Vec<String> {
        let show = |alert: &Arc<Alert>| {
            let name = alert.labels.value("alertname");
            let name = if alert.resolved { name.to_uppercase() } else { name.to_owned() };
            format!("{name}{}", alert.ends_at.map_or(0, |at| at.0))
        };
        alerts.iter().map(show).collect()
    }

    #[test]
    fn the_oldest_are_dropped_and_newer_alerts_replace_older_ones() {
        let queue = Queue::new(3);
        assert_eq!(queue.add(&alerts(&["a1", "b1", "a2", "A3", "a4"])), 1);
        assert_eq!(shown(&queue.take(9)), ["b1", "A3", "a4"]);
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn a_batch_returns_to_the_front_without_outdated_alerts() {
        let queue = Queue::new(4);
        queue.add(&alerts(&["a1", "b1", "c1"]));
        let batch = queue.take(2);
        queue.add(&alerts(&["a2", "B2"]));
        assert_eq!(queue.put_back(batch), 0);
        assert_eq!(shown(&queue.take(2)), ["b1", "c1"]);
        queue.add(&alerts(&["b3", "d1", "e1"]));
        assert_eq!(queue.put_back(alerts(&["f1"])), 1, "the returned alert is the oldest");
        assert_eq!(shown(&queue.take(9)), ["B2", "b3", "d1", "e1"]);
    }
}
