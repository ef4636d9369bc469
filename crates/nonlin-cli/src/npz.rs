//! `.npz` files, read and written: zip archives with a `.npy` file for every array.
//!
//! Nothing is believed of an archive that could cost memory. A stored array is used where it is
//! mapped. A deflated one is inflated to a file without a name when its turn comes, and only if
//! its header, its entry in the archive and its elements agree on its size. Entries that share
//! bytes, by which small archives pretend to be huge, are refused.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Cursor, Read, Write};
use std::ops::Range;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use flate2::read::DeflateDecoder;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::array::{Array, DType, missing};
use crate::npy;
use crate::output::Output;

/// How archives begin, empty ones too.
pub(crate) const MAGIC: [&[u8]; 2] = [b"PK\x03\x04", b"PK\x05\x06"];
/// What NumPy puts behind the name of an array.
const SUFFIX: &str = ".npy";
/// The most bytes that a byte of deflated data can stand for.
const MAX_RATIO: u64 = 1032;
/// Bytes that are inflated at first for a header; NumPy's own have 128.
const USUAL_START: usize = 256;
/// Bytes before elements are a multiple of this, so that they can be used where they are mapped.
const ALIGNMENT: u16 = 64;
/// From this size on an entry needs the format's extension for large files.
const LARGE: u64 = 1 << 31;

/// The arrays of an archive in its order.
#[derive(Debug)]
pub struct Npz {
    /// Name, without `.npy`, and content of each.
    pub entries: Vec<(String, Entry)>,
}

/// A file in an archive.
#[derive(Debug)]
pub struct Entry {
    /// What its header says, with the offset in its own file; or why it is not computed on.
    pub array: std::result::Result<Array, String>,
    /// The number of the entry in the archive.
    pub index: usize,
    /// Where and how its bytes are.
    pub member: Member,
}

/// The bytes of a file in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    place: Range<usize>,
    /// Whether they are deflated, not stored.
    pub deflated: bool,
    size: u64,
    crc: u32,
}

impl Npz {
    /// The array called `name`.
    pub fn get(&self, name: &str) -> Result<(&Array, &Member)> {
        match self.entries.iter().find(|(n, _)| n == name) {
            Some((_, Entry { array: Ok(array), member, .. })) => Ok((array, member)),
            Some((_, Entry { array: Err(why), .. })) => bail!("array {name:?}: {why}"),
            None => Err(missing("array", name, self.entries.iter().map(|(n, _)| n.as_str()))),
        }
    }
}

/// The archive itself, to copy entries from.
///
/// # Errors
/// `file` is no such archive.
pub fn archive(file: &[u8]) -> Result<ZipArchive<Cursor<&[u8]>>> {
    ZipArchive::new(Cursor::new(file)).context("malformed .npz archive")
}

/// Reads the directory of the archive `file` and the headers of its arrays. `raw` is the type of
/// raw pairs of bytes.
pub fn parse(file: &[u8], raw: Option<DType>) -> Result<Npz> {
    let mut archive = archive(file)?;
    ensure!(
        !archive.has_duplicate_names(),
        "malformed .npz archive: two entries have the same name"
    );
    ensure!(
        !archive.has_overlapping_entries().context("malformed .npz archive")?,
        "refused: entries of the archive share bytes"
    );
    let (mut entries, mut seen) = (Vec::new(), HashSet::new());
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index).context("malformed .npz archive")?;
        if entry.is_dir() {
            continue;
        }
        let full = entry.name().context("malformed .npz archive")?.into_owned();
        let name = full.strip_suffix(SUFFIX).unwrap_or(&full).to_owned();
        ensure!(seen.insert(name.clone()), "two arrays of the archive are called {name:?}");
        let place = (|| {
            let start = usize::try_from(entry.data_start()?).ok()?;
            let end = start.checked_add(usize::try_from(entry.compressed_size()).ok()?)?;
            file.get(start..end).map(|_| start..end)
        })();
        let place =
            place.with_context(|| format!("truncated: {full:?} is not all in the archive"))?;
        let method = entry.compression();
        let deflated = method == CompressionMethod::Deflated;
        let member = Member { place, deflated, size: entry.size(), crc: entry.crc32() };
        let array = if entry.encrypted() {
            Err("is encrypted".to_owned())
        } else if !deflated && method != CompressionMethod::Stored {
            Err(format!("is compressed by {method}; stored and deflated arrays are read"))
        } else if !full.ends_with(SUFFIX) {
            Err("is not a .npy file".to_owned())
        } else {
            member.array(file, raw).map_err(|e| format!("{e:#}"))
        };
        entries.push((name, Entry { array, index, member }));
    }
    Ok(Npz { entries })
}

