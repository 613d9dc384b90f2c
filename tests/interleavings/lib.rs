//! The cell of snapshots and tables, run through by a model checker.
//!
//! To be compiled with `--cfg crossbeam_loom`, which gives crossbeam's epochs and our own code the
//! atomics of loom. Each test is then run in every order of steps that its threads can take.

#![cfg(all(test, crossbeam_loom))]

#[path = "../../src/snapshot/rcu_cell.rs"]
mod rcu_cell;

use loom::thread;
use rcu_cell::RcuCell;
use std::sync::Arc;

/// Threads are interrupted at most this often per run: more finds no more mistakes in practice, and takes
/// hours.
const PREEMPTIONS: usize = 2;

fn check(test: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(PREEMPTIONS);
    model.check(test);
}

#[test]
fn a_reader_of_a_new_generation_gets_its_value() {
    check(|| {
        let cell = Arc::new(RcuCell::new(Arc::new(1)));
        let first = cell.generation();
        let writer = {
            let cell = Arc::clone(&cell);
            thread::spawn(move || cell.publish(Arc::new(2)))
        };
        let seen = cell.generation();
        let (generation, value) = cell.load();
        assert!(generation >= seen);
        if generation != first {
            assert_eq!(*value, 2);
        }
        writer.join().unwrap();
        assert_eq!(*cell.load().1, 2);
    });
}

#[test]
fn a_value_in_use_outlives_its_replacement() {
    check(|| {
        let cell = Arc::new(RcuCell::new(Arc::new(1)));
        let reader = {
            let cell = Arc::clone(&cell);
            thread::spawn(move || {
                let (_, value) = cell.load();
                assert!((1..=2).contains(&*value));
            })
        };
        cell.publish(Arc::new(2));
        reader.join().unwrap();
    });
}
