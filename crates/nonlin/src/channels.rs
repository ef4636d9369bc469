//! Arrays with channels along one axis, taken apart for sums over each channel.
//!
//! A sum must not depend on how many threads there are, nor on the size of a call's blocks. So the
//! pieces whose terms are added together follow from the shape alone, and so does the order in which
//! the sums of pieces are added.

#![allow(unsafe_code)]

use crate::error::Error;
use crate::exec::{Cost, Exec, Shared};
use crate::fpmode::DefaultMode;
use crate::shape::{self, Around};
use alloc::{vec, vec::Vec};

/// Elements whose terms are added at a time.
pub(crate) const BLOCK: usize = 512;

/// Most elements of a piece that lie side by side, a multiple of [`BLOCK`].
const LONG: usize = 16 * BLOCK;

/// Shortest run of one channel that is a piece of its own.
const RUN: usize = 64;

/// An array in C order as outer x channels x inner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Channels {
    outer: usize,
    pub(crate) channels: usize,
    pub(crate) inner: usize,
}

/// Elements of one channel: `runs` runs of `run` elements, one `stride` from the next.
///
/// Either there is one run, or all of them are [`BLOCK`] elements at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) channel: usize,
    pub(crate) start: usize,
    pub(crate) runs: usize,
    pub(crate) run: usize,
    pub(crate) stride: usize,
}

impl Channels {
    /// Of an array of that shape, with so many values of each parameter.
    pub(crate) fn of(shape: &[usize], axis: isize, values: usize) -> Result<Self, Error> {
        if values == 1 {
            // One value for all: the axis does not matter.
            return Ok(Channels { outer: 1, channels: 1, inner: shape::size(shape)? });
        }
        let Around { outer, n: channels, inner } = shape::around(shape, axis)?;
        if channels != values {
            return Err(Error::Channels { axis, shape: shape.into(), channels, values });
        }
        Ok(Channels { outer, channels, inner })
    }

    /// Of an array of that shape, with values of each parameter for so many equal groups of channels side
    /// by side: to what adds over a group it is a channel.
    pub(crate) fn of_groups(shape: &[usize], axis: isize, groups: usize) -> Result<Self, Error> {
        if groups == 1 {
            return Self::of(shape, axis, 1);
        }
        let Around { outer, n: channels, inner } = shape::around(shape, axis)?;
        match channels.checked_div(groups) {
            // Parts of a shape whose size was checked.
            Some(of_each) if of_each * groups == channels => {
                Ok(Channels { outer, channels: groups, inner: inner * of_each })
            }
            None if channels == 0 => Ok(Channels { outer, channels, inner }),
            _ => Err(Error::Groups { axis, shape: shape.into(), channels, groups }),
        }
    }

    /// The channel of element `i`.
    pub(crate) fn channel(&self, i: usize) -> usize {
        i / self.inner % self.channels
    }

    pub(crate) fn len(&self) -> usize {
        self.outer * self.channels * self.inner
    }

    /// Whether pieces lie side by side.
    fn is_long(&self) -> bool {
        self.channels == 1 || self.inner >= RUN
    }

    /// How many pieces a row of one channel is, or how many outer rows are taken together.
    fn step(&self) -> usize {
        if self.is_long() { self.inner.div_ceil(LONG) } else { (BLOCK / self.inner).max(1) }
    }

    /// How many parts of the array there are, each with as many pieces.
    fn parts(&self) -> (usize, usize) {
        if self.len() == 0 {
            (0, 1)
        } else if self.is_long() {
            (self.outer * self.channels * self.step(), 1)
        } else {
            (self.outer.div_ceil(self.step()), self.channels)
        }
    }

    /// Piece `k` of a part.
    fn piece(&self, part: usize, k: usize) -> Piece {
        let &Channels { outer, channels, inner } = self;
        if self.is_long() {
            let (row, at) = (part / self.step(), part % self.step() * LONG);
            let (start, run) = (row * inner + at, LONG.min(inner - at));
            return Piece { channel: row % channels, start, runs: 1, run, stride: run };
        }
        let (first, stride) = (part * self.step(), channels * inner);
        let runs = self.step().min(outer - first);
        Piece { channel: k, start: first * stride + k * inner, runs, run: inner, stride }
    }

    /// Calls `f` for every piece of the array; the pieces of a part in turn, parts side by side.
    fn each(&self, exec: &Exec, cost: Cost, f: impl Fn(usize, Piece) + Sync) {
        let (parts, pieces) = self.parts();
        if parts > 0 {
            exec.parts(parts, self.len() / parts, cost, |first, count| {
                for part in first..first + count {
                    for k in 0..pieces {
                        f(part * pieces + k, self.piece(part, k));
                    }
                }
            });
        }
    }

    /// Calls `f` for every piece of the array.
    pub(crate) fn pieces(&self, exec: &Exec, cost: Cost, f: impl Fn(Piece) + Sync) {
        self.each(exec, cost, |_, piece| f(piece));
    }

    /// What `f` adds to the sums of the channel of each piece, of which there are `sums`: those of the
    /// first channel, then those of the others.
    pub(crate) fn sums(
        &self,
        exec: &Exec,
        cost: Cost,
        sums: usize,
        f: impl Fn(Piece, &mut [f64]) + Sync,
    ) -> Vec<f64> {
        let (parts, pieces) = self.parts();
        let numbers = parts.checked_mul(pieces).and_then(|n| n.checked_mul(sums));
        let mut of_pieces = vec![0.0; numbers.expect("fewer numbers than memory has")];
        let to = Shared(of_pieces.as_mut_ptr());
        self.each(exec, cost, |i, piece| {
            // SAFETY: every piece has `sums` numbers of its own.
            f(piece, unsafe { core::slice::from_raw_parts_mut(to.at(i * sums), sums) });
        });
        let _mode = DefaultMode::enter();
        let mut all = vec![0.0; self.channels * sums];
        for (i, of_piece) in of_pieces.chunks_exact(sums.max(1)).enumerate() {
            let channel = self.piece(i / pieces, i % pieces).channel;
            for (sum, v) in all[channel * sums..].iter_mut().zip(of_piece) {
                *sum += v;
            }
        }
        all
    }
}

impl Piece {
    /// How many elements it has.
    pub(crate) fn len(&self) -> usize {
        self.runs * self.run
    }

    /// Whether its elements lie side by side.
    pub(crate) fn is_one(&self) -> bool {
        self.runs == 1
    }

    /// Copies its elements from an array to where they lie side by side.
    ///
    /// # Safety
    /// `from` must have the elements of the piece, `to` room for [`Piece::len`].
    pub(crate) unsafe fn gather<T: Copy>(&self, from: *const T, to: *mut T) {
        for r in 0..self.runs {
            let at = self.start + r * self.stride;
            for i in 0..self.run {
                // SAFETY: element `at + i` is one of the piece, and number `r * run + i` of them.
                unsafe { to.add(r * self.run + i).write(*from.add(at + i)) }
            }
        }
    }

    /// Copies its elements from where they lie side by side to an array.
    ///
    /// # Safety
    /// `to` must have room for the elements of the piece, `from` [`Piece::len`].
    pub(crate) unsafe fn scatter<T: Copy>(&self, from: *const T, to: *mut T) {
        for r in 0..self.runs {
            let at = self.start + r * self.stride;
            for i in 0..self.run {
                // SAFETY: element `at + i` is one of the piece, and number `r * run + i` of them.
                unsafe { to.add(at + i).write(*from.add(r * self.run + i)) }
            }
        }
    }
}
