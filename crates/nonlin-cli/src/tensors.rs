//! The header of a `.safetensors` file, read and written without its tensors' elements.
//!
//! A header is its length and a JSON object that has type, shape and place of every tensor. What
//! it says is checked against the file. Tensors of types that are not computed on, known here or
//! not, keep their bytes.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::ops::Range;

use anyhow::{Context, Result, bail, ensure};
use nonlin::shape;
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::{Map, json};

use crate::array::{Array, DType, missing};

/// The longest header read, the format's own limit.
const MAX_HEADER: usize = 100_000_000;

/// The key that is no tensor.
const METADATA: &str = "__metadata__";

/// The format's names of the types that are computed on.
const NAMES: [(&str, DType); 13] = [
    ("BOOL", DType::Bool),
    ("I8", DType::I8),
    ("U8", DType::U8),
    ("I16", DType::I16),
    ("U16", DType::U16),
    ("I32", DType::I32),
    ("U32", DType::U32),
    ("I64", DType::I64),
    ("U64", DType::U64),
    ("F16", DType::F16),
    ("BF16", DType::Bf16),
    ("F32", DType::F32),
    ("F64", DType::F64),
];

/// The tensors of a file in the order of their elements, and the file's own remarks.
#[derive(Debug)]
pub struct Tensors {
    /// Name and place of each.
    pub entries: Vec<(String, Entry)>,
    /// `__metadata__`.
    pub metadata: Option<BTreeMap<String, String>>,
}

/// A tensor, or what is known of one that is not computed on.
pub type Entry = std::result::Result<Array, Opaque>;

/// A tensor that can only be copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opaque {
    /// The format's name of its type.
    pub dtype: String,
    /// Lengths of its axes.
    pub shape: Vec<usize>,
    /// Where in the file its bytes are.
    pub place: Range<usize>,
    /// What keeps it from being computed on: `is F8_E4M3, ...`.
    pub why: String,
}

impl Tensors {
    /// The tensor called `name`.
    pub fn get(&self, name: &str) -> Result<&Array> {
        match self.entries.iter().find(|(n, _)| n == name) {
            Some((_, Ok(array))) => Ok(array),
            Some((_, Err(opaque))) => bail!("tensor {name:?} {}", opaque.why),
            None => Err(missing("tensor", name, self.entries.iter().map(|(n, _)| n.as_str()))),
        }
    }
}

/// Type, shape and place of a tensor, as the header has them.
#[derive(Deserialize)]
struct Info {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: (usize, usize),
}

/// What the header says, no name twice.
struct Header {
    tensors: Vec<(String, Info)>,
    metadata: Option<BTreeMap<String, String>>,
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        from.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a tensor for every name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Header, A::Error> {
        let mut header = Header { tensors: Vec::new(), metadata: None };
        let mut seen = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if !seen.insert(name.clone()) {
                return Err(A::Error::custom(format_args!("the name {name:?} is there twice")));
            }
            if name == METADATA {
                header.metadata = map.next_value::<Option<Remarks>>()?.map(|r| r.0);
            } else {
                header.tensors.push((name, map.next_value()?));
            }
        }
        Ok(header)
    }
}

/// The file's own remarks, none twice.
struct Remarks(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Remarks {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        from.deserialize_map(RemarksVisitor)
    }
}

struct RemarksVisitor;

impl<'de> Visitor<'de> for RemarksVisitor {
    type Value = Remarks;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Remarks, A::Error> {
        let mut remarks = BTreeMap::new();
        while let Some((name, text)) = map.next_entry::<String, String>()? {
            if remarks.contains_key(&name) {
                let twice = format_args!("{name:?} is twice in {METADATA}");
                return Err(A::Error::custom(twice));
            }
            remarks.insert(name, text);
        }
        Ok(Remarks(remarks))
    }
}

