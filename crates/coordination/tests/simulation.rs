//! A cluster under a seed: nodes that are killed, stopped and late, over a log that orders them.
//!
//! The world has what the real log has: beats in one order, which may stand there twice; a
//! catalogue that only the holder of the newest identity of `__ms.leader` may write; identities
//! that fence each other; and a position for each task, which a slot moves in steps. What may not
//! happen is looked for where it would happen; each panic names the invariant and the seed.

#![expect(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

#[path = "simulation/world.rs"]
mod world;

use world::{Shape, World};

/// Runs a seed: trouble first, then peace; tells how often leaders changed, tasks moved, the
/// job was changed, and tasks were let go by slots that ran on.
fn play(seed: u64) -> [u64; 4] {
    let mut world = World::new(seed, Shape { managers: 3, workers: 4, slots: 2, tasks: [6, 4] });
    for _ in 0..6_000 {
        world.trouble();
        world.step();
    }
    world.make_peace();
    for _ in 0..60_000 {
        world.step();
        if world.is_settled() {
            break;
        }
    }
    assert!(world.is_settled(), "seed {seed}: every task ends up with a slot that runs it");
    let before = world.progress();
    for _ in 0..3_000 {
        world.step();
    }
    world.check_copies();
    let after = world.progress();
    for (task, count) in &before {
        assert!(after[task] > *count, "seed {seed}: {task:?} stands still in peace");
    }
    [world.leaders, world.moves, world.requests, world.let_go]
}

#[test]
fn whatever_is_killed_stopped_or_late_each_task_goes_on_once() {
    let seeds = std::env::var("MILLSTREAM_SIMULATION_SEEDS").ok();
    let seeds: u64 = seeds.map_or(60, |text| text.parse().unwrap());
    let mut sums = [0; 4];
    for seed in 0..seeds {
        for (sum, one) in sums.iter_mut().zip(play(seed)) {
            *sum += one;
        }
    }
    let [leaders, moves, requests, let_go] = sums;
    println!(
        "{seeds} seeds: {leaders} leaders, {moves} moves of tasks, {requests} requests, \
         {let_go} tasks let go by slots that ran on"
    );
    assert!(let_go > seeds, "the schedule is too kind: {let_go} tasks let go");
    assert!(leaders > seeds * 2, "the schedule is too kind: {leaders} leaders");
    assert!(moves > seeds * 10, "the schedule is too kind: {moves} moves");
    assert!(requests > seeds, "the schedule is too kind: {requests} requests");
}

#[test]
fn a_seed_replays() {
    let run = |seed| {
        let mut world =
            World::new(seed, Shape { managers: 2, workers: 3, slots: 1, tasks: [3, 2] });
        for _ in 0..3_000 {
            world.trouble();
            world.step();
        }
        (world.progress(), world.leaders, world.moves)
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

/// Without the fence the invariant must break, or the test could not fail.
#[test]
fn a_leader_that_does_not_fence_is_caught() {
    let caught = (0..40).any(|seed| {
        let run = std::panic::catch_unwind(|| {
            let shape = Shape { managers: 2, workers: 4, slots: 2, tasks: [6, 4] };
            let mut world = World::new(seed, shape);
            world.is_fencing = false;
            for _ in 0..6_000 {
                world.trouble();
                world.step();
            }
        });
        run.is_err()
    });
    assert!(caught, "no seed shows what a missing fence does");
}

/// A slot that says it has let go what it holds must be found out, or the test could not fail.
#[test]
fn a_slot_that_speaks_too_early_is_caught() {
    let caught = (0..40).any(|seed| {
        let run = std::panic::catch_unwind(|| {
            let shape = Shape { managers: 2, workers: 4, slots: 2, tasks: [6, 4] };
            let mut world = World::new(seed, shape);
            world.is_honest = false;
            for _ in 0..6_000 {
                world.trouble();
                world.step();
            }
        });
        run.is_err()
    });
    assert!(caught, "no seed shows what a task in two slots does");
}
