//! Input files: mapped, not loaded, and read block by block as the type that is computed with.

#![allow(unsafe_code)]

use std::borrow::Cow;
use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use half::{bf16, f16};
use memmap2::{Advice, Mmap};
use nonlin::{Element, shape};

use crate::array::{Array, DType};
use crate::npy;
use crate::npz::{self, Member, Npz};
use crate::tensors::{self, Tensors};

/// A file of arrays.
pub struct Input {
    name: String,
    bytes: Bytes,
    /// What its header says.
    pub contents: Contents,
}

/// What a file holds.
pub enum Contents {
    /// One array without a name.
    Npy(Array),
    /// Arrays with names.
    Tensors(Tensors),
    /// Arrays with names, each a `.npy` file.
    Npz(Npz),
}

enum Bytes {
    Mapped(Mmap),
    Read(Vec<u8>),
}

/// The bytes of a file that is not empty.
fn map(file: &File) -> Result<Mmap> {
    // SAFETY: the bytes are read as plain numbers, for which every value is valid. Another
    // program that changes the file meanwhile changes numbers; one that cuts it short ends
    // this program by a signal, with no output begun to appear.
    let map = unsafe { Mmap::map(file) }?;
    #[cfg(unix)]
    let _ = map.advise(Advice::Sequential);
    Ok(map)
}

impl Bytes {
    fn open(path: &Path) -> Result<Self> {
        let file = File::open(path)?;
        let meta = file.metadata()?;
        ensure!(!meta.is_dir(), "is a directory");
        if !meta.is_file() {
            // A pipe has no pages to map.
            return Ok(Bytes::Read(fs::read(path)?));
        }
        if meta.len() == 0 {
            return Ok(Bytes::Read(Vec::new()));
        }
        Ok(Bytes::Mapped(map(&file)?))
    }

    fn get(&self) -> &[u8] {
        match self {
            Bytes::Mapped(map) => map,
            Bytes::Read(bytes) => bytes,
        }
    }
}

impl Input {
    /// Opens a file and reads its header; raw pairs of bytes are taken for `raw`.
    pub fn open(path: &Path, raw: Option<DType>) -> Result<Self> {
        let name = path.display().to_string();
        let open = || {
            let bytes = Bytes::open(path)?;
            let start = bytes.get();
            let extension = path.extension().unwrap_or_default();
            let contents = if start.starts_with(npy::MAGIC) || extension == "npy" {
                Contents::Npy(npy::parse_start(start, start.len(), raw)?)
            } else if npz::MAGIC.iter().any(|m| start.starts_with(m)) || extension == "npz" {
                Contents::Npz(npz::parse(start, raw)?)
            } else if extension == "safetensors" {
                Contents::Tensors(tensors::parse(start)?)
            } else {
                bail!("neither a .npy, a .npz nor a .safetensors file")
            };
            Ok((bytes, contents))
        };
        let (bytes, contents) = open().with_context(|| name.clone())?;
        Ok(Input { name, bytes, contents })
    }

    /// The names of its arrays, those that cannot be computed on too; none in a `.npy` file.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        match &self.contents {
            Contents::Npy(_) => Vec::new(),
            Contents::Tensors(all) => all.entries.iter().map(|(n, _)| n.as_str()).collect(),
            Contents::Npz(all) => all.entries.iter().map(|(n, _)| n.as_str()).collect(),
        }
    }

    /// The path of the file, for messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get()
    }

    /// The array called `array`; a `.npy` file has one, whatever it is called.
    pub fn operand(&self, array: &str) -> Result<Operand<'_>> {
        let found = || -> Result<_> {
            match &self.contents {
                Contents::Npy(only) => Ok((self.name.clone(), only, None)),
                Contents::Tensors(all) => {
                    Ok((format!("{}: tensor {array:?}", self.name), all.get(array)?, None))
                }
                Contents::Npz(all) => {
                    let (found, member) = all.get(array)?;
                    Ok((format!("{}: array {array:?}", self.name), found, Some(member)))
                }
            }
        };
        let (name, array, member) = found().with_context(|| self.name.clone())?;
        let data = match member {
            // The header's parser has checked that the elements lie within the file.
            None => Data::Here(&self.bytes.get()[array.offset..][..array.bytes()]),
            Some(member) => Data::Packed(member, member.bytes(self.bytes.get())),
        };
        Ok(Operand { name, array, data, gather: None })
    }
}

/// An array of a file.
pub struct Operand<'a> {
    /// File and array, for messages.
    pub name: String,
    /// What its header says.
    pub array: &'a Array,
    data: Data<'a>,
    gather: Option<Gather>,
}