/// Reads the header at the start of `file`, the whole content of a `.safetensors` file, and
/// checks that the tensors fill the rest of it without gaps.
pub fn parse(file: &[u8]) -> Result<Tensors> {
    let Some((length, rest)) = file.split_first_chunk::<8>() else {
        bail!("truncated: {} bytes, less than a .safetensors header's length", file.len());
    };
    let length = u64::from_le_bytes(*length);
    let length = usize::try_from(length).ok().filter(|&n| n <= MAX_HEADER).with_context(|| {
        format!("not a .safetensors file: a header of {length} bytes, the most is {MAX_HEADER}")
    })?;
    let Some(header) = rest.get(..length) else {
        bail!("truncated: the header needs {length} bytes, the file has {}", rest.len());
    };
    let Header { mut tensors, metadata } =
        serde_json::from_slice(header).context("malformed .safetensors header")?;
    tensors.sort_by_key(|(_, info)| info.data_offsets);
    let (start, found) = (8 + length, rest.len() - length);
    let (mut entries, mut end) = (Vec::new(), 0);
    for (name, info) in tensors {
        let (from, to) = info.data_offsets;
        ensure!(
            from == end && from <= to,
            "malformed .safetensors header: {name:?} has the bytes {from} to {to}, the tensor \
             before it ends at {end}"
        );
        end = to;
        entries.push((name, info));
    }
    ensure!(
        end == found,
        "{}: the tensors need {end} bytes, the file has {found}",
        if found < end { "truncated" } else { "corrupt" }
    );
    // From here on every place is within the file.
    let entries = entries
        .into_iter()
        .map(|(name, info)| {
            let place = start + info.data_offsets.0..start + info.data_offsets.1;
            let entry = entry(info, place).with_context(|| format!("tensor {name:?}"))?;
            Ok((name, entry))
        })
        .collect::<Result<_>>()?;
    Ok(Tensors { entries, metadata })
}

/// The tensor at `place`, which must be as long as it needs.
fn entry(info: Info, place: Range<usize>) -> Result<Entry> {
    let Info { dtype, shape, .. } = info;
    let known = NAMES.iter().find(|(n, _)| *n == dtype);
    let why = match known {
        None => "has no arithmetic here".to_owned(),
        Some((_, known)) => match shape::bytes(&shape, known.size()) {
            Err(e) => e.to_string(),
            Ok(bytes) => {
                let array = Array {
                    dtype: *known,
                    big_endian: false,
                    fortran: false,
                    shape,
                    offset: place.start,
                };
                ensure!(
                    bytes == place.len(),
                    "shape {:?} of {dtype} needs {bytes} bytes, its place has {}",
                    array.shape,
                    place.len()
                );
                return Ok(Ok(array));
            }
        },
    };
    let why = format!("is {dtype}, which cannot be computed on: {why}");
    Ok(Err(Opaque { dtype, shape, place, why }))
}

/// A tensor in a header that is written.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// The name of the tensor.
    pub name: &'a str,
    /// The format's name of its type.
    pub dtype: &'a str,
    /// Lengths of its axes.
    pub shape: &'a [usize],
    /// Bytes of its elements.
    pub bytes: usize,
}

impl<'a> Item<'a> {
    /// An array of that type.
    ///
    /// # Errors
    /// The tensor does not fit into an address space.
    pub fn new(name: &'a str, dtype: DType, shape: &'a [usize]) -> Result<Self> {
        let bytes = shape::bytes(shape, dtype.size())?;
        let dtype = NAMES.iter().find(|(_, d)| *d == dtype).map_or("", |(n, _)| *n);
        Ok(Item { name, dtype, shape, bytes })
    }

    /// Bytes that its place should be a multiple of: those of an element, 1 if that is unknown.
    #[must_use]
    pub fn alignment(&self) -> usize {
        match NAMES.iter().find(|(n, _)| *n == self.dtype) {
            Some((_, dtype)) => dtype.size(),
            None if self.dtype == "C64" => 8,
            None => 1,
        }
    }
}

