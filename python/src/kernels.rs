//! All contact with the library's kernels. Whatever else is in this crate knows functions as the
//! types of this file, arrays as slices.

use nonlin::Exec;
pub use nonlin::{Element, Function};

/// What a loop calls: `I` operands give `O` results, element by element.
pub trait Kernel<const I: usize, const O: usize>: 'static {
    /// The function and what it is bound to.
    type Data: Send + Sync + 'static;

    /// No result shares memory with an operand or another result. All have one length.
    fn apart<T: Element>(data: &Self::Data, exec: &Exec, x: [&[T]; I], y: [&mut [T]; O]);

    /// The only result takes the place of the last operand; `x` are the operands before it.
    /// False if there is no such kernel, and nothing has been done.
    fn onto<T: Element>(_: &Self::Data, _: &Exec, _x: &[&[T]], _last: &mut [T]) -> bool {
        false
    }
}

/// f(x).
pub struct Forward;

impl Kernel<1, 1> for Forward {
    type Data = Function;

    fn apart<T: Element>(f: &Function, exec: &Exec, [x]: [&[T]; 1], [y]: [&mut [T]; 1]) {
        f.forward_with(exec, x, y);
    }

    fn onto<T: Element>(f: &Function, exec: &Exec, _: &[&[T]], x: &mut [T]) -> bool {
        f.forward_in_place_with(exec, x);
        true
    }
}

/// The elementwise functions of the catalogue.
pub fn elementwise() -> impl Iterator<Item = Function> {
    nonlin::functions().iter().map(|&f| f.clone())
}
