//! What of a function is computed, and along which axes, against NumPy.

mod common;

use std::fs;

use common::{bad, failure, good, load_f32, piped, python, save_f32};

/// Runs lines of words.
fn run(dir: &std::path::Path, lines: &str) {
    for line in lines.lines().filter(|l| !l.trim().is_empty()) {
        good(dir, &line.split_whitespace().collect::<Vec<_>>());
    }
}

const LOAD: &str = "
def load(n):
    return np.load(n + '.npy')
def same(n, want, tolerance=1e-14):
    got = load(n)
    assert got.shape == want.shape, (n, got.shape, want.shape)
    assert np.allclose(got, want, rtol=tolerance, atol=tolerance, equal_nan=True), (n, got, want)
    return got
def sigmoid(v):
    return 1 / (1 + np.exp(-v))
";

#[test]
fn second_derivatives() {
    let dir = tempfile::tempdir().unwrap();
    let made = python(
        dir.path(),
        "
rng = np.random.default_rng(7)
np.save('x.npy', rng.standard_normal((3, 5)))
np.save('x4.npy', rng.standard_normal(70000).astype('f4'))
",
    );
    let fails = |words: &str| bad(dir.path(), &words.split(' ').collect::<Vec<_>>());
    save_f32(&dir.path().join("y.npy"), &[2], [1.0, 2.0]);
    for name in ["softmax", "swiglu"] {
        let line = fails(&format!("apply {name} y.npy -o z.npy --second-derivative"));
        assert!(line.contains("matrix of second derivatives"), "{line}");
    }
    assert!(fails("apply tanh y.npy -o z.npy --second-derivative --derivative").contains("cannot"));
    let output = piped(&["apply", "tanh", "--second-derivative"], "0 inf\n");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "0 0\n");
    if !made {
        return;
    }
    run(
        dir.path(),
        "apply tanh x.npy -o t.npy --second-derivative
         apply sigmoid x.npy -o s.npy --second-derivative --threads 2
         apply tanh x4.npy -o t4.npy --second-derivative
         apply tanh x4.npy -o t4p.npy --second-derivative --threads 2 --block 1000
         apply silu x.npy -o b.npy --second-derivative -p beta=2",
    );
    python(
        dir.path(),
        &format!(
            "{LOAD}
x, s = load('x'), sigmoid(load('x'))
same('t', -2 * np.tanh(x) * (1 - np.tanh(x) ** 2))
same('s', s * (1 - s) * (1 - 2 * s))
s = sigmoid(2 * x)
same('b', 4 * s * (1 - s) + 4 * x * s * (1 - s) * (1 - 2 * s))
assert load('t4').tobytes() == load('t4p').tobytes() and load('t4').dtype == 'f4'
"
        ),
    );
}

