//! How rows lie in an array and in a mask that is repeated to its shape.

use alloc::vec::Vec;

/// Where an element lies: in the scores, in the mask of booleans, in the mask of numbers; and the
/// number of its query.
pub(super) type Place = [usize; 4];

/// Axes of a row, and axes along which rows lie side by side.
pub(super) struct Layout {
    pub(super) rows: Walk,
    pub(super) row: Walk,
}

impl Layout {
    /// `along`: which axes rows run along. `steps`: the distance between neighbours along each axis.
    pub(super) fn new(shape: &[usize], along: &[bool], steps: &[Place]) -> Self {
        let of = |inside: bool| {
            let axes = (0..shape.len()).filter(|&a| along[a] == inside);
            Walk::new(axes.map(|a| Axis { len: shape[a], step: steps[a] }))
        };
        Layout { rows: of(false), row: of(true) }
    }
}

/// An axis, or several that are walked as one.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Axis {
    len: usize,
    step: Place,
}

/// Places one after another, the last axis first to move.
pub(super) struct Walk {
    /// None has one element, and no two can be walked as one.
    axes: Vec<Axis>,
    len: usize,
}

impl Walk {
    /// The product of the lengths must be that of a part of a checked shape.
    fn new(all: impl Iterator<Item = Axis>) -> Self {
        let mut axes: Vec<Axis> = Vec::new();
        let mut len = 1;
        for axis in all {
            len *= axis.len;
            if axis.len == 1 {
                continue;
            }
            match axes.last_mut() {
                // Where an axis ends, its predecessor's next element follows, in every array.
                Some(before)
                    if (0..4)
                        .all(|k| Some(before.step[k]) == axis.step[k].checked_mul(axis.len)) =>
                {
                    *before = Axis { len: before.len * axis.len, step: axis.step };
                }
                _ => axes.push(axis),
            }
        }
        Walk { axes, len }
    }

    /// How many places there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Place number `i`.
    pub(super) fn at(&self, mut i: usize) -> Place {
        let mut place = [0; 4];
        for axis in self.axes.iter().rev() {
            let index = i % axis.len;
            i /= axis.len;
            for (p, step) in place.iter_mut().zip(axis.step) {
                *p += index * step;
            }
        }
        place
    }

    /// Whether place `i` of array `which` is its element `i`.
    pub(super) fn is_contiguous(&self, which: usize) -> bool {
        let mut step = 1;
        self.axes.iter().rev().all(|axis| {
            let next = axis.step[which] == step;
            step *= axis.len;
            next
        })
    }

    /// Length and step of the last axis.
    pub(super) fn last(&self) -> (usize, Place) {
        self.axes.last().map_or((1, [0; 4]), |axis| (axis.len, axis.step))
    }

    /// Calls `f` with the first place, the length and the step of every run along the last axis.
    pub(super) fn runs(&self, mut f: impl FnMut(&Place, usize, &Place)) {
        let (len, step) = self.last();
        let mut i = 0;
        while i < self.len {
            f(&self.at(i), len, &step);
            i += len;
        }
    }
}
