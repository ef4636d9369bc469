//! n-dimensional arrays of any memory layout give the bits of slices.
#![cfg(feature = "ndarray")]

use crate::common::*;
use ndarray::{Array, Array2, ArrayD, ArrayViewD, Axis, IxDyn, ShapeBuilder, Slice, arr0, array};
use nonlin::{
    Axes, Error, Exec, Function, GatedFunction, Layout, Mask, Prelu, Relu, Softmax, f16,
    gated_functions, get, rowwise_functions,
};
use nonlin_testkit::samples::uniform;

/// Calls `f` with views of many layouts and their names.
fn layouts<T: Number>(mut f: impl FnMut(&str, ArrayViewD<'_, T>)) {
    let make = |shape: &[usize], seed: u64| {
        let n = shape.iter().product::<usize>();
        let mut x = uniform::<T>(-6.0, 6.0, n as u64, seed);
        for i in 0..n {
            x.swap(i, (i * 7919 + 13) % n);
        }
        ArrayD::from_shape_vec(IxDyn(shape), x).unwrap()
    };
    let base = make(&[4, 6, 40], 1);
    let small = make(&[5, 3, 2, 7], 2);
    let big = make(&[3, 2200], 3);
    let cut = |a: Axis, from: isize, step: isize| {
        let mut v = base.view();
        v.slice_axis_inplace(a, Slice::new(from, None, step));
        v
    };
    for (name, v) in [
        ("C order", base.view()),
        ("many small axes", small.view()),
        ("long rows", big.view()),
        ("transposed", base.t()),
        ("long columns", big.t()),
        ("axes swapped", base.view().permuted_axes(IxDyn(&[1, 0, 2]))),
        ("axes turned", small.view().permuted_axes(IxDyn(&[2, 3, 1, 0]))),
        ("last axis cut", cut(Axis(2), 3, 1)),
        ("last axis with steps", cut(Axis(2), 0, 3)),
        ("first axis with steps", cut(Axis(0), 1, 2)),
        ("middle axis with steps", cut(Axis(1), 0, 2)),
        ("last axis reversed", cut(Axis(2), 0, -1)),
        ("first axis reversed", cut(Axis(0), 0, -1)),
        ("reversed with steps", cut(Axis(2), 0, -3)),
        ("reversed and transposed", cut(Axis(1), 0, -1).reversed_axes()),
        ("one column", cut(Axis(2), 39, 1)),
        ("repeated rows", make(&[1, 1, 40], 4).broadcast(IxDyn(&[3, 5, 40])).unwrap()),
        ("repeated columns", make(&[6, 1], 5).broadcast(IxDyn(&[6, 70])).unwrap()),
        ("one element repeated", make(&[1], 6).broadcast(IxDyn(&[3, 50])).unwrap()),
        ("0-d", make(&[], 7).view()),
        ("one element", make(&[1, 1, 1], 8).view()),
        ("empty", make(&[1, 5], 9).slice_axis(Axis(0), Slice::from(0..0))),
        ("empty at the end", make(&[5, 1], 9).slice_axis(Axis(1), Slice::from(0..0))),
    ] {
        f(name, v);
    }
    let fortran =
        Array::from_shape_vec((4, 6, 10).f(), uniform::<T>(-6.0, 6.0, 240, 10)).unwrap().into_dyn();
    f("Fortran order", fortran.view());
    let mut v = fortran.view();
    v.invert_axis(Axis(0));
    f("Fortran order reversed", v);
}

/// All elements in the order of their indices.
fn flat<T: Number>(v: &ArrayViewD<'_, T>) -> Vec<T> {
    v.iter().copied().collect()
}

fn check<T: Number>(name: &str, got: &ArrayViewD<'_, T>, shape: &[usize], want: &[T]) {
    assert_eq!(got.shape(), shape, "{name}");
    assert_eq!(first_difference(&flat(got), want), None, "{name} {}", T::NAME_OF);
}

/// Outputs of several layouts, with a guard in every gap.
fn outputs<T: Number>(shape: &[usize], mut f: impl FnMut(&str, ndarray::ArrayViewMutD<'_, T>)) {
    let guard = T::round(77.0);
    let rank = shape.len();
    let mut c = ArrayD::from_elem(IxDyn(shape), guard);
    f("into C order", c.view_mut());
    let mut order = ArrayD::from_elem(IxDyn(shape).f(), guard);
    f("into Fortran order", order.view_mut());
    let wide: Vec<usize> = shape.iter().map(|n| 2 * n + 1).collect();
    let mut gaps = ArrayD::from_elem(IxDyn(&wide), guard);
    let cut = |a: ndarray::AxisDescription| Slice::new(0, Some(2 * shape[a.axis.0] as isize), 2);
    f("into every second element", gaps.slice_each_axis_mut(cut));
    gaps.slice_each_axis_mut(cut).fill(guard);
    assert!(gaps.iter().all(|v| *v == guard), "written between the elements");
    let mut back = ArrayD::from_elem(IxDyn(shape), guard);
    if rank > 0 {
        let mut v = back.view_mut();
        v.invert_axis(Axis(rank - 1));
        f("into a reversed array", v);
    }
}

fn everything<T: Number>(f: &Function) {
    let exec = Exec::new();
    layouts::<T>(|name, x| {
        let shape = x.shape().to_vec();
        let v = flat(&x);
        let g = uniform::<T>(-2.0, 2.0, v.len() as u64, 3);
        // The gradient in another order than x.
        let grad = ArrayD::from_shape_fn(IxDyn(&shape).f(), |_| T::default());
        let mut grad = grad;
        grad.iter_mut().zip(&g).for_each(|(a, b)| *a = *b);
        let mut bend = vec![T::default(); v.len()];
        f.second_derivative_with(&exec, &v, &mut bend);
        let mut back = vec![T::default(); v.len()];
        f.backward_with(&exec, &v, &g, &mut back);
        let (value, slope) = (forward(&exec, f, &v), derivative(&exec, f, &v));

        let y = f.forward_nd(&x);
        check(name, &y.view(), &shape, &value);
        if x.as_slice_memory_order().is_some() {
            let long = |v: &ArrayViewD<'_, T>| -> Vec<isize> {
                (0..v.ndim()).filter(|a| v.shape()[*a] > 1).map(|a| v.strides()[a]).collect()
            };
            assert_eq!(long(&y.view()), long(&x), "{name}: memory order");
        }
        assert!(y.as_slice_memory_order().is_some() || y.is_empty(), "{name}: the result has gaps");
        check(name, &f.derivative_nd(&x).view(), &shape, &slope);
        check(name, &f.second_derivative_nd(&x).view(), &shape, &bend);
        check(name, &f.backward_nd(&x, &grad).unwrap().view(), &shape, &back);
        outputs::<T>(&shape, |to, mut y| {
            let name = &format!("{name} {to}");
            f.forward_nd_into(&x, &mut y).unwrap();
            check(name, &y.view(), &shape, &value);
            f.derivative_nd_into(&x, &mut y).unwrap();
            check(name, &y.view(), &shape, &slope);
            f.second_derivative_nd_into(&x, &mut y).unwrap();
            check(name, &y.view(), &shape, &bend);
            f.backward_nd_into(&x, &grad, &mut y).unwrap();
            check(name, &y.view(), &shape, &back);
            y.assign(&x);
            f.forward_nd_in_place(&mut y);
            check(name, &y.view(), &shape, &value);
            y.assign(&x);
            f.derivative_nd_in_place(&mut y);
            check(name, &y.view(), &shape, &slope);
            y.assign(&x);
            f.second_derivative_nd_in_place(&mut y);
            check(name, &y.view(), &shape, &bend);
        });
    });
}

#[test]
fn elementwise_in_any_layout() {
    for name in ["gelu", "relu"] {
        everything::<f32>(&get(name).unwrap());
        everything::<f64>(&get(name).unwrap());
    }
    everything::<f16>(&get("silu").unwrap());
    everything::<f32>(&get("elu").unwrap().with("alpha", 0.3).unwrap());
}

#[test]
fn softmax_along_any_axis() {
    for s in rowwise_functions() {
        layouts::<f32>(|name, x| {
            let shape = x.shape().to_vec();
            let (v, g) = (flat(&x), uniform::<f32>(-1.0, 1.0, x.len() as u64, 4));
            let mut grad = ArrayD::from_elem(IxDyn(&shape).f(), 0.0);
            grad.iter_mut().zip(&g).for_each(|(a, b)| *a = *b);
            for axis in -(x.ndim() as isize)..x.ndim() as isize {
                let name = &format!("{name} axis {axis}");
                let (mut want, mut back) = (vec![0.0; v.len()], vec![0.0; v.len()]);
                s.forward(&v, &shape, axis, &mut want).unwrap();
                s.backward(&want, &g, &shape, axis, &mut back).unwrap();
                let y = s.forward_nd(&x, axis).unwrap();
                check(name, &y.view(), &shape, &want);
                check(name, &s.backward_nd(&y, &grad, axis).unwrap().view(), &shape, &back);
                outputs::<f32>(&shape, |to, mut y| {
                    let name = &format!("{name} {to}");
                    s.forward_nd_into(&x, axis, &mut y).unwrap();
                    check(name, &y.view(), &shape, &want);
                    y.assign(&x);
                    s.forward_nd_in_place(&mut y, axis).unwrap();
                    check(name, &y.view(), &shape, &want);
                });
            }
        });
    }
}

/// Masks are repeated to the shape, whatever the layout; several axes are one row in C order.
#[test]
fn softmax_with_masks_and_several_axes() {
    for s in rowwise_functions() {
        layouts::<f64>(|name, x| {
            if x.ndim() < 2 || x.is_empty() {
                return;
            }
            let shape = x.shape().to_vec();
            let (v, g) = (flat(&x), uniform::<f64>(-1.0, 1.0, x.len() as u64, 4));
            let mut grad = ArrayD::from_elem(IxDyn(&shape).f(), 0.0);
            grad.iter_mut().zip(&g).for_each(|(a, b)| *a = *b);
            let own = [shape[shape.len() - 2], 1];
            let keep: Vec<bool> = (0..own[0]).map(|i| i % 3 != 1).collect();
            let add = uniform::<f64>(-2.0, 2.0, shape[shape.len() - 1] as u64, 5);
            let last = [add.len()];
            let mask = Mask::new().keep(&keep, &own).add(&add, &last);
            let exec = Exec::new().block(64);
            for (axes, mask) in [
                (Axes::from(0), mask),
                (Axes::from(-1), mask.causal(2)),
                (Axes::from(&[0, -1]), mask),
                (Axes::from(&[0, -1]), Mask::new()),
                (Axes::ALL, Mask::new()),
            ] {
                let name = &format!("{name} {axes:?}");
                let (mut want, mut back) = (vec![0.0; v.len()], vec![0.0; v.len()]);
                s.forward_with(&exec, &v, &shape, axes, mask, &mut want).unwrap();
                s.backward_with(&exec, &want, &g, &shape, axes, mask, &mut back).unwrap();
                let y = s.forward_nd_with(&exec, &x, axes, mask).unwrap();
                check(name, &y.view(), &shape, &want);
                let dx = s.backward_nd_with(&exec, &y, &grad, axes, mask).unwrap();
                check(name, &dx.view(), &shape, &back);
                outputs::<f64>(&shape, |to, mut y| {
                    let name = &format!("{name} {to}");
                    s.forward_nd_into_with(&exec, &x, axes, mask, &mut y).unwrap();
                    check(name, &y.view(), &shape, &want);
                    y.assign(&x);
                    s.forward_nd_in_place_with(&exec, &mut y, axes, mask).unwrap();
                    check(name, &y.view(), &shape, &want);
                });
            }
        });
    }
}

#[test]
fn gated_in_any_layout() {
    for u in gated_functions() {
        layouts::<f32>(|name, a| {
            let shape = a.shape().to_vec();
            let n = a.len() as u64;
            let (va, vb, vg) =
                (flat(&a), uniform::<f32>(-4.0, 4.0, n, 5), uniform::<f32>(-1.0, 1.0, n, 6));
            let mut b = ArrayD::from_elem(IxDyn(&shape).f(), 0.0);
            b.iter_mut().zip(&vb).for_each(|(to, v)| *to = *v);
            let g = ArrayD::from_shape_vec(IxDyn(&shape), vg.clone()).unwrap();
            let [mut y, mut da, mut db] = [(); 3].map(|()| vec![0.0; va.len()]);
            u.forward(&va, &vb, &mut y);
            u.backward(&va, &vb, &vg, &mut da, &mut db);
            check(name, &u.forward_nd(&a, &b).unwrap().view(), &shape, &y);
            let (ga, gb) = u.backward_nd(&a, &b, &g).unwrap();
            check(name, &ga.view(), &shape, &da);
            check(name, &gb.view(), &shape, &db);
            outputs::<f32>(&shape, |to, mut out| {
                u.forward_nd_into(&a, &b, &mut out).unwrap();
                check(&format!("{name} {to}"), &out.view(), &shape, &y);
            });
            for axis in 0..a.ndim() {
                for layout in [Layout::Halves, Layout::Interleaved] {
                    packed(u, name, &a, axis, layout);
                }
            }
        });
    }
}

fn packed(
    u: &nonlin::GatedFunction,
    name: &str,
    x: &ArrayViewD<'_, f32>,
    axis: usize,
    layout: Layout,
) {
    let n = x.shape()[axis];
    if !n.is_multiple_of(2) {
        let e = u.forward_packed_nd(x, axis as isize, layout).unwrap_err();
        assert_eq!(
            e.to_string(),
            format!(
                "axis {axis} of shape {:?} holds two operands, but its length {n} is odd",
                x.shape()
            )
        );
        return;
    }
    let pick = |second: usize| {
        let index: Vec<usize> = (0..n / 2)
            .map(|i| if layout == Layout::Halves { i + second * n / 2 } else { 2 * i + second })
            .collect();
        x.select(Axis(axis), &index)
    };
    let (a, b) = (pick(0), pick(1));
    let want = u.forward_nd(&a, &b).unwrap();
    let y = u.forward_packed_nd(x, axis as isize, layout).unwrap();
    check(name, &y.view(), want.shape(), &flat(&want.view()));
    let g = ArrayD::from_shape_vec(y.raw_dim(), uniform(-1.0, 1.0, y.len() as u64, 1)).unwrap();
    let (da, db) = u.backward_nd(&a, &b, &g).unwrap();
    let dx = u.backward_packed_nd(x, &g, axis as isize - x.ndim() as isize, layout).unwrap();
    for (second, want) in [da, db].iter().enumerate() {
        for i in 0..n / 2 {
            let at = if layout == Layout::Halves { i + second * n / 2 } else { 2 * i + second };
            assert_eq!(
                dx.index_axis(Axis(axis), at),
                want.index_axis(Axis(axis), i),
                "{name} {layout:?}"
            );
        }
    }
}

#[test]
fn prelu_in_any_layout() {
    layouts::<f32>(|name, x| {
        let shape = x.shape().to_vec();
        let v = flat(&x);
        let g = uniform::<f32>(-1.0, 1.0, v.len() as u64, 2);
        let mut grad = ArrayD::from_elem(IxDyn(&shape).f(), 0.0);
        grad.iter_mut().zip(&g).for_each(|(a, b)| *a = *b);
        for axis in 0..x.ndim().max(1) as isize {
            let c = shape.get(axis as usize).copied().unwrap_or(1);
            for n in [1, c] {
                let w = uniform::<f32>(0.0, 1.0, n as u64, 3);
                let (mut y, mut dx, mut dw) =
                    (vec![0.0; v.len()], vec![0.0; v.len()], vec![0.0; n]);
                let f = Prelu.per_channel(&w, &shape, axis).unwrap();
                f.forward(&v, &mut y);
                f.backward(&v, &g, &mut dx, &mut dw);
                check(name, &Prelu.forward_channels_nd(&x, axis, &w).unwrap().view(), &shape, &y);
                let (gx, gw) = Prelu.backward_channels_nd(&x, axis, &w, &grad).unwrap();
                check(name, &gx.view(), &shape, &dx);
                assert_eq!(gw, dw, "{name} axis {axis}");
            }
        }
    });
    // Sums of many numbers, whose last bits show the order in which they are added.
    let shape = [90, 70];
    let (v, g) = (uniform::<f32>(-2.0, 1.0, 6300, 4), uniform::<f32>(-1.0, 1.0, 6300, 5));
    let array = |v: &[f32]| {
        let mut a = Array2::<f32>::zeros(shape.f());
        a.iter_mut().zip(v).for_each(|(a, v)| *a = *v);
        a
    };
    for n in [1, 70] {
        let w = uniform::<f32>(0.0, 1.0, n as u64, 3);
        let (mut dx, mut dw) = (vec![0.0; v.len()], vec![0.0; n]);
        Prelu.per_channel(&w, &shape, 1).unwrap().backward(&v, &g, &mut dx, &mut dw);
        let (gx, gw) = Prelu.backward_channels_nd(&array(&v), 1, &w, &array(&g)).unwrap();
        assert!(gx.iter().eq(&dx), "dx of {n} weights");
        assert_eq!(gw, dw);
    }
    let x = Array2::<f32>::zeros((2, 3));
    for x in [x.view(), x.clone().reversed_axes().view().reversed_axes()] {
        let e = Prelu.forward_channels_nd(&x, 1, &[0.0; 2]).unwrap_err();
        assert_eq!(
            e.to_string(),
            "axis 1 of shape [2, 3] has 3 channels, but there are 2 values; give 3 or 1"
        );
    }
    let e = Prelu.forward_channels_nd(&x.t(), 1, &[0.0; 3]).unwrap_err();
    assert_eq!(
        e.to_string(),
        "axis 1 of shape [3, 2] has 2 channels, but there are 3 values; give 2 or 1"
    );
}

#[test]
fn shapes_that_do_not_fit() {
    let (x, mut y) = (Array2::<f32>::zeros((2, 3)), Array2::<f32>::zeros((3, 2)));
    let shape = |r: Result<(), Error>| match r {
        Err(error) => error.to_string(),
        other => panic!("{other:?}"),
    };
    let text = "y has shape [3, 2], x has [2, 3]: they must be equal";
    assert_eq!(shape(Relu.forward_nd_into(&x, &mut y)), text);
    assert_eq!(shape(Softmax.forward_nd_into(&x, 0, &mut y)), text);
    assert_eq!(
        shape(Relu.derivative_nd_into(&x, &mut y)),
        "dy has shape [3, 2], x has [2, 3]: they must be equal"
    );
    assert_eq!(
        shape(Relu.second_derivative_nd_into(&x, &mut y)),
        "d2y has shape [3, 2], x has [2, 3]: they must be equal"
    );
    assert_eq!(
        shape(Relu.backward_nd(&x, &y).map(drop)),
        "grad has shape [3, 2], x has [2, 3]: they must be equal"
    );
    assert_eq!(
        shape(Relu.backward_nd_into(&x, &x, &mut y)),
        "dx has shape [3, 2], x has [2, 3]: they must be equal"
    );
    let u = gated_functions()[0];
    assert_eq!(
        shape(u.forward_nd(&x, &y).map(drop)),
        "b has shape [3, 2], a has [2, 3]: they must be equal"
    );
    assert_eq!(
        shape(u.backward_nd(&x, &x, &y).map(drop)),
        "grad has shape [3, 2], a has [2, 3]: they must be equal"
    );
    assert_eq!(
        shape(Softmax.forward_nd(&x, 2).map(drop)),
        "axis 2 is out of range for shape [2, 3]; it must be between -2 and 1"
    );
    assert_eq!(
        shape(Softmax.forward_nd_in_place(&mut y, -3)),
        "axis -3 is out of range for shape [3, 2]; it must be between -2 and 1"
    );
    assert_eq!(
        shape(Softmax.forward_nd(&arr0(1.0f32), 1).map(drop)),
        "axis 1 is out of range for shape [], which has no axes"
    );
    assert_eq!(
        shape(Softmax.backward_nd(&x, &y, 0).map(drop)),
        "grad has shape [3, 2], y has [2, 3]: they must be equal"
    );
    assert_eq!(
        shape(u.forward_packed_nd(&x, 5, Layout::Halves).map(drop)),
        "axis 5 is out of range for shape [2, 3]; it must be between -2 and 1"
    );
    assert_eq!(Relu.forward_nd(&array![-1.0f32, 4.0]), array![0.0, 4.0]);
}

#[test]
fn learned_functions_in_any_layout() {
    let smooth = Function::parse("x * sigmoid(beta * x) + alpha; beta = 1, alpha = 0").unwrap();
    let (one, two) = (smooth.learnable().unwrap(), {
        let unit = GatedFunction::parse("a * tanh(k * b); k = 1").unwrap();
        unit.learnable().unwrap()
    });
    let array = |shape: &[usize], v: &[f64]| {
        let mut a = ArrayD::from_elem(IxDyn(shape).f(), 0.0);
        a.iter_mut().zip(v).for_each(|(a, b)| *a = *b);
        a
    };
    layouts::<f64>(|name, x| {
        let shape = x.shape().to_vec();
        let v = flat(&x);
        let len = v.len();
        let random = |seed| uniform::<f64>(-1.0, 1.0, len as u64, seed);
        let (b, g) = (random(2), random(3));
        let (b_array, grad) = (array(&shape, &b), array(&shape, &g));
        let zeros = || vec![0.0; len];
        for axis in 0..x.ndim().max(1) as isize {
            let c = shape.get(axis as usize).copied().unwrap_or(1);
            for n in [1, c] {
                let w = uniform::<f32>(0.0, 1.0, 2 * n as u64, 4);
                let (mut y, mut dx, mut dw) = (zeros(), zeros(), vec![0.0; 2 * n]);
                let f = one.at(&w, &shape, axis).unwrap();
                f.forward(&v, &mut y);
                f.backward(&v, &g, &mut dx, &mut dw);
                check(name, &one.forward_nd(&x, axis, &w).unwrap().view(), &shape, &y);
                let (gx, gw) = one.backward_nd(&x, axis, &w, &grad).unwrap();
                check(name, &gx.view(), &shape, &dx);
                assert_eq!(gw, dw, "{name} axis {axis}");

                let w = &w[..n];
                let (mut y, mut da, mut db, mut dw) = (zeros(), zeros(), zeros(), vec![0.0; n]);
                let f = two.at(w, &shape, axis).unwrap();
                f.forward(&v, &b, &mut y);
                f.backward(&v, &b, &g, &mut da, &mut db, &mut dw);
                let got = two.forward_nd(&x, &b_array, axis, w).unwrap();
                check(name, &got.view(), &shape, &y);
                let (ga, gb, gw) = two.backward_nd(&x, &b_array, axis, w, &grad).unwrap();
                check(name, &ga.view(), &shape, &da);
                check(name, &gb.view(), &shape, &db);
                assert_eq!(gw, dw, "{name} axis {axis}");
            }
        }
    });
    let (x, y) = (Array2::<f32>::zeros((2, 3)), Array2::<f32>::zeros((3, 2)));
    let e = one.forward_nd(&x, 1, &[0.0f64; 4]).unwrap_err().to_string();
    assert!(e.contains("axis 1 of shape [2, 3] has 3 channels"), "{e}");
    for e in [
        one.backward_nd(&x, 1, &[0.0f64; 2], &y).unwrap_err(),
        two.forward_nd(&x, &y, 1, &[0.0f64]).unwrap_err(),
        two.backward_nd(&x, &x, 1, &[0.0f64], &y).unwrap_err(),
    ] {
        assert!(e.to_string().contains("[3, 2]"), "{e}");
    }
}
