//! Equals are not called regressed on any machine, and what is much slower or dearer is found on a shared one.

use stats::paired::{Answer, Policy, decide};

use super::*;

const RATE: usize = 200;

#[test]
fn equals_are_not_called_regressed_on_any_machine() {
    let policy = Policy::usual();
    for world in &WORLDS {
        let regressed = (0..8).filter(|seed| {
            let run = Run::new(world, 12, RATE, 100 + seed);
            let decision = decide(&policy, &run.measure(12, &policy, Effect::default())).expect("a whole run");
            matches!(decision.answer, Answer::Regressed(_))
        });
        assert_eq!(regressed.count(), 0, "{}", world.name);
    }
}

#[test]
fn what_is_much_slower_or_dearer_is_found_on_a_shared_machine() {
    let policy = Policy::usual();
    let shared = &WORLDS[1];
    for seed in 0..4 {
        let run = Run::new(shared, 12, RATE, seed);
        let answer = |effect| decide(&policy, &run.measure(12, &policy, effect)).expect("a whole run").answer;
        let slower = answer(Effect { slower_ppm: 400_000, dearer_ppm: 0 });
        assert!(matches!(&slower, Answer::Regressed(metrics) if metrics.contains(&0)), "{slower:?}");
        let dearer = answer(Effect { slower_ppm: 0, dearer_ppm: 100_000 });
        assert_eq!(dearer, Answer::Regressed(vec![2]));
    }
}
