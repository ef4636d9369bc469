//! A call on several threads: the caller works, and threads of rayon's pool help if they come in time.
//!
//! The blocks of a call are claimed one by one from a counter. The caller claims too, so that a call
//! never waits for a thread to wake up: helpers that have not come when the last block is claimed
//! find the call closed and go. What they would have read is then gone, which is why they ask first.
//!
//! Rayon's own loops hand the whole call to the pool and let the caller sleep. On two cores both
//! threads of the pool often wake on one core then, and the call is slower than without them.

#![allow(unsafe_code)]

use crate::fpmode::DefaultMode;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::Thread;

/// Nanoseconds of work that are worth another thread: waking it takes about as long.
const WORTH: f64 = 12_000.0;

/// How often the caller looks whether the helpers are done before it sleeps.
const SPINS: usize = 2_000;

/// The call is closed: nobody enters any more.
const CLOSED: usize = 1 << (usize::BITS - 1);

/// What a call does with a block, behind a pointer that lives as long as the call.
struct Job(*const (dyn Fn(usize) + Sync));
// SAFETY: the function is `Sync`, and is only called between `enter` and `leave`, while the call
// that owns it waits.
unsafe impl Send for Job {}
// SAFETY: the function is `Sync`, and is only called between `enter` and `leave`, while the call
// that owns it waits.
unsafe impl Sync for Job {}

struct Call {
    job: Job,
    count: usize,
    /// The next block to be claimed.
    next: AtomicUsize,
    /// How many helpers are inside, and [`CLOSED`].
    inside: AtomicUsize,
    caller: Thread,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

impl Call {
    /// Whether a helper may begin.
    fn enter(&self) -> bool {
        let more = |inside| (inside & CLOSED == 0).then_some(inside + 1);
        self.inside.fetch_update(Ordering::Acquire, Ordering::Relaxed, more).is_ok()
    }

    /// The last helper to leave a closed call wakes the caller.
    fn leave(&self) {
        if self.inside.fetch_sub(1, Ordering::Release) == CLOSED + 1 {
            self.caller.unpark();
        }
    }

    /// Claims blocks until there are none.
    fn work(&self) {
        // SAFETY: `run` borrows the function until it returns, and returns only when `close` has seen all leave.
        let job = unsafe { &*self.job.0 };
        let result = catch_unwind(AssertUnwindSafe(|| {
            let _mode = DefaultMode::enter();
            loop {
                let block = self.next.fetch_add(1, Ordering::Relaxed);
                if block >= self.count {
                    break;
                }
                job(block);
            }
        }));
        if let Err(panic) = result {
            // Nobody claims another block.
            self.next.store(self.count, Ordering::Relaxed);
            self.panic.lock().unwrap_or_else(|e| e.into_inner()).get_or_insert(panic);
        }
    }

    /// A helper's part.
    fn help(&self) {
        if self.enter() {
            self.work();
            self.leave();
        }
    }

    /// Lets nobody in any more, and waits for those who are inside.
    fn close(&self) {
        let mut inside = self.inside.fetch_or(CLOSED, Ordering::AcqRel) & !CLOSED;
        let mut spins = 0;
        while inside != 0 {
            if spins < SPINS {
                spins += 1;
                std::hint::spin_loop();
            } else {
                std::thread::park();
            }
            inside = self.inside.load(Ordering::Acquire) & !CLOSED;
        }
    }
}

/// How many threads `nanoseconds` of work are worth, of those in the current pool.
pub(crate) fn threads(nanoseconds: f64) -> usize {
    // A number of threads, or more than there can be.
    let worth = (nanoseconds / WORTH) as usize;
    if worth < 2 { 1 } else { worth.min(rayon::current_num_threads()) }
}

/// Calls `f` with every number below `count` on at most so many threads, this one among them.
///
/// # Panics
/// If `f` does.
pub(crate) fn run(count: usize, threads: usize, f: &(dyn Fn(usize) + Sync)) {
    let job: *const (dyn Fn(usize) + Sync + '_) = f;
    // SAFETY: only the lifetime is changed. The pointer is not followed after `close`, which is
    // reached on every way out of this function, since `work` catches panics.
    let job: *const (dyn Fn(usize) + Sync) = unsafe { std::mem::transmute(job) };
    let call = Arc::new(Call {
        job: Job(job),
        count,
        next: AtomicUsize::new(0),
        inside: AtomicUsize::new(0),
        caller: std::thread::current(),
        panic: Mutex::new(None),
    });
    for _ in 1..threads.min(count) {
        let call = Arc::clone(&call);
        rayon::spawn(move || call.help());
    }
    call.work();
    call.close();
    let panic = call.panic.lock().unwrap_or_else(|e| e.into_inner()).take();
    if let Some(panic) = panic {
        resume_unwind(panic);
    }
}