impl Member {
    /// The bytes of the entry in the archive `file`.
    #[must_use]
    pub fn bytes<'a>(&self, file: &'a [u8]) -> &'a [u8] {
        &file[self.place.clone()]
    }

    fn array(&self, file: &[u8], raw: Option<DType>) -> Result<Array> {
        let bytes = self.bytes(file);
        let size = usize::try_from(self.size).context("larger than an address space")?;
        let possible = if self.deflated {
            self.size <= (bytes.len() as u64).saturating_mul(MAX_RATIO)
        } else {
            size == bytes.len()
        };
        ensure!(
            possible,
            "{size} bytes are announced, but {} in the archive cannot hold them",
            bytes.len()
        );
        if !self.deflated {
            return npy::parse_start(bytes, size, raw);
        }
        let mut decoder = DeflateDecoder::new(bytes);
        let mut start = Vec::new();
        let mut more = |start: &mut Vec<u8>, length: usize| {
            let wanted = length.saturating_sub(start.len()) as u64;
            (&mut decoder).take(wanted).read_to_end(start).context("malformed deflated data")
        };
        more(&mut start, USUAL_START)?;
        let length = npy::start_length(&start);
        more(&mut start, length)?;
        npy::parse_start(&start, size, raw)
    }

    /// Checks stored bytes against the archive's checksum.
    pub fn check(&self, bytes: &[u8]) -> Result<()> {
        let crc = crc32fast::hash(bytes);
        ensure!(crc == self.crc, "corrupt: the checksum is {crc:08x}, not {:08x}", self.crc);
        Ok(())
    }

    /// Inflates `bytes` to a file without a name.
    pub fn inflate(&self, bytes: &[u8]) -> Result<File> {
        let mut file = tempfile::tempfile().with_context(|| {
            format!("no temporary file to inflate to in {}", std::env::temp_dir().display())
        })?;
        let mut decoder = DeflateDecoder::new(bytes).take(self.size + 1);
        let (mut block, mut size, mut hasher) = (vec![0; 1 << 16], 0, crc32fast::Hasher::new());
        loop {
            let n = decoder.read(&mut block).context("malformed deflated data")?;
            if n == 0 {
                break;
            }
            size += n as u64;
            ensure!(size <= self.size, "corrupt: more than the {} bytes announced", self.size);
            hasher.update(&block[..n]);
            file.write_all(&block[..n])
                .with_context(|| format!("cannot inflate to {}", std::env::temp_dir().display()))?;
        }
        ensure!(size == self.size, "truncated: {size} of {} bytes", self.size);
        let crc = hasher.finalize();
        ensure!(crc == self.crc, "corrupt: the checksum is {crc:08x}, not {:08x}", self.crc);
        Ok(file)
    }
}

/// An archive in the making.
pub struct Writer {
    zip: ZipWriter<Output>,
    /// Where the complete archive is sent, if that cannot be sought in.
    pipe: Option<Output>,
    scratch: PathBuf,
}

impl Writer {
    /// An archive that will be `output`.
    pub fn new(output: Output) -> Result<Self> {
        let scratch = output.scratch_directory();
        if output.seeks() {
            return Ok(Writer { zip: ZipWriter::new(output), pipe: None, scratch });
        }
        let file = Output::scratch(&scratch)?;
        Ok(Writer { zip: ZipWriter::new(file), pipe: Some(output), scratch })
    }

    /// A place for the elements of an array, to be added when it is complete.
    pub fn elements(&self) -> Result<Output> {
        Output::scratch(&self.scratch)
    }

    /// Adds an array with a `.npy` header and its elements.
    pub fn add(
        &mut self,
        name: &str,
        header: &[u8],
        elements: Output,
        deflate: bool,
    ) -> Result<()> {
        let (mut elements, size) = elements.read_back()?;
        let method = if deflate { CompressionMethod::Deflated } else { CompressionMethod::Stored };
        let options = SimpleFileOptions::default()
            .compression_method(method)
            .large_file(size >= LARGE)
            .with_alignment(if deflate { 1 } else { ALIGNMENT });
        let mut add = || {
            self.zip.start_file(format!("{name}{SUFFIX}"), options)?;
            self.zip.write_all(header)?;
            io::copy(&mut elements, &mut self.zip)?;
            zip::result::ZipResult::Ok(())
        };
        add().with_context(|| format!("array {name:?} of the archive"))
    }

    /// Copies an entry of another archive as it is.
    pub fn copy(&mut self, from: &mut ZipArchive<Cursor<&[u8]>>, index: usize) -> Result<()> {
        let entry = from.by_index_raw(index).context("malformed .npz archive")?;
        self.zip.raw_copy_file(entry).context("entry of the archive")
    }

