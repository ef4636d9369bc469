//! The loop: whole registers, then a full register with a copy of the rest, so that an element's
//! result never depends on its position.

#![allow(unsafe_code)]

use super::io::Io;

/// The widest register: the room a tail needs.
pub(super) const WIDEST: usize = 32;

/// A register in memory within one line of the cache.
#[repr(align(64))]
pub(super) struct Aligned<T>(pub(super) T);

/// One step of a loop: `I` registers in, `O` out.
///
/// A trait and not a closure, because `#[inline(always)]` cannot be put on a closure, and a
/// step that is not inlined loses the instructions it was compiled for.
pub(super) trait Step<R, const I: usize, const O: usize>: Copy {
    fn step(self, x: [R; I]) -> [R; O];
}

/// The registers at `i` of the inputs.
///
/// # Safety
/// A register must lie there in each of them.
#[inline(always)]
pub(super) unsafe fn read<R: Io<T>, const I: usize, T>(inputs: &[*const T; I], i: usize) -> [R; I] {
    let mut x = [R::set(0.0); I];
    let mut k = 0;
    while k < I {
        // SAFETY: each input is valid for reading `R::N` elements from `i` on.
        x[k] = unsafe { R::read(inputs[k].add(i)) };
        k += 1;
    }
    x
}

/// Runs whole registers, then once a full register with copies of the rest.
///
/// # Safety
/// The inputs must be valid for reading `n` elements, the outputs for writing them; an
/// output may be one of the inputs, but may not overlap one in another way.
#[inline(always)]
pub(super) unsafe fn run<
    R: Io<T>,
    const I: usize,
    const O: usize,
    const ROOM: usize,
    T: Copy + Default,
>(
    mut inputs: [*const T; I],
    mut outputs: [*mut T; O],
    n: usize,
    f: impl Step<R, I, O>,
    non_temporal: bool,
) {
    const { assert!(R::N <= ROOM) };
    let mut non_temporal = non_temporal && outputs.iter().all(|p| p.addr().is_multiple_of(64));
    let whole = n - n % R::N;
    let mut source = Aligned([[T::default(); ROOM]; I]);
    let mut target = Aligned([[T::default(); ROOM]; O]);
    let arrays = outputs;
    let mut end = whole;
    let mut rest = whole < n;
    // One place calls `step`, so that it is compiled once.
    loop {
        let mut i = 0;
        while i < end {
            // SAFETY: `i + R::N <= end`, of the caller's arrays or of the buffers.
            let y = f.step(unsafe { read::<R, I, T>(&inputs, i) });
            let mut k = 0;
            while k < O {
                // SAFETY: `i + R::N <= end`, of the caller's arrays or of the buffers. Where `non_temporal`
                // is set, outputs begin at multiples of 64 bytes, so that each register, of 16, 32 or
                // 64 bytes, lies at a multiple of its own size.
                unsafe {
                    let to = outputs[k].add(i);
                    if non_temporal { y[k].write_non_temporal(to) } else { y[k].write(to) }
                }
                k += 1;
            }
            i += R::N;
        }
        if non_temporal {
            crate::stream::fence();
            non_temporal = false;
        }
        if !rest {
            break;
        }
        rest = false;
        for (input, buffer) in inputs.iter_mut().zip(&mut source.0) {
            // SAFETY: `0 < n - whole < R::N <= ROOM` elements are left.
            unsafe { R::copy_in(input.add(whole), buffer.as_mut_ptr(), n - whole) }
            *input = buffer.as_ptr();
        }
        outputs = target.0.each_mut().map(|buffer| buffer.as_mut_ptr());
        end = R::N;
    }
    if whole < n {
        for (buffer, output) in target.0.iter().zip(arrays) {
            // SAFETY: `n - whole` elements are left, from `whole` on, of every output.
            unsafe { R::copy_out(buffer.as_ptr(), output.add(whole), n - whole) }
        }
    }
}
