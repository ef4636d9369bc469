//! What a header says of an array: type, byte order, storage order, shape, place.

use anyhow::anyhow;

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

/// The error for a name that a file does not have: with the one that was meant, if that can be
/// told, else with the first of those that are there.
pub fn missing<'a>(
    what: &str,
    name: &str,
    names: impl Iterator<Item = &'a str> + Clone,
) -> anyhow::Error {
    const SHOWN: usize = 3;
    let limit = (name.chars().count() / 3).max(1);
    let near = names
        .clone()
        .map(|n| (strsim::osa_distance(n, name), n))
        .min()
        .filter(|&(distance, _)| distance <= limit);
    if let Some((_, near)) = near {
        return anyhow!("no {what} {name:?}; the nearest name is {near:?}");
    }
    let shown: Vec<String> = names.clone().take(SHOWN).map(|n| format!("{n:?}")).collect();
    match names.count() {
        0 => anyhow!("no {what} {name:?}; the file has none at all"),
        1 => anyhow!("no {what} {name:?}; there is {}", shown[0]),
        n if n <= SHOWN => anyhow!("no {what} {name:?}; there are {}", shown.join(", ")),
        n => anyhow!("no {what} {name:?}; there are {} and {} more", shown.join(", "), n - SHOWN),
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
    fn near_names_are_suggested() {
        let text =
            |name, names: &[&str]| missing("tensor", name, names.iter().copied()).to_string();
        assert!(text("wieght", &["bias", "weight"]).ends_with("the nearest name is \"weight\""));
        assert!(text("gate", &["w", "b"]).ends_with("there are \"w\", \"b\""));
        assert!(text("gate", &["wq", "wk", "wv", "wo"]).ends_with("\"wv\" and 1 more"));
        assert!(text("gate", &["up"]).ends_with("there is \"up\""));
        assert!(text("gate", &[]).ends_with("none at all"));
    }
}
