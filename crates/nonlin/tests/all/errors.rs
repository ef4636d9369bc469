//! What callers are told: the exact words.

use nonlin::{Exec, Gelu, Layout, Level, Tanh, gated, get, get_approximate, rowwise};

#[track_caller]
fn says<T>(r: Result<T, nonlin::Error>, text: &str) {
    match r {
        Ok(_) => panic!("no error"),
        Err(e) => assert_eq!(e.to_string(), text),
    }
}

#[test]
fn unknown_functions() {
    says(get("sillu"), "unknown function `sillu`; did you mean `silu`?");
    says(get("RELUU"), "unknown function `RELUU`; did you mean `relu`?");
    says(get("swiglu2"), "unknown function `swiglu2`, and no other has a name like it");
    says(gated("glue"), "unknown function `glue`; did you mean `glu`?");
    says(rowwise("softmaxx"), "unknown function `softmaxx`; did you mean `softmax`?");
    says(
        get_approximate("gelu", "tahn"),
        "unknown function `gelu_tahn`; did you mean `gelu_tanh`?",
    );
    says(
        get_approximate("relu", "tanh"),
        "unknown function `relu_tanh`, and no other has a name like it",
    );
    says(get("sparsemax"), "unknown function `sparsemax`, and no other has a name like it");
    assert!(get("").is_err());
    // Gated units and softmax are not elementwise.
    says(get("swiglu"), "`swiglu` is gated, not elementwise; look it up with `gated`");
}

#[test]
fn parameters() {
    let elu = get("elu").unwrap();
    says(elu.with("beta", 1.0), "`elu` has no parameter `beta`; it has alpha");
    says(get("relu").unwrap().with("alpha", 1.0), "`relu` has no parameter `alpha`; it has none");
    says(
        get("rrelu").unwrap().with("alpha", 1.0),
        "`rrelu` has no parameter `alpha`; it has lower, upper",
    );
    says(
        elu.with("alpha", f64::NAN),
        "`alpha` of `elu` is NaN; it must be between -3.4028235e38 and 3.4028235e38",
    );
    // Arrays of f32 are computed with parameters of f32.
    for (name, parameter, value, text) in [
        (
            "elu",
            "alpha",
            f64::INFINITY,
            "is inf; it must be at most 3.4028235e38, the limit of f32",
        ),
        (
            "leaky_relu",
            "negative_slope",
            1e39,
            "is 1e39; it must be at most 3.4028235e38, the limit of f32",
        ),
        ("silu", "beta", -1e307, "is -1e307; it must be at least -3.4028235e38, the limit of f32"),
    ] {
        says(
            get(name).unwrap().with(parameter, value),
            &format!("`{parameter}` of `{name}` {text}"),
        );
    }
    says(
        get("celu").unwrap().with("alpha", 0.0),
        "`alpha` of `celu` is 0; it must be at least 0.000001",
    );
    says(
        get("softplus").unwrap().with("beta", -1.0),
        "`beta` of `softplus` is -1; it must be at least 0.000001",
    );
    says(
        get("hard_sigmoid").unwrap().with("alpha", 2e6),
        "`alpha` of `hard_sigmoid` is 2000000; it must be between 0.000001 and 1000000",
    );
    assert_eq!(elu.with("Alpha", 0.5).unwrap(), elu.with_index(0, 0.5).unwrap());
    assert_ne!(elu.with("alpha", 0.5).unwrap(), elu);
}

#[test]
fn backward_from_output() {
    let exec = Exec::new();
    let run = |name: &str, params: &[(&str, f64)]| {
        let f = get(name).unwrap().with_params(params).unwrap();
        let mut dx = [7.0f32];
        let result = f.backward_from_output(&[0.5], &[2.0], &mut dx);
        let mut grad = [7.0f32];
        assert_eq!(f.backward_from_output_in_place_with(&exec, &[0.5], &mut grad), result);
        if result.is_err() {
            assert_eq!((dx, grad), ([7.0], [7.0]), "{name} has written");
        }
        result
    };
    says(
        run("gelu", &[]),
        "the output of `gelu` does not determine its slope; run backward from the input",
    );
    says(
        run("leaky_relu", &[("negative_slope", -0.5)]),
        "`negative_slope` of `leaky_relu` is -0.5; backward from the output needs at least 0: run it from the input",
    );
    says(
        run("rrelu", &[("lower", -0.5), ("upper", -0.25)]),
        "`lower` of `rrelu` is -0.5; backward from the output needs at least 0: run it from the input",
    );
    says(
        run("elu", &[("alpha", -1.0)]),
        "`alpha` of `elu` is -1; backward from the output needs at least 0: run it from the input",
    );
    for (name, params) in
        [("elu", ("alpha", 0.0)), ("prelu", ("weight", -0.0)), ("celu", ("alpha", 0.5))]
    {
        assert_eq!(run(name, &[params]), Ok(()));
    }
}

