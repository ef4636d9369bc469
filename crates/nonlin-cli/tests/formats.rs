//! What files hold: types and their names, archives, tensors by name, text.

mod common;

use std::fs;
use std::path::Path;

use common::{bad, good, nonlin, piped, python, save_f32};
use nonlin_cli::array::DType;
use nonlin_cli::npy;
use nonlin_cli::tensors::{self, Item};

fn run(dir: &Path, words: &str) -> String {
    good(dir, &words.split(' ').collect::<Vec<_>>())
}

fn fails(dir: &Path, words: &str) -> String {
    bad(dir, &words.split(' ').collect::<Vec<_>>())
}

/// Every name that NumPy has for a type, with every byte order: read if NumPy reads it and it is
/// a bool, an integer or a float of 16 to 64 bits, else refused.
#[test]
fn types_by_every_name_of_numpy() {
    let dir = tempfile::tempdir().unwrap();
    let made = python(
        dir.path(),
        "
import os
words = [o + c for o in ['', '<', '>', '|', '='] for c in
         list('?bBhHiIlLqQpPnNefdgFDGOSUVMm') +
         [k + str(n) for k in 'bBiufcV?deq' for n in [1, 2, 4, 8, 16]]]
words += ['<float32', '>int8', '|bool', 'u', 'F4', 'Float32', 'f4 ', ' f4', 'float_', 'f3', '']
words += [k for k in np._core.numerictypes.sctypeDict if isinstance(k, str)]
rng = np.random.default_rng(3)
for n, word in enumerate(dict.fromkeys(words)):
    data = rng.integers(0, 60, 16).astype('u1').tobytes()
    try:
        t = np.dtype(word)
        fits = t.kind in 'biuf' and t.itemsize in (1, 2, 4, 8) and not word.endswith('f1')
    except TypeError:
        fits = False
    if fits and t.kind == 'b':
        data = bytes(b % 2 for b in data)
    count = 16 // t.itemsize if fits else 16
    head = str({'descr': word, 'fortran_order': False, 'shape': (count,)}).encode() + b'\\n'
    name = f'{n}.npy'
    with open(name, 'wb') as f:
        f.write(b'\\x93NUMPY\\x01\\x00' + len(head).to_bytes(2, 'little') + head + data)
    if fits:
        np.load(name)
    with open('words', 'a') as f:
        f.write(f'{n}\\t{int(fits)}\\t{word}\\n')
",
    );
    if !made {
        return;
    }
    let words = fs::read_to_string(dir.path().join("words")).unwrap();
    let mut fitting = 0;
    for line in words.lines() {
        let [n, fits, word] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let bytes = fs::read(dir.path().join(format!("{n}.npy"))).unwrap();
        let read = npy::parse(&bytes);
        assert_eq!(read.is_ok(), fits == "1", "{word:?}: {read:?}");
        if fits == "1" {
            fitting += 1;
            run(dir.path(), &format!("apply identity {n}.npy -o y{n}.npy"));
        }
    }
    assert!(fitting > 100, "{fitting}");
    python(
        dir.path(),
        "
for line in open('words').read().splitlines():
    n, fits, word = line.split('\\t')
    if fits == '1':
        x, y = np.load(f'{n}.npy'), np.load(f'y{n}.npy')
        assert x.dtype.newbyteorder('=') == y.dtype, (word, y.dtype)
        assert np.array_equal(x, y, equal_nan=x.dtype.kind == 'f'), word
",
    );
}

#[test]
fn bfloat16_when_told() {
    let dir = tempfile::tempdir().unwrap();
    let words = [0xbf80u16, 0x3f00, 0x4000]; // -1, 0.5, 2
    let save = |name: &str, descr: &str| {
        let mut head = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': (3,)}}");
        head.push('\n');
        let mut bytes = b"\x93NUMPY\x01\0".to_vec();
        bytes.extend((head.len() as u16).to_le_bytes());
        bytes.extend(head.as_bytes());
        bytes.extend(words.iter().flat_map(|w| w.to_le_bytes()));
        fs::write(dir.path().join(name), bytes).unwrap();
    };
    save("raw.npy", "<V2");
    save("u2.npy", "<u2");
    for name in ["raw", "u2"] {
        run(dir.path(), &format!("apply relu {name}.npy -o y.npy --as bf16"));
        let bytes = fs::read(dir.path().join("y.npy")).unwrap();
        let array = npy::parse_start(&bytes, bytes.len(), Some(DType::Bf16)).unwrap();
        assert_eq!(array.dtype, DType::Bf16);
        let y: Vec<u8> = [0u16, 0x3f00, 0x4000].iter().flat_map(|w| w.to_le_bytes()).collect();
        assert_eq!(bytes[array.offset..], y, "{name}");
    }
    save_f32(&dir.path().join("f4.npy"), &[3], [1.0; 3]);
    let fails = |words: &str| fails(dir.path(), words);
    assert!(fails("apply relu raw.npy -o z.npy").contains("--as bf16"));
    assert!(fails("apply relu f4.npy -o z.npy --as bf16").contains("no input has raw pairs"));
    assert!(fails("apply relu raw.npy -o z.npy --as f8").contains("bf16"));
    // ml_dtypes itself, where it is.
    python(
        dir.path(),
        "
try:
    import ml_dtypes
except ImportError:
    raise SystemExit
y = np.load('y.npy').view(ml_dtypes.bfloat16)
assert y.astype('f4').tolist() == [0, 0.5, 2]
",
    );
}

