//! `nonlin apply` against NumPy, and on files made here.

mod common;

use std::fs;
use std::process::Stdio;

use common::{bad, failure, good, load_f32, piped, python, save_f32};

#[test]
fn every_type_and_order_that_numpy_writes() {
    let dir = tempfile::tempdir().unwrap();
    let made = python(
        dir.path(),
        "
rng = np.random.default_rng(1)
for shape in [(), (0,), (7,), (3, 4), (2, 0, 3), (2, 3, 4), (1, 1, 5)]:
    n = '_'.join(map(str, shape)) or 'scalar'
    for t in ['<f2', '>f2', '<f4', '>f4', '<f8', '>f8', '?', 'i1', 'u1', '<i2', '>i2', '<u2',
              '<i4', '>u4', '<i8', '>i8', '<u8']:
        x = (rng.standard_normal(shape) * 3).astype(t) if 'f' in t else \
            rng.integers(0, 2, shape).astype(t) if t == '?' else rng.integers(-9 if 'i' in t else 0, 9, shape).astype(t)
        x = np.asarray(x)
        name = t.replace('<', 'l').replace('>', 'b').replace('?', 'bool')
        np.save(f'x-{n}-{name}-C.npy', x)
        np.save(f'x-{n}-{name}-F.npy', np.asfortranarray(x) if x.ndim else x)
",
    );
    if !made {
        return;
    }
    let files: Vec<String> = common::names(dir.path());
    assert!(files.len() > 200);
    for file in &files {
        good(dir.path(), &["apply", "tanh", file, "-o", &file.replace("x-", "tanh-")]);
        good(dir.path(), &["apply", "relu", file, "-o", &file.replace("x-", "relu-")]);
        let out = file.replace("x-", "slope-");
        good(dir.path(), &["apply", "tanh", file, "-o", &out, "--derivative", "--threads", "2"]);
    }
    python(
        dir.path(),
        "
import glob
count = 0
for name in glob.glob('x-*.npy'):
    x = np.load(name)
    with np.errstate(all='ignore'):
        like = np.exp(x)
    wide = x.astype(np.float64)
    for out, want in [('tanh-', np.tanh(wide)), ('slope-', 1 - np.tanh(wide) ** 2)]:
        y = np.load(name.replace('x-', out))
        assert y.dtype == like.dtype.newbyteorder('='), (name, y.dtype)
        assert y.shape == x.shape, (name, y.shape)
        assert y.flags.f_contiguous == x.flags.f_contiguous, name
        assert y.flags.c_contiguous == x.flags.c_contiguous, name
        tolerance = 2 * float(np.finfo(y.dtype).eps)
        assert np.allclose(y.astype(np.float64), want, rtol=tolerance, atol=tolerance), name
    y = np.load(name.replace('x-', 'relu-'))
    assert y.dtype == x.dtype.newbyteorder('='), (name, y.dtype)
    assert np.array_equal(y, np.maximum(x, np.zeros((), x.dtype))), name
    count += 1
assert count > 200
",
    );
}

