//! `.npy` files of any bytes: read or refused, and what is read is written again with the same meaning.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nonlin_cli::array::DType;
use nonlin_cli::npy;
use nonlin_fuzz::install;

fuzz_target!(init: install(), |data: &[u8]| {
    let _ = npy::parse_start(data, data.len().wrapping_mul(3), Some(DType::Bf16));
    let Ok(array) = npy::parse(data) else { return };
    let elements = &data[array.offset..];
    assert_eq!(elements.len(), array.bytes(), "an array of another length than the file");
    let mut again = npy::header(array.dtype, array.big_endian, array.fortran, &array.shape);
    again.extend(elements);
    let second = npy::parse(&again).expect("what was written is read");
    let same = (second.fortran, &second.shape, second.bytes());
    assert_eq!(same, (array.fortran, &array.shape, array.bytes()));
});