/// Tensors of a model by name, type, shape and bytes.
fn save_tensors(path: &Path, tensors: &[(&str, &str, &[usize], &[u8])]) {
    let items: Vec<_> = tensors
        .iter()
        .map(|&(name, dtype, shape, bytes)| Item { name, dtype, shape, bytes: bytes.len() })
        .collect();
    let mut bytes = tensors::header(&items, None).unwrap();
    bytes.extend(tensors.iter().flat_map(|t| t.3));
    fs::write(path, bytes).unwrap();
}

fn f32s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// The only tensor of a file: its name and values.
fn only_tensor(path: &Path) -> (String, Vec<f32>) {
    let bytes = fs::read(path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let [(name, view)] = &file.tensors()[..] else { panic!("{:?}", file.names()) };
    let values = view.data().chunks_exact(4);
    (name.clone(), values.map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect())
}

/// bilinear(a, b) = a b tells which tensor was which by its gradients.
#[test]
fn two_tensors_are_two_operands() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let (gate, up) = (f32s(&[2.0, 3.0]), f32s(&[5.0, 7.0]));
    save_tensors(&path("g.safetensors"), &[("gate", "F32", &[2], &gate), ("up", "F32", &[2], &up)]);
    save_tensors(&path("a.safetensors"), &[("gate", "F32", &[2], &gate)]);
    save_tensors(&path("b.safetensors"), &[("up", "F32", &[2], &up)]);
    save_f32(&path("ones.npy"), &[2], [1.0; 2]);
    let both = "--tensor gate --tensor up";
    for inputs in [
        "g.safetensors g.safetensors",
        "g.safetensors ./g.safetensors",
        "g.safetensors",
        "a.safetensors b.safetensors",
    ] {
        run(dir.path(), &format!("apply reglu {inputs} {both} -o y.safetensors"));
        assert_eq!(only_tensor(&path("y.safetensors")), ("gate".into(), vec![10.0, 21.0]));
        run(
            dir.path(),
            &format!(
                "apply bilinear {inputs} {both} --backward ones.npy -o da.safetensors -o db.safetensors"
            ),
        );
        assert_eq!(only_tensor(&path("da.safetensors")), ("gate".into(), vec![5.0, 7.0]));
        assert_eq!(only_tensor(&path("db.safetensors")), ("up".into(), vec![2.0, 3.0]));
    }
    run(
        dir.path(),
        "apply bilinear g.safetensors --tensor up --tensor gate --derivative=a -o d.npy",
    );
    assert_eq!(common::load_f32(&path("d.npy")), [2.0, 3.0]);
    // One name in both files is the same tensor of each, as without --tensor.
    fs::copy(path("g.safetensors"), path("h.safetensors")).unwrap();
    run(dir.path(), "apply bilinear g.safetensors h.safetensors --tensor up -o y.safetensors");
    assert_eq!(only_tensor(&path("y.safetensors")), ("up".into(), vec![25.0, 49.0]));
    run(dir.path(), "apply bilinear g.safetensors h.safetensors -o y.safetensors");
    let bytes = fs::read(path("y.safetensors")).unwrap();
    assert_eq!(safetensors::SafeTensors::deserialize(&bytes).unwrap().len(), 2);

    let fails = |words: &str| fails(dir.path(), words);
    let ambiguous = fails(&format!("apply bilinear g.safetensors h.safetensors {both} -o z.npy"));
    assert!(ambiguous.contains("could be one pair or two"), "{ambiguous}");
    let same = fails("apply bilinear g.safetensors g.safetensors -o z.safetensors");
    assert!(same.contains("is both inputs; name the two operands"), "{same}");
    assert!(fails("apply bilinear g.safetensors --tensor up -o z.npy").contains("two --tensor"));
    assert!(
        fails("apply bilinear a.safetensors b.safetensors --tensor up --tensor gate -o z.npy")
            .contains("a.safetensors")
    );
}

