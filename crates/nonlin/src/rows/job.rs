//! What is done to a row, apart from where it lies.

#![allow(unsafe_code)]

/// What a row gives of which every element is masked (or -inf).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum EmptyRow {
    /// NaN, as the definition says (0 / 0) and PyTorch does.
    #[default]
    Nan,
    /// Zeros (log-softmax: -inf), as attention wants it for padding.
    Zero,
}

/// One row's task, apart from the data.
#[derive(Clone, Copy)]
pub(super) struct RowJob {
    /// The logarithm of the shares is wanted.
    pub(super) log: bool,
    pub(super) scale: f64,
    pub(super) empty: EmptyRow,
    /// Elements of the row that take part, from its first on; the rest is masked.
    pub(super) visible: usize,
}

impl RowJob {
    /// What a masked element gives beside others that are not.
    pub(super) fn masked(&self) -> f64 {
        if self.log { f64::NEG_INFINITY } else { 0.0 }
    }

    /// What all elements give if all are masked.
    pub(super) fn all_masked(&self) -> f64 {
        if self.empty == EmptyRow::Zero { self.masked() } else { f64::NAN }
    }

    /// What all elements of a row of f32 give whose largest is infinite, or that has none but NaN.
    ///
    /// # Safety
    /// `x` points to `n` elements.
    #[inline(always)]
    pub(super) unsafe fn without_maximum(&self, x: *const f32, n: usize, max: f32) -> f32 {
        // SAFETY: `x` points to `n` elements, which nothing writes while the slice lives.
        let nan = unsafe { core::slice::from_raw_parts(x, n) }.iter().any(|v| v.is_nan());
        if max == f32::NEG_INFINITY && !nan { self.all_masked() as f32 } else { f32::NAN }
    }
}
