//! How much of an error budget a past period spent, and when.

/// The measurements of one step of the period. If the indicator is only a ratio, `total` is 1 and all steps
/// weigh the same.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// The end of the step.
    pub at_millis: i64,
    /// Bad events per second.
    pub errors: f64,
    /// All events per second.
    pub total: f64,
}

/// A run of steps each of which burned the budget faster than it can sustain.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Episode {
    pub from_millis: i64,
    pub to_millis: i64,
    /// The fraction of the whole period's budget that it spent; above 1 if it exceeded the budget on its own.
    pub spent: f64,
    /// Bad events per event during the episode.
    pub error_ratio: f64,
}

/// The figures of a period.
#[derive(Debug, Clone, PartialEq)]
pub struct Budget {
    /// Bad events per event.
    pub error_ratio: f64,
    /// The remaining fraction: 1 if untouched, negative if overspent.
    pub left: f64,
    /// The fraction of the period with measurements, 0 to 1.
    pub covered: f64,
    /// Worst first.
    pub episodes: Vec<Episode>,
}

impl Budget {
    /// Adds up the steps of a period, given in time order; `None` if there were no events.
    ///
    /// Steps without events, or with a non-finite number, count as not measured.
    pub fn of(steps: &[Step], step_millis: i64, period_millis: i64, budget_ratio: f64) -> Option<Self> {
        let measured: Vec<Step> = steps
            .iter()
            .copied()
            .filter(|step| step.total > 0.0 && step.total.is_finite() && step.errors.is_finite())
            .collect();
        let total: f64 = measured.iter().map(|step| step.total).sum();
        if total <= 0.0 {
            return None;
        }
        let errors: f64 = measured.iter().map(|step| step.errors).sum();
        let spent_by = |errors: f64| if errors == 0.0 { 0.0 } else { errors / total / budget_ratio };
        let mut episodes: Vec<Episode> = Vec::new();
        let (mut episode_errors, mut episode_total) = (0.0, 0.0);
        for step in &measured {
            if step.errors / step.total <= budget_ratio {
                continue;
            }
            let begins = step.at_millis - step_millis;
            if episodes.last().is_none_or(|last| last.to_millis != begins) {
                (episode_errors, episode_total) = (0.0, 0.0);
                episodes.push(Episode {
                    from_millis: begins,
                    to_millis: begins,
                    spent: 0.0,
                    error_ratio: 0.0,
                });
            }
            episode_errors += step.errors;
            episode_total += step.total;
            if let Some(episode) = episodes.last_mut() {
                episode.to_millis = step.at_millis;
                episode.spent = spent_by(episode_errors);
                episode.error_ratio = episode_errors / episode_total;
            }
        }
        episodes.sort_by(|a, b| b.spent.total_cmp(&a.spent).then(a.from_millis.cmp(&b.from_millis)));
        Some(Budget {
            error_ratio: errors / total,
            left: 1.0 - spent_by(errors),
            covered: (measured.len() as f64 * step_millis as f64 / period_millis as f64).min(1.0),
            episodes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn steps(of: &[(f64, f64)]) -> Vec<Step> {
        let step = |(index, &(errors, total)): (usize, &(f64, f64))| Step {
            at_millis: (index as i64 + 1) * HOUR,
            errors,
            total,
        };
        of.iter().enumerate().map(step).collect()
    }

    #[test]
    fn hours_weigh_by_their_events() {
        // 1 % of 1000 events may fail. 5 failed in the busy hour, and 4 of 10 in the quiet one.
        let budget = Budget::of(&steps(&[(5.0, 990.0), (4.0, 10.0)]), HOUR, 2 * HOUR, 0.01).expect("events");
        assert!((budget.error_ratio - 0.009).abs() < 1e-12);
        assert!((budget.left - 0.1).abs() < 1e-9);
        assert_eq!(budget.covered, 1.0);
        assert_eq!(budget.episodes.len(), 1, "the busy hour burned less than the budget allows");
        let episode = budget.episodes[0];
        assert_eq!((episode.from_millis, episode.to_millis), (HOUR, 2 * HOUR));
        assert!((episode.spent - 0.4).abs() < 1e-9 && (episode.error_ratio - 0.4).abs() < 1e-12);
    }

    #[test]
    fn adjacent_hours_are_one_episode_and_the_worst_comes_first() {
        let measured = steps(&[(2.0, 100.0), (0.0, 100.0), (5.0, 100.0), (7.0, 100.0), (0.0, 100.0)]);
        let budget = Budget::of(&measured, HOUR, 10 * HOUR, 0.01).expect("events");
        let found: Vec<(i64, i64)> =
            budget.episodes.iter().map(|e| (e.from_millis / HOUR, e.to_millis / HOUR)).collect();
        assert_eq!(found, [(2, 4), (0, 1)]);
        assert!((budget.episodes[0].spent - 12.0 / 500.0 / 0.01).abs() < 1e-9);
        assert!(budget.left < 0.0, "14 of 500 failed where 5 may");
        assert_eq!(budget.covered, 0.5);
    }

    #[test]
    fn a_gap_ends_an_episode_and_non_finite_numbers_are_left_out() {
        let mut measured = steps(&[(5.0, 100.0), (f64::NAN, 100.0), (5.0, 100.0), (1.0, 0.0)]);
        measured[3].total = f64::INFINITY;
        let budget = Budget::of(&measured, HOUR, 4 * HOUR, 0.01).expect("events");
        assert_eq!(budget.episodes.len(), 2);
        assert_eq!(budget.covered, 0.5);
        assert_eq!(Budget::of(&[], HOUR, HOUR, 0.01), None);
        assert_eq!(Budget::of(&steps(&[(0.0, 0.0)]), HOUR, HOUR, 0.01), None);
    }

    #[test]
    fn an_objective_of_all_events_has_no_budget_to_divide_by() {
        let none_failed = Budget::of(&steps(&[(0.0, 10.0)]), HOUR, HOUR, 0.0).expect("events");
        assert_eq!((none_failed.left, none_failed.episodes.len()), (1.0, 0));
        let one_failed = Budget::of(&steps(&[(1.0, 10.0)]), HOUR, HOUR, 0.0).expect("events");
        assert_eq!(one_failed.left, f64::NEG_INFINITY);
    }
}