    /// The complete archive, to be committed.
    pub fn finish(self) -> Result<Output> {
        let archive = self.zip.finish().context("directory of the archive")?;
        let Some(mut pipe) = self.pipe else { return Ok(archive) };
        let (mut archive, _) = archive.read_back()?;
        let mut block = vec![0; 1 << 16];
        loop {
            let n = archive.read(&mut block)?;
            if n == 0 {
                return Ok(pipe);
            }
            pipe.put(&block[..n])?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::npy::header;
    use std::io::Seek;

    /// Where and how an archive that is written in tests is spoilt.
    type Spoil = fn(&mut Vec<u8>);

    fn zipped(files: &[(&str, &[u8], bool)]) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes, deflate) in files {
            let method =
                if *deflate { CompressionMethod::Deflated } else { CompressionMethod::Stored };
            let options = SimpleFileOptions::default().compression_method(method);
            zip.start_file(*name, options).unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    fn npy(values: &[f32]) -> Vec<u8> {
        let mut bytes = header(DType::F32, false, false, &[values.len()]);
        bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
        bytes
    }

    /// The elements of an array, by the way that computing takes.
    fn elements(file: &[u8], name: &str) -> Result<Vec<u8>> {
        let npz = parse(file, None)?;
        let (array, member) = npz.get(name)?;
        let bytes = member.bytes(file);
        if member.deflated {
            let mut all = Vec::new();
            let mut file = member.inflate(bytes)?;
            file.rewind()?;
            file.read_to_end(&mut all)?;
            return Ok(all[array.offset..].to_vec());
        }
        member.check(bytes)?;
        Ok(bytes[array.offset..].to_vec())
    }

    #[test]
    fn stored_and_deflated_arrays_are_read() {
        let (a, b) = (npy(&[1.0, 2.0]), npy(&vec![0.0; 100_000]));
        let file =
            zipped(&[("a.npy", &a, false), ("b/c.npy", &b, true), ("note.txt", b"x", false)]);
        assert_eq!(elements(&file, "a").unwrap(), a[128..]);
        assert_eq!(elements(&file, "b/c").unwrap(), b[128..]);
        let error = |name| format!("{:#}", elements(&file, name).unwrap_err());
        assert!(error("note.txt").contains("not a .npy file"));
        assert!(error("aa").contains("nearest name is \"a\""));
        assert!(parse(&zipped(&[]), None).unwrap().entries.is_empty());
    }

    #[test]
    fn spoilt_archives_are_refused() {
        let (a, b) = (npy(&[1.0, 2.0]), npy(&vec![0.5; 1000]));
        let good = zipped(&[("a.npy", &a, false), ("b.npy", &b, true)]);
        let find =
            |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).rposition(|w| w == what).unwrap();
        let cases: [(&str, Spoil, &str); 4] = [
            (
                "a",
                |z| {
                    let n = z.iter().position(|&b| b == 0x40).unwrap();
                    z[n] ^= 1
                },
                "corrupt",
            ),
            ("a", |z| z.truncate(z.len() - 30), "malformed"),
            (
                "b",
                |z| {
                    // The size in the directory's entry.
                    let at = z.windows(4).rposition(|w| w == b"PK\x01\x02").unwrap() + 24;
                    z[at] += 1;
                },
                "1 bytes follow",
            ),
            (
                "b",
                |z| {
                    let at = z.windows(4).rposition(|w| w == b"PK\x01\x02").unwrap() + 24;
                    z[at..at + 4].copy_from_slice(&0x7fff_ffffu32.to_le_bytes());
                },
                "cannot hold them",
            ),
        ];
        for (name, spoil, part) in cases {
            let mut bytes = good.clone();
            spoil(&mut bytes);
            let error = format!("{:#}", elements(&bytes, name).unwrap_err());
            assert!(error.contains(part), "{part}: {error}");
        }
        // The header of a deflated array announces more than there is.
        let mut long = header(DType::F32, false, false, &[1 << 40]);
        long.extend([0; 64]);
        let error = elements(&zipped(&[("a.npy", &long, true)]), "a").unwrap_err();
        assert!(format!("{error:#}").contains("truncated: shape [1099511627776]"), "{error:#}");
        // Both entries of the directory point to the first file.
        let mut overlapping = zipped(&[("a.npy", &a, false), ("b.npy", &a, false)]);
        let at = find(&overlapping, b"PK\x01\x02") + 42;
        overlapping[at..at + 4].fill(0);
        let error = format!("{:#}", parse(&overlapping, None).unwrap_err());
        assert!(error.contains("share bytes"), "{error}");
        let twice = zipped(&[("a.npy", &a, false), ("a", b"", false)]);
        assert!(format!("{:#}", parse(&twice, None).unwrap_err()).contains("called \"a\""));
    }

    /// More entries than the format's first version counts.
    #[test]
    fn large_archives_are_read() {
        let a = npy(&[3.0]);
        let names: Vec<String> = (0..=usize::from(u16::MAX)).map(|i| format!("{i}.npy")).collect();
        let files: Vec<_> = names.iter().map(|n| (n.as_str(), a.as_slice(), false)).collect();
        let file = zipped(&files);
        let npz = parse(&file, None).unwrap();
        assert_eq!(npz.entries.len(), names.len());
        let (array, member) = npz.get("65535").unwrap();
        assert_eq!(member.bytes(&file)[array.offset..], 3f32.to_le_bytes());
    }

    #[test]
    fn mutations_never_panic() {
        let a = npy(&[1.0, 2.0]);
        let good = zipped(&[("a.npy", &a, false), ("b.npy", &a, true)]);
        for length in 0..good.len() {
            assert!(parse(&good[..length], None).is_err());
        }
        let mut bytes = good.clone();
        for at in 0..good.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                bytes[at] = value;
                for name in ["a", "b"] {
                    let _ = elements(&bytes, name);
                }
            }
            bytes[at] = good[at];
        }
    }
}
