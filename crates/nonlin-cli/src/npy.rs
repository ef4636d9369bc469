//! The header of a `.npy` file: an own parser, since elements are mapped, not loaded.
//!
//! A header is `\x93NUMPY`, a version, a length and a Python literal such as
//! `{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }`. The literal comes from
//! anywhere, so it is parsed into `Literal` with a bound on its length and depth.

use anyhow::{Context, Result, bail, ensure};

use nonlin::shape;

use crate::array::{Array, DType};

pub(crate) const MAGIC: &[u8] = b"\x93NUMPY";
/// The longest header read. NumPy's own are below 200 bytes unless the type has fields.
const MAX_HEADER: usize = 1 << 20;
/// Bytes from which any header can be read.
pub const LONGEST_START: usize = 12 + MAX_HEADER;
/// The most axes, NumPy 2's limit.
const MAX_RANK: usize = 64;
/// The deepest nesting of a literal; a dictionary with a tuple needs 2.
const MAX_DEPTH: usize = 8;

/// How many bytes from the start of a file that begins with `start` hold the header, as far as
/// that can be told.
#[must_use]
pub fn start_length(start: &[u8]) -> usize {
    let width = if start.get(6) == Some(&1) { 2 } else { 4 };
    let length = start.get(8..8 + width).unwrap_or_default();
    let length = length.iter().rev().fold(0usize, |n, &b| n << 8 | usize::from(b));
    (8 + width).saturating_add(length).min(LONGEST_START)
}

/// Reads the header at the start of `file`, the whole content of a `.npy` file, and checks
/// that exactly the announced elements follow.
pub fn parse(file: &[u8]) -> Result<Array> {
    parse_start(file, file.len(), None)
}

/// [`parse`] of a file of `size` bytes that begins with `start`, [`LONGEST_START`] of them or all.
/// Raw pairs of bytes, and those that passed as `uint16`, are read as `raw`.
pub fn parse_start(start: &[u8], size: usize, raw: Option<DType>) -> Result<Array> {
    let file = start;
    if file.len() < 8 || !file.starts_with(MAGIC) {
        bail!("not a .npy file: it does not begin with \\x93NUMPY and a version");
    }
    let (width, utf8) = match file[6] {
        1 => (2, false),
        2 => (4, false),
        3 => (4, true),
        v => bail!(".npy version {v}.{} is unknown; 1, 2 and 3 are read", file[7]),
    };
    let length = file.get(8..8 + width).context("truncated inside the .npy header's length")?;
    let length = length.iter().rev().fold(0usize, |n, &b| n << 8 | usize::from(b));
    ensure!(length <= MAX_HEADER, ".npy header of {length} bytes; at most {MAX_HEADER} are read");
    let start = 8 + width;
    let offset = start + length;
    let Some(header) = file.get(start..offset) else {
        bail!("truncated: the .npy header ends at byte {offset}, the file at {size}");
    };
    let text = if utf8 {
        String::from_utf8(header.to_vec()).context("the .npy header is not UTF-8")?
    } else {
        header.iter().map(|&b| char::from(b)).collect()
    };
    let array = from_literal(Literal::parse(&text)?, offset, raw)?;
    let (expected, found) = (array.bytes(), size.saturating_sub(offset));
    ensure!(
        found >= expected,
        "truncated: shape {:?} of {} needs {expected} bytes, the file has {found}",
        array.shape,
        array.dtype.name()
    );
    ensure!(
        found == expected,
        "{} bytes follow the array of shape {:?}; one array a file is read",
        found - expected,
        array.shape
    );
    Ok(array)
}

