//! Shapes and axes against their definitions: element by element where arrays are small, in 128 bits
//! where products wrap.

use nonlin::shape::{Around, around, axis, broadcast, bytes, check, same, size, strides};
use nonlin::{Axes, Error, Prelu, Softmax};
use nonlin_testkit::samples::mix;

/// Every shape of up to `rank` axes with lengths of `lengths`.
fn shapes(rank: usize, lengths: &[usize]) -> Vec<Vec<usize>> {
    let mut all = vec![vec![]];
    let mut start = 0;
    for _ in 0..rank {
        let end = all.len();
        for i in start..end {
            for &n in lengths {
                let mut longer = all[i].clone();
                longer.push(n);
                all.push(longer);
            }
        }
        start = end;
    }
    all
}

/// Lengths around which products of `usize` and `isize` wrap.
const HOSTILE: [usize; 14] = [
    0,
    1,
    2,
    3,
    1 << 16,
    1 << 31,
    (1 << 32) - 1,
    1 << 32,
    (1 << 32) + 1,
    1 << 62,
    (1 << 63) - 1,
    1 << 63,
    (1 << 63) + 3,
    usize::MAX,
];

/// The product of the lengths that are not 0, in 128 bits, or `None` beyond `isize::MAX`.
fn product(shape: &[usize], item: usize) -> Option<usize> {
    let lengths = shape.iter().filter(|&&n| n != 0).map(|&n| n as u128);
    // Each step is below 2^127: what is past the limit stays there.
    let limit = isize::MAX as u128;
    let p = lengths.fold(item as u128, |p, n| p.min(limit + 1) * n);
    (p <= limit).then_some(p as usize)
}

#[test]
fn sizes_in_128_bits() {
    let mut refused = 0;
    for shape in shapes(3, &HOSTILE) {
        for item in [1, 2, 8] {
            let got = bytes(&shape, item);
            match product(&shape, item) {
                Some(_) if shape.contains(&0) => assert_eq!(got, Ok(0), "{shape:?}"),
                Some(p) => assert_eq!(got, Ok(p), "{shape:?}"),
                None => {
                    refused += 1;
                    assert_eq!(got, Err(Error::ShapeOverflow { shape: shape.clone(), item }));
                }
            }
        }
        assert_eq!(size(&shape), bytes(&shape, 1));
        let fits = product(&shape, 1).is_some();
        assert_eq!(strides(&shape).is_ok(), fits, "{shape:?}");
        assert_eq!(broadcast(&shape, &shape).is_some(), fits, "{shape:?}");
        // A part of a shape that fits must fit: `Around` has no further check.
        for a in 0..shape.len() {
            let split = around(&shape, a as isize);
            assert_eq!(split.is_ok(), fits, "{shape:?}");
            if let Ok(Around { outer, n, inner }) = split {
                let exact = |part: &[usize]| part.iter().map(|&n| n as u128).product::<u128>();
                assert_eq!(outer as u128, exact(&shape[..a]));
                assert_eq!(n, shape[a]);
                assert_eq!(inner as u128, exact(&shape[a + 1..]));
            }
        }
    }
    assert!(refused > 4000, "{refused} shapes refused");
}

#[test]
fn long_shapes_that_wrap() {
    // A product of many small lengths that comes back to a small number.
    let wraps = vec![1 << 8; 9];
    assert!(size(&wraps[..8]).is_err());
    assert_eq!(size(&wraps[..7]), Ok(1 << 56));
    assert!(size(&wraps).is_err());
    // 3 times its inverse modulo 2^64 is 1.
    assert!(check("x", 1, &[3, 0xAAAA_AAAA_AAAA_AAAB]).is_err());
    assert!(check("x", 6, &[2, (1 << 63) + 3]).is_err());
    assert!(check("x", 0, &[0, 1 << 62, 4]).is_err());
    assert_eq!(check("x", 0, &[0, 1 << 62]), Ok(()));
}

#[test]
fn axes_of_either_sign() {
    for rank in 0..6isize {
        let shape = vec![2; rank as usize];
        for a in -9..9 {
            let want = (0..rank).find(|&i| i == a || i - rank == a).map(|i| i as usize);
            assert_eq!(axis(a, &shape).ok(), want, "{a} of {rank}");
        }
        for a in [isize::MIN, isize::MIN + 1, isize::MAX, isize::MAX - 1] {
            assert_eq!(
                axis(a, &shape),
                Err(Error::AxisOutOfRange { axis: a, shape: shape.clone() })
            );
        }
    }
}

/// Element `[i, j, ...]` lies at the sum of indices times strides.
#[test]
fn strides_count_in_c_order() {
    for shape in shapes(4, &[0, 1, 2, 3, 5]) {
        let strides = strides(&shape).unwrap();
        let mut index = vec![0; shape.len()];
        for flat in 0..size(&shape).unwrap() {
            let at: usize = index.iter().zip(&strides).map(|(i, s)| i * s).sum();
            assert_eq!(at, flat, "{shape:?}");
            for (a, around) in (0..shape.len()).map(|a| (a, around(&shape, a as isize).unwrap())) {
                let Around { n, inner, .. } = around;
                assert_eq!(flat / inner % n, index[a], "{shape:?} around {a}");
            }
            for a in (0..shape.len()).rev() {
                index[a] += 1;
                if index[a] < shape[a] {
                    break;
                }
                index[a] = 0;
            }
        }
    }
}

