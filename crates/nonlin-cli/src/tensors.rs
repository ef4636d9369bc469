//! The header of a `.safetensors` file, read and written without its tensors' elements.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use serde_json::{Map, json};

use crate::array::{Array, DType, check_size};

/// The longest header read, the format's own limit.
const MAX_HEADER: usize = 100_000_000;

/// The tensors of a file in the order of their elements, and the file's own remarks.
#[derive(Debug)]
pub struct Tensors {
    /// Name and place of each.
    pub entries: Vec<(String, Entry)>,
    /// `__metadata__`.
    pub metadata: Option<BTreeMap<String, String>>,
}

/// A tensor, or why it cannot be computed on; an error only if it is asked for.
pub type Entry = std::result::Result<Array, String>;

impl Tensors {
    /// The tensor called `name`.
    pub fn get(&self, name: &str) -> Result<&Array> {
        match self.entries.iter().find(|(n, _)| n == name) {
            Some((_, Ok(array))) => Ok(array),
            Some((_, Err(why))) => bail!("tensor {name:?} {why}"),
            None => {
                let names = self.entries.iter().map(|(n, _)| n);
                match names.min_by_key(|n| strsim::levenshtein(n, name)) {
                    Some(near) => bail!("no tensor {name:?}; the nearest name is {near:?}"),
                    None => bail!("no tensor {name:?}; the file has none at all"),
                }
            }
        }
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
    let metadata: Metadata =
        serde_json::from_slice(header).context("malformed .safetensors header")?;
    let (expected, found) = (metadata.data_len(), rest.len() - length);
    ensure!(
        expected == found,
        "{}: the tensors need {expected} bytes, the file has {found}",
        if found < expected { "truncated" } else { "corrupt" }
    );
    let start = 8 + length;
    let mut entries = Vec::new();
    for name in metadata.offset_keys() {
        let Some(info) = metadata.info(&name) else { continue };
        let entry = match from_dtype(info.dtype) {
            None => Err(format!("is {}, which has no arithmetic here", info.dtype)),
            Some(dtype) => match check_size(&info.shape, dtype) {
                Err(e) => Err(format!("has {e}")),
                Ok(()) => Ok(Array {
                    dtype,
                    big_endian: false,
                    fortran: false,
                    shape: info.shape.clone(),
                    offset: start + info.data_offsets.0,
                }),
            },
        };
        entries.push((name, entry));
    }
    let metadata = metadata.metadata().clone().map(BTreeMap::from_iter);
    Ok(Tensors { entries, metadata })
}

/// The header of tensors that follow it in the order given.
pub fn header(
    tensors: &[(&str, DType, &[usize])],
    metadata: Option<&BTreeMap<String, String>>,
) -> Result<Vec<u8>> {
    let mut items = Map::new();
    if let Some(metadata) = metadata {
        items.insert("__metadata__".to_owned(), json!(metadata));
    }
    let mut end = 0usize;
    for &(name, dtype, shape) in tensors {
        check_size(shape, dtype)?;
        let begin = end;
        let bytes = shape.iter().product::<usize>() * dtype.size();
        end = begin
            .checked_add(bytes)
            .context("the tensors together are larger than an address space")?;
        let info = TensorInfo {
            dtype: to_dtype(dtype),
            shape: shape.to_vec(),
            data_offsets: (begin, end),
        };
        items.insert(name.to_owned(), serde_json::to_value(info)?);
    }
    let json = serde_json::to_vec(&items)?;
    // Padded with spaces so that elements are aligned.
    let length = json.len().next_multiple_of(8);
    let mut bytes = (length as u64).to_le_bytes().to_vec();
    bytes.extend(json);
    bytes.resize(8 + length, b' ');
    Ok(bytes)
}

const fn from_dtype(dtype: Dtype) -> Option<DType> {
    Some(match dtype {
        Dtype::BOOL => DType::Bool,
        Dtype::I8 => DType::I8,
        Dtype::U8 => DType::U8,
        Dtype::I16 => DType::I16,
        Dtype::U16 => DType::U16,
        Dtype::I32 => DType::I32,
        Dtype::U32 => DType::U32,
        Dtype::I64 => DType::I64,
        Dtype::U64 => DType::U64,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::Bf16,
        Dtype::F32 => DType::F32,
        Dtype::F64 => DType::F64,
        _ => return None,
    })
}

const fn to_dtype(dtype: DType) -> Dtype {
    match dtype {
        DType::Bool => Dtype::BOOL,
        DType::I8 => Dtype::I8,
        DType::U8 => Dtype::U8,
        DType::I16 => Dtype::I16,
        DType::U16 => Dtype::U16,
        DType::I32 => Dtype::I32,
        DType::U32 => Dtype::U32,
        DType::I64 => Dtype::I64,
        DType::U64 => Dtype::U64,
        DType::F16 => Dtype::F16,
        DType::Bf16 => Dtype::BF16,
        DType::F32 => Dtype::F32,
        DType::F64 => Dtype::F64,
    }
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
        let tensors: Vec<_> = DType::ALL.iter().map(|&d| (d.name(), d, &[2, 3][..])).collect();
        let mut bytes = header(&tensors, Some(&metadata)).unwrap();
        assert_eq!(bytes.len() % 8, 0);
        let start = bytes.len();
        let data: usize = DType::ALL.iter().map(|d| 6 * d.size()).sum();
        bytes.resize(start + data, 0);
        let read = parse(&bytes).unwrap();
        assert_eq!(read.metadata, Some(metadata));
        let mut offset = start;
        for ((name, dtype, shape), (found, array)) in tensors.iter().zip(&read.entries) {
            let array = array.as_ref().unwrap();
            assert_eq!(
                (*name, *dtype, *shape, offset),
                (found.as_str(), array.dtype, array.shape.as_slice(), array.offset)
            );
            offset += array.bytes();
        }
    }

    #[test]
    fn errors_name_the_value() {
        let f32 = r#"{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
        assert!(parse(&file(f32, 8)).is_ok());
        assert!(error(f32, 7).contains("truncated: the tensors need 8 bytes, the file has 7"));
        assert!(error(f32, 9).contains("corrupt"));
        assert!(error("{", 0).contains("malformed"));
        assert!(error(&f32.replace("[2]", "[3]"), 8).contains("malformed"));
        assert!(error(&f32.replace("[2]", "[-2]"), 8).contains("malformed"));
        assert!(parse(b"\x93NUMPY\x01\x00\x00").unwrap_err().to_string().contains("not a .safe"));
        assert!(parse(b"").unwrap_err().to_string().contains("0 bytes"));
        assert!(
            parse(&[9, 0, 0, 0, 0, 0, 0, 0]).unwrap_err().to_string().contains("needs 9 bytes")
        );

        let fp8 = r#"{"layer.w":{"dtype":"F8_E4M3","shape":[8],"data_offsets":[0,8]}}"#;
        let fp8 = parse(&file(fp8, 8)).unwrap();
        assert!(fp8.get("layer.w").unwrap_err().to_string().contains("F8_E4M3"));
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
