//! Candle's activations, as its users call them: each call makes a new tensor.

use std::cell::RefCell;
use std::hint::black_box;
use std::rc::Rc;

use anyhow::Result;
use candle_core::{DType, Device, Result as Candle, Tensor};
use candle_nn::{Activation, Module, ops};

use crate::ours::ROW;
use crate::{Arrays, Case, Cell, Number};

const SELU_ALPHA: f32 = 1.673_263_2;
const SELU_SCALE: f32 = 1.050_701;

type Function = fn(&Tensor, &Tensor) -> Candle<Tensor>;

/// By name: of the operand, or of gate and value.
fn function(name: &str) -> Option<Function> {
    Some(match name {
        "relu" => |x, _| x.relu(),
        "leaky_relu" => |x, _| ops::leaky_relu(x, 0.01),
        "elu" => |x, _| x.elu(1.0),
        "selu" => |x, _| ops::selu(x, SELU_ALPHA, SELU_SCALE),
        "sigmoid" => |x, _| ops::sigmoid(x),
        "tanh" => |x, _| x.tanh(),
        "silu" => |x, _| x.silu(),
        "mish" => |x, _| ops::mish(x),
        "gelu" => |x, _| x.gelu_erf(),
        "gelu_tanh" => |x, _| x.gelu(),
        "hard_sigmoid" => |x, _| ops::hard_sigmoid(x),
        "hard_swish" => |x, _| Activation::HardSwish.forward(x),
        "softmax" => |x, _| ops::softmax_last_dim(x),
        "log_softmax" => |x, _| ops::log_softmax(x, 1),
        "glu" => |a, b| a * ops::sigmoid(b)?,
        "swiglu" => |a, b| a.silu()? * b,
        "geglu" => |a, b| a.gelu_erf()? * b,
        _ => return None,
    })
}

/// The call, on one thread: Candle's elementwise loops have no other.
pub fn case<T: Number>(cell: &Cell, arrays: &Arrays<T>) -> Result<Option<Case>> {
    let Some(f) = function(&cell.function) else { return Ok(None) };
    if cell.what != "forward" || cell.threads > 1 {
        return Ok(None);
    }
    let row = ROW.min(cell.n);
    let shape = (cell.n / row, row);
    let x = Tensor::from_slice(arrays.x.get(), shape, &Device::Cpu)?;
    let g = Tensor::from_slice(arrays.g.get(), shape, &Device::Cpu)?;
    // A function that fails does so here and not while it is timed.
    let y = Rc::new(RefCell::new(Some(f(&x, &g)?)));
    let held = y.clone();
    Ok(Some(Case {
        call: Box::new(move || {
            // The old result is given back first, as where a result is used and dropped.
            *y.borrow_mut() = None;
            *y.borrow_mut() = f(black_box(&x), black_box(&g)).ok();
        }),
        result: Box::new(move |most| {
            let y = held.borrow();
            let first = |y: &Tensor| {
                let flat = y.flatten_all()?;
                flat.narrow(0, 0, most.min(flat.elem_count()))?.to_dtype(DType::F64)?.to_vec1()
            };
            y.as_ref().and_then(|y| first(y).ok()).unwrap_or_default()
        }),
    }))
}
