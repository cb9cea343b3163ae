//! The engine on a toy world: the five checks, the proofs that they can fail, and what people may do.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod commands;
mod commits;
mod stored;
mod taking;
mod toy;

use coxswain_engine::testing::{
    MemoryStore, NoProbe, NoProbeUndone, NoUndoOfFailed, checks, layer, store_checks,
};
use toy::Toy;

#[tokio::test(start_paused = true)]
async fn it_completes() {
    let world = checks::completes(&Toy).await.unwrap();
    assert_eq!(world.ticks["irreversible"], 1);
    assert_eq!(world.ticks["job"], 1);
    assert!(world.set.contains("last"));
}

#[tokio::test(start_paused = true)]
async fn failing_at_each_step_and_tried_again_it_ends_the_same() {
    checks::retries(&Toy, &|kind| kind).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn without_probe_the_check_of_retries_fails() {
    let found = checks::retries(&Toy, &|kind| layer(kind, NoProbe::default())).await;
    let found = found.unwrap_err();
    assert!(found.contains("After"), "{found}");
}

#[tokio::test(start_paused = true)]
async fn failing_at_each_step_it_unwinds() {
    checks::unwinds(&Toy, &|kind, _| kind).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn every_step_twice_does_no_harm() {
    checks::twice(&toy::Idempotent).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn killed_at_every_write_and_effect_it_ends_the_same() {
    let points = checks::survives(&Toy, &|kind| kind).await.unwrap();
    assert!(points > 40, "only {points} points");
}

#[tokio::test(start_paused = true)]
async fn without_the_probe_effects_are_repeated_and_the_check_says_so() {
    let found = checks::survives(&Toy, &|kind| layer(kind, NoProbe::default()))
        .await
        .unwrap_err();
    assert!(found.contains("the world differs"), "{found}");
}

#[tokio::test(start_paused = true)]
async fn without_the_undo_of_failed_steps_rubbish_is_left_and_the_check_says_so() {
    let found = checks::unwinds(&Toy, &|kind, failed| layer(kind, NoUndoOfFailed { failed }))
        .await
        .unwrap_err();
    assert!(found.contains("left behind"), "{found}");
}

#[tokio::test(start_paused = true)]
async fn killed_at_every_write_and_effect_of_an_unwinding_it_ends_the_same() {
    let points = checks::survives_unwinding(&Toy, &|kind, _| kind)
        .await
        .unwrap();
    assert!(points > 30, "only {points} points");
}

#[tokio::test(start_paused = true)]
async fn without_the_probe_of_an_undo_it_is_repeated_and_the_check_says_so() {
    let found = checks::survives_unwinding(&Toy, &|kind, _| layer(kind, NoProbeUndone::default()))
        .await
        .unwrap_err();
    assert!(found.contains("not observed undone"), "{found}");
}

#[tokio::test(start_paused = true)]
async fn without_the_undo_of_failed_steps_a_killed_unwinding_differs_and_the_check_says_so() {
    let found =
        checks::survives_unwinding(&Toy, &|kind, failed| layer(kind, NoUndoOfFailed { failed }))
            .await
            .unwrap_err();
    assert!(found.contains("the world differs"), "{found}");
}

#[tokio::test]
async fn the_memory_store_is_a_store() {
    store_checks::guards_the_log(&MemoryStore::default())
        .await
        .unwrap();
    store_checks::keeps_locks(&MemoryStore::default())
        .await
        .unwrap();
    store_checks::lists_unfinished(&MemoryStore::default())
        .await
        .unwrap();
    store_checks::resumes_output(&MemoryStore::default())
        .await
        .unwrap();
}