#[test]
fn what_cannot_be_computed_on_is_copied() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let (fp8, new) = ([1u8, 0x80, 0xff], [9u8; 5]);
    let w = f32s(&[-1.0, 2.0]);
    save_tensors(
        &path("m.safetensors"),
        &[("fp8", "F8_E4M3", &[3], &fp8), ("w", "F32", &[2], &w), ("new", "Q3_1", &[5], &new)],
    );
    let words = ["apply", "relu", "m.safetensors", "-o", "y.safetensors"];
    let output = nonlin(dir.path(), &words);
    let line = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{line}");
    assert_eq!(line.matches('\n').count(), 1, "{line}");
    for part in ["m.safetensors: copied unchanged", "\"fp8\" is F8_E4M3", "and 1 more"] {
        assert!(line.contains(part), "{line}");
    }
    let bytes = fs::read(path("y.safetensors")).unwrap();
    let y = tensors::parse(&bytes).unwrap();
    let array = y.get("w").unwrap();
    assert_eq!(bytes[array.offset..][..8], f32s(&[0.0, 2.0]));
    for (name, dtype, want) in [("fp8", "F8_E4M3", &fp8[..]), ("new", "Q3_1", &new)] {
        let entry = &y.entries.iter().find(|(n, _)| n == name).unwrap().1;
        let opaque = entry.as_ref().unwrap_err();
        assert_eq!((opaque.dtype.as_str(), &bytes[opaque.place.clone()]), (dtype, want));
    }

    let fails = |words: &str| fails(dir.path(), words);
    assert!(fails("apply relu m.safetensors --tensor fp8 -o z.safetensors").contains("F8_E4M3"));
    assert!(fails("apply relu m.safetensors -o z.npz").contains("F8_E4M3"));
    save_tensors(&path("n.safetensors"), &[("fp8", "F8_E4M3", &[3], &fp8)]);
    let none = fails("apply relu n.safetensors -o z.safetensors");
    assert!(none.contains("no array that can be computed on: tensor \"fp8\" is F8_E4M3"), "{none}");
    let header = r#"{"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},
        "x":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}"#;
    let mut twice = (header.len() as u64).to_le_bytes().to_vec();
    twice.extend(header.as_bytes());
    twice.extend([1, 2, 3]);
    fs::write(path("twice.safetensors"), twice).unwrap();
    assert!(
        fails("apply relu twice.safetensors -o z.safetensors").contains("\"x\" is there twice")
    );
}

#[test]
fn archives_of_numpy() {
    let dir = tempfile::tempdir().unwrap();
    let made = python(
        dir.path(),
        "
rng = np.random.default_rng(5)
arrays = dict(a=rng.standard_normal((3, 4)).astype('f4'), b=np.asfortranarray(rng.standard_normal((5, 6))),
              c=np.arange(-3, 4), d=np.float16(2.5), e=np.zeros((0, 3), '>f8'), big=rng.standard_normal(300_000),
              flags=np.array([True, False]))
np.savez('stored.npz', **arrays)
np.savez_compressed('deflated.npz', **arrays)
np.savez('names.npz', np.arange(3.), np.arange(4.), text=np.array(['x', 'y']), z=np.array([1j]))
np.save('a.npy', arrays['a'])
",
    );
    if !made {
        return;
    }
    for name in ["stored", "deflated"] {
        run(dir.path(), &format!("apply tanh {name}.npz -o tanh-{name}.npz"));
        run(dir.path(), &format!("apply tanh {name}.npz -o b-{name}.npy --array b"));
        run(
            dir.path(),
            &format!("apply tanh {name}.npz -o t-{name}.safetensors --tensor a --tensor b"),
        );
        run(dir.path(), &format!("apply bilinear {name}.npz {name}.npz --array a -o x.npz"));
        run(
            dir.path(),
            &format!("apply softmax {name}.npz -o s-{name}.npz --array b --axis 0 --threads 2"),
        );
        let piped = nonlin(dir.path(), &["apply", "tanh", &format!("{name}.npz"), "-o", "-"]);
        assert!(piped.status.success(), "{}", String::from_utf8_lossy(&piped.stderr));
        fs::write(dir.path().join(format!("pipe-{name}.npz")), piped.stdout).unwrap();
    }
    run(dir.path(), "apply relu a.npy -o one.npz");
    run(dir.path(), "apply relu t-stored.safetensors -o back.npz");
    let output = nonlin(dir.path(), &["apply", "relu", "names.npz", "-o", "names2.npz"]);
    let line = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.success() && line.contains("\"text\"") && line.contains("1 more"),
        "{line}"
    );
    python(
        dir.path(),
        "
import zipfile
from math import prod
for name in ['stored', 'deflated']:
    x, y = np.load(name + '.npz'), np.load(f'tanh-{name}.npz')
    assert x.files == y.files, y.files
    kinds = {i.compress_type for i in zipfile.ZipFile(f'tanh-{name}.npz').infolist()}
    assert kinds == {zipfile.ZIP_STORED if name == 'stored' else zipfile.ZIP_DEFLATED}, kinds
    assert zipfile.ZipFile(f'tanh-{name}.npz').testzip() is None
    for k in x.files:
        with np.errstate(all='ignore'):
            want = np.exp(x[k]).dtype.newbyteorder('=')
        assert y[k].dtype == want, (k, y[k].dtype)
        assert y[k].shape == x[k].shape
        tolerance = 2 * float(np.finfo(y[k].dtype).eps)
        assert np.allclose(y[k].astype('f8'), np.tanh(x[k].astype('f8')), rtol=tolerance, atol=tolerance), k
    assert y['b'].flags.f_contiguous
    p = np.load(f'pipe-{name}.npz')
    assert all(np.array_equal(p[k], y[k]) for k in x.files)
    assert np.array_equal(np.load(f'b-{name}.npy'), y['b'])
    s, e = np.load(f's-{name}.npz'), np.exp(x['b'])
    assert s.files == ['b'] and np.allclose(s['b'], e / e.sum(axis=0))
    square = np.load('x.npz')
    assert square.files == ['a'] and np.array_equal(square['a'], x['a'] ** 2)
assert np.load('one.npz').files == ['arr_0']
back = np.load('back.npz')
assert sorted(back.files) == ['a', 'b']
assert np.array_equal(back['b'], np.maximum(np.load('tanh-stored.npz')['b'], 0))
names = np.load('names2.npz')
assert sorted(names.files) == ['arr_0', 'arr_1', 'text', 'z'], names.files
assert names['text'].tolist() == ['x', 'y'] and names['z'][0] == 1j
",
    );
}