/// The elements of an array.
enum Data<'a> {
    /// In place.
    Here(&'a [u8]),
    /// In an archive, not yet looked at.
    Packed(&'a Member, &'a [u8]),
    /// Inflated, behind a header.
    Inflated(Mmap),
}

/// The way through an array in another order than its own: lengths, the fastest axis last,
/// and the distance in elements of neighbours along each.
struct Gather {
    lengths: Vec<usize>,
    strides: Vec<usize>,
}

impl Operand<'_> {
    /// Makes the elements of an array in an archive ready; those of others are. To be called
    /// before any are read.
    ///
    /// # Errors
    /// The archive is damaged, or there is no room to inflate it.
    pub fn unpack(&mut self) -> Result<()> {
        let Data::Packed(member, bytes) = self.data else { return Ok(()) };
        let ready = || -> Result<_> {
            if member.deflated {
                return Ok(Data::Inflated(map(&member.inflate(bytes)?)?));
            }
            member.check(bytes)?;
            Ok(Data::Here(&bytes[self.array.offset..]))
        };
        self.data = ready().with_context(|| self.name.clone())?;
        Ok(())
    }

    /// Whether the file has it deflated.
    #[must_use]
    pub fn deflated(&self) -> bool {
        matches!(&self.data, Data::Packed(member, _) if member.deflated)
            || matches!(self.data, Data::Inflated(_))
    }

    fn data(&self) -> &[u8] {
        match &self.data {
            Data::Here(bytes) => bytes,
            Data::Packed(..) => &[],
            Data::Inflated(map) => &map[self.array.offset..],
        }
    }

    /// The distance in elements of neighbours along each axis.
    fn strides(&self) -> Vec<usize> {
        let shape = &self.array.shape;
        let mut strides = vec![1; shape.len()];
        // Products of parts of a shape whose size was checked with its header.
        if self.array.fortran {
            for k in 1..shape.len() {
                strides[k] = strides[k - 1] * shape[k - 1];
            }
        } else {
            for k in (1..shape.len()).rev() {
                strides[k - 1] = strides[k] * shape[k];
            }
        }
        strides
    }

    fn gather(&mut self, mut lengths: Vec<usize>, mut strides: Vec<usize>, fortran: bool) {
        if fortran {
            lengths.reverse();
            strides.reverse();
        }
        self.gather = Some(Gather { lengths, strides });
    }

    /// Reads from now on in the order of `fortran`, whatever the own one is.
    pub fn set_order(&mut self, fortran: bool) {
        let shape = &self.array.shape;
        let long = shape.iter().filter(|&&n| n > 1).count();
        if self.array.fortran == fortran || long < 2 {
            self.gather = None;
            return;
        }
        self.gather(shape.clone(), self.strides(), fortran);
    }

    /// Reads from now on as an array of shape `to` in the order of `fortran`, repeated as NumPy
    /// repeats arrays.
    ///
    /// # Errors
    /// The shape cannot be repeated so.
    pub fn broadcast(&mut self, to: &[usize], fortran: bool) -> Result<()> {
        let shape = &self.array.shape;
        let repeated = shape::broadcast(shape, to).with_context(|| {
            format!(
                "{}: shape {shape:?} cannot be repeated to {to:?}; from the last axis backwards \
                 each of its lengths must be 1 or that of the scores",
                self.name
            )
        })?;
        let new = to.len() - shape.len();
        let mut strides = vec![0; new];
        strides.extend(self.strides());
        // One element repeated, or all of them.
        strides.iter_mut().zip(repeated).for_each(|(own, c)| *own = if c == 0 { 0 } else { *own });
        self.gather(to.to_vec(), strides, fortran);
        Ok(())
    }

    /// The elements from `start` on: in place where the file has them as `T`, else in `room`.
    ///
    /// # Panics
    /// If there are not that many.
    pub fn view<'v, T: Cell>(
        &'v self,
        start: usize,
        length: usize,
        room: &'v mut Vec<T>,
    ) -> &'v [T] {
        let native = self.array.big_endian == cfg!(target_endian = "big");
        if self.array.dtype == T::DTYPE && native && self.gather.is_none() {
            let data = &self.data()[start * T::SIZE..][..length * T::SIZE];
            // Not where an odd header has left them unaligned.
            if let Ok(values) = bytemuck::try_cast_slice(data) {
                return values;
            }
        }
        room.resize(length, T::default());
        self.load(start, room);
        room
    }

    /// Reads the elements from `start` on, converted to `T`: exactly, or rounded to nearest
    /// where `T` is too small.
    ///
    /// # Panics
    /// If there are not that many.
    pub fn load<T: Cell>(&self, start: usize, to: &mut [T]) {
        match self.array.dtype {
            DType::Bool => {
                self.each::<u8, T>(start, to, |v| T::from_f64(f64::from(u8::from(v != 0))))
            }
            DType::I8 => self.each::<i8, T>(start, to, |v| T::from_f64(f64::from(v))),
            DType::U8 => self.each::<u8, T>(start, to, |v| T::from_f64(f64::from(v))),
            DType::I16 => self.each::<i16, T>(start, to, |v| T::from_f64(f64::from(v))),
            DType::U16 => self.each::<u16, T>(start, to, |v| T::from_f64(f64::from(v))),
            DType::I32 => self.each::<i32, T>(start, to, |v| T::from_f64(f64::from(v))),
            DType::U32 => self.each::<u32, T>(start, to, |v| T::from_f64(f64::from(v))),
            DType::I64 => self.each::<i64, T>(start, to, |v| T::from_f64(v as f64)),
            DType::U64 => self.each::<u64, T>(start, to, |v| T::from_f64(v as f64)),
            same if same == T::DTYPE => self.each::<T, T>(start, to, |v| v),
            DType::F16 => self.each::<f16, T>(start, to, |v| T::from_f64(f64::from(v))),
            DType::Bf16 => self.each::<bf16, T>(start, to, |v| T::from_f64(f64::from(v))),
            DType::F32 => self.each::<f32, T>(start, to, |v| T::from_f64(f64::from(v))),
            DType::F64 => self.each::<f64, T>(start, to, T::from_f64),
        }
    }

    /// Reads the elements from `start` on as they are; `S` must be as long as the array's type.
    ///
    /// # Panics
    /// If there are not that many.
    pub fn load_own<S: Bits>(&self, start: usize, to: &mut [S]) {
        self.each(start, to, |v: S| v);
    }

    /// Reads elements of the array's own type.
    fn each<S: Bits, T>(&self, start: usize, to: &mut [T], convert: impl Fn(S) -> T) {
        if to.is_empty() {
            return;
        }
        let (big, data) = (self.array.big_endian, self.data());
        let Some(gather) = &self.gather else {
            let data = &data[start * S::SIZE..][..to.len() * S::SIZE];
            let chunks = data.chunks_exact(S::SIZE);
            if big {
                to.iter_mut().zip(chunks).for_each(|(to, b)| *to = convert(S::from_bytes(b, true)));
            } else {
                to.iter_mut()
                    .zip(chunks)
                    .for_each(|(to, b)| *to = convert(S::from_bytes(b, false)));
            }
            return;
        };
        let Gather { lengths, strides } = gather;
        let mut index = vec![0; lengths.len()];
        let mut rest = start;
        for k in (0..lengths.len()).rev() {
            (index[k], rest) = (rest % lengths[k], rest / lengths[k]);
        }
        for to in to {
            let at: usize = index.iter().zip(strides).map(|(i, s)| i * s).sum();
            *to = convert(S::from_bytes(&data[at * S::SIZE..][..S::SIZE], big));
            for k in (0..lengths.len()).rev() {
                index[k] += 1;
                if index[k] < lengths[k] {
                    break;
                }
                index[k] = 0;
            }
        }
    }
}

