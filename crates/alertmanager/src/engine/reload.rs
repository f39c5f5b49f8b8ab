//! Replaces the configuration without losing what is in progress.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ferula_model::UnixNanos;

use super::state::{Engine, Group, Setup, Timer};
use crate::inhibit::Inhibitor;
use crate::stored_alert::StoredAlert;
use crate::time::Time;

impl Engine {
    /// Distributes all alerts to the groups of a new configuration. A group that exists in both keeps its
    /// timer, its attempts and its muting. Attempts of removed groups are completed.
    pub fn reload(&mut self, setup: Setup, now: UnixNanos) {
        self.setup = setup;
        self.inhibitor = Inhibitor::new(&self.setup.config.inhibit_rules);
        self.prepare_routes();
        let time = Time::from_unix_nanos(now.0);
        let old = std::mem::take(&mut self.groups);
        self.group_ids.clear();
        self.timers.retain(|(_, timer)| matches!(timer, Timer::Attempt(_)));
        let mut alerts: Vec<(u64, Arc<StoredAlert>, bool)> = self
            .alerts
            .all()
            .map(|(fingerprint, entry)| (fingerprint, entry.alert.clone(), entry.is_in_any()))
            .collect();
        alerts.sort_unstable_by_key(|(fingerprint, ..)| *fingerprint);
        for (fingerprint, alert, is_in_group) in alerts {
            // The end of other resolved ones was notified.
            let stays = is_in_group || !alert.is_resolved_at(time);
            let is_source = stays && self.inhibitor.update(&alert);
            let groups = if stays { self.groups_of(&alert, now) } else { Vec::new() };
            for id in &groups {
                if let Some(group) = self.groups.get_mut(id) {
                    group.members.add(fingerprint);
                }
            }
            if let Some(entry) = self.alerts.get_mut(fingerprint) {
                entry.set_groups(&groups);
                entry.is_source = is_source;
            }
        }
        self.keep_state_of(old, now);
    }

    fn keep_state_of(&mut self, old: BTreeMap<u64, Group>, now: UnixNanos) {
        let mut renamed = HashMap::new();
        for group in old.into_values() {
            let Some(id) = self.group_ids.get(&(group.route.id.clone(), group.labels.clone())).copied()
            else {
                continue;
            };
            renamed.insert(group.id, id);
            let Some(new) = self.groups.get_mut(&id) else { continue };
            self.timers.remove(&(new.next_flush, Timer::Flush(id)));
            // A shorter interval takes effect now.
            let latest = now.plus(new.route.group_interval.max(new.route.group_wait));
            new.next_flush = group.next_flush.min(latest);
            new.flush = group.flush;
            new.missed_tick = group.missed_tick;
            new.muted_by = group.muted_by;
            self.timers.insert((new.next_flush, Timer::Flush(id)));
        }
        for delivery in self.deliveries.values_mut() {
            // 0 is never the id of a group.
            delivery.group = renamed.get(&delivery.group).copied().unwrap_or(0);
        }
    }
}
