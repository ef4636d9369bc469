//! What can go wrong with the caller's data, in one line that names the right answer.

use crate::activation::Param;
use crate::level::Level;
use crate::names::Name;
use core::fmt;

#[cfg(feature = "alloc")]
use alloc::{string::String, vec::Vec};

/// A mistake in a name, a parameter or a level.
///
/// Lengths that differ are mistakes of the program: those panic, as `copy_from_slice` does.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// No function of that name.
    #[cfg(feature = "alloc")]
    UnknownFunction {
        /// What was asked for.
        name: String,
        /// The function whose name differs by a slip of the pen, if there is one.
        nearest: Option<&'static str>,
    },
    /// A text that is no formula.
    #[cfg(feature = "alloc")]
    Formula(crate::FormulaError),
    /// Nothing that functions are exported to.
    #[cfg(feature = "alloc")]
    UnknownTarget {
        /// What was asked for.
        name: String,
        /// The target that was perhaps meant.
        nearest: Option<crate::Target>,
    },
    /// A formula whose derivative is longer than formulas may be.
    #[cfg(feature = "alloc")]
    DerivativeTooLong {
        /// The formula.
        function: Name,
    },
    /// There is such a function, but it takes other operands.
    OtherKind {
        /// The function.
        function: &'static str,
        /// What it is.
        kind: Kind,
        /// What was asked for.
        wanted: Kind,
    },
    /// The function has no such parameter.
    #[cfg(feature = "alloc")]
    UnknownParameter {
        /// The function.
        function: Name,
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<Name>,
    },
    /// A parameter outside its bounds, or NaN.
    ParameterOutOfBounds {
        /// The function.
        function: Name,
        /// The parameter.
        name: Name,
        /// The value given.
        value: f64,
        /// Least value allowed.
        low: f64,
        /// Greatest value allowed.
        high: f64,
    },
    /// A parameter that must be a whole number.
    ParameterNotWhole {
        /// The function.
        function: Name,
        /// The parameter.
        name: Name,
        /// The value given.
        value: f64,
    },
    /// A parameter that was given twice.
    ParameterTwice {
        /// The function.
        function: Name,
        /// The parameter.
        name: Name,
    },
    /// Two parameters that contradict one another.
    ParametersConflict {
        /// The function.
        function: Name,
        /// The one that must be at most the other, and its value.
        lesser: (Name, f64),
        /// The other, and its value.
        greater: (Name, f64),
    },
    /// A function with many parameters can only have its defaults without an allocator.
    NeedsAlloc {
        /// The function.
        function: Name,
    },
    /// A program that is longer than programs may be, or needs too many numbers at once.
    #[cfg(feature = "alloc")]
    ProgramTooLong {
        /// The function.
        function: Name,
        /// How many numbers a program may have.
        most: usize,
    },
    /// The function has no parameters, so that there is nothing to learn.
    NoParameters {
        /// The function.
        function: Name,
    },
    /// Values of which not every parameter has as many.
    ParameterValues {
        /// The function.
        function: Name,
        /// How many parameters it has.
        params: usize,
        /// How many values there are.
        values: usize,
    },
    /// The function has no parameter that may be given per channel.
    NotPerChannel {
        /// The function.
        function: Name,
    },
    /// The function is not random in training.
    NotRandom {
        /// The function.
        function: Name,
    },
    /// The function has no gradient from its output.
    NotFromOutput {
        /// The function.
        function: Name,
    },
    /// A negative parameter, with which the output does not tell the input's sign.
    NegativeFromOutput {
        /// The function.
        function: Name,
        /// The parameter.
        name: Name,
        /// The value given.
        value: f64,
    },
    /// No level of that name.
    #[cfg(feature = "alloc")]
    UnknownLevel {
        /// What was asked for.
        name: String,
    },
    /// A level that this processor lacks.
    UnavailableLevel {
        /// What was asked for.
        level: Level,
        /// The best level here.
        best: Level,
    },
    /// An array whose length is not the size of its shape.
    #[cfg(feature = "alloc")]
    ShapeSize {
        /// What the array is.
        name: &'static str,
        /// How many elements it has.
        len: usize,
        /// Its shape as given.
        shape: Vec<usize>,
        /// How many elements the shape has.
        size: usize,
    },
    /// A shape that has more elements than an address space holds.
    #[cfg(feature = "alloc")]
    ShapeOverflow {
        /// The shape.
        shape: Vec<usize>,
        /// Bytes of an element, or 1 if elements are counted.
        item: usize,
    },
    /// An axis that a shape has not.
    #[cfg(feature = "alloc")]
    AxisOutOfRange {
        /// The axis as given; negative ones count from the end.
        axis: isize,
        /// The shape.
        shape: Vec<usize>,
    },
    /// An axis that is named twice.
    #[cfg(feature = "alloc")]
    AxisRepeated {
        /// The axis as given the second time.
        axis: isize,
        /// The shape.
        shape: Vec<usize>,
    },
    /// An axis that holds two operands but whose length is odd.
    #[cfg(feature = "alloc")]
    AxisOdd {
        /// The axis as given.
        axis: isize,
        /// The shape.
        shape: Vec<usize>,
    },
    /// Two arrays whose shapes must be equal.
    #[cfg(feature = "alloc")]
    ShapesDiffer {
        /// The argument whose shape is wrong.
        name: &'static str,
        /// Its shape.
        got: Vec<usize>,
        /// The other.
        other: &'static str,
        /// The shape of both, as it should be.
        wanted: Vec<usize>,
    },
    /// Values of a parameter that are neither one nor one for each channel.
    #[cfg(feature = "alloc")]
    Channels {
        /// The axis of channels as given.
        axis: isize,
        /// The shape.
        shape: Vec<usize>,
        /// How many channels there are.
        channels: usize,
        /// How many values there are.
        values: usize,
    },
    /// Values of a parameter for groups of channels, which cannot be made so many equal ones.
    #[cfg(feature = "alloc")]
    Groups {
        /// The axis of channels as given.
        axis: isize,
        /// The shape.
        shape: Vec<usize>,
        /// How many channels there are.
        channels: usize,
        /// How many groups, which is how many values there are of each parameter.
        groups: usize,
    },
    /// An array without elements, which has no mean.
    #[cfg(feature = "alloc")]
    NoMean {
        /// Its shape.
        shape: Vec<usize>,
    },
    /// Statistics of different numbers of channels.
    StatisticsDiffer {
        /// How many channels there are.
        channels: usize,
        /// How many the other ones are of.
        other: usize,
    },
    /// An adaptive function none of whose parameters has a rule.
    #[cfg(feature = "alloc")]
    NoRule {
        /// The function.
        function: Name,
        /// The parameters that may have one.
        known: Vec<Name>,
    },
    /// A mask that cannot be repeated to the shape of the scores.
    #[cfg(feature = "alloc")]
    MaskShape {
        /// The mask's shape.
        mask: Vec<usize>,
        /// The scores' shape.
        scores: Vec<usize>,
    },
    /// A causal mask or a window whose axis of queries is not known: rows run along several axes, or
    /// along the first one.
    #[cfg(feature = "alloc")]
    MaskQueries {
        /// The scores' shape.
        scores: Vec<usize>,
    },
}

