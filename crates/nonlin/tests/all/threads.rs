//! Calls on several threads.
#![cfg(feature = "rayon")]

use nonlin::Exec;
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::ThreadId;

const N: usize = 1 << 20;

/// The threads that had a part in a call.
fn at_work(exec: &Exec) -> HashSet<ThreadId> {
    let (x, mut y) = (vec![1f32; N], vec![0f32; N]);
    let seen = Mutex::new(HashSet::new());
    exec.apply(&x, &mut y, |x, y| {
        seen.lock().unwrap().insert(std::thread::current().id());
        std::thread::sleep(std::time::Duration::from_micros(200));
        y.copy_from_slice(x);
    });
    assert!(x == y);
    seen.into_inner().unwrap()
}

fn pool(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}

#[test]
fn every_block_is_computed_once() {
    for block in [1000, 4096, 16 * 1024, N - 1] {
        for threads in [1, 2, 3, 8] {
            let exec = Exec::new().block(block).parallel();
            let calls = AtomicUsize::new(0);
            let mut y = vec![0f32; N];
            let x = uniform_ramp();
            pool(threads).install(|| {
                exec.apply(&x, &mut y, |x, y| {
                    calls.fetch_add(1, Ordering::Relaxed);
                    for (y, x) in y.iter_mut().zip(x) {
                        *y += x;
                    }
                });
            });
            assert!(calls.into_inner() >= N.div_ceil(block), "blocks are at most so large");
            assert!(x == y, "block {block}, {threads} threads");
        }
    }
}

fn uniform_ramp() -> Vec<f32> {
    (0..N).map(|i| i as f32).collect()
}

#[test]
fn the_callers_pool_is_used() {
    let pool = pool(3);
    let own: HashSet<ThreadId> =
        pool.broadcast(|_| std::thread::current().id()).into_iter().collect();
    let seen = pool.install(|| at_work(&Exec::new().parallel()));
    assert!(seen.is_subset(&own) && seen.len() > 1, "{seen:?} of {own:?}");
    let alone = pool.install(|| at_work(&Exec::new()));
    assert_eq!(alone.len(), 1);
}

#[test]
fn a_busy_pool_is_not_waited_for() {
    let pool = pool(2);
    let (free, gate) = std::sync::mpsc::channel::<()>();
    let gate = std::sync::Arc::new(Mutex::new(gate));
    let held = gate.clone();
    pool.spawn(move || {
        let _ = held.lock().unwrap().recv();
    });
    // The other thread of the pool calls, and has nobody to help it.
    let seen = pool.install(|| at_work(&Exec::new().parallel()));
    assert_eq!(seen.len(), 1);
    free.send(()).unwrap();
}

#[test]
fn a_panic_reaches_the_caller_and_leaves_the_pool_whole() {
    let exec = Exec::new().block(1024).parallel();
    for round in 0..20 {
        let (x, mut y) = (vec![0f32; N], vec![0f32; N]);
        let calls = AtomicUsize::new(0);
        let result = catch_unwind(AssertUnwindSafe(|| {
            exec.apply(&x, &mut y, |_, _| {
                assert!(calls.fetch_add(1, Ordering::Relaxed) != 100 + round, "block {round}");
            });
        }));
        let text = result.unwrap_err();
        assert_eq!(text.downcast_ref::<String>(), Some(&format!("block {round}")));
    }
    assert!(!at_work(&exec).is_empty());
}

#[test]
fn calls_within_calls_and_side_by_side() {
    let exec = Exec::new().parallel();
    let x = uniform_ramp();
    std::thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| {
                for _ in 0..5 {
                    let mut y = vec![0f32; N];
                    exec.apply(&x[..N / 2], &mut y[..N / 2], |x, y| {
                        nonlin::Relu.forward_with(&exec, x, y);
                    });
                    nonlin::Relu.forward_with(&exec, &x[N / 2..], &mut y[N / 2..]);
                    assert!(x == y);
                }
            });
        }
    });
}
