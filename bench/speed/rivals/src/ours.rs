//! nonlin, and the yardsticks that run on the same arrays.

use anyhow::Result;
use ndarray::{ArrayRef, ArrayView1, ArrayViewMut1, s};
use nonlin::{Exec, Mask, Relu};
use rayon::prelude::*;

use crate::{Arrays, Case, Cell, Number};

/// Elements to a row of softmax, as in the other libraries.
pub const ROW: usize = 1024;

/// The call of `nonlin`, of `memcpy`, or of nonlin with stores of one kind.
pub fn case<T: Number>(who: &str, cell: &Cell, arrays: &Arrays<T>) -> Result<Option<Case>> {
    let (n, parallel) = (cell.n, cell.threads > 1);
    let exec = Exec::new();
    let exec = if parallel { exec.parallel() } else { exec };
    if who == "memcpy" {
        let part = n.div_ceil(cell.threads);
        return Ok(Some(Case::new(arrays, move |x, _, y| {
            if parallel {
                y.par_chunks_mut(part)
                    .zip(x.par_chunks(part))
                    .for_each(|(y, x)| y.copy_from_slice(x));
            } else {
                y.copy_from_slice(x);
            }
        })));
    }
    if who != "nonlin" {
        let exec = match (who, cell.function.as_str(), cell.what.as_str()) {
            ("nonlin_ordinary", "relu", "forward") => exec.stream_from(usize::MAX),
            ("nonlin_streaming", "relu", "forward") => exec.stream_from(0),
            _ => return Ok(None),
        };
        return Ok(Some(Case::new(arrays, move |x, _, y| Relu.forward_with(&exec, x, y))));
    }
    if let Ok(softmax) = nonlin::rowwise(&cell.function) {
        let row = ROW.min(n);
        let shape = [n / row, row];
        return match cell.what.as_str() {
            "forward" => Ok(Some(Case::new(arrays, move |x, _, y| {
                // The shape fits, so this cannot fail.
                let _ = softmax.forward_with(&exec, x, &shape, 1, Mask::new(), y);
            }))),
            "from_output" => {
                let mut saved = vec![T::rounded(0.0); n];
                softmax.forward_with(&exec, arrays.x.get(), &shape, 1, Mask::new(), &mut saved)?;
                Ok(Some(Case::new(arrays, move |_, g, y| {
                    let _ = softmax.backward_with(&exec, &saved, g, &shape, 1, Mask::new(), y);
                })))
            }
            _ => Ok(None),
        };
    }
    if let Ok(f) = nonlin::gated(&cell.function) {
        let forward = cell.what == "forward";
        return Ok(
            forward.then(|| Case::new(arrays, move |x, g, y| f.forward_with(&exec, x, g, y)))
        );
    }
    let Ok(f) = nonlin::get(&cell.function) else { return Ok(None) };
    Ok(match cell.what.as_str() {
        "forward" => Some(Case::new(arrays, move |x, _, y| f.forward_with(&exec, x, y))),
        "backward" => Some(Case::new(arrays, move |x, g, y| f.backward_with(&exec, x, g, y))),
        "strided" => Some(Case::new(arrays, move |x, _, y| {
            let (x, mut y) = (ArrayView1::from(x), ArrayViewMut1::from(y));
            let x: &ArrayRef<T, _> = &x.slice(s![..;2]);
            let half = x.len();
            let to: &mut ArrayRef<T, _> = &mut y.slice_mut(s![..half]);
            // The shapes are equal, so this cannot fail.
            let _ = f.forward_nd_into(x, to);
        })),
        "from_output" => {
            let mut saved = vec![T::rounded(0.0); n];
            f.forward_with(&exec, arrays.x.get(), &mut saved);
            let mut to = saved.clone();
            if f.backward_from_output_with(&exec, &saved, arrays.g.get(), &mut to).is_err() {
                return Ok(None);
            }
            Some(Case::new(arrays, move |_, g, y| {
                // It has worked once.
                let _ = f.backward_from_output_with(&exec, &saved, g, y);
            }))
        }
        _ => None,
    })
}