/// The header of an array: version 1, little endian or big as `array` says, padded so that
/// the elements begin at a multiple of 64 bytes. Version 2 where the shape is that long.
/// `bfloat16`, for which NumPy has no code, is written as ml_dtypes does: raw pairs of bytes.
pub fn header(dtype: DType, big_endian: bool, fortran: bool, shape: &[usize]) -> Vec<u8> {
    let code = code(dtype);
    let order = match (dtype.size(), big_endian) {
        (1, _) => '|',
        (_, false) => '<',
        (_, true) => '>',
    };
    let fortran = if fortran { "True" } else { "False" };
    let mut dims: String = shape.iter().map(|n| format!("{n}, ")).collect();
    // (), (3,), (3, 4): a trailing comma only after a single length.
    let cut = if shape.len() == 1 { 1 } else { 2 };
    dims.truncate(dims.len().saturating_sub(cut));
    let dict =
        format!("{{'descr': '{order}{code}', 'fortran_order': {fortran}, 'shape': ({dims}), }}");
    // The dictionary, spaces, and a newline that is the header's last byte.
    let (version, prefix) =
        if dict.len() + 128 <= usize::from(u16::MAX) { (1, 10) } else { (2, 12) };
    let total = (prefix + dict.len() + 1).next_multiple_of(64);
    let length = total - prefix;
    let mut bytes = MAGIC.to_vec();
    bytes.extend([version, 0]);
    bytes.extend(&length.to_le_bytes()[..if version == 1 { 2 } else { 4 }]);
    bytes.extend(dict.as_bytes());
    bytes.resize(total - 1, b' ');
    bytes.push(b'\n');
    bytes
}

/// The part of a type code behind its byte order.
const fn code(dtype: DType) -> &'static str {
    match dtype {
        DType::Bool => "b1",
        DType::I8 => "i1",
        DType::U8 => "u1",
        DType::I16 => "i2",
        DType::U16 => "u2",
        DType::I32 => "i4",
        DType::U32 => "u4",
        DType::I64 => "i8",
        DType::U64 => "u8",
        DType::F16 => "f2",
        DType::Bf16 => RAW,
        DType::F32 => "f4",
        DType::F64 => "f8",
    }
}

/// Elements of two bytes that are no numbers to NumPy.
const RAW: &str = "V2";

/// What else NumPy calls its types behind a byte order: the letters of C's.
fn letter(text: &str) -> Option<DType> {
    const LONG: bool = size_of::<std::ffi::c_long>() == 8;
    const POINTER: bool = size_of::<usize>() == 8;
    Some(match text {
        "?" => DType::Bool,
        "b" => DType::I8,
        "B" => DType::U8,
        "h" => DType::I16,
        "H" => DType::U16,
        "i" => DType::I32,
        "I" => DType::U32,
        "l" if LONG => DType::I64,
        "l" => DType::I32,
        "L" if LONG => DType::U64,
        "L" => DType::U32,
        "q" => DType::I64,
        "Q" => DType::U64,
        "n" | "p" if POINTER => DType::I64,
        "n" | "p" => DType::I32,
        "N" | "P" if POINTER => DType::U64,
        "N" | "P" => DType::U32,
        "e" => DType::F16,
        "f" => DType::F32,
        "d" => DType::F64,
        _ => return None,
    })
}

/// The type of one of NumPy's names, which have no byte order before them.
fn name(text: &str) -> Option<DType> {
    let letter_of = match text {
        "bool_" => "?",
        "byte" => "b",
        "ubyte" => "B",
        "short" => "h",
        "ushort" => "H",
        "intc" => "i",
        "uintc" => "I",
        "long" => "l",
        "ulong" => "L",
        "longlong" => "q",
        "ulonglong" => "Q",
        "int" | "int_" | "intp" => "p",
        "uint" | "uintp" => "P",
        "half" => "e",
        "single" => "f",
        "float" | "double" => "d",
        _ => "",
    };
    let own = || DType::ALL.into_iter().find(|d| d.name() == text && *d != DType::Bf16);
    letter(letter_of).or_else(own)
}