#[test]
#[should_panic(expected = "index out of bounds")]
fn parameter_index() {
    let _ = get("elu").unwrap().with_index(1, 0.0);
}

#[test]
fn levels() {
    for &level in Level::ALL {
        assert_eq!(level.name().parse(), Ok(level));
        if level.available() {
            assert_eq!(Exec::new().level(level).unwrap().current_level(), level);
            assert_eq!(level.to_string().to_uppercase().parse(), Ok(level));
        } else {
            let e = Exec::new().level(level).unwrap_err();
            let best = Level::best();
            assert_eq!(e, nonlin::Error::UnavailableLevel { level, best });
        }
    }
    says(
        "sse9".parse::<Level>(),
        "unknown level `sse9`; the levels are baseline, avx2, avx512, neon",
    );
}

/// The message of a panic of `f`.
fn panic_of(f: impl FnOnce() + std::panic::UnwindSafe) -> String {
    let e = std::panic::catch_unwind(f).expect_err("no panic");
    e.downcast_ref::<String>()
        .cloned()
        .unwrap_or_else(|| (*e.downcast_ref::<&str>().unwrap()).to_string())
}

#[test]
fn lengths() {
    let (x, mut y) = ([0.0f32; 3], [0.0f32; 2]);
    let text = "x has 3 elements, y has 2: they must be equal";
    assert_eq!(panic_of(move || Gelu.forward(&x, &mut y)), text);
    assert_eq!(panic_of(move || Gelu.second_derivative(&x, &mut y)), text);
    assert_eq!(
        panic_of(move || {
            Gelu.forward_uninit(&x, &mut [core::mem::MaybeUninit::uninit(); 2]);
        }),
        text
    );
    assert_eq!(
        panic_of(move || Gelu.derivative(&x, &mut y)),
        "x has 3 elements, dy has 2: they must be equal"
    );
    assert_eq!(
        panic_of(move || Gelu.backward(&x, &y, &mut [0.0; 3])),
        "grad has 2 elements, x has 3: they must be equal"
    );
    assert_eq!(
        panic_of(move || Gelu.backward(&x, &x, &mut y)),
        "dx has 2 elements, x has 3: they must be equal"
    );
    assert_eq!(
        panic_of(move || Gelu.backward_in_place(&x, &mut y)),
        "grad has 2 elements, x has 3: they must be equal"
    );
    assert_eq!(
        panic_of(move || drop(Tanh.backward_from_output(&x, &y, &mut [0.0; 3]))),
        "grad has 2 elements, y has 3: they must be equal"
    );
    assert_eq!(
        panic_of(move || drop(Tanh.backward_from_output(&x, &x, &mut y))),
        "dx has 2 elements, y has 3: they must be equal"
    );
    assert_eq!(
        panic_of(move || drop(Tanh.backward_from_output_in_place(&x, &mut y))),
        "grad has 2 elements, y has 3: they must be equal"
    );
    let glu: &nonlin::GatedFunction = &nonlin::Glu;
    assert_eq!(
        panic_of(move || glu.forward(&x, &y, &mut [0.0; 3])),
        "b has 2 elements, a has 3: they must be equal"
    );
    assert_eq!(
        panic_of(move || glu.forward(&x, &x, &mut y)),
        "y has 2 elements, a has 3: they must be equal"
    );
    let (mut a, mut b) = ([0.0; 3], [0.0; 3]);
    assert_eq!(
        panic_of(move || glu.backward(&x, &x, &y, &mut a, &mut b)),
        "grad has 2 elements, a has 3: they must be equal"
    );
    let packed = |width: usize, n: usize| {
        panic_of(move || {
            glu.forward_packed(&vec![0.0f32; n], width, Layout::Halves, &mut vec![0.0; n / 2])
        })
    };
    assert_eq!(packed(3, 6), "a packed row has 3 elements; it must have an even number");
    assert_eq!(packed(0, 6), "a packed row has 0 elements; it must have an even number");
    assert_eq!(packed(4, 6), "x has 6 elements, which is not a multiple of the row length 4");
    assert_eq!(
        panic_of(move || glu.forward_packed(&[0.0f32; 4], 4, Layout::Halves, &mut [0.0; 3])),
        "y has 3 elements, half of x has 2: they must be equal"
    );
}
