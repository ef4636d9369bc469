//! All contact of the operators with the library: functions, and what a kernel does to a run of
//! elements in memory.

use std::slice::{from_raw_parts, from_raw_parts_mut};

use half::{bf16, f16};
pub use nonlin::{Element, Function, GatedFunction};

macro_rules! functions {
    ($($name:ident $kind:ident,)*) => {$(
        #[doc = concat!("`", stringify!($name), "` at its default parameters.")]
        pub fn $name() -> &'static Function {
            &nonlin::$kind
        }
    )*};
}

functions! {
    relu Relu,
    sigmoid Sigmoid,
    tanh Tanh,
    silu Silu,
    mish Mish,
    gelu Gelu,
    gelu_tanh GeluTanh,
    hard_swish HardSwish,
    hard_sigmoid HardSigmoid,
    log_sigmoid LogSigmoid,
    selu Selu,
    leaky_relu LeakyRelu,
    prelu Prelu,
    elu Elu,
    celu Celu,
    softplus Softplus,
}

/// The function with its only parameter changed; `None` if the value is out of bounds.
pub fn with(function: &Function, value: f64) -> Option<Function> {
    function.with_index(0, value).ok()
}

/// The catalogue's elementwise functions.
pub fn elementwise() -> &'static [&'static Function] {
    nonlin::functions()
}

/// The catalogue's gated units.
pub fn gated() -> &'static [&'static GatedFunction] {
    nonlin::gated_functions()
}

/// GLU, whose second operand is the gate.
pub fn glu() -> &'static GatedFunction {
    &nonlin::Glu
}

/// An element of a tensor.
pub trait Number: Element {
    /// `-|x|`.
    fn below_zero(self) -> Self;
}

macro_rules! number {
    ($t:ty, $sign:expr) => {
        impl Number for $t {
            fn below_zero(self) -> Self {
                Self::from_bits(self.to_bits() | $sign)
            }
        }
    };
}

number!(f32, 1 << 31);
number!(f64, 1 << 63);
number!(f16, 1 << 15);
number!(bf16, 1 << 15);

/// `z = e^-|x|`, which PyTorch's backward of log-sigmoid wants to be given: below 0 it is the slope of
/// ELU.
fn decay<T: Number>(x: &[T], z: &mut [T]) {
    for (z, x) in z.iter_mut().zip(x) {
        *z = x.below_zero();
    }
    elu().derivative_in_place(z);
}

fn forward_in_place<T: Element>(f: &Function, x: &mut [T]) {
    f.forward_in_place(x);
}

/// What an operator does to `n` elements that lie side by side: `I` operands, `O` results.
pub trait Kernel<const I: usize, const O: usize>: Sync {
    /// Elements below which a part is not worth a thread of its own.
    const GRAIN: usize = 1 << 15;

    /// # Safety
    /// All pointers must lead to `n` elements, initialised and aligned, those of `y` writable. No
    /// result may overlap another operand or result, except that the only result of one operand
    /// may be that operand. Nobody else may write to the operands or touch the results meanwhile.
    unsafe fn run<T: Number>(&self, x: [*const T; I], y: [*mut T; O], n: usize);
}

/// f(x).
pub struct Map<'a>(pub &'a Function);

impl Kernel<1, 1> for Map<'_> {
    unsafe fn run<T: Number>(&self, [x]: [*const T; 1], [y]: [*mut T; 1], n: usize) {
        if std::ptr::eq(x, y) {
            // SAFETY: by the contract `y` leads to `n` elements that nobody else touches; no other
            // reference to them is made here.
            forward_in_place(self.0, unsafe { from_raw_parts_mut(y, n) });
        } else {
            // SAFETY: by the contract both lead to `n` elements, and if they differ they do not
            // overlap.
            let (x, y) = unsafe { (from_raw_parts(x, n), from_raw_parts_mut(y, n)) };
            self.0.forward(x, y);
        }
    }
}

/// `grad f'(x)` from gradient and input.
pub struct Back<'a>(pub &'a Function);

impl Kernel<2, 1> for Back<'_> {
    unsafe fn run<T: Number>(&self, [grad, x]: [*const T; 2], [dx]: [*mut T; 1], n: usize) {
        // SAFETY: by the contract all lead to `n` elements, and the result overlaps no operand.
        unsafe {
            let (x, grad) = (from_raw_parts(x, n), from_raw_parts(grad, n));
            self.0.backward(x, grad, from_raw_parts_mut(dx, n));
        }
    }
}

/// `grad f'(x)` from gradient and output.
pub struct FromOutput<'a>(pub &'a Function);

impl Kernel<2, 1> for FromOutput<'_> {
    unsafe fn run<T: Number>(&self, [grad, y]: [*const T; 2], [dx]: [*mut T; 1], n: usize) {
        // SAFETY: by the contract all lead to `n` elements, and the result overlaps no operand.
        let done = unsafe {
            let (y, grad) = (from_raw_parts(y, n), from_raw_parts(grad, n));
            self.0.backward_from_output(y, grad, from_raw_parts_mut(dx, n))
        };
        done.unwrap_or_else(|e| panic!("{e}"));
    }
}

/// Whether [`FromOutput`] can be used for a function.
pub fn has_from_output(f: &Function) -> bool {
    f.backward_from_output::<f32>(&[], &[], &mut []).is_ok()
}

/// `g grad f''(x)`: how `grad f'(x)` changes with x, times `g`.
pub struct Second<'a>(pub &'a Function);