/// What a function takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// One number.
    Elementwise,
    /// A gate and a value.
    Gated,
    /// A row of numbers.
    RowWise,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Elementwise => "elementwise",
            Kind::Gated => "gated",
            Kind::RowWise => "row-wise",
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            #[cfg(feature = "alloc")]
            Error::UnknownFunction { name, nearest: Some(nearest) } => {
                write!(f, "unknown function `{name}`; did you mean `{nearest}`?")
            }
            #[cfg(feature = "alloc")]
            Error::UnknownFunction { name, nearest: None } => {
                write!(f, "unknown function `{name}`, and no other has a name like it")
            }
            #[cfg(feature = "alloc")]
            Error::Formula(e) => e.fmt(f),
            Error::OtherKind { function, kind, wanted } => write!(
                f,
                "`{function}` is {kind}, not {wanted}; look it up with `{}`",
                match kind {
                    Kind::Elementwise => "get",
                    Kind::Gated => "gated",
                    Kind::RowWise => "rowwise",
                }
            ),
            #[cfg(feature = "alloc")]
            Error::UnknownParameter { function, name, known } if known.is_empty() => {
                write!(f, "`{function}` has no parameter `{name}`; it has none")
            }
            #[cfg(feature = "alloc")]
            Error::UnknownParameter { function, name, known } => {
                write!(f, "`{function}` has no parameter `{name}`; it has ")?;
                list(f, known)
            }
            Error::ParameterOutOfBounds { function, name, value, low, high } => {
                write!(f, "`{name}` of `{function}` is ")?;
                // A number too large to be read is written with an exponent.
                if value.abs() < 1e16 {
                    write!(f, "{value}")?
                } else {
                    write!(f, "{value:e}")?
                }
                f.write_str("; it must be ")?;
                // The end that was passed, if it is one alone.
                let limit =
                    |end: &f64| if end.abs() == Param::LIMIT { ", the limit of f32" } else { "" };
                if value < low && *high == Param::LIMIT {
                    write!(f, "at least {}{}", Table16(*low), limit(low))
                } else if value > high && *low == -Param::LIMIT {
                    write!(f, "at most {}{}", Table16(*high), limit(high))
                } else {
                    write!(f, "between {} and {}", Table16(*low), Table16(*high))
                }
            }
            Error::NotFromOutput { function } => write!(
                f,
                "the output of `{function}` does not determine its slope; run backward from the input"
            ),
            Error::NegativeFromOutput { function, name, value } => write!(
                f,
                "`{name}` of `{function}` is {value}; backward from the output needs at least 0: run it from the input"
            ),
            #[cfg(feature = "alloc")]
            Error::UnknownTarget { name, nearest } => {
                write!(f, "unknown target `{name}`; ")?;
                if let Some(nearest) = nearest {
                    return write!(f, "did you mean `{nearest}`?");
                }
                write!(f, "the targets are ")?;
                for (i, target) in crate::Target::ALL.iter().enumerate() {
                    write!(f, "{}{target}", if i > 0 { ", " } else { "" })?;
                }
                Ok(())
            }
            #[cfg(feature = "alloc")]
            Error::DerivativeTooLong { function } => write!(
                f,
                "the derivative of `{function}` is too long to be written; a shorter formula has one"
            ),
            #[cfg(feature = "alloc")]
            Error::UnknownLevel { name } => {
                write!(f, "unknown level `{name}`; the levels are ")?;
                for (i, level) in Level::ALL.iter().enumerate() {
                    write!(f, "{}{level}", if i > 0 { ", " } else { "" })?;
                }
                Ok(())
            }
            Error::UnavailableLevel { level, best } => {
                write!(f, "this processor lacks the level `{level}`; its best is `{best}`")
            }
            Error::ParameterNotWhole { function, name, value } => {
                write!(f, "`{name}` of `{function}` is {value}; it must be a whole number")
            }
            Error::ParameterTwice { function, name } => {
                write!(f, "`{name}` of `{function}` is given twice")
            }
            Error::ParametersConflict { function, lesser: (a, x), greater: (b, y) } => write!(
                f,
                "`{a}` of `{function}` is {x} and `{b}` is {y}; `{a}` must be at most `{b}`"
            ),
            Error::NeedsAlloc { function } => write!(
                f,
                "the parameters of `{function}` can only be changed with the feature `alloc`"
            ),
            #[cfg(feature = "alloc")]
            Error::ProgramTooLong { function, most } => write!(
                f,
                "`{function}` is too long: a program has at most {most} numbers, of which fewer than 200 are needed at once"
            ),
            Error::NoParameters { function } => {
                write!(f, "`{function}` has no parameters to be learned; `prelu` has")
            }
            Error::ParameterValues { function, params, values } => write!(
                f,
                "`{function}` has {params} parameters, but there are {values} values; give {params}, or {params} for each channel"
            ),
            Error::NotPerChannel { function } => {
                write!(f, "`{function}` has no parameter per channel; `prelu` has")
            }
            Error::NotRandom { function } => {
                write!(f, "`{function}` is not random in training; `rrelu` is")
            }
            #[cfg(feature = "alloc")]
            Error::ShapeSize { name, len, shape, size } => {
                write!(f, "shape {shape:?} has {size} elements, {name} has {len}")
            }
            #[cfg(feature = "alloc")]
            Error::ShapeOverflow { shape, item } => {
                write!(f, "shape {shape:?}")?;
                if *item != 1 {
                    write!(f, " of {item} bytes an element")?;
                }
                write!(f, " is larger than an address space, which holds {} bytes", isize::MAX)
            }
            #[cfg(feature = "alloc")]
            Error::AxisOutOfRange { axis, shape } if shape.is_empty() => {
                write!(f, "axis {axis} is out of range for shape [], which has no axes")
            }
            #[cfg(feature = "alloc")]
            Error::AxisOutOfRange { axis, shape } => write!(
                f,
                "axis {axis} is out of range for shape {shape:?}; it must be between -{} and {}",
                shape.len(),
                shape.len() - 1
            ),
            #[cfg(feature = "alloc")]
            Error::AxisRepeated { axis, shape } => {
                write!(f, "axis {axis} of shape {shape:?} is named twice; name each axis once")
            }
            #[cfg(feature = "alloc")]
            Error::AxisOdd { axis, shape } => {
                // The axis is one of the shape's; a negative one counts from the end.
                let index = axis.rem_euclid(shape.len().max(1) as isize) as usize;
                let n = shape.get(index).copied().unwrap_or_default();
                write!(
                    f,
                    "axis {axis} of shape {shape:?} holds two operands, but its length {n} is odd"
                )
            }
            #[cfg(feature = "alloc")]
            Error::ShapesDiffer { name, got, other, wanted } => {
                write!(f, "{name} has shape {got:?}, {other} has {wanted:?}: they must be equal")
            }
            #[cfg(feature = "alloc")]
            Error::Channels { axis, shape, channels, values } => write!(
                f,
                "axis {axis} of shape {shape:?} has {channels} channels, but there are {values} values; give {channels} or 1"
            ),
            #[cfg(feature = "alloc")]
            Error::Groups { axis, shape, channels, groups } => {
                write!(
                    f,
                    "axis {axis} of shape {shape:?} has {channels} channels, which cannot be {groups} equal groups; give values for "
                )?;
                let divides = |n: &usize| channels.is_multiple_of(*n);
                let fewer = (1..=*channels).rev().find(|n| n < groups && divides(n));
                let more = (groups + 1..=*channels).find(divides);
                match (fewer, more) {
                    (Some(fewer), Some(more)) => write!(f, "{fewer} or {more}"),
                    (Some(n), None) | (None, Some(n)) => write!(f, "{n}"),
                    (None, None) => write!(f, "1"),
                }
            }
            #[cfg(feature = "alloc")]
            Error::NoMean { shape } => {
                write!(f, "an array of shape {shape:?} has no elements, and so no mean")
            }
            Error::StatisticsDiffer { channels, other } => write!(
                f,
                "statistics of {channels} channels cannot take in those of {other}; they must be of as many"
            ),
            #[cfg(feature = "alloc")]
            Error::NoRule { function, known } => {
                write!(f, "no parameter of `{function}` has a rule; give one of ")?;
                list(f, known)
            }
            #[cfg(feature = "alloc")]
            Error::MaskShape { mask, scores } => write!(
                f,
                "a mask of shape {mask:?} cannot be repeated to scores of shape {scores:?}; from the last axis backwards each of its lengths must be 1 or that of the scores"
            ),
            #[cfg(feature = "alloc")]
            Error::MaskQueries { scores } => write!(
                f,
                "a causal mask over scores of shape {scores:?} needs one axis of keys, with queries along the axis before it; name the axis of queries"
            ),
        }
    }
}

impl core::error::Error for Error {}

#[cfg(feature = "alloc")]
impl From<crate::FormulaError> for Error {
    fn from(e: crate::FormulaError) -> Self {
        Error::Formula(e)
    }
}

/// Names with commas between them.
#[cfg(feature = "alloc")]
fn list(f: &mut fmt::Formatter<'_>, names: &[Name]) -> fmt::Result {
    for (i, name) in names.iter().enumerate() {
        write!(f, "{}{name}", if i > 0 { ", " } else { "" })?;
    }
    Ok(())
}

/// A bound in as few digits as it takes; limits of f32 as f32 writes them.
struct Table16(f64);

impl fmt::Display for Table16 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Table16(v) = *self;
        if v.abs() == Param::LIMIT { write!(f, "{:e}", v as f32) } else { write!(f, "{v}") }
    }
}
