//! The loops: from a definition and a register type to slices.
//!
//! A kernel takes one, two or three arrays and writes one or two. There is one for each definition,
//! type of array, direction and level. A derivative is a backward pass whose gradient is all ones.

#[cfg(feature = "half")]
use crate::activation::Arithmetic;
use crate::activation::{Elementwise, Gated, Param};
use crate::level::PerLevel;

mod elementwise;
mod gated;
#[cfg(feature = "half")]
mod half;
mod io;
mod near_far;
mod run;
mod steps;
#[cfg(feature = "alloc")]
mod summed;
pub(crate) mod wide;

#[cfg(feature = "alloc")]
pub(crate) use elementwise::{each_back_32, each_back_64, each_map_32, each_map_64};
#[cfg(feature = "alloc")]
use summed::{Summed, summed_32, summed_64};

/// What a call hands to its kernels beside arrays.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// The parameters, as they were given.
    pub(crate) params: &'a [f64],
    /// Whether outputs go past the caches.
    pub(crate) non_temporal: bool,
}

type P<'a> = &'a Call<'a>;

impl<'a> Call<'a> {
    /// With ordinary stores.
    #[inline]
    pub(crate) const fn new(params: &'a [f64]) -> Self {
        Call { params, non_temporal: false }
    }

    /// Whether the parameters, rounded to f32, are the default ones of `known`.
    #[inline(always)]
    pub(crate) fn has_defaults(&self, known: &[Param]) -> bool {
        let mut same = true;
        let mut i = 0;
        while i < known.len() {
            let p = &known[i];
            same &= p.in_f32(self.params[i]) == p.in_f32(p.default);
            i += 1;
        }
        same
    }
}

