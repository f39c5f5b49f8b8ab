//! The gate's rules in every state that visitors can cause, and the gate itself with real threads.

use std::collections::HashSet;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::head::isolation::{Door, Gate, Rooms, Side};

/// The next action of a visitor in the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Step {
    Outside { visits_left: u8 },
    Waiting { visits_left: u8, since: u64 },
    Inside { visits_left: u8 },
}

type World = (Rooms, Vec<(Side, Step)>);

/// Every state to which a step of one visitor can lead.
fn successors(world: &World) -> Vec<World> {
    let mut next = Vec::new();
    for (index, (side, step)) in world.1.iter().enumerate() {
        let (mut rooms, mut visitors) = world.clone();
        let step = match *step {
            Step::Outside { visits_left: 0 } => continue,
            Step::Outside { visits_left } => match rooms.enter(*side) {
                Door::Entered => Step::Inside { visits_left: visits_left - 1 },
                Door::Waits(since) => Step::Waiting { visits_left: visits_left - 1, since },
            },
            Step::Waiting { visits_left, since } if rooms.may_enter(*side, since) => {
                Step::Inside { visits_left }
            }
            Step::Waiting { .. } => continue,
            Step::Inside { visits_left } => {
                rooms.leave();
                Step::Outside { visits_left }
            }
        };
        visitors[index].1 = step;
        next.push((rooms, visitors));
    }
    next
}

/// Explores every interleaving: the two sides are never inside at once, and nobody is left waiting at the
/// end.
fn check_all_interleavings(commits: usize, freezes: usize, visits: u8) -> usize {
    let visitor = |side| (side, Step::Outside { visits_left: visits });
    let visitors: Vec<_> = std::iter::repeat_n(visitor(Side::Commit), commits)
        .chain(std::iter::repeat_n(visitor(Side::Freeze), freezes))
        .collect();
    let mut open: Vec<World> = vec![(Rooms::new(), visitors)];
    let mut seen: HashSet<World> = open.iter().cloned().collect();
    while let Some(world) = open.pop() {
        let inside = |side| world.1.iter().any(|(s, step)| *s == side && matches!(step, Step::Inside { .. }));
        assert!(!(inside(Side::Commit) && inside(Side::Freeze)), "both rooms are occupied: {world:?}");
        let next = successors(&world);
        if next.is_empty() {
            let all_done = world.1.iter().all(|(_, step)| matches!(step, Step::Outside { visits_left: 0 }));
            assert!(all_done, "somebody waits for ever: {world:?}");
        }
        for world in next {
            if seen.insert(world.clone()) {
                open.push(world);
            }
        }
    }
    seen.len()
}

#[test]
fn no_interleaving_admits_both_sides_or_leaves_anybody_waiting() {
    assert!(check_all_interleavings(2, 2, 2) > 500);
    assert!(check_all_interleavings(3, 1, 2) > 500);
    assert!(check_all_interleavings(1, 3, 2) > 500);
}

/// While a freeze waits, a later commit is not admitted before it.
#[test]
fn newcomers_wait_behind_the_other_side() {
    let mut rooms = Rooms::new();
    assert_eq!(rooms.enter(Side::Commit), Door::Entered);
    let Door::Waits(freeze) = rooms.enter(Side::Freeze) else { panic!("waits") };
    let Door::Waits(commit) = rooms.enter(Side::Commit) else { panic!("waits") };
    assert!(rooms.leave());
    assert!(rooms.may_enter(Side::Freeze, freeze) && !rooms.may_enter(Side::Commit, commit));
    assert!(rooms.leave());
    assert!(rooms.may_enter(Side::Commit, commit));
}

#[test]
fn threads_never_see_a_partial_commit() {
    let gate = Gate::default();
    let values: Vec<AtomicI64> = (0..64).map(|_| AtomicI64::new(0)).collect();
    std::thread::scope(|scope| {
        for writer in 0..3 {
            let (gate, values) = (&gate, &values);
            scope.spawn(move || {
                for round in 0..300 {
                    let _room = gate.commit();
                    // Each writer moves its own third of the row from all-old to all-new.
                    for value in values.iter().skip(writer).step_by(3) {
                        value.store(round, Ordering::Relaxed);
                    }
                }
            });
        }
        for _ in 0..3 {
            let (gate, values) = (&gate, &values);
            scope.spawn(move || {
                for _ in 0..300 {
                    let _room = gate.freeze();
                    for writer in 0..3 {
                        let row: HashSet<i64> = values
                            .iter()
                            .skip(writer)
                            .step_by(3)
                            .map(|v| v.load(Ordering::Relaxed))
                            .collect();
                        assert_eq!(row.len(), 1);
                    }
                }
            });
        }
    });
}
