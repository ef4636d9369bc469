//! Arrays with strides are read where they lie: no copy of the input is made.
#![cfg(feature = "ndarray")]
#![allow(unsafe_code)]

use ndarray::{Array2, s};
use nonlin::real::Real;
use nonlin::{About, Body, Exec, Function, Gelu, Mask, Softmax};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts the bytes that are asked for, and those that are given back.
struct Counting;

static ASKED: AtomicUsize = AtomicUsize::new(0);
static FREED: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ASKED.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        FREED.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(p, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The bytes that `f` asks for.
fn asked(f: impl FnOnce()) -> usize {
    let before = ASKED.load(Ordering::Relaxed);
    f();
    ASKED.load(Ordering::Relaxed) - before
}

/// One test, so that no other thread allocates meanwhile.
#[test]
fn no_copy_of_the_input() {
    let x = Array2::<f32>::from_elem((512, 2048), 0.5);
    let mut y = Array2::<f32>::zeros((512, 2048));
    let mut turned = Array2::<f32>::zeros((2048, 512));
    let mut half = Array2::<f32>::zeros((512, 1024));
    let size = 4 * x.len();
    let few = 64 * 1024;
    // The counter counts.
    assert!(asked(|| drop(x.clone())) >= size);

    assert!(asked(|| Gelu.forward_nd_into(&x, &mut y).unwrap()) < 4096);
    for (name, bytes) in [
        ("a transposed input", asked(|| Gelu.forward_nd_into(&x.t(), &mut turned).unwrap())),
        ("steps", asked(|| Gelu.forward_nd_into(&x.slice(s![.., ..;2]), &mut half).unwrap())),
        ("a repeated row", {
            let row = x.row(0);
            asked(|| Gelu.forward_nd_into(&row.broadcast((512, 2048)).unwrap(), &mut y).unwrap())
        }),
        ("in place", asked(|| Gelu.forward_nd_in_place(&mut y.slice_mut(s![.., ..;-3])))),
        (
            "backward",
            asked(|| Gelu.backward_nd_into(&x.t(), &turned.clone(), &mut turned).unwrap()) - size,
        ),
    ] {
        // Buffers of one block.
        assert!(bytes < few, "{name}: {bytes} bytes");
    }
    // A new array is asked for once.
    let bytes = asked(|| drop(Gelu.forward_nd(&x.t())));
    assert!((size..size + few).contains(&bytes), "{bytes}");

    // Rows of a transposed array lie where they are wanted.
    let bytes = asked(|| drop(Softmax.forward_nd(&x.t(), 0)));
    assert!((size..size + few).contains(&bytes), "{bytes}");
    blocks_of_rows();
    recorded_functions_are_freed();
}

/// What a recorded function says about itself and computes is its own, and goes with it.
fn recorded_functions_are_freed() {
    struct Scaled;
    impl Body for Scaled {
        fn value<T: Real>(&self, x: &[T], p: &[T]) -> T {
            p[0] * x[0].tanh() + x[0].max(p[1])
        }
    }
    let held = || ASKED.load(Ordering::Relaxed).wrapping_sub(FREED.load(Ordering::Relaxed));
    let before = held();
    for i in 0..2000 {
        let name = format!("scaled_{i}");
        let about = About::new(&name, "a * tanh(x) + max(x, b)").param("a", 0.5).param("b", 0.0);
        let f = Function::record(about, &Scaled).unwrap();
        let other = f.with("a", 0.25).unwrap();
        assert_eq!(other.value(0.0), 0.0);
        assert_eq!(f.name(), name);
        let error = f.with("c", 1.0).unwrap_err();
        drop(f);
        assert!(error.to_string().contains(&name), "{error}");
    }
    assert_eq!(held(), before, "bytes that are still held");
}

/// The block size holds for rows: strips of 16 columns are gathered in a buffer for each block.
fn blocks_of_rows() {
    let x = vec![0.5f32; 64 * 2048];
    let mut y = vec![0.0; x.len()];
    let mut run = |block: usize| {
        let exec = Exec::new().block(block);
        asked(|| {
            let mask = Mask::new();
            Softmax.forward_with(&exec, &x, &[64, 2048], 0, mask, &mut y).unwrap();
        })
    };
    let (strips, strip) = (2048 / 16, 64 * 16);
    let some = 1024;
    for (block, strips_of_a_block) in
        [(1, 1), (2 * strip, 2), (32 * strip, 32), (usize::MAX, strips)]
    {
        let buffers = strips / strips_of_a_block * strip * size_of::<f32>();
        let bytes = run(block);
        assert!((buffers..buffers + some).contains(&bytes), "{block}: {bytes}, not {buffers}");
    }
}
