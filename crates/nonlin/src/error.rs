//! What can go wrong with the caller's data, in one line that names the right answer.

use core::fmt;

#[cfg(feature = "alloc")]
use alloc::string::{String, ToString};

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
        /// The most similar name.
        nearest: &'static str,
    },
    /// The function has no such parameter.
    #[cfg(feature = "alloc")]
    UnknownParameter {
        /// The function.
        function: &'static str,
        /// What was asked for.
        name: String,
        /// What there is, separated by commas; empty if the function has none.
        known: String,
    },
    /// A parameter outside its bounds, or NaN.
    ParameterOutOfBounds {
        /// The function.
        function: &'static str,
        /// The parameter.
        name: &'static str,
        /// The value given.
        value: f64,
        /// Least value allowed.
        low: f64,
        /// Greatest value allowed.
        high: f64,
    },
    /// The function has no gradient from its output.
    NotFromOutput {
        /// The function.
        function: &'static str,
    },
    /// A negative parameter, with which the output does not tell the input's sign.
    NegativeFromOutput {
        /// The function.
        function: &'static str,
        /// The parameter.
        name: &'static str,
        /// The value given.
        value: f64,
    },
    /// A level that does not exist or that this processor lacks.
    #[cfg(feature = "alloc")]
    Level {
        /// What was asked for.
        name: String,
        /// The best level here.
        best: &'static str,
    },
    /// An instruction-set level that this processor lacks.
    #[cfg(not(feature = "alloc"))]
    Level,
    /// Shapes that do not fit together.
    #[cfg(feature = "alloc")]
    Shape(String),
}

impl Error {
    pub(crate) fn level(_name: &str, _best: crate::Level) -> Self {
        #[cfg(feature = "alloc")]
        return Error::Level { name: _name.to_string(), best: _best.name() };
        #[cfg(not(feature = "alloc"))]
        Error::Level
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            #[cfg(feature = "alloc")]
            Error::UnknownFunction { name, nearest } => {
                write!(f, "unknown function `{name}`; did you mean `{nearest}`?")
            }
            #[cfg(feature = "alloc")]
            Error::UnknownParameter { function, name, known } if known.is_empty() => {
                write!(f, "`{function}` has no parameter `{name}`; it has none")
            }
            #[cfg(feature = "alloc")]
            Error::UnknownParameter { function, name, known } => {
                write!(f, "`{function}` has no parameter `{name}`; it has {known}")
            }
            Error::ParameterOutOfBounds { function, name, value, low, high } => {
                write!(f, "`{name}` of `{function}` is {value}; it must be ")?;
                match (*low == f64::MIN, *high == f64::MAX) {
                    (true, true) => f.write_str("a finite number"),
                    (true, false) => write!(f, "at most {high}"),
                    (false, true) => write!(f, "at least {low}"),
                    (false, false) => write!(f, "between {low} and {high}"),
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
            Error::Level { name, best } => write!(
                f,
                "level `{name}` is not one of baseline, avx2, avx512, neon, or not of this processor; its best is `{best}`"
            ),
            #[cfg(not(feature = "alloc"))]
            Error::Level => f.write_str("this processor lacks that level"),
            #[cfg(feature = "alloc")]
            Error::Shape(text) => f.write_str(text),
        }
    }
}

impl core::error::Error for Error {}
