//! Which elements of rows take part, and what is added to them.

use super::layout::{Layout, Place};
use crate::element::Element;
use crate::error::Error;
use crate::shape;
use alloc::vec::Vec;

/// Which scores take part in a row, and what is added to them. All parts may be combined; a score
/// takes part if none of them masks it.
///
/// A mask has a shape, and is repeated to that of the scores as NumPy repeats arrays: shapes are
/// aligned at their ends, and each length of the mask is 1 or that of the scores.
///
/// ```
/// use nonlin::{Exec, Mask, Softmax};
/// // Two sequences of two queries and three keys; the last key of the second one is padding.
/// let (scores, padding) = ([0.0f32; 12], [true, true, true, true, true, false]);
/// let mask = Mask::new().keep(&padding, &[2, 1, 3]).causal(1);
/// let mut y = [0.0; 12];
/// Softmax.forward_with(&Exec::new(), &scores, &[2, 2, 3], -1, mask, &mut y)?;
/// assert_eq!(y[..6], [0.5, 0.5, 0.0, 1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0]);
/// assert_eq!(y[6..], [0.5, 0.5, 0.0, 0.5, 0.5, 0.0]);
/// # Ok::<(), nonlin::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Mask<'a, T> {
    pub(super) keep: Option<Entries<'a, bool>>,
    pub(super) add: Option<Entries<'a, T>>,
    pub(super) band: Band,
    queries: Option<isize>,
}

/// An array and its shape.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entries<'a, T> {
    pub(super) values: &'a [T],
    pub(super) shape: &'a [usize],
}

impl<T> Entries<'_, T> {
    /// The strides with which scores of shape `scores` read them.
    fn strides(&self, scores: &[usize]) -> Result<Vec<usize>, Error> {
        shape::check("the mask", self.values.len(), self.shape)?;
        shape::broadcast(self.shape, scores)
            .ok_or_else(|| Error::MaskShape { mask: self.shape.into(), scores: scores.into() })
    }
}

impl<T> Default for Mask<'_, T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a, T> Mask<'a, T> {
    /// All scores take part as they are.
    #[must_use]
    pub const fn new() -> Self {
        Mask { keep: None, add: None, band: Band::ALL, queries: None }
    }

    /// Only scores take part whose entry is true; what the others are does not matter, NaN included.
    #[must_use]
    pub const fn keep(self, entries: &'a [bool], shape: &'a [usize]) -> Self {
        Mask { keep: Some(Entries { values: entries, shape }), ..self }
    }

    /// Entries are added after scaling; -inf masks a score that is finite.
    #[must_use]
    pub const fn add(self, entries: &'a [T], shape: &'a [usize]) -> Self {
        Mask { add: Some(Entries { values: entries, shape }), ..self }
    }

    /// Query `i` sees keys `0 ..= i + offset`: `offset` is how many keys there are before the first
    /// query, as in a cache. [`isize::MAX`] is no limit.
    ///
    /// Keys lie along the axis of rows, queries along the axis before it, or that which
    /// [`queries`](Self::queries) names. An array of one axis is one query.
    #[must_use]
    pub fn causal(self, offset: isize) -> Self {
        self.window(offset, usize::MAX, 0)
    }

    /// Query `i`, which lies at key `i + offset`, sees that key, `before` keys before it and `after`
    /// behind it; [`usize::MAX`] is no limit. A causal sliding window of `w` keys is
    /// `window(offset, w - 1, 0)`. Several windows and [`causal`](Self::causal) leave what lies in
    /// all of them.
    #[must_use]
    pub fn window(mut self, offset: isize, before: usize, after: usize) -> Self {
        let end = |at: i128| at.clamp(isize::MIN as i128, isize::MAX as i128) as isize;
        let (first, last) = (offset as i128 - before as i128, offset as i128 + after as i128);
        // usize::MAX keys before reach back to the first key from wherever a query lies.
        let first = if before == usize::MAX { isize::MIN } else { end(first) };
        let last = if after == usize::MAX { isize::MAX } else { end(last) };
        self.band.first = self.band.first.max(first);
        self.band.last = self.band.last.min(last);
        self
    }

    /// The axis that queries lie along (negative: counted from the end), for
    /// [`causal`](Self::causal) and [`window`](Self::window).
    #[must_use]
    pub const fn queries(self, axis: isize) -> Self {
        Mask { queries: Some(axis), ..self }
    }

