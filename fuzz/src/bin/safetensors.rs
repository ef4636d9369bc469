//! `.safetensors` files of any bytes: read or refused, every tensor that is read lies in the file, and
//! what is read is written again with the same meaning.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nonlin_cli::tensors::{self, Item};
use nonlin_fuzz::install;

fuzz_target!(init: install(), |data: &[u8]| {
    let Ok(tensors) = tensors::parse(data) else { return };
    let mut items = Vec::new();
    for (name, entry) in &tensors.entries {
        let (offset, item) = match entry {
            Ok(array) => {
                tensors.get(name).expect("a tensor that is listed is found");
                let item = Item::new(name, array.dtype, &array.shape).expect("a size that fits");
                (array.offset, item)
            }
            Err(opaque) => {
                assert!(tensors.get(name).is_err(), "{name:?} is not computed on, and found");
                let (dtype, shape) = (opaque.dtype.as_str(), opaque.shape.as_slice());
                (opaque.place.start, Item { name, dtype, shape, bytes: opaque.place.len() })
            }
        };
        let end = offset.checked_add(item.bytes).expect("an end in an address space");
        assert!(end <= data.len(), "{name:?} ends at {end}, the file at {}", data.len());
        items.push(item);
    }
    let mut again = tensors::header(&items, tensors.metadata.as_ref()).expect("names and sizes fit");
    again.extend(vec![0; items.iter().map(|i| i.bytes).sum()]);
    let second = tensors::parse(&again).expect("what was written is read");
    assert_eq!(second.entries.len(), items.len());
});
