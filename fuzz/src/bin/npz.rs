//! `.npz` archives of any bytes: read or refused, and every array that is read has the bytes that its
//! header announces, or is refused when they are asked for.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nonlin_cli::array::DType;
use nonlin_cli::npz;
use nonlin_fuzz::install;

/// The most bytes that are inflated; a header may announce more.
const MOST: u64 = 1 << 20;

fuzz_target!(init: install(), |data: &[u8]| {
    let Ok(archive) = npz::parse(data, Some(DType::Bf16)) else { return };
    for (name, entry) in &archive.entries {
        let bytes = entry.member.bytes(data);
        if entry.array.is_err() {
            assert!(archive.get(name).is_err(), "{name:?} is refused, and found");
            continue;
        }
        let (array, member) = archive.get(name).expect("an array that is listed is found");
        if !member.deflated {
            let end = array.offset.checked_add(array.bytes()).expect("an end in an address space");
            assert_eq!(end, bytes.len(), "{name:?} has another length than its array");
            let _ = member.check(bytes);
        } else if (array.offset + array.bytes()) as u64 <= MOST {
            let _ = member.inflate(bytes);
        }
    }
});