#[test]
fn gradients_and_mixed_orders() {
    let dir = tempfile::tempdir().unwrap();
    let made = python(
        dir.path(),
        "
rng = np.random.default_rng(2)
x = rng.standard_normal((3, 4, 5))
np.save('x.npy', x)
np.save('g.npy', np.asfortranarray(rng.standard_normal((3, 4, 5))))
np.save('xf.npy', np.asfortranarray(x).astype('>f4'))
np.save('p.npy', rng.standard_normal((3, 8, 5)))
np.save('pf.npy', np.asfortranarray(np.load('p.npy')))
",
    );
    if !made {
        return;
    }
    let run = |words: &str| good(dir.path(), &words.split(' ').collect::<Vec<_>>());
    run("apply tanh x.npy --backward g.npy -o dx.npy");
    run("apply tanh xf.npy --backward g.npy -o dxf.npy");
    run("apply tanh x.npy -o t.npy");
    run("apply tanh t.npy --backward-from-output g.npy -o dxo.npy --threads 2");
    run("apply softmax x.npy -o p0.npy --axis 0");
    run("apply softmax p0.npy --backward-from-output g.npy -o dso0.npy --axis 0");
    run("apply glu x.npy g.npy -o y.npy");
    run("apply glu x.npy g.npy -o pa.npy --derivative=a");
    run("apply glu x.npy g.npy -o pb.npy --derivative=b");
    run("apply glu x.npy xf.npy --backward g.npy -o da.npy -o db.npy");
    for x in ["p", "pf"] {
        run(&format!("apply glu {x}.npy --split-axis 1 -o {x}y.npy"));
        run(&format!("apply glu {x}.npy --split-axis -2 --backward g.npy -o {x}d.npy"));
        run(&format!(
            "apply glu {x}.npy --split-axis 1 --backward g.npy -o {x}da.npy -o {x}db.npy"
        ));
    }
    for axis in 0..3 {
        run(&format!("apply softmax x.npy -o s{axis}.npy --axis {axis}"));
        run(&format!("apply softmax xf.npy -o sf{axis}.npy --axis {axis} --threads 2"));
        run(&format!("apply log_softmax x.npy -o l{axis}.npy --axis {} -p scale=0.5", axis - 3));
        run(&format!("apply softmax x.npy -o ds{axis}.npy --axis {axis} --backward g.npy"));
    }
    python(
        dir.path(),
        "
def load(n):
    return np.load(n + '.npy')
def same(n, want, tolerance=1e-14):
    got = load(n)
    assert got.shape == want.shape, (n, got.shape, want.shape)
    assert np.allclose(got, want, rtol=tolerance, atol=tolerance), n
    return got
def s(v):
    return 1 / (1 + np.exp(-v))
x, g, p = load('x'), load('g'), load('p')
same('dx', g * (1 - np.tanh(x) ** 2))
xf = load('xf').astype(float)
assert same('dxf', g * (1 - np.tanh(xf) ** 2)).flags.f_contiguous
same('dxo', g * (1 - np.tanh(x) ** 2))
same('dso0', load('ds0'))
same('y', x * s(g))
same('pa', s(g))
same('pb', x * s(g) * (1 - s(g)))
same('da', g * s(xf))
same('db', g * x * s(xf) * (1 - s(xf)))
a, b = p[:, :4], p[:, 4:]
da, db = g * s(b), g * a * s(b) * (1 - s(b))
for n in ['p', 'pf']:
    y = same(n + 'y', a * s(b))
    d = same(n + 'd', np.concatenate([da, db], axis=1))
    assert y.flags.f_contiguous == d.flags.f_contiguous == (n == 'pf')
    same(n + 'da', da)
    same(n + 'db', db)
for axis in range(3):
    e = np.exp(x)
    soft = e / e.sum(axis=axis, keepdims=True)
    same(f's{axis}', soft)
    assert same(f'sf{axis}', soft, 3e-7).flags.f_contiguous
    h = x / 2
    same(f'l{axis}', h - np.log(np.exp(h).sum(axis=axis, keepdims=True)))
    same(f'ds{axis}', soft * (g - (g * soft).sum(axis=axis, keepdims=True)))
",
    );
}

