//! What a header says of an array: type, byte order, storage order, shape, place.

use anyhow::{Result, bail};

/// An element type that files hold and that can be computed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DType {
    /// One byte, zero or not.
    Bool,
    /// Signed, 8 bits.
    I8,
    /// Unsigned, 8 bits.
    U8,
    /// Signed, 16 bits.
    I16,
    /// Unsigned, 16 bits.
    U16,
    /// Signed, 32 bits.
    I32,
    /// Unsigned, 32 bits.
    U32,
    /// Signed, 64 bits.
    I64,
    /// Unsigned, 64 bits.
    U64,
    /// IEEE half precision.
    F16,
    /// The upper half of an `F32`; `.safetensors` only.
    Bf16,
    /// IEEE single precision.
    F32,
    /// IEEE double precision.
    F64,
}

impl DType {
    /// Every type.
    pub const ALL: [DType; 13] = [
        DType::Bool,
        DType::I8,
        DType::U8,
        DType::I16,
        DType::U16,
        DType::I32,
        DType::U32,
        DType::I64,
        DType::U64,
        DType::F16,
        DType::Bf16,
        DType::F32,
        DType::F64,
    ];

    /// Bytes of an element.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            DType::Bool | DType::I8 | DType::U8 => 1,
            DType::I16 | DType::U16 | DType::F16 | DType::Bf16 => 2,
            DType::I32 | DType::U32 | DType::F32 => 4,
            DType::I64 | DType::U64 | DType::F64 => 8,
        }
    }

    /// NumPy's name (PyTorch's for `bfloat16`).
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            DType::Bool => "bool",
            DType::I8 => "int8",
            DType::U8 => "uint8",
            DType::I16 => "int16",
            DType::U16 => "uint16",
            DType::I32 => "int32",
            DType::U32 => "uint32",
            DType::I64 => "int64",
            DType::U64 => "uint64",
            DType::F16 => "float16",
            DType::Bf16 => "bfloat16",
            DType::F32 => "float32",
            DType::F64 => "float64",
        }
    }

    /// Whether functions of real numbers take it as it is.
    #[must_use]
    pub const fn is_float(self) -> bool {
        matches!(self, DType::F16 | DType::Bf16 | DType::F32 | DType::F64)
    }

    /// The type that NumPy's `exp` returns for it: the smallest float that holds every value,
    /// `float64` at most.
    #[must_use]
    pub const fn promoted(self) -> DType {
        match self {
            DType::Bool | DType::I8 | DType::U8 => DType::F16,
            DType::I16 | DType::U16 => DType::F32,
            DType::I32 | DType::U32 | DType::I64 | DType::U64 => DType::F64,
            float => float,
        }
    }
}

/// An array in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Array {
    /// Element type.
    pub dtype: DType,
    /// Most significant byte first.
    pub big_endian: bool,
    /// First axis contiguous instead of the last.
    pub fortran: bool,
    /// Lengths of the axes.
    pub shape: Vec<usize>,
    /// Where in the file its first element begins.
    pub offset: usize,
}

impl Array {
    /// The number of elements.
    #[must_use]
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Bytes of all elements.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.elements() * self.dtype.size()
    }
}

/// Fails if an array of this shape has more bytes than an address space.
///
/// Axes of length 0 are left out of the product, as NumPy does: `(0, 2^62)` is refused, and
/// whatever is computed from parts of the shape fits.
pub fn check_size(shape: &[usize], dtype: DType) -> Result<()> {
    let bytes = shape
        .iter()
        .filter(|&&n| n != 0)
        .try_fold(dtype.size(), |product, &n| product.checked_mul(n));
    match bytes {
        Some(n) if isize::try_from(n).is_ok() => Ok(()),
        _ => bail!(
            "shape {shape:?} of {} has more than the {} bytes that an address space holds",
            dtype.name(),
            isize::MAX
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promotion_is_numpys() {
        let names: Vec<_> = DType::ALL.iter().map(|d| (d.name(), d.promoted().name())).collect();
        assert_eq!(names[0], ("bool", "float16"));
        assert_eq!(names[4], ("uint16", "float32"));
        assert_eq!(names[5], ("int32", "float64"));
        for dtype in DType::ALL {
            assert!(dtype.promoted().is_float());
            assert_eq!(dtype.is_float(), dtype.promoted() == dtype);
        }
    }

    #[test]
    fn sizes_are_checked() {
        assert!(check_size(&[1 << 31, 1 << 31], DType::Bool).is_ok());
        assert!(check_size(&[1 << 31, 1 << 31], DType::F64).is_err());
        assert!(check_size(&[0, 1 << 31, 1 << 31], DType::F64).is_err());
        assert!(check_size(&[0, 5], DType::F64).is_ok());
    }
}
