//! Shapes and axes of arrays in C order. Every shape that a caller gives is checked here, and all
//! arithmetic on its lengths is checked: a product that wraps would let a kernel write past the end
//! of a slice.
//!
//! A size is the product of all lengths. As in NumPy, an axis of length 0 makes the size 0 and is
//! left out of the check: `[0, 2^62, 4]` is refused although it has no elements. So the product of
//! any part of an accepted shape fits, whichever axes are taken.

use crate::error::Error;
use alloc::{vec, vec::Vec};

/// The number of elements.
///
/// # Errors
/// [`Error::ShapeOverflow`] if the lengths that are not 0 have a product beyond [`isize::MAX`].
pub fn size(shape: &[usize]) -> Result<usize, Error> {
    bytes(shape, 1)
}

/// The number of bytes of elements of `item` bytes.
///
/// # Errors
/// [`Error::ShapeOverflow`] if the lengths that are not 0 and `item` have a product beyond
/// [`isize::MAX`], which is as much as an address space holds.
pub fn bytes(shape: &[usize], item: usize) -> Result<usize, Error> {
    let lengths = shape.iter().filter(|&&n| n != 0);
    let product = lengths.copied().try_fold(item, usize::checked_mul);
    match product.filter(|&p| isize::try_from(p).is_ok()) {
        Some(_) if shape.contains(&0) => Ok(0),
        Some(product) => Ok(product),
        None => Err(Error::ShapeOverflow { shape: shape.into(), item }),
    }
}

/// Checks that `name`, which has `len` elements, has that shape.
///
/// # Errors
/// [`Error::ShapeOverflow`] and [`Error::ShapeSize`].
pub fn check(name: &'static str, len: usize, shape: &[usize]) -> Result<(), Error> {
    match size(shape)? {
        size if size == len => Ok(()),
        size => Err(Error::ShapeSize { name, len, shape: shape.into(), size }),
    }
}

/// Checks that two arrays, `name` and `other`, have one shape.
///
/// # Errors
/// [`Error::ShapesDiffer`] if they have not.
pub fn same(
    name: &'static str,
    got: &[usize],
    other: &'static str,
    wanted: &[usize],
) -> Result<(), Error> {
    if got == wanted {
        return Ok(());
    }
    Err(Error::ShapesDiffer { name, got: got.into(), other, wanted: wanted.into() })
}

/// The index of the axis that `axis` names, counted from the end if it is negative.
///
/// # Errors
/// [`Error::AxisOutOfRange`] if there is no such axis.
pub fn axis(axis: isize, shape: &[usize]) -> Result<usize, Error> {
    let rank = shape.len();
    let index = if axis < 0 {
        rank.checked_sub(axis.unsigned_abs())
    } else {
        Some(axis.unsigned_abs()).filter(|&a| a < rank)
    };
    index.ok_or_else(|| Error::AxisOutOfRange { axis, shape: shape.into() })
}

/// An array around one of its axes: element `[o, i, j]` lies at `(o * n + i) * inner + j`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Around {
    /// Product of the lengths before the axis.
    pub outer: usize,
    /// Length of the axis.
    pub n: usize,
    /// Product of the lengths behind the axis.
    pub inner: usize,
}

/// Splits a shape around an axis (negative: counted from the end).
///
/// # Errors
/// [`Error::ShapeOverflow`] and [`Error::AxisOutOfRange`].
pub fn around(shape: &[usize], axis: isize) -> Result<Around, Error> {
    size(shape)?;
    let a = self::axis(axis, shape)?;
    // Parts of a shape whose size was checked.
    let product = |part: &[usize]| part.iter().product();
    Ok(Around { outer: product(&shape[..a]), n: shape[a], inner: product(&shape[a + 1..]) })
}

/// The distance in elements between neighbours along each axis, in C order.
///
/// # Errors
/// [`Error::ShapeOverflow`].
pub fn strides(shape: &[usize]) -> Result<Vec<usize>, Error> {
    size(shape)?;
    let mut strides = vec![1; shape.len()];
    for a in (1..shape.len()).rev() {
        // Parts of a shape whose size was checked.
        strides[a - 1] = strides[a] * shape[a];
    }
    Ok(strides)
}

/// The strides with which an array of shape `from` is read as one of shape `to`: 0 along axes that
/// are repeated. The rule is NumPy's: shapes are aligned at their ends, and an axis of `from` has
/// the length of its partner in `to`, or 1.
///
/// `None` if `from` cannot be read so, or overflows.
#[must_use]
pub fn broadcast(from: &[usize], to: &[usize]) -> Option<Vec<usize>> {
    let new = to.len().checked_sub(from.len())?;
    let own = strides(from).ok()?;
    let mut strides = vec![0; to.len()];
    for (a, &n) in from.iter().enumerate() {
        if n == to[new + a] {
            // One element has no neighbour.
            strides[new + a] = if n == 1 { 0 } else { own[a] };
        } else if n != 1 {
            return None;
        }
    }
    Some(strides)
}

/// The axes that rows run along: `-1`, `&[1, 2]`, or [`Axes::ALL`]. Negative ones count from the
/// end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axes<'a>(Which<'a>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which<'a> {
    One(isize),
    These(&'a [isize]),
    All,
}

impl Axes<'static> {
    /// All axes: the whole array is one row.
    pub const ALL: Self = Axes(Which::All);
}

impl From<isize> for Axes<'_> {
    fn from(axis: isize) -> Self {
        Axes(Which::One(axis))
    }
}

impl<'a> From<&'a [isize]> for Axes<'a> {
    fn from(axes: &'a [isize]) -> Self {
        Axes(Which::These(axes))
    }
}

impl<'a, const N: usize> From<&'a [isize; N]> for Axes<'a> {
    fn from(axes: &'a [isize; N]) -> Self {
        Axes(Which::These(axes))
    }
}

impl Axes<'_> {
    /// How many rows there are and how many elements each has, if they run along the last axis of
    /// more than one element, so that each follows the one before it. `None` says nothing: of several
    /// axes, of an array without elements, and of axes that it has not. The size was checked.
    pub(crate) fn in_order(&self, shape: &[usize]) -> Option<(usize, usize)> {
        let Which::One(a) = self.0 else { return None };
        let a = axis(a, shape).ok()?;
        // No part of a shape overflows whose size was checked, since that leaves lengths of 0 out.
        let product = |part: &[usize]| part.iter().product::<usize>();
        let in_order = product(&shape[a + 1..]) == 1 && shape[a] != 0;
        in_order.then(|| (product(&shape[..a]), shape[a]))
    }

    /// For each axis of `shape` whether rows run along it. An array without axes is a row of one
    /// element, along axis 0 or -1.
    ///
    /// # Errors
    /// [`Error::AxisOutOfRange`] if there is no such axis, [`Error::AxisRepeated`] if one is named
    /// twice.
    pub fn of(&self, shape: &[usize]) -> Result<Vec<bool>, Error> {
        let mut along = vec![false; shape.len()];
        let one;
        let axes = match self.0 {
            Which::All => {
                along.fill(true);
                return Ok(along);
            }
            Which::One(axis) => {
                one = [axis];
                &one
            }
            Which::These(axes) => axes,
        };
        if shape.is_empty() && matches!(axes, [] | [0 | -1]) {
            return Ok(along);
        }
        for &a in axes {
            let index = axis(a, shape)?;
            if core::mem::replace(&mut along[index], true) {
                return Err(Error::AxisRepeated { axis: a, shape: shape.into() });
            }
        }
        Ok(along)
    }
}
