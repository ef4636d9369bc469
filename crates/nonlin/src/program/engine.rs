//! The block engine: runs the instructions of a program on blocks of a call, one after the other.
//!
//! An instruction is a loop over a block (`loops.rs`): it reads registers from where its inputs are, does
//! what the method of [`Real`](crate::real::Real) does, and writes registers. Around a primitive the loop is
//! long, and what reading and writing costs does not show. Blocks are short enough that all of them stay in
//! the first cache.
//!
//! Every lane is computed as a compiled kernel computes it, by the same method of the same number type,
//! so an engine has the bits of that kernel. Where it is, in which block, among which others, does not
//! matter.

#![allow(unsafe_code)]

use super::loops::{Exponents, Frame, Spot};
use super::lower::{ARRAYS, INPUTS, Lowered, MOST_PLACES, OUTPUTS};
use crate::level::Level;
use core::mem::MaybeUninit;

/// Elements of a block, if there is room for so many.
const BLOCK: usize = 512;
/// Numbers of the widest register, and a multiple of those of the others: loops take so many at least.
const LANES: usize = 16;
/// Bytes of a number in a block.
const SIZE: usize = 8;
/// Bytes of memory for short calls: fewer pages to be touched.
const FEW_BYTES: usize = 12 << 10;
/// Bytes of memory, on the stack.
const BYTES: usize = 96 << 10;

/// Memory of a call: numbers that are the same for all elements, a register each, then blocks.
#[repr(align(64))]
struct Room<const BYTES: usize>([MaybeUninit<u8>; BYTES]);

/// A call.
#[derive(Clone, Copy)]
struct Call<'a> {
    code: &'a Lowered,
    level: Level,
    params: &'a [f64],
    inputs: [*const u8; INPUTS],
    outputs: [*mut u8; OUTPUTS],
    n: usize,
}

/// Runs a program on arrays.
///
/// # Safety
/// The inputs must be valid for reading `n` elements, the outputs for writing them, of the type that the
/// program was lowered for, or of f64 where outputs are wide; an output that is not wide may be one of the inputs, but may not overlap one in another way.
/// `level` is available.
pub(super) unsafe fn run(
    code: &Lowered,
    level: Level,
    params: &[f64],
    inputs: [*const u8; INPUTS],
    outputs: [*mut u8; OUTPUTS],
    n: usize,
) {
    let call = Call { code, level, params, inputs, outputs, n };
    let places = ARRAYS + code.blocks + code.uniforms;
    let fits = |bytes: usize, block: usize| used(code, block) <= bytes;
    let mut block = n.next_multiple_of(LANES).min(BLOCK);
    // SAFETY: the arrays are as this function asks for, and the blocks fit.
    unsafe {
        if places <= 24 && fits(FEW_BYTES, block) {
            return in_room::<24, FEW_BYTES>(call, block);
        }
        while !fits(BYTES, block) && block > LANES {
            block = (block / 2).next_multiple_of(LANES);
        }
        in_room::<MOST_PLACES, BYTES>(call, block);
    }
}

/// Bytes that a program needs with blocks of so many elements.
fn used(code: &Lowered, block: usize) -> usize {
    let numbers = (code.uniforms * LANES + code.blocks * block) * SIZE;
    // Exponents lie behind the numbers, as those do.
    if code.defers { 2 * numbers } else { numbers }
}

/// # Safety
/// See [`run`].
#[inline(never)]
unsafe fn in_room<const SPOTS: usize, const BYTES: usize>(call: Call<'_>, block: usize) {
    let code = call.code;
    assert!(used(code, block) <= BYTES, "blocks that fit");
    let mut room = Room([MaybeUninit::<u8>::uninit(); BYTES]);
    let room: *mut u8 = room.0.as_mut_ptr().cast();
    let places = ARRAYS + code.blocks + code.uniforms;
    let uniforms = code.uniforms * LANES * SIZE;
    let spot = |at: usize, narrow: bool| Spot {
        at: room.wrapping_add(at),
        mask: !0,
        narrow,
        pending: false,
    };
    // Only those that there are: a short call takes as long as its preparations.
    let mut spots = [const { MaybeUninit::<Spot>::uninit() }; SPOTS];
    for (p, to) in spots[..places].iter_mut().enumerate() {
        to.write(match p.checked_sub(ARRAYS) {
            None => {
                spot(0, code.narrow && !(p >= INPUTS && code.item == 4 && code.wide[p - INPUTS]))
            }
            Some(b) if b < code.blocks => spot(uniforms + b * block * SIZE, false),
            Some(u) => spot((u - code.blocks) * LANES * SIZE, false),
        });
    }
    // SAFETY: the first `places` were written, in the loop above.
    let spots = unsafe { spots[..places].assume_init_mut() };
    let exponents = Exponents(uniforms + code.blocks * block * SIZE);
    let frame = Frame { spots, exponents, steps: &code.steps };
    // SAFETY: the arrays have `n` elements, and the spots room for registers and blocks.
    unsafe { run_blocks(call, frame, block) }
}