#[test]
fn packed_operands() {
    let dir = tempfile::tempdir().unwrap();
    let made = python(
        dir.path(),
        "
rng = np.random.default_rng(8)
p = rng.standard_normal((3, 8, 5))
np.save('p.npy', p)
np.save('pf.npy', np.asfortranarray(p))
np.save('g.npy', rng.standard_normal((3, 4, 5)))
np.save('wide.npy', rng.standard_normal((2, 2100, 600)).astype('f4'))
",
    );
    let text = |words: &str, input| {
        let output = piped(&words.split(' ').collect::<Vec<_>>(), input);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(text("apply reglu --packed interleaved", "-1 2 3 5\n"), "0 15\n");
    assert_eq!(text("apply reglu --packed halves", "2 -3 5 7\n"), "10 0\n");
    assert_eq!(text("apply reglu --split-axis 0 --gate second", "2 -3 5 7\n"), "10 -21\n");
    if !made {
        return;
    }
    for x in ["p", "pf"] {
        run(
            dir.path(),
            &format!(
                "apply glu {x}.npy -o i{x}.npy --split-axis 1 --packed interleaved
                 apply glu {x}.npy -o id{x}.npy --split-axis 1 --packed interleaved --backward g.npy
                 apply glu {x}.npy -o ia{x}.npy -o ib{x}.npy --split-axis 1 --packed interleaved --backward g.npy
                 apply glu {x}.npy -o pa{x}.npy --split-axis 1 --packed interleaved --derivative=a
                 apply glu {x}.npy -o f{x}.npy --split-axis -2 --gate first
                 apply swiglu {x}.npy -o s{x}.npy --split-axis -2 --gate second --threads 2
                 apply swiglu {x}.npy -o si{x}.npy --split-axis -2 --gate second --packed interleaved"
            ),
        );
    }
    run(
        dir.path(),
        "apply bilinear wide.npy -o w0.npy --split-axis 1 --packed interleaved
         apply bilinear wide.npy -o w1.npy --packed interleaved --threads 2
         apply bilinear g.npy g.npy -o g2.npy --gate second",
    );
    python(
        dir.path(),
        &format!(
            "{LOAD}
p, g = load('p'), load('g')
a, b = p[:, 0::2], p[:, 1::2]
da, db = g * sigmoid(b), g * a * sigmoid(b) * (1 - sigmoid(b))
d = np.empty_like(p)
d[:, 0::2], d[:, 1::2] = da, db
for x in ['p', 'pf']:
    assert same('i' + x, a * sigmoid(b)).flags.f_contiguous == (x == 'pf')
    same('id' + x, d)
    same('ia' + x, da)
    same('ib' + x, db)
    same('pa' + x, sigmoid(b))
    same('f' + x, sigmoid(p[:, :4]) * p[:, 4:])
    same('s' + x, p[:, :4] * p[:, 4:] * sigmoid(p[:, 4:]))
    same('si' + x, a * b * sigmoid(b))
w = load('wide')
assert np.array_equal(load('w0'), w[:, 0::2] * w[:, 1::2])
assert np.array_equal(load('w1'), w[..., 0::2] * w[..., 1::2])
same('g2', g * g)
"
        ),
    );
}

#[test]
fn weights_per_channel() {
    let dir = tempfile::tempdir().unwrap();
    save_f32(&dir.path().join("x.npy"), &[2, 3, 2], (0..12).map(|i| -(i as f32)));
    save_f32(&dir.path().join("w.npy"), &[3], [0.5, 1.0, 2.0]);
    save_f32(&dir.path().join("one.npy"), &[1], [0.5]);
    save_f32(&dir.path().join("ones.npy"), &[2, 3, 2], [1.0; 12]);
    run(
        dir.path(),
        "apply prelu x.npy -o y.npy --weight w.npy
         apply prelu x.npy -o s.npy --weight one.npy
         apply prelu x.npy -o d.npy --weight w.npy --derivative
         apply prelu x.npy -o dx.npy --weight w.npy --backward ones.npy
         apply prelu x.npy -o dx2.npy -o dw.npy --weight w.npy --backward ones.npy --threads 2
         apply prelu x.npy -o dx3.npy -o dw1.npy --weight one.npy --backward ones.npy
         apply relu x.npy -o r.npz
         apply prelu x.npy -o z.npz --weight w.npy",
    );
    let read = |name: &str| load_f32(&dir.path().join(name));
    let slopes = [0.5, 0.5, 1.0, 1.0, 2.0, 2.0, 0.5, 0.5, 1.0, 1.0, 2.0, 2.0];
    let times = |s: &[f32]| s.iter().enumerate().map(|(i, s)| -(i as f32) * s).collect::<Vec<_>>();
    assert_eq!(read("y.npy"), times(&slopes));
    assert_eq!(read("s.npy"), times(&[0.5; 12]));
    // Not at 0, where either side's slope is one.
    assert_eq!(read("d.npy")[1..], slopes[1..]);
    assert_eq!(read("dx.npy")[1..], slopes[1..]);
    assert_eq!(read("dx2.npy"), read("dx.npy"));
    // The sums of the inputs below 0.
    assert_eq!(
        read("dw.npy"),
        [-(1.0 + 6.0 + 7.0), -(2.0 + 3.0 + 8.0 + 9.0), -(4.0 + 5.0 + 10.0 + 11.0)]
    );
    assert_eq!(read("dw1.npy"), [-66.0]);

    let fails = |words: &str| bad(dir.path(), &words.split(' ').collect::<Vec<_>>());
    let wrong = fails("apply prelu x.npy -o n.npy --weight w.npy --axis 0");
    assert!(wrong.contains("axis 0 of shape [2, 3, 2] has 2 channels, w.npy has 3"), "{wrong}");
    assert!(fails("apply prelu x.npy -o n.npy --weight w.npy --axis 3").contains("axis 3"));
    assert!(fails("apply prelu x.npy -o n.npy --weight w.npy --axis 0,1").contains("one --axis"));
    assert!(fails("apply gelu x.npy -o n.npy --weight w.npy").contains("gelu"));
    assert!(fails("apply softmax x.npy -o n.npy --weight w.npy").contains("for prelu"));
    assert!(fails("apply prelu x.npy -o n.npy -o m.npy").contains("one result"));
    assert!(fails("apply prelu x.npy -o n.npy --weight r.npz -o m.npy").contains("one result"));
    assert!(!dir.path().join("n.npy").exists());

    let made = python(
        dir.path(),
        "
rng = np.random.default_rng(9)
np.save('bx.npy', rng.standard_normal((2, 700, 1300)).astype('f4'))
np.save('bf.npy', np.asfortranarray(np.load('bx.npy')))
np.save('bg.npy', rng.standard_normal((2, 700, 1300)).astype('f4'))
np.savez('bw.npz', rng.standard_normal(700))
",
    );
    if !made {
        return;
    }
    for x in ["bx", "bf"] {
        run(
            dir.path(),
            &format!(
                "apply prelu {x}.npy -o y{x}.npy --weight bw.npz --axis 1
                 apply prelu {x}.npy -o d{x}.npy -o w{x}.npy --weight bw.npz --axis -2 --backward bg.npy"
            ),
        );
    }
    python(
        dir.path(),
        &format!(
            "{LOAD}
x, g, w = load('bx'), load('bg').astype('f8'), np.load('bw.npz')['arr_0'].astype('f4')[:, None]
for n in ['bx', 'bf']:
    assert np.array_equal(load('y' + n), np.where(x > 0, x, w * x))
    same('d' + n, np.where(x > 0, g, w * g), 1e-6)
    same('w' + n, np.where(x > 0, 0, x * g).sum(axis=(0, 2)), 1e-4)
"
        ),
    );
}

#[test]
fn rows_along_axes_with_masks() {
    let dir = tempfile::tempdir().unwrap();
    let made = python(
        dir.path(),
        "
rng = np.random.default_rng(10)
x = rng.standard_normal((2, 3, 4, 5))
x[0, 0, 0, 0] = np.nan
np.save('x.npy', x)
np.save('xf.npy', np.asfortranarray(x))
np.save('g.npy', rng.standard_normal(x.shape))
keep = rng.random((2, 1, 1, 5)) < 0.6
keep[:, :, :, 1] = True
keep[0, 0, 0, 0] = False
np.save('keep.npy', keep)
np.save('keepf.npy', np.asfortranarray(keep))
np.save('bias.npy', np.where(rng.random((4, 5)) < 0.2, -np.inf, rng.standard_normal((4, 5))).astype('f4'))
np.save('none.npy', np.zeros((1,), bool))
np.save('ints.npy', np.ones((4, 5), int))
np.save('bad.npy', np.ones((3, 5), bool))
np.save('scalar.npy', np.float32(3))
np.savez('k.npz', keep=keep)
",
    );
    let text = piped(&["apply", "softmax", "--causal"], "1 2\n");
    assert!(failure(&text, &["--causal"]).contains("are for files"));
    if !made {
        return;
    }
    for x in ["x", "xf"] {
        run(
            dir.path(),
            &format!(
                "apply softmax {x}.npy -o k{x}.npy --mask keep.npy
                 apply softmax {x}.npy -o kf{x}.npy --mask keepf.npy --threads 2
                 apply softmax {x}.npy -o kz{x}.npy --mask k.npz
                 apply log_softmax {x}.npy -o b{x}.npy --mask bias.npy -p scale=0.5
                 apply softmax {x}.npy -o c{x}.npy --causal
                 apply softmax {x}.npy -o co{x}.npy --causal=1 --threads 2
                 apply softmax {x}.npy -o cw{x}.npy --causal=2 --window 1:
                 apply softmax {x}.npy -o w{x}.npy --window 1:1 --mask keep.npy
                 apply softmax {x}.npy -o c2{x}.npy --causal --axis 2
                 apply softmax {x}.npy -o e{x}.npy --mask none.npy --empty-rows zero
                 apply softmax {x}.npy -o en{x}.npy --causal=-1
                 apply softmax {x}.npy -o a12{x}.npy --axis 1,2
                 apply softmax {x}.npy -o a03{x}.npy --axis 0,-1
                 apply softmax {x}.npy -o all{x}.npy --axis all --mask keep.npy
                 apply softmax {x}.npy -o d{x}.npy --mask keep.npy --causal=1 --backward g.npy
                 apply softmax {x}.npy -o y{x}.npy --mask keep.npy --causal=1
                 apply softmax y{x}.npy -o do{x}.npy --mask keep.npy --causal=1 --backward-from-output g.npy
                 apply log_softmax {x}.npy -o dl{x}.npy --mask bias.npy --axis 3 --backward g.npy"
            ),
        );
    }
    run(
        dir.path(),
        "apply softmax scalar.npy -o one.npy\napply log_softmax scalar.npy -o zero.npy",
    );
    python(
        dir.path(),
        &format!(
            "{LOAD}
x, g, keep, bias = load('x'), load('g'), load('keep'), load('bias').astype('f8')
def softmax(x, keep=True, bias=0, axis=-1):
    z = np.where(keep, x + bias, -np.inf)
    with np.errstate(all='ignore'):
        e = np.exp(z - z.max(axis=axis, keepdims=True))
        return e / e.sum(axis=axis, keepdims=True)
def band(q, k, offset, before=None, after=None):
    d = np.arange(k)[None] - np.arange(q)[:, None] - offset
    keep = d <= 0 if after is None else d <= after
    return keep if before is None else keep & (d >= -before)
def back(p, keep, g):
    g = np.where(keep, g, 0)
    return np.where(keep, p * (g - (p * g).sum(axis=-1, keepdims=True)), 0)
for n in ['x', 'xf']:
    same('k' + n, softmax(x, keep))
    same('kf' + n, softmax(x, keep))
    same('kz' + n, softmax(x, keep))
    with np.errstate(all='ignore'):
        same('b' + n, np.log(softmax(x / 2, bias=bias)))
    same('c' + n, softmax(x, band(4, 5, 0)))
    same('co' + n, softmax(x, band(4, 5, 1)))
    same('cw' + n, softmax(x, band(4, 5, 2, 1)))
    same('w' + n, softmax(x, keep & band(4, 5, 0, 1, 1)))
    # Keys along axis 2, queries along axis 1.
    same('c2' + n, softmax(x, band(3, 4, 0)[:, :, None], axis=2))
    same('e' + n, np.zeros(x.shape))
    want = softmax(x, band(4, 5, -1))
    assert np.isnan(want[:, :, 0]).all()
    same('en' + n, want)
    same('a12' + n, softmax(x, axis=(1, 2)))
    same('a03' + n, softmax(x, axis=(0, 3)))
    same('all' + n, softmax(x, keep, axis=None))
    both = keep & band(4, 5, 1)
    p = softmax(x, both)
    same('y' + n, p)
    same('d' + n, back(p, both, g))
    same('do' + n, back(p, both, g))
    taken = np.broadcast_to(bias > -np.inf, x.shape)
    p, h = softmax(x, bias=bias), np.where(taken, g, 0)
    same('dl' + n, np.where(taken, h - p * h.sum(axis=-1, keepdims=True), 0))
    assert load('k' + n).flags.f_contiguous == (n == 'xf')
assert load('one') == 1 and load('zero') == 0 and load('one').shape == ()
"
        ),
    );
    let fails = |words: &str| bad(dir.path(), &words.split(' ').collect::<Vec<_>>());
    let before = common::names(dir.path());
    let shape = fails("apply softmax x.npy -o n.npy --mask bad.npy");
    assert!(shape.contains("bad.npy: shape [3, 5] cannot be repeated to [2, 3, 4, 5]"), "{shape}");
    let ints = fails("apply softmax x.npy -o n.npy --mask ints.npy");
    assert!(ints.contains("ints.npy is int64; a mask is bool"), "{ints}");
    assert!(fails("apply softmax x.npy -o n.npy --axis 1,1").contains("twice"));
    assert!(fails("apply softmax x.npy -o n.npy --axis 4").contains("axis 4"));
    assert!(fails("apply softmax x.npy -o n.npy --axis 1,2 --causal").contains("one axis"));
    assert!(fails("apply softmax x.npy -o n.npy --axis 0 --causal").contains("queries"));
    assert!(fails("apply softmax x.npy -o n.npy --window 3").contains("127:0"));
    for option in ["--mask keep.npy", "--causal", "--window 1:1", "--empty-rows zero"] {
        assert!(fails(&format!("apply gelu x.npy -o n.npy {option}")).contains("takes no --"));
    }
    for option in ["--packed halves", "--gate first"] {
        assert!(fails(&format!("apply gelu x.npy -o n.npy {option}")).contains("gated functions"));
    }
    assert_eq!(common::names(dir.path()), before);
}

/// Axes as long as a file's: what is held at a time is a part of it.
#[test]
fn long_rows_with_masks() {
    let dir = tempfile::tempdir().unwrap();
    let n = 300_000;
    save_f32(&dir.path().join("x.npy"), &[4, n], (0..4 * n).map(|i| (i % 7) as f32));
    let mut mask = nonlin_cli::npy::header(nonlin_cli::array::DType::Bool, false, false, &[n]);
    mask.extend((0..n).map(|i| u8::from(i % 7 == 3)));
    fs::write(dir.path().join("m.npy"), mask).unwrap();
    run(dir.path(), "apply softmax x.npy -o y.npy --mask m.npy --threads 2");
    let y = load_f32(&dir.path().join("y.npy"));
    // 4 n is no multiple of 7: every row begins elsewhere.
    for row in 0..4 {
        let row = &y[row * n..][..n];
        assert!((row.iter().map(|v| f64::from(*v)).sum::<f64>() - 1.0).abs() < 1e-5);
        assert!(row.iter().enumerate().all(|(i, v)| (*v > 0.0) == (i % 7 == 3)));
    }
}

#[test]
fn parameters_are_set_together_and_within_the_type() {
    let dir = tempfile::tempdir().unwrap();
    save_f32(&dir.path().join("x.npy"), &[2], [-1.0, 2.0]);
    let fails = |words: &str| bad(dir.path(), &words.split(' ').collect::<Vec<_>>());
    run(
        dir.path(),
        "apply rrelu x.npy -o y.npy -p upper=0.9 -p lower=0.5
        apply rrelu x.npy -o z.npy -p lower=0.5 -p upper=0.9",
    );
    assert_eq!(load_f32(&dir.path().join("y.npy")), [-0.7, 2.0]);
    assert_eq!(load_f32(&dir.path().join("z.npy")), [-0.7, 2.0]);
    for words in ["-p lower=0.5 -p upper=0.1", "-p lower=0.5", "-p upper=0.1"] {
        let line = fails(&format!("apply rrelu x.npy -o n.npy {words}"));
        assert!(line.contains("`lower`") && line.contains("`upper`"), "{line}");
    }
    for (function, parameter, value) in [
        ("silu", "beta", "-1e307"),
        ("leaky_relu", "negative_slope", "1e39"),
        ("prelu", "weight", "-4e38"),
        ("elu", "alpha", "1e300"),
        ("softmax", "scale", "1e39"),
    ] {
        let line = fails(&format!("apply {function} x.npy -o n.npy -p {parameter}={value}"));
        assert!(line.contains(&format!("`{parameter}` of `{function}` is")), "{line}");
        assert!(line.contains("must be"), "{line}");
    }
    assert!(!dir.path().join("n.npy").exists());
}