    /// Whether all scores take part as they are.
    pub(crate) fn is_empty(&self) -> bool {
        self.keep.is_none() && self.add.is_none() && self.band == Band::ALL
    }

    /// How rows lie in scores of that shape and in this mask; `along`: which axes they run along.
    pub(super) fn layout(&self, scores: &[usize], along: &[bool]) -> Result<Layout, Error> {
        let none = || alloc::vec![0; scores.len()];
        let own = shape::strides(scores)?;
        let keep = self.keep.as_ref().map_or_else(|| Ok(none()), |m| m.strides(scores))?;
        let add = self.add.as_ref().map_or_else(|| Ok(none()), |m| m.strides(scores))?;
        let mut query = none();
        if self.band != Band::ALL
            && let Some(axis) = self.query_axis(scores, along)?
        {
            query[axis] = 1;
        }
        let places: Vec<Place> =
            (0..scores.len()).map(|a| [own[a], keep[a], add[a], query[a]]).collect();
        Ok(Layout::new(scores, along, &places))
    }

    /// The axis of queries; none if there is but one query.
    fn query_axis(&self, scores: &[usize], along: &[bool]) -> Result<Option<usize>, Error> {
        let unknown = || Error::MaskQueries { scores: scores.into() };
        let mut keys = (0..scores.len()).filter(|&a| along[a]);
        let (key, more) = (keys.next(), keys.next());
        if scores.is_empty() {
            return Ok(None);
        }
        let (Some(key), None) = (key, more) else { return Err(unknown()) };
        match self.queries {
            Some(axis) => match shape::axis(axis, scores)? {
                axis if axis == key => Err(unknown()),
                axis => Ok(Some(axis)),
            },
            None if scores.len() == 1 => Ok(None),
            None => key.checked_sub(1).map(Some).ok_or_else(unknown),
        }
    }
}

/// The keys that queries see, as distances from a query's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Band {
    /// [`isize::MIN`]: no limit.
    first: isize,
    /// [`isize::MAX`]: no limit.
    last: isize,
}

impl Band {
    /// No limits.
    const ALL: Self = Band { first: isize::MIN, last: isize::MAX };

    /// Which of `n` keys query number `query` sees.
    pub(super) fn of(&self, query: usize, n: usize) -> core::ops::Range<usize> {
        // Lengths of slices are at most `isize::MAX`, so nothing is lost.
        let query = query as isize;
        let first = query.saturating_add(self.first).clamp(0, n as isize);
        let end = query.saturating_add(self.last).saturating_add(1).clamp(0, n as isize);
        first as usize..end.max(first) as usize
    }
}

/// The part of a mask that a row has, in one piece.
pub(super) struct RowMask<T> {
    keep: Vec<bool>,
    add: Vec<T>,
    /// Where in the mask the pieces that were copied begin.
    copied: [Option<usize>; 2],
}

impl<T: Element> RowMask<T> {
    pub(super) fn new() -> Self {
        RowMask { keep: Vec::new(), add: Vec::new(), copied: [None; 2] }
    }

    /// The entries of a row that begins at `place`; empty if the mask has none of a kind.
    pub(super) fn of<'m>(
        &'m mut self,
        mask: &Mask<'m, T>,
        layout: &Layout,
        place: &Place,
    ) -> (&'m [bool], &'m [T]) {
        let [_, keep_at, add_at, _] = *place;
        let keep = match &mask.keep {
            Some(m) => {
                piece::<_, 1>(m.values, layout, keep_at, &mut self.keep, &mut self.copied[0])
            }
            None => &[],
        };
        let add = match &mask.add {
            Some(m) => piece::<_, 2>(m.values, layout, add_at, &mut self.add, &mut self.copied[1]),
            None => &[],
        };
        (keep, add)
    }
}

/// The entries of a row that begins at `start`, where they lie or copied; `WHICH`: number of the array.
fn piece<'m, E: Copy, const WHICH: usize>(
    entries: &'m [E],
    layout: &Layout,
    start: usize,
    copy: &'m mut Vec<E>,
    copied: &mut Option<usize>,
) -> &'m [E] {
    if layout.row.is_contiguous(WHICH) {
        return &entries[start..start + layout.row.len()];
    }
    if *copied != Some(start) {
        *copied = Some(start);
        copy.clear();
        layout.row.runs(|place, len, step| {
            copy.extend((0..len).map(|j| entries[start + place[WHICH] + j * step[WHICH]]));
        });
    }
    copy
}