impl Kernel<3, 1> for Second<'_> {
    const GRAIN: usize = 1 << 10;

    unsafe fn run<T: Number>(&self, [g, grad, x]: [*const T; 3], [y]: [*mut T; 1], n: usize) {
        // SAFETY: by the contract all lead to `n` elements, and the result overlaps no operand.
        let (g, grad, x, y) = unsafe {
            let operands = [g, grad, x].map(|p| from_raw_parts(p, n));
            (operands[0], operands[1], operands[2], from_raw_parts_mut(y, n))
        };
        self.0.second_derivative(x, y);
        for (y, (g, grad)) in y.iter_mut().zip(g.iter().zip(grad)) {
            *y = T::from_f64(g.to_f64() * grad.to_f64() * y.to_f64());
        }
    }
}

/// log-sigmoid, and what PyTorch keeps for its backward.
pub struct LogSigmoidKept;

impl LogSigmoidKept {
    /// Elements of which both results are computed while they are in the first-level cache.
    const BLOCK: usize = 2048;
}

impl Kernel<1, 2> for LogSigmoidKept {
    unsafe fn run<T: Number>(&self, [x]: [*const T; 1], [y, z]: [*mut T; 2], n: usize) {
        // SAFETY: by the contract all lead to `n` elements, and nothing overlaps.
        let (x, y, z) =
            unsafe { (from_raw_parts(x, n), from_raw_parts_mut(y, n), from_raw_parts_mut(z, n)) };
        let results = y.chunks_mut(Self::BLOCK).zip(z.chunks_mut(Self::BLOCK));
        for (x, (y, z)) in x.chunks(Self::BLOCK).zip(results) {
            log_sigmoid().forward(x, y);
            decay(x, z);
        }
    }
}

/// f(a, b).
pub struct Gate<'a>(pub &'a GatedFunction);

impl Kernel<2, 1> for Gate<'_> {
    unsafe fn run<T: Number>(&self, [a, b]: [*const T; 2], [y]: [*mut T; 1], n: usize) {
        // SAFETY: by the contract all lead to `n` elements, and the result overlaps no operand.
        unsafe {
            let (a, b) = (from_raw_parts(a, n), from_raw_parts(b, n));
            self.0.forward(a, b, from_raw_parts_mut(y, n));
        }
    }
}

/// Both derivatives of f(a, b), times the gradient.
pub struct GateBack<'a>(pub &'a GatedFunction);

impl Kernel<3, 2> for GateBack<'_> {
    unsafe fn run<T: Number>(&self, [grad, a, b]: [*const T; 3], [da, db]: [*mut T; 2], n: usize) {
        // SAFETY: by the contract all lead to `n` elements, and no result overlaps anything.
        unsafe {
            let [grad, a, b] = [grad, a, b].map(|p| from_raw_parts(p, n));
            let (da, db) = (from_raw_parts_mut(da, n), from_raw_parts_mut(db, n));
            self.0.backward(a, b, grad, da, db);
        }
    }
}

/// PReLU with a weight for each element.
pub struct Weighted;

impl Weighted {
    /// Why making it cannot fail.
    const ALIKE: &str = "there are as many weights as elements";

    fn of<T: Number>(weight: &[T]) -> nonlin::PerChannel<'_, T> {
        prelu().per_channel(weight, &[weight.len()], 0).expect(Self::ALIKE)
    }
}

impl Kernel<2, 1> for Weighted {
    unsafe fn run<T: Number>(&self, [x, weight]: [*const T; 2], [y]: [*mut T; 1], n: usize) {
        // SAFETY: by the contract all lead to `n` elements, and the result overlaps no operand.
        unsafe {
            let (x, weight) = (from_raw_parts(x, n), from_raw_parts(weight, n));
            Self::of(weight).forward(x, from_raw_parts_mut(y, n));
        }
    }
}

/// The gradients of [`Weighted`] by its operand and by the weight of each element.
pub struct WeightedBack;

impl Kernel<3, 2> for WeightedBack {
    unsafe fn run<T: Number>(
        &self,
        [grad, x, weight]: [*const T; 3],
        [dx, dw]: [*mut T; 2],
        n: usize,
    ) {
        // SAFETY: by the contract all lead to `n` elements, and no result overlaps anything.
        unsafe {
            let [grad, x, weight] = [grad, x, weight].map(|p| from_raw_parts(p, n));
            let (dx, dw) = (from_raw_parts_mut(dx, n), from_raw_parts_mut(dw, n));
            Weighted::of(weight).backward(x, grad, dx, dw);
        }
    }
}

/// What an operator does to rows of `width` elements that lie side by side.
pub trait Rows<const I: usize>: Sync {
    /// Computes `rows` rows.
    ///
    /// # Panics
    /// If the lengths are not `rows` times `width`.
    fn run<T: Number>(&self, x: [&[T]; I], y: &mut [T], width: usize, rows: usize);
}

/// Softmax, or its logarithm.
pub struct Soft {
    /// Whether the logarithm is taken.
    pub log: bool,
}

impl Soft {
    fn function(&self) -> &'static nonlin::RowFunction {
        if self.log { &nonlin::LogSoftmax } else { &nonlin::Softmax }
    }
}

impl Rows<1> for Soft {
    fn run<T: Number>(&self, [x]: [&[T]; 1], y: &mut [T], width: usize, rows: usize) {
        let done = self.function().forward(x, &[rows, width], -1, y);
        done.unwrap_or_else(|e| panic!("{e}"));
    }
}

/// The gradient of softmax or its logarithm from gradient and output.
pub struct SoftBack {
    /// Whether the logarithm was taken.
    pub log: bool,
}

impl Rows<2> for SoftBack {
    fn run<T: Number>(&self, [grad, y]: [&[T]; 2], dx: &mut [T], width: usize, rows: usize) {
        let f = Soft { log: self.log }.function();
        let done = f.backward(y, grad, &[rows, width], -1, dx);
        done.unwrap_or_else(|e| panic!("{e}"));
    }
}