/// A number with a fixed pattern of bytes.
pub trait Bits: bytemuck::Pod + Default {
    /// Bytes of it.
    const SIZE: usize;
    /// From that many bytes.
    fn from_bytes(bytes: &[u8], big_endian: bool) -> Self;
    /// The bytes of several, least significant first.
    fn bytes(values: &[Self]) -> Cow<'_, [u8]>;
}

/// A number that is computed with.
pub trait Cell: Bits + Element {
    /// The type of such a number in files.
    const DTYPE: DType;
}

macro_rules! bits {
    ($($t:ident)*) => {$(
        impl Bits for $t {
            const SIZE: usize = size_of::<$t>();
            #[inline]
            fn from_bytes(bytes: &[u8], big_endian: bool) -> Self {
                let bytes = bytes.try_into().unwrap_or_default();
                if big_endian { $t::from_be_bytes(bytes) } else { $t::from_le_bytes(bytes) }
            }
            fn bytes(values: &[Self]) -> Cow<'_, [u8]> {
                if cfg!(target_endian = "little") {
                    bytemuck::cast_slice(values).into()
                } else {
                    values.iter().flat_map(|v| v.to_le_bytes()).collect()
                }
            }
        }
    )*};
}
bits!(u8 i8 u16 i16 u32 i32 u64 i64 f16 bf16 f32 f64);

macro_rules! cell {
    ($($t:ident $dtype:ident)*) => {$(
        impl Cell for $t {
            const DTYPE: DType = DType::$dtype;
        }
    )*};
}
cell!(f16 F16 bf16 Bf16 f32 F32 f64 F64);

