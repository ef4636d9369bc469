//! tract-linalg's kernels, which work in place: blocks are copied into the output first, small
//! enough to be in the first cache when the kernel comes.

use anyhow::Result;
use tract_linalg::routines::Func;

use crate::{Arrays, Case, Cell};

/// Elements to a block.
const BLOCK: usize = 2048;

/// The call, on one thread.
pub fn case(cell: &Cell, arrays: &Arrays<f32>) -> Result<Option<Case>> {
    let func = match cell.function.as_str() {
        "sigmoid" => Func::Sigmoid,
        "tanh" => Func::Tanh,
        "silu" => Func::Silu,
        "gelu_tanh" => Func::Gelu,
        "hard_swish" => Func::Hardswish,
        "leaky_relu" => Func::LeakyRelu,
        _ => return Ok(None),
    };
    if cell.what != "forward" || cell.threads > 1 {
        return Ok(None);
    }
    if cell.function == "leaky_relu" {
        let kernel = func.ew_f32_param()?;
        return Ok(Some(blocks(arrays, move |y| drop(kernel.run_with_params(y, 0.01)))));
    }
    let kernel = func.ew_f32()?;
    Ok(Some(blocks(arrays, move |y| drop(kernel.run(y)))))
}

fn blocks(arrays: &Arrays<f32>, f: impl Fn(&mut [f32]) + 'static) -> Case {
    Case::new(arrays, move |x, _, y| {
        for (y, x) in y.chunks_mut(BLOCK).zip(x.chunks(BLOCK)) {
            y.copy_from_slice(x);
            f(y);
        }
    })
}