/// The header of tensors that follow it in the order given.
pub fn header(tensors: &[Item], metadata: Option<&BTreeMap<String, String>>) -> Result<Vec<u8>> {
    let mut items = Map::new();
    if let Some(metadata) = metadata {
        items.insert(METADATA.to_owned(), json!(metadata));
    }
    let mut end = 0usize;
    for item in tensors {
        let begin = end;
        end = begin
            .checked_add(item.bytes)
            .context("the tensors together are larger than an address space")?;
        let offsets = [begin, end];
        let info = json!({"dtype": item.dtype, "shape": item.shape, "data_offsets": offsets});
        ensure!(
            item.name != METADATA && items.insert(item.name.to_owned(), info).is_none(),
            "a .safetensors file cannot have one more tensor called {:?}",
            item.name
        );
    }
    let json = serde_json::to_vec(&items)?;
    // Padded with spaces so that elements are aligned.
    let length = json.len().next_multiple_of(8);
    let mut bytes = (length as u64).to_le_bytes().to_vec();
    bytes.extend(json);
    bytes.resize(8 + length, b' ');
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: usize) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.resize(bytes.len() + data, 0);
        bytes
    }

    fn error(header: &str, data: usize) -> String {
        format!("{:#}", parse(&file(header, data)).unwrap_err())
    }

    #[test]
    fn what_is_written_is_read_back() {
        let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
        let tensors: Vec<_> =
            DType::ALL.iter().map(|&d| Item::new(d.name(), d, &[2, 3]).unwrap()).collect();
        let mut bytes = header(&tensors, Some(&metadata)).unwrap();
        assert_eq!(bytes.len() % 8, 0);
        let start = bytes.len();
        let data: usize = DType::ALL.iter().map(|d| 6 * d.size()).sum();
        bytes.resize(start + data, 0);
        let read = parse(&bytes).unwrap();
        assert_eq!(read.metadata, Some(metadata));
        let mut offset = start;
        for (item, (found, array)) in tensors.iter().zip(&read.entries) {
            let array = array.as_ref().unwrap();
            assert_eq!(
                (item.name, item.name, item.shape, offset),
                (found.as_str(), array.dtype.name(), array.shape.as_slice(), array.offset)
            );
            offset += array.bytes();
        }
        let twice = [tensors[0], tensors[0]];
        assert!(header(&twice, None).unwrap_err().to_string().contains("one more tensor"));
        let remarks = Item { name: METADATA, ..tensors[0] };
        assert!(header(&[remarks], None).is_err());
    }

    /// A parser that keeps the last of two entries takes another tensor than one that keeps the
    /// first.
    #[test]
    fn names_are_there_once() {
        let x = r#""x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}"#;
        assert!(error(&format!("{{{x},{x}}}"), 8).contains("the name \"x\" is there twice"));
        let escaped = x.replacen('x', "\\u0078", 1);
        assert!(error(&format!("{{{x},{escaped}}}"), 8).contains("the name \"x\" is there twice"));
        let meta = r#""__metadata__":{"a":"1"}"#;
        assert!(
            error(&format!("{{{meta},{x},{meta}}}"), 8).contains("__metadata__\" is there twice")
        );
        let remarks = r#""__metadata__":{"a":"1","a":"2"}"#;
        assert!(error(&format!("{{{remarks},{x}}}"), 8).contains("\"a\" is twice in __metadata__"));
        let field = x.replace(r#""shape":[2]"#, r#""shape":[2],"shape":[2]"#);
        assert!(error(&format!("{{{field}}}"), 8).contains("duplicate field `shape`"));
    }

    #[test]
    fn places_do_not_overlap() {
        let two = |a: [usize; 2], b: [usize; 2]| {
            format!(
                r#"{{"a":{{"dtype":"U8","shape":[{}],"data_offsets":{a:?}}},
                    "b":{{"dtype":"Q4","shape":[1],"data_offsets":{b:?}}}}}"#,
                a[1].saturating_sub(a[0])
            )
        };
        assert!(parse(&file(&two([0, 4], [4, 8]), 8)).is_ok());
        assert!(parse(&file(&two([4, 8], [0, 4]), 8)).is_ok());
        assert!(error(&two([0, 4], [3, 8]), 8).contains("\"b\" has the bytes 3 to 8"));
        assert!(error(&two([0, 4], [5, 8]), 8).contains("ends at 4"));
        assert!(error(&two([0, 8], [8, 4]), 8).contains("\"b\" has the bytes 8 to 4"));
        assert!(error(&two([1, 8], [8, 8]), 8).contains("ends at 0"));
    }

    #[test]
    fn errors_name_the_value() {
        let f32 = r#"{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
        assert!(parse(&file(f32, 8)).is_ok());
        assert!(error(f32, 7).contains("truncated: the tensors need 8 bytes, the file has 7"));
        assert!(error(f32, 9).contains("corrupt"));
        assert!(error("{", 0).contains("malformed"));
        let longer = error(&f32.replace("[2]", "[3]"), 8);
        assert!(longer.contains("tensor \"x\": shape [3] of F32 needs 12 bytes, its place has 8"));
        assert!(error(&f32.replace("[2]", "[-2]"), 8).contains("malformed"));
        assert!(parse(b"\x93NUMPY\x01\x00\x00").unwrap_err().to_string().contains("not a .safe"));
        assert!(parse(b"").unwrap_err().to_string().contains("0 bytes"));
        assert!(
            parse(&[9, 0, 0, 0, 0, 0, 0, 0]).unwrap_err().to_string().contains("needs 9 bytes")
        );

        // Also types that are newer than this program.
        let new = r#"{"x":{"dtype":"Q3_1","shape":[5],"data_offsets":[0,8]}}"#;
        let Err(opaque) = &parse(&file(new, 8)).unwrap().entries[0].1 else { panic!() };
        assert_eq!((opaque.dtype.as_str(), opaque.place.len()), ("Q3_1", 8));
        let fp8 = r#"{"layer.w":{"dtype":"F8_E4M3","shape":[8],"data_offsets":[0,8]}}"#;
        let fp8 = parse(&file(fp8, 8)).unwrap();
        assert!(fp8.get("layer.w").unwrap_err().to_string().contains("F8_E4M3"));
        assert!(fp8.get("other").unwrap_err().to_string().ends_with("there is \"layer.w\""));
        assert!(
            fp8.get("layer.v").unwrap_err().to_string().contains("nearest name is \"layer.w\"")
        );
    }

    /// Tensors whose sizes add up to more than 2^64 must not wrap around to the file's size.
    #[test]
    fn sizes_do_not_wrap() {
        let size = 1u64 << 60;
        let items: Vec<_> = (0..15u64)
            .map(|i| {
                format!(
                    r#""{i}":{{"dtype":"U8","shape":[{size}],"data_offsets":[{},{}]}}"#,
                    i * size,
                    (i + 1) * size
                )
            })
            .collect();
        assert!(error(&format!("{{{}}}", items.join(",")), 8).contains("truncated"));
        let empty =
            r#"{"x":{"dtype":"F32","shape":[0,4611686018427387904,4],"data_offsets":[0,0]}}"#;
        let tensors = parse(&file(empty, 0)).unwrap();
        assert!(tensors.get("x").unwrap_err().to_string().contains("address space"));
    }

    #[test]
    fn mutations_never_panic() {
        let good = file(r#"{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, 8);
        for length in 0..good.len() {
            assert!(parse(&good[..length]).is_err());
        }
        let mut bytes = good.clone();
        for at in 0..good.len() {
            for value in 0..=255 {
                bytes[at] = value;
                let _ = parse(&bytes);
            }
            bytes[at] = good[at];
        }
    }
}
