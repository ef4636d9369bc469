//! Integers that stay integers: `relu` and `identity`.

use anyhow::Result;

use crate::array::DType;
use crate::input::{Bits, Operand};
use crate::output::Output;
use crate::progress::Progress;

const CHUNK: usize = 1 << 20;

/// Copies `x` to `output`, with zeros for negative numbers if `rectify`.
pub fn run(x: &Operand, rectify: bool, output: &mut Output, progress: &mut Progress) -> Result<()> {
    match x.array.dtype {
        DType::I8 => copy::<i8>(x, rectify, output, progress),
        DType::I16 => copy::<i16>(x, rectify, output, progress),
        DType::I32 => copy::<i32>(x, rectify, output, progress),
        DType::I64 => copy::<i64>(x, rectify, output, progress),
        // No negative numbers; only the byte order may change.
        other => match other.size() {
            1 => copy::<u8>(x, false, output, progress),
            2 => copy::<u16>(x, false, output, progress),
            4 => copy::<u32>(x, false, output, progress),
            _ => copy::<u64>(x, false, output, progress),
        },
    }
}

fn copy<T: Bits + Ord>(
    x: &Operand,
    rectify: bool,
    output: &mut Output,
    progress: &mut Progress,
) -> Result<()> {
    let n = x.array.elements();
    let mut block = Vec::new();
    for start in (0..n).step_by(CHUNK) {
        block.resize(CHUNK.min(n - start), T::default());
        x.load_own(start, &mut block);
        if rectify {
            block.iter_mut().for_each(|v| *v = (*v).max(T::default()));
        }
        output.put(&T::bytes(&block))?;
        progress.add((block.len() * T::SIZE) as u64);
    }
    Ok(())
}