/// NumPy's rule, stated as it is documented: aligned at the end, each length equal or 1.
#[test]
fn broadcasts_as_numpy() {
    let all = shapes(3, &[0, 1, 2, 3]);
    let mut repeated = 0;
    for from in &all {
        for to in &all {
            let longer = from.len() > to.len();
            let fits =
                !longer && from.iter().rev().zip(to.iter().rev()).all(|(f, t)| f == t || *f == 1);
            let got = broadcast(from, to);
            assert_eq!(got.is_some(), fits, "{from:?} to {to:?}");
            let Some(got) = got else { continue };
            // The element that an index of `to` reads: along axes of one element the first.
            let own = strides(from).unwrap();
            let new = to.len() - from.len();
            for (a, &n) in to.iter().enumerate() {
                let one = a < new || from[a - new] == 1;
                assert!(!one || got[a] == 0, "{from:?} to {to:?}: axis {a} of one element");
                for i in 0..n {
                    let want = if one { 0 } else { i * own[a - new] };
                    assert_eq!(i * got[a], want, "{from:?} to {to:?}");
                    repeated += usize::from(one && i > 0);
                }
            }
        }
    }
    assert!(repeated > 1000);
}

#[test]
fn several_axes() {
    let of = |axes: Axes<'_>, shape: &[usize]| axes.of(shape);
    assert_eq!(of((-1).into(), &[2, 3]), Ok(vec![false, true]));
    assert_eq!(of((&[0, -1]).into(), &[2, 3, 4]), Ok(vec![true, false, true]));
    assert_eq!(of((&[]).into(), &[2, 3]), Ok(vec![false, false]));
    assert_eq!(of(Axes::ALL, &[2, 3]), Ok(vec![true, true]));
    assert_eq!(of(Axes::ALL, &[]), Ok(vec![]));
    let vector = vec![1isize];
    assert_eq!(of(vector.as_slice().into(), &[2, 3]), Ok(vec![false, true]));
    let repeated = |axis| Err(Error::AxisRepeated { axis, shape: vec![2, 3] });
    assert_eq!(of((&[1, -1]).into(), &[2, 3]), repeated(-1));
    assert_eq!(of((&[0, 0]).into(), &[2, 3]), repeated(0));
    // An array without axes is a row of one element.
    for axes in [Axes::from(0), Axes::from(-1), Axes::from(&[]), Axes::from(&[-1])] {
        assert_eq!(of(axes, &[]), Ok(vec![]));
    }
    for axes in [Axes::from(1), Axes::from(-2), Axes::from(&[0, -1]), Axes::from(isize::MIN)] {
        assert!(of(axes, &[]).is_err(), "{axes:?}");
    }
    for shape in shapes(4, &[1, 2]) {
        for seed in 0..40 {
            let axes: Vec<isize> =
                (0..mix(seed, 0) % 4).map(|i| (mix(seed, i + 1) % 11) as isize - 5).collect();
            let want: Option<Vec<usize>> = axes.iter().map(|&a| axis(a, &shape).ok()).collect();
            let distinct = want.filter(|w| w.iter().enumerate().all(|(i, a)| !w[..i].contains(a)));
            let got = of(axes.as_slice().into(), &shape);
            if shape.is_empty() {
                continue;
            }
            let want = distinct.map(|w| (0..shape.len()).map(|a| w.contains(&a)).collect());
            assert_eq!(got.ok(), want, "{axes:?} of {shape:?}");
        }
    }
}

#[test]
fn errors_name_the_right_answer() {
    let says = |r: Result<(), Error>, text: &str| assert_eq!(r.unwrap_err().to_string(), text);
    says(check("the array", 6, &[2, 4]), "shape [2, 4] has 8 elements, the array has 6");
    says(
        check("the array", 6, &[2, (1 << 63) + 3]),
        "shape [2, 9223372036854775811] is larger than an address space, which holds 9223372036854775807 bytes",
    );
    says(
        bytes(&[1 << 61], 4).map(drop),
        "shape [2305843009213693952] of 4 bytes an element is larger than an address space, which holds 9223372036854775807 bytes",
    );
    says(
        axis(2, &[2, 3]).map(drop),
        "axis 2 is out of range for shape [2, 3]; it must be between -2 and 1",
    );
    says(axis(0, &[]).map(drop), "axis 0 is out of range for shape [], which has no axes");
    says(
        Axes::from(&[1, -1]).of(&[2, 3]).map(drop),
        "axis -1 of shape [2, 3] is named twice; name each axis once",
    );
    says(same("y", &[3, 2], "x", &[2, 3]), "y has shape [3, 2], x has [2, 3]: they must be equal");
    assert_eq!(same("y", &[], "x", &[]), Ok(()));
}

/// Safe calls whose sizes wrap are errors and write nothing.
#[test]
fn wrapped_shapes_are_refused_everywhere() {
    let x = [1f32; 6];
    for shape in [[2, (1 << 63) + 3], [(1 << 63) + 3, 2], [6, usize::MAX], [0, usize::MAX]] {
        for axis in [0, 1, -1, -2] {
            let mut y = [7f32; 6];
            let overflow = Err(Error::ShapeOverflow { shape: shape.into(), item: 1 });
            let s = &Softmax;
            assert_eq!(s.forward(&x, &shape, axis, &mut y), overflow);
            assert_eq!(s.backward(&x, &x, &shape, axis, &mut y), overflow);
            assert_eq!(s.forward_in_place(&mut y, &shape, axis), overflow);
            for w in [&[0.5f32] as &[f32], &[0.5; 2]] {
                assert_eq!(Prelu.per_channel(w, &shape, axis).map(drop), overflow);
            }
            assert_eq!(y, [7.0; 6]);
        }
    }
}