/// A kernel with one input and one output.
pub(crate) type Map<T> = unsafe fn(*const T, *mut T, usize, P<'_>);
/// Input and gradient, one output.
pub(crate) type Back<T> = unsafe fn(*const T, *const T, *mut T, usize, P<'_>);
/// Input, parameter and gradient, two outputs.
pub(crate) type EachBack<T> = unsafe fn(*const T, *const T, *const T, *mut T, *mut T, usize, P<'_>);
/// Two operands, one output.
pub(crate) type GatedMap<T> = unsafe fn(*const T, *const T, *mut T, usize, bool);
/// Two operands and gradient, two outputs.
pub(crate) type GatedBack<T> = unsafe fn(*const T, *const T, *const T, *mut T, *mut T, usize);

/// A set of kernels that there is for every type of array.
#[doc(hidden)]
pub trait Family {
    /// The set for arrays of `T`.
    type Of<T: 'static>;
}

/// A set of kernels for each type of array. [`Element`](crate::Element) picks one.
#[doc(hidden)]
pub struct PerType<F: Family> {
    pub(crate) f32: F::Of<f32>,
    pub(crate) f64: F::Of<f64>,
    #[cfg(feature = "half")]
    pub(crate) f16: F::Of<::half::f16>,
    #[cfg(feature = "half")]
    pub(crate) bf16: F::Of<::half::bf16>,
}

/// The kernels of an elementwise function for one type. Half types need not have them: those of
/// f32 serve.
pub(crate) struct Kernels<T: 'static> {
    pub(crate) map: Option<PerLevel<Map<T>>>,
    pub(crate) back: Option<PerLevel<Back<T>>>,
    /// `back` from the output, where the definition has it.
    pub(crate) from_output: Option<PerLevel<Back<T>>>,
}

/// [`Kernels`] for every type.
pub(crate) enum Elementwises {}
impl Family for Elementwises {
    type Of<T: 'static> = Kernels<T>;
}

impl PerType<Elementwises> {
    /// The kernels of a definition.
    pub(crate) const fn of<A: Elementwise>() -> Self {
        use elementwise::{back_32, back_64, from_output_32, from_output_64, map_32, map_64};
        #[cfg(feature = "half")]
        use half::{back_half, from_output_half, map_half};
        /// Without the kernels of half types where the type is wide.
        #[cfg(feature = "half")]
        macro_rules! half {
            ($t:ty) => {{
                let wide = matches!(A::ARITHMETIC, Arithmetic::F64);
                Kernels {
                    map: if wide { None } else { Some(map_half::<(A, $t)>()) },
                    back: if wide { None } else { Some(back_half::<(A, $t)>()) },
                    from_output: if A::CLAIMS.from_output.is_some() {
                        Some(from_output_half::<(A, $t)>())
                    } else {
                        None
                    },
                }
            }};
        }
        let from_output = A::CLAIMS.from_output.is_some();
        PerType {
            f32: Kernels {
                map: Some(map_32::<A>()),
                back: Some(back_32::<A>()),
                from_output: if from_output { Some(from_output_32::<A>()) } else { None },
            },
            f64: Kernels {
                map: Some(map_64::<A>()),
                back: Some(back_64::<A>()),
                from_output: if from_output { Some(from_output_64::<A>()) } else { None },
            },
            #[cfg(feature = "half")]
            f16: half!(::half::f16),
            #[cfg(feature = "half")]
            bf16: half!(::half::bf16),
        }
    }
}

/// The kernels of a function whose first parameter is given per element, for one type.
#[cfg(feature = "alloc")]
pub(crate) struct EachKernels<T: 'static> {
    pub(crate) map: Option<PerLevel<Back<T>>>,
    pub(crate) back: Option<PerLevel<EachBack<T>>>,
    /// `back` with one parameter for all elements, over which it adds.
    pub(crate) summed: Option<PerLevel<Summed<T>>>,
}

/// [`EachKernels`] for every type.
#[cfg(feature = "alloc")]
pub(crate) enum Each {}
#[cfg(feature = "alloc")]
impl Family for Each {
    type Of<T: 'static> = EachKernels<T>;
}

#[cfg(feature = "alloc")]
impl PerType<Each> {
    /// The kernels of a definition.
    pub(crate) const fn of<A: Elementwise>() -> Self {
        PerType {
            f32: EachKernels {
                map: Some(each_map_32::<A>()),
                back: Some(each_back_32::<A>()),
                summed: Some(summed_32::<A>()),
            },
            f64: EachKernels {
                map: Some(each_map_64::<A>()),
                back: Some(each_back_64::<A>()),
                summed: Some(summed_64::<A>()),
            },
            #[cfg(feature = "half")]
            f16: EachKernels { map: None, back: None, summed: None },
            #[cfg(feature = "half")]
            bf16: EachKernels { map: None, back: None, summed: None },
        }
    }
}

/// The kernels of a gated function for one type. Half types need not have them: those of f32 serve.
pub(crate) struct GatedKernels<T: 'static> {
    pub(crate) map: Option<PerLevel<GatedMap<T>>>,
    pub(crate) back: Option<PerLevel<GatedBack<T>>>,
}

/// [`GatedKernels`] for every type.
pub(crate) enum Gateds {}
impl Family for Gateds {
    type Of<T: 'static> = GatedKernels<T>;
}

impl PerType<Gateds> {
    /// The kernels of a definition.
    pub(crate) const fn of<G: Gated>() -> Self {
        use gated::{gated_back_32, gated_back_64, gated_map_32, gated_map_64};
        #[cfg(feature = "half")]
        use half::{gated_back_half, gated_map_half};
        #[cfg(feature = "half")]
        macro_rules! half {
            ($t:ty) => {{
                let wide = matches!(G::ARITHMETIC, Arithmetic::F64);
                GatedKernels {
                    map: if wide { None } else { Some(gated_map_half::<(G, $t)>()) },
                    back: if wide { None } else { Some(gated_back_half::<(G, $t)>()) },
                }
            }};
        }
        PerType {
            f32: GatedKernels { map: Some(gated_map_32::<G>()), back: Some(gated_back_32::<G>()) },
            f64: GatedKernels { map: Some(gated_map_64::<G>()), back: Some(gated_back_64::<G>()) },
            #[cfg(feature = "half")]
            f16: half!(::half::f16),
            #[cfg(feature = "half")]
            bf16: half!(::half::bf16),
        }
    }
}