/// An archive of 1 MB that stands for 1 GB is streamed: with less memory than that, in which it
/// would not fit.
#[cfg(target_os = "linux")]
#[test]
fn a_long_array_is_inflated_block_by_block() {
    let dir = tempfile::tempdir().unwrap();
    let made = python(
        dir.path(),
        "
import zipfile
n = 1 << 26
with zipfile.ZipFile('zeros.npz', 'w', zipfile.ZIP_DEFLATED) as z, z.open('x.npy', 'w', force_zip64=True) as f:
    np.lib.format.write_array_header_1_0(f, dict(descr='|b1', fortran_order=False, shape=(n,)))
    for _ in range(64):
        f.write(bytes(n // 64))
",
    );
    if !made {
        return;
    }
    assert!(fs::metadata(dir.path().join("zeros.npz")).unwrap().len() < 1 << 20);
    let script = "ulimit -d 32768; exec \"$0\" apply relu zeros.npz -o y.npz";
    let output = std::process::Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_nonlin")])
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(fs::metadata(dir.path().join("y.npz")).unwrap().len() < 1 << 20);
    assert_eq!(common::names(dir.path()), ["y.npz", "zeros.npz"]);
}

#[test]
fn spoilt_archives_leave_no_output() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    save_f32(&path("x.npy"), &[1000], (0..1000).map(|i| i as f32));
    run(dir.path(), "apply relu x.npy -o x.npz");
    let good = fs::read(path("x.npz")).unwrap();
    let mut bad = good.clone();
    bad[2000] ^= 1;
    fs::write(path("bad.npz"), bad).unwrap();
    fs::write(path("short.npz"), &good[..good.len() - 1]).unwrap();
    let before = common::names(dir.path());
    let fails = |words: &str| fails(dir.path(), words);
    let line = fails("apply relu bad.npz -o y.npz");
    assert!(line.contains("bad.npz: array \"arr_0\": corrupt: the checksum"), "{line}");
    assert!(fails("apply relu short.npz -o y.npz").contains("malformed .npz archive"));
    assert!(fails("apply relu x.npz -o y.npz --array arr_1").contains("nearest name is \"arr_0\""));
    assert!(fails("apply relu x.npz -o y.safetensors --array z").contains("there is \"arr_0\""));
    assert_eq!(common::names(dir.path()), before);
}

#[test]
fn text_as_others_write_it() {
    let text = |words: &[&str], input: &str| {
        let output = piped(words, input);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let input = "\u{feff}# x, y\r\n-1;2 ; 3,4\r\n\r\n5 # five\r\n";
    assert_eq!(text(&["apply", "relu"], input), "\n0 2 3 4\n\n5\n");
    let error = |input| common::failure(&piped(&["apply", "relu"], input), &[]);
    assert!(error("1,,2").contains("line 1: ',' with no number before it"));
    assert!(error("1\n2;;\n").contains("line 2"));
}