#[test]
fn tensors_of_a_model() {
    use nonlin_cli::array::DType;
    use nonlin_cli::tensors;
    let dir = tempfile::tempdir().unwrap();
    let half = |v: f32| half::bf16::from_f32(v).to_le_bytes();
    let item = |name, dtype, shape| tensors::Item::new(name, dtype, shape).unwrap();
    let shapes = [
        item("steps", DType::I32, &[2]),
        item("bias", DType::F32, &[3]),
        item("weight", DType::Bf16, &[2, 2]),
    ];
    let metadata = [("format".to_owned(), "pt".to_owned())].into();
    let mut bytes = tensors::header(&shapes, Some(&metadata)).unwrap();
    bytes.extend([-3i32, 5].iter().flat_map(|v| v.to_le_bytes()));
    bytes.extend([-1.0f32, 0.0, 2.0].iter().flat_map(|v| v.to_le_bytes()));
    bytes.extend([-1.0, 1.5, -0.25, 3.0].iter().flat_map(|&v| half(v)));
    fs::write(dir.path().join("model.safetensors"), bytes).unwrap();

    let run = |words: &str| good(dir.path(), &words.split(' ').collect::<Vec<_>>());
    run("apply leaky_relu model.safetensors -o out.safetensors -p negative_slope=0.5");
    let bytes = fs::read(dir.path().join("out.safetensors")).unwrap();
    let out = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(header.metadata().as_ref().unwrap()["format"], "pt");
    let weight: Vec<u8> = [-0.5, 1.5, -0.125, 3.0].iter().flat_map(|&v| half(v)).collect();
    assert_eq!(out.tensor("weight").unwrap().data(), weight);
    assert_eq!(out.tensor("weight").unwrap().dtype(), safetensors::Dtype::BF16);
    let steps: Vec<u8> = [-1.5f64, 5.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    assert_eq!(out.tensor("steps").unwrap().data(), steps);

    run("apply relu model.safetensors -o kept.safetensors");
    let bytes = fs::read(dir.path().join("kept.safetensors")).unwrap();
    let kept = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let steps: Vec<u8> = [0i32, 5].iter().flat_map(|v| v.to_le_bytes()).collect();
    assert_eq!(kept.tensor("steps").unwrap().data(), steps);

    run("apply relu model.safetensors --tensor bias -o bias.npy");
    assert_eq!(load_f32(&dir.path().join("bias.npy")), [0.0, 0.0, 2.0]);
    run("apply swiglu model.safetensors model.safetensors --tensor bias -o two.safetensors");

    let fails = |words: &str| bad(dir.path(), &words.split(' ').collect::<Vec<_>>());
    assert!(
        fails("apply relu model.safetensors --tensor bia -o x.npy")
            .contains("nearest name is \"bias\"")
    );
    assert!(fails("apply relu model.safetensors -o x.npy").contains("--tensor"));
    assert!(fails("apply relu model.safetensors --tensor weight -o x.npy").contains("bfloat16"));
    assert!(fails("apply relu bias.npy -o x.safetensors").contains("no name"));
    assert!(fails("apply relu bias.npy --tensor bias -o x.npy").contains("--tensor"));
}

#[test]
fn numbers_on_standard_input() {
    let text = |words: &[&str], input| {
        let output = piped(words, input);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(text(&["apply", "relu"], "-1 0.5\n\n2e300, nan"), "0 0.5\n\n2e300 nan\n");
    assert_eq!(text(&["apply", "relu", "-", "--derivative"], "-1 2"), "0 1\n");
    assert_eq!(
        text(&["apply", "softmax"], "1 1\n0 0 0 0\n\n7\n"),
        "0.5 0.5\n0.25 0.25 0.25 0.25\n\n1\n"
    );
    assert_eq!(text(&["apply", "bilinear", "--split-axis", "-1"], "2 3 5 7\n1 9"), "10 21\n9\n");
    assert_eq!(text(&["apply", "gelu"], ""), "");

    let error = |words: &[&str], input| failure(&piped(words, input), words);
    assert!(error(&["apply", "relu"], "1\nx\n").contains("line 2: \"x\" is not a number"));
    assert!(error(&["apply", "glu"], "1 2").contains("--split-axis"));
    assert!(error(&["apply", "glu", "--split-axis", "-1"], "1 2 3").contains("line 1: 3 numbers"));
    assert!(error(&["apply", "relu", "--backward", "g.npy"], "1").contains("--backward"));
    assert!(error(&["apply", "softmax", "--axis", "1"], "1").contains("one axis"));
    assert!(error(&["apply", "relu", "-o", "y.npy"], "1").contains("text"));
}

#[test]
fn random_slopes_depend_on_the_seed_alone() {
    let dir = tempfile::tempdir().unwrap();
    let n = 100_003;
    save_f32(&dir.path().join("x.npy"), &[n], (0..n).map(|i| -(i as f32)));
    let run = |words: &str| good(dir.path(), &words.split(' ').collect::<Vec<_>>());
    run("apply rrelu x.npy -o a.npy --train --seed 7");
    run("apply rrelu x.npy -o b.npy --train --seed 7 --threads 2 --block 1000");
    run("apply rrelu x.npy -o c.npy --train --seed 8");
    run("apply rrelu x.npy -o d.npy --train --seed 7 --derivative");
    let read = |name| load_f32(&dir.path().join(name));
    let (a, d) = (read("a.npy"), read("d.npy"));
    assert_eq!(a, read("b.npy"));
    assert_ne!(a, read("c.npy"));
    assert!(d.iter().all(|s| (0.125..=1.0 / 3.0).contains(s)));
    assert!((d.iter().sum::<f32>() / n as f32 - 11.0 / 48.0).abs() < 1e-3);
    for (i, slope) in d.iter().enumerate().skip(1) {
        assert_eq!(a[i], slope * -(i as f32));
    }
    let fails = |words: &str| bad(dir.path(), &words.split(' ').collect::<Vec<_>>());
    assert!(fails("apply gelu x.npy -o y.npy --train --seed 1").contains("rrelu"));
    assert!(fails("apply rrelu x.npy -o y.npy --train").contains("--seed"));
    assert!(fails("apply rrelu x.npy -o y.npy --seed 1").contains("--train"));
}

#[test]
fn threads_blocks_and_levels_give_the_same_bits() {
    let dir = tempfile::tempdir().unwrap();
    let n = 2_500_001;
    save_f32(&dir.path().join("x.npy"), &[n], (0..n).map(|i| i as f32 / 1e5 - 12.0));
    let run = |words: &str| good(dir.path(), &words.split(' ').collect::<Vec<_>>());
    run("apply relu x.npy -o a.npy");
    run("apply relu x.npy -o b.npy --threads 3 --block 777 --level baseline");
    let (a, b) = (fs::read(dir.path().join("a.npy")), fs::read(dir.path().join("b.npy")));
    assert!(a.unwrap() == b.unwrap());
    assert_eq!(load_f32(&dir.path().join("a.npy")).len(), n);
}

#[test]
fn output_may_be_the_input_or_a_pipe() {
    let dir = tempfile::tempdir().unwrap();
    let x = dir.path().join("x.npy");
    save_f32(&x, &[3], [-1.0, 0.0, 2.0]);
    let output = common::nonlin(dir.path(), &["apply", "relu", "x.npy", "-o", "-"]);
    assert!(output.status.success());
    good(dir.path(), &["apply", "relu", "x.npy", "-o", "x.npy"]);
    assert_eq!(load_f32(&x), [0.0, 0.0, 2.0]);
    assert_eq!(output.stdout, fs::read(&x).unwrap());
    assert_eq!(common::names(dir.path()), ["x.npy"]);
}

/// With less memory than the file is long; zeros that take no room on the disk.
#[cfg(target_os = "linux")]
#[test]
fn files_larger_than_memory() {
    let dir = tempfile::tempdir().unwrap();
    let n = 24 << 20;
    let x = dir.path().join("x.npy");
    let mut header =
        nonlin_cli::npy::header(nonlin_cli::array::DType::F32, false, false, &[n / 2048, 2048]);
    let length = header.len() + 4 * n;
    header.extend(1.5f32.to_le_bytes());
    fs::write(&x, header).unwrap();
    fs::File::options().write(true).open(&x).unwrap().set_len(length as u64).unwrap();
    for words in ["relu", "identity --threads 2", "bilinear --split-axis 1"] {
        let script = format!("ulimit -d 65536; exec \"$0\" apply {words} x.npy -o y.npy");
        let output = std::process::Command::new("sh")
            .args(["-c", &script, env!("CARGO_BIN_EXE_nonlin")])
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let half = if words.starts_with("bilinear") { 2 } else { 1 };
        let y = fs::metadata(dir.path().join("y.npy")).unwrap().len();
        assert_eq!(y, (length - 4 * n + 4 * n / half) as u64, "{words}");
    }
}

#[test]
fn formulas_are_applied() {
    let dir = tempfile::tempdir().unwrap();
    let x: Vec<f32> = (0..1001).map(|i| i as f32 * 0.01 - 5.0).collect();
    let k: Vec<f32> = x.iter().rev().map(|v| v * 0.5).collect();
    save_f32(&dir.path().join("x.npy"), &[7, 143], x.iter().copied());
    save_f32(&dir.path().join("k.npy"), &[7, 143], k.iter().copied());
    let close = |name: &str, wanted: &dyn Fn(usize) -> f64| {
        for (i, y) in load_f32(&dir.path().join(name)).into_iter().enumerate() {
            let (y, wanted) = (f64::from(y), wanted(i));
            assert!(
                (y - wanted).abs() <= 1.3e-7 * wanted.abs() + 1e-44,
                "{name} {i}: {y} {wanted}"
            );
        }
    };
    let at = |i: usize| f64::from(x[i]);
    let text = "x * tanh(alpha * x); alpha = 1 in (0, 10)";
    good(dir.path(), &["apply", text, "x.npy", "-o", "y.npy", "-p", "alpha=2", "--threads", "2"]);
    close("y.npy", &|i| at(i) * (2.0 * at(i)).tanh());
    let slope = |x: f64| x.tanh() + x / x.cosh().powi(2);
    good(dir.path(), &["apply", text, "x.npy", "-o", "d.npy", "--derivative"]);
    close("d.npy", &|i| slope(at(i)));
    good(dir.path(), &["apply", text, "x.npy", "-o", "dx.npy", "--backward", "k.npy"]);
    close("dx.npy", &|i| f64::from(k[i]) * slope(at(i)));
    good(dir.path(), &["apply", text, "x.npy", "-o", "s.npy", "--second-derivative"]);
    close("s.npy", &|i| 2.0 / at(i).cosh().powi(2) * (1.0 - at(i) * at(i).tanh()));
    let unit = "a * tanh(c * b); c = 1";
    good(dir.path(), &["apply", unit, "x.npy", "k.npy", "-o", "g.npy", "--param", "c=3"]);
    close("g.npy", &|i| at(i) * (3.0 * f64::from(k[i])).tanh());
    // What is a built-in function has its bits.
    good(dir.path(), &["apply", "x / (1 + exp(-x))", "x.npy", "-o", "a.npy"]);
    good(dir.path(), &["apply", "silu", "x.npy", "-o", "b.npy"]);
    assert_eq!(load_f32(&dir.path().join("a.npy")), load_f32(&dir.path().join("b.npy")));
    let said = piped(&["apply", "x^2 + 1"], "1 2\n-3\n");
    assert_eq!(String::from_utf8(said.stdout).unwrap(), "2 5\n10\n");

    let refused = common::nonlin(dir.path(), &["apply", "x * tnah(x)", "x.npy", "-o", "z.npy"]);
    let error = String::from_utf8(refused.stderr).unwrap();
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(lines[0], "nonlin: unknown function `tnah`; did you mean `tanh`?");
    assert_eq!(lines[1..], ["  x * tnah(x)", "      ^^^^"]);
    assert!(!dir.path().join("z.npy").exists());
    let error = bad(dir.path(), &["apply", text, "x.npy", "-o", "z.npy", "-p", "alpha=11"]);
    assert!(error.contains("`alpha` of `x * tanh(alpha * x)"), "{error}");
    let error = bad(dir.path(), &["apply", "a * tanh(b)", "x.npy", "-o", "z.npy", "-p", "k=1"]);
    assert!(error.contains("it has none"), "{error}");
    let words = ["verify", "x * tanh(x)", "--exhaustive", "--record", "r.csv"];
    assert!(bad(dir.path(), &words).contains("records are of functions of the catalogue"));
}