fn from_literal(literal: Literal, offset: usize, raw: Option<DType>) -> Result<Array> {
    let Literal::Dict(items) = literal else {
        bail!("the .npy header is {}, not a dictionary", literal.kind());
    };
    let (mut descr, mut fortran, mut dims) = (None, None, None);
    for (key, value) in items {
        let Literal::Str(key) = key else {
            bail!("the .npy header has {} as a key", key.kind());
        };
        let slot = match key.as_str() {
            "descr" => &mut descr,
            "fortran_order" => &mut fortran,
            "shape" => &mut dims,
            _ => bail!("the .npy header has an unknown key {key:?}"),
        };
        ensure!(slot.replace(value).is_none(), "the .npy header has {key:?} twice");
    }
    let (dtype, big_endian) = match descr.context("the .npy header lacks 'descr'")? {
        Literal::Str(code) => from_code(&code, raw)?,
        Literal::List(_) => bail!("structured arrays are not read; save one field by itself"),
        other => bail!("'descr' in the .npy header is {}, not a type code", other.kind()),
    };
    let fortran = match fortran.context("the .npy header lacks 'fortran_order'")? {
        Literal::Bool(b) => b,
        other => bail!("'fortran_order' in the .npy header is {}, not a bool", other.kind()),
    };
    let dims = match dims.context("the .npy header lacks 'shape'")? {
        Literal::Tuple(dims) => dims,
        other => bail!("'shape' in the .npy header is {}, not a tuple", other.kind()),
    };
    ensure!(dims.len() <= MAX_RANK, "{} axes; at most {MAX_RANK} are read", dims.len());
    let lengths = dims
        .into_iter()
        .map(|dim| match dim {
            Literal::Int(n) => usize::try_from(n)
                .ok()
                .with_context(|| format!("an axis of length {n}; 0 to {} are read", usize::MAX)),
            other => bail!("'shape' in the .npy header holds {}, not a length", other.kind()),
        })
        .collect::<Result<Vec<_>>>()?;
    shape::bytes(&lengths, dtype.size())?;
    Ok(Array { dtype, big_endian, fortran, shape: lengths, offset })
}

/// A type code such as `<f4` as a type and whether its bytes are big-endian. What NumPy reads as
/// a bool, an integer or a float of 16 to 64 bits is read.
fn from_code(text: &str, raw: Option<DType>) -> Result<(DType, bool)> {
    let native = cfg!(target_endian = "big");
    let (big_endian, rest) = match text.as_bytes().first() {
        Some(b'<') => (false, &text[1..]),
        Some(b'>') => (true, &text[1..]),
        Some(b'|' | b'=') => (native, &text[1..]),
        _ => (native, text),
    };
    let coded = DType::ALL.into_iter().find(|&d| code(d) == rest && rest != RAW);
    let named = if rest.len() == text.len() { name(rest) } else { None };
    match (coded.or_else(|| letter(rest)).or(named), raw) {
        (Some(DType::U16), Some(dtype)) => return Ok((dtype, big_endian)),
        (Some(dtype), _) => return Ok((dtype, big_endian && dtype.size() > 1)),
        // NumPy has no byte order for raw bytes: they are as the machine had them.
        (None, Some(dtype)) if rest == RAW => return Ok((dtype, native)),
        (None, _) => {}
    }
    let what = match rest {
        RAW => bail!("type {text:?} is raw pairs of bytes, as bfloat16 is saved; add --as bf16"),
        "f1" => "an 8-bit float",
        "V1" => "raw bytes, as 8-bit floats are saved",
        "g" => "extended-precision",
        _ => match rest.chars().next() {
            Some('c' | 'F' | 'D' | 'G') => "complex",
            Some('O') => "object",
            Some('S' | 'U' | 'a') => "string",
            Some('M' | 'm') => "time",
            Some('V') => "raw",
            Some('f') if rest[1..].bytes().all(|b| b.is_ascii_digit()) => "extended-precision",
            _ => "unknown",
        },
    };
    bail!(
        "type {text:?} is {what}; bool, integers, float16, float32 and float64 are read, bfloat16 \
         with --as bf16"
    )
}

/// A Python literal, as far as headers have them.
#[derive(Debug, PartialEq)]
enum Literal {
    Str(String),
    Int(i128),
    Bool(bool),
    None,
    Tuple(Vec<Literal>),
    List(Vec<Literal>),
    Dict(Vec<(Literal, Literal)>),
}

impl Literal {
    fn parse(text: &str) -> Result<Self> {
        let mut parser = Parser { rest: text, length: text.len() };
        let value = parser.value(0)?;
        parser.space();
        ensure!(parser.rest.is_empty(), "{}", parser.complaint("more text"));
        Ok(value)
    }

    const fn kind(&self) -> &'static str {
        match self {
            Literal::Str(_) => "a string",
            Literal::Int(_) => "a number",
            Literal::Bool(_) => "a bool",
            Literal::None => "None",
            Literal::Tuple(_) => "a tuple",
            Literal::List(_) => "a list",
            Literal::Dict(_) => "a dictionary",
        }
    }
}

struct Parser<'a> {
    rest: &'a str,
    length: usize,
}