#[cfg(test)]
mod tests {
    use super::*;

    fn operand<'a>(array: &'a Array, data: &'a [u8]) -> Operand<'a> {
        Operand { name: String::new(), array, data: Data::Here(data), gather: None }
    }

    fn array(dtype: DType, shape: &[usize]) -> Array {
        Array { dtype, big_endian: false, fortran: false, shape: shape.to_vec(), offset: 0 }
    }

    #[test]
    fn every_type_is_read() {
        for dtype in DType::ALL {
            for big_endian in [false, true] {
                let array = Array { big_endian, ..array(dtype, &[2]) };
                // 1 and 0 as that type.
                let mut one = match dtype {
                    DType::F16 => f16::ONE.to_le_bytes().to_vec(),
                    DType::Bf16 => bf16::ONE.to_le_bytes().to_vec(),
                    DType::F32 => 1f32.to_le_bytes().to_vec(),
                    DType::F64 => 1f64.to_le_bytes().to_vec(),
                    _ => 1u64.to_le_bytes()[..dtype.size()].to_vec(),
                };
                if big_endian {
                    one.reverse();
                }
                let data = [one, vec![0; dtype.size()]].concat();
                let x = operand(&array, &data);
                let mut to = [7.0f64; 2];
                x.load(0, &mut to);
                assert_eq!(to, [1.0, 0.0], "{dtype:?}");
                let mut to = [f16::MAX];
                x.load(1, &mut to);
                assert_eq!(to, [f16::ZERO]);
            }
        }
    }

    #[test]
    fn orders_are_converted() {
        let mut array = array(DType::U8, &[2, 3, 2]);
        let data: Vec<u8> = (0..12).collect();
        let fortran = [0u8, 6, 2, 8, 4, 10, 1, 7, 3, 9, 5, 11].map(f32::from);
        let mut x = operand(&array, &data);
        x.set_order(true);
        for start in 0..12 {
            let mut to = vec![0f32; 12 - start];
            x.load(start, &mut to);
            assert_eq!(to, fortran[start..]);
        }
        let stored: Vec<u8> = fortran.iter().map(|&v| v as u8).collect();
        array.fortran = true;
        let mut x = operand(&array, &stored);
        x.set_order(false);
        let mut to = vec![0f32; 12];
        x.load(0, &mut to);
        assert_eq!(to, (0..12u8).map(f32::from).collect::<Vec<_>>());
    }

    #[test]
    fn shapes_are_repeated() {
        let data: Vec<u8> = (1..=3).collect();
        for fortran in [false, true] {
            let array = Array { fortran, ..array(DType::U8, &[1, 3]) };
            let mut x = operand(&array, &data);
            x.broadcast(&[2, 2, 3], false).unwrap();
            let mut to = [0f32; 12];
            x.load(0, &mut to);
            assert_eq!(to, [1., 2., 3., 1., 2., 3., 1., 2., 3., 1., 2., 3.]);
            x.broadcast(&[2, 3], true).unwrap();
            let mut to = [0f32; 3];
            x.load(3, &mut to);
            assert_eq!(to, [2., 3., 3.]);
            let error = x.broadcast(&[3, 2], false).unwrap_err().to_string();
            assert!(error.contains("[1, 3] cannot be repeated to [3, 2]"), "{error}");
        }
    }

    #[test]
    fn files_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let error = |name: &str, content: &[u8]| {
            let path = dir.path().join(name);
            fs::write(&path, content).unwrap();
            format!("{:#}", Input::open(&path, None).err().unwrap())
        };
        assert!(error("a.npy", b"").contains("a.npy: not a .npy file"));
        assert!(error("a.npz", b"PK\x03\x04").contains(".npz"));
        assert!(error("a.txt", b"1 2 3").contains("neither"));
        assert!(error("a.safetensors", b"").contains("truncated"));
        assert!(
            format!("{:#}", Input::open(dir.path(), None).err().unwrap()).contains("directory")
        );
        let none = Input::open(&dir.path().join("none.npy"), None).err().unwrap();
        assert!(format!("{none:#}").contains("No such file"));

        let mut bytes = npy::header(DType::F32, false, false, &[2]);
        bytes.extend([0, 0, 128, 63, 0, 0, 0, 64]);
        let path = dir.path().join("good");
        fs::write(&path, bytes).unwrap();
        let input = Input::open(&path, None).unwrap();
        let mut to = [0f32; 2];
        input.operand("").unwrap().load(0, &mut to);
        assert_eq!(to, [1.0, 2.0]);
    }
}