/// First what is the same for all elements, then block after block, then a full register with a copy of
/// the rest.
///
/// # Safety
/// See [`run`]; the spots of the frame have room for registers and for blocks of `block` elements.
unsafe fn run_blocks(call: Call<'_>, mut frame: Frame<'_>, block: usize) {
    let Call { code, level, params, inputs, outputs, n } = call;
    let (size, first) = (code.item, ARRAYS + code.blocks);
    let sizes = code.wide.map(|wide| if wide { SIZE } else { size });
    for (spot, v) in frame.spots[first..].iter().zip(code.literals.iter().chain(params)) {
        // SAFETY: a number that is the same for all elements has room for a register of either type.
        unsafe {
            if code.f32 {
                spot.at.cast::<[f32; LANES]>().write([*v as f32; LANES]);
            } else {
                spot.at.cast::<[f64; LANES]>().write([*v; LANES]);
            }
        }
    }
    for (work, i) in &code.once {
        // SAFETY: the spots of these instructions have a register each, and the level is available.
        unsafe { work.get(level)(i, &mut frame, LANES) }
    }
    for spot in &mut frame.spots[first..] {
        spot.mask = 0;
    }
    let mut each = |inputs: [*const u8; INPUTS], outputs: [*mut u8; OUTPUTS], m: usize| {
        for (spot, input) in frame.spots.iter_mut().zip(inputs) {
            spot.at = input.cast_mut();
        }
        for (spot, output) in frame.spots[INPUTS..].iter_mut().zip(outputs) {
            spot.at = output;
        }
        for (work, i) in &code.each {
            // SAFETY: arrays and blocks have `m` numbers, a multiple of those of every register, and the
            // level is available.
            unsafe { work.get(level)(i, &mut frame, m) }
        }
    };
    let whole = n - n % LANES;
    let mut done = 0;
    while done < whole {
        let m = block.min(whole - done);
        each(inputs.map(|p| p.wrapping_add(done * size)), behind(outputs, sizes, done), m);
        done += m;
    }
    if done == n {
        return;
    }
    let (at, bytes) = (done * size, (n - done) * size);
    let (mut from, mut to) = ([[0u64; LANES]; INPUTS], [[0u64; LANES]; OUTPUTS]);
    for (pad, input) in from.iter_mut().zip(inputs).take(code.operands) {
        // SAFETY: so many bytes are left of every input, fewer than a pad has.
        unsafe {
            core::ptr::copy_nonoverlapping(input.wrapping_add(at), pad.as_mut_ptr().cast(), bytes);
        }
    }
    let pads = to.each_mut().map(|pad| pad.as_mut_ptr().cast());
    each(from.each_ref().map(|pad| pad.as_ptr().cast()), pads, LANES);
    let rest = behind(outputs, sizes, done);
    for ((pad, output), size) in pads.iter().zip(rest).zip(sizes).take(code.results) {
        // SAFETY: so many numbers are left of every output, fewer than a pad has.
        unsafe { core::ptr::copy_nonoverlapping(*pad, output, (n - done) * size) }
    }
}

/// Where outputs go on behind `done` numbers of these sizes.
fn behind(outputs: [*mut u8; OUTPUTS], sizes: [usize; OUTPUTS], done: usize) -> [*mut u8; OUTPUTS] {
    core::array::from_fn(|k| outputs[k].wrapping_add(done * sizes[k]))
}