impl Parser<'_> {
    fn complaint(&self, found: &str) -> String {
        format!("malformed .npy header: {found} at character {}", self.length - self.rest.len())
    }

    fn space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
    }

    /// Takes `token` if it comes next, after space.
    fn take(&mut self, token: char) -> bool {
        self.space();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn value(&mut self, depth: usize) -> Result<Literal> {
        ensure!(depth < MAX_DEPTH, "{}", self.complaint("nesting deeper than 8"));
        self.space();
        let Some(first) = self.rest.chars().next() else {
            bail!(self.complaint("the end instead of a value"));
        };
        match first {
            '{' => self.dict(depth),
            '(' => self.sequence('(', ')', depth),
            '[' => self.sequence('[', ']', depth),
            '\'' | '"' => self.string(first),
            '-' | '+' | '0'..='9' => self.int(),
            _ => self.word(),
        }
    }

    fn dict(&mut self, depth: usize) -> Result<Literal> {
        self.take('{');
        let mut items = Vec::new();
        while !self.take('}') {
            let key = self.value(depth + 1)?;
            ensure!(self.take(':'), "{}", self.complaint("no ':' after a key"));
            items.push((key, self.value(depth + 1)?));
            if !self.take(',') {
                ensure!(self.take('}'), "{}", self.complaint("no ',' or '}'"));
                break;
            }
        }
        Ok(Literal::Dict(items))
    }

    fn sequence(&mut self, open: char, close: char, depth: usize) -> Result<Literal> {
        self.take(open);
        let (mut items, mut comma) = (Vec::new(), false);
        while !self.take(close) {
            items.push(self.value(depth + 1)?);
            comma = self.take(',');
            if !comma {
                ensure!(self.take(close), "{}", self.complaint(&format!("no ',' or '{close}'")));
                break;
            }
        }
        Ok(match (open, items.len(), comma) {
            ('[', ..) => Literal::List(items),
            // (3) is the number 3.
            (_, 1, false) => items.remove(0),
            _ => Literal::Tuple(items),
        })
    }

    fn string(&mut self, quote: char) -> Result<Literal> {
        self.take(quote);
        let Some((text, rest)) = self.rest.split_once(quote) else {
            bail!(self.complaint("a string without end"));
        };
        ensure!(!text.contains('\\'), "{}", self.complaint("an escape in a string"));
        self.rest = rest;
        Ok(Literal::Str(text.to_owned()))
    }

    fn int(&mut self) -> Result<Literal> {
        let sign = usize::from(self.rest.starts_with(['-', '+']));
        let digits = self.rest[sign..].find(|c: char| !c.is_ascii_digit());
        let (text, rest) = self.rest.split_at(digits.map_or(self.rest.len(), |n| n + sign));
        let Ok(value) = text.parse::<i128>() else {
            let text: String = text.chars().take(40).collect();
            bail!(self.complaint(&format!("the number {text:?}, too long or without digits,")));
        };
        // Python 2 wrote long lengths as 3L.
        self.rest = rest.strip_prefix('L').unwrap_or(rest);
        Ok(Literal::Int(value))
    }

    fn word(&mut self) -> Result<Literal> {
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        let value = match word {
            "True" => Literal::Bool(true),
            "False" => Literal::Bool(false),
            "None" => Literal::None,
            _ => {
                let found: String = self.rest.chars().take(word.len().clamp(1, 20)).collect();
                bail!(self.complaint(&format!("{found:?}")));
            }
        };
        self.rest = rest;
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(version: u8, header: &str, data: usize) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([version, 0]);
        let width = if version == 1 { 2 } else { 4 };
        bytes.extend(&(header.len() as u32).to_le_bytes()[..width]);
        bytes.extend(header.as_bytes());
        bytes.resize(bytes.len() + data, 7);
        bytes
    }

    fn error(header: &str) -> String {
        format!("{:#}", parse(&file(1, header, 24)).unwrap_err())
    }

    const GOOD: &str = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n";

    #[test]
    fn all_versions_are_read() {
        for version in 1..=3 {
            let start = file(version, GOOD, 0);
            assert_eq!(start_length(&start[..12]), start.len());
            assert!(parse_start(&start, start.len() + 24, None).is_ok());
            let array = parse(&file(version, GOOD, 24)).unwrap();
            assert_eq!((array.dtype, array.big_endian, array.fortran), (DType::F32, false, false));
            assert_eq!(array.shape, [2, 3]);
            assert_eq!(array.offset, GOOD.len() + if version == 1 { 10 } else { 12 });
        }
        assert_eq!(start_length(b"\x93NUMPY\x02\0\xff\xff\xff\xff"), LONGEST_START);
        assert_eq!(start_length(b""), 12);
        let text = "{'descr': '>i2', 'fortran_order': True, 'shape': (12L,)}";
        let array = parse(&file(1, text, 24)).unwrap();
        assert_eq!((array.dtype, array.big_endian, array.fortran), (DType::I16, true, true));
    }

    #[test]
    fn what_is_written_is_read_back() {
        for dtype in DType::ALL {
            for shape in [&[][..], &[3], &[0, 4], &[2, 3, 4], &[1; 64]] {
                for (big, fortran) in [(false, true), (true, false)] {
                    let mut bytes = header(dtype, big, fortran, shape);
                    assert_eq!(bytes.len() % 64, 0);
                    let offset = bytes.len();
                    bytes.resize(offset + shape.iter().product::<usize>() * dtype.size(), 0);
                    let raw = dtype == DType::Bf16;
                    let big_endian = big && dtype.size() > 1 && !raw;
                    let shape = shape.to_vec();
                    let array = Array { dtype, big_endian, fortran, shape, offset };
                    let start = &bytes[..offset];
                    let read = parse_start(start, bytes.len(), raw.then_some(DType::Bf16));
                    assert_eq!(read.unwrap(), array);
                    assert_eq!(parse(&bytes).is_err(), raw);
                }
            }
        }
    }

    #[test]
    fn errors_name_the_value() {
        let with = |descr: &str, shape: &str| {
            error(&format!("{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}"))
        };
        assert!(with("'<c8'", "(3,)").contains("\"<c8\" is complex"));
        assert!(with("'|O'", "(3,)").contains("object"));
        assert!(with("'<U5'", "(3,)").contains("string"));
        assert!(with("'<f16'", "(3,)").contains("extended"));
        assert!(with("'<f1'", "(3,)").contains("\"<f1\" is an 8-bit float"));
        assert!(with("'<V1'", "(3,)").contains("8-bit floats are saved"));
        assert!(with("'<V2'", "(3,)").contains("bfloat16 is saved; add --as bf16"));
        assert!(with("'|V8'", "(3,)").contains("is raw;"));
        assert!(with("'<float32'", "(3,)").contains("unknown"));
        assert!(with("'bfloat16'", "(3,)").contains("unknown"));
        assert!(with("[('a', '<f4')]", "(3,)").contains("structured"));
        assert!(with("'<f4'", "(-3,)").contains("length -3"));
        assert!(with("'<f4'", "(99999999999, 99999999999)").contains("address space"));
        assert!(
            with("'<f4'", "(1000000000000000000000,)").contains("length 1000000000000000000000")
        );
        assert!(with("'<f4'", "(3)").contains("a number, not a tuple"));
        assert!(with("'<f4'", "(True,)").contains("holds a bool"));
        assert!(with("'<f4'", "(7,)").contains("needs 28 bytes, the file has 24"));
        assert!(with("'<f4'", "(5,)").contains("4 bytes follow"));
        assert!(error("{'descr': '<f4', 'fortran_order': False}").contains("lacks 'shape'"));
        assert!(error("{'descr': '<f4', 'descr': '<f4'}").contains("twice"));
        assert!(error("{'descr': '<f4'").contains("no ',' or '}'"));
        assert!(error("{'descr': '<f4").contains("without end"));
        assert!(error("{'d\u{e9}': 1}").contains("unknown key"));
        assert!(error(&"(".repeat(1000)).contains("deeper than 8"));
        assert!(error(&format!("({},)", "9".repeat(1000))).contains("too long"));
        assert!(error("").contains("the end instead"));
        assert!(parse(b"\x93NUMPY\x01\x00\xff\xff{").unwrap_err().to_string().contains("65545"));
        assert!(
            parse(b"\x93NUMPY\x02\x00\xff\xff\xff\xff")
                .unwrap_err()
                .to_string()
                .contains("4294967295")
        );
        assert!(parse(b"\x93NUMPY\x09\x03").unwrap_err().to_string().contains("9.3"));
        assert!(parse(b"PK\x03\x04 an .npz file").unwrap_err().to_string().contains("not a .npy"));
    }

    /// Every prefix, every single-byte change of a good file: an answer, no panic.
    #[test]
    fn mutations_never_panic() {
        let good = file(3, GOOD, 24);
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
