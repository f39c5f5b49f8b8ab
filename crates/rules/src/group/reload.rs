//! What a group takes over from its predecessor at a reload, and which series it leaves to be ended.

use super::Group;
use crate::rule::Rule;

impl Group {
    /// Whether the other group has the same rules, so that this one can be kept in its place.
    pub(crate) fn equals(&self, other: &Group) -> bool {
        (&self.name, &self.file, self.interval, self.limit, self.query_offset)
            == (&other.name, &other.file, other.interval, other.limit, other.query_offset)
            && self.rules.len() == other.rules.len()
            && self.rules.iter().zip(&other.rules).all(|(a, b)| a.equals(b))
    }

    /// Takes over the state of the group that had this name before a reload. Rules are matched by name and
    /// labels; among identical ones, the first takes over from the first. Returns the old rules without a
    /// successor.
    pub(crate) fn take_state(&self, from: &Group) -> Vec<usize> {
        let mut old_state = from.state();
        let mut state = self.state();
        state.evaluation_time = old_state.evaluation_time;
        state.last_evaluation = old_state.last_evaluation;
        state.stale = std::mem::take(&mut old_state.stale);
        let mut left: Vec<usize> = (0..from.rules.len()).collect();
        for rule in &self.rules {
            let successor = |old: &usize| rule.is_successor_of(&from.rules[*old]);
            // Among several matches, prefer the one with the same expression.
            let same = |old: &usize| successor(old) && rule.query == from.rules[*old].query;
            let at = left.iter().position(same).or_else(|| left.iter().position(successor));
            let Some(at) = at else { continue };
            let old = &from.rules[left.remove(at)];
            *rule.written() = std::mem::take(&mut *old.written());
            match &rule.alerting {
                None => *rule.recorded() = std::mem::take(&mut *old.recorded()),
                // A recording rule has become an alerting rule.
                Some(_) => rule.written().extend(old.recorded().take_stored()),
            }
            if let (Some(new), Some(old)) = (&rule.alerting, &old.alerting) {
                *new.active() = old.active().clone();
            }
        }
        for old in &left {
            state.stale.extend(from.rules[*old].take_written());
        }
        left
    }

    /// Whether one of our rules equals a rule of another group in name, labels and expression.
    pub(crate) fn has_same_rule(&self, other: &Group, index: usize) -> bool {
        let old = &other.rules[index];
        self.rules.iter().any(|rule| rule.is_successor_of(old) && rule.query == old.query)
    }

    /// Takes over the alerts of a rule of another group, if one of our rules is the same and has no alerts
    /// yet. Returns `false` otherwise. The other group ends the series of its own rule.
    pub(crate) fn adopt_alerts(&self, from: &Group, index: usize) -> bool {
        let old = &from.rules[index];
        let Some(old_alerting) = &old.alerting else { return false };
        let same = |rule: &&Rule| rule.is_successor_of(old) && rule.query == old.query;
        let heir = self.rules.iter().filter(same).filter_map(|rule| rule.alerting.as_ref());
        let Some(heir) = heir.into_iter().find(|alerting| alerting.active().is_empty()) else { return false };
        *heir.active() = old_alerting.active().clone();
        true
    }

    /// Marks all series that the group has written to be ended.
    pub(crate) fn abandon_series(&self) {
        let mut state = self.state();
        for rule in &self.rules {
            state.stale.extend(rule.take_written());
        }
    }
}
