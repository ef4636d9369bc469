//! Constants of a formula: real numbers to twice the digits of f64.

use crate::real::{Dd, Prim, Real};
use alloc::{format, string::String};
use core::fmt;

/// A real constant, as the sum of two f64 kept by their bits, so that equal constants are one node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Number {
    hi: u64,
    lo: u64,
}

impl Number {
    pub(crate) const ZERO: Number = Number::new(0.0);
    pub(crate) const ONE: Number = Number::new(1.0);
    pub(crate) const MINUS_ONE: Number = Number::new(-1.0);
    pub(crate) const TWO: Number = Number::new(2.0);
    pub(crate) const HALF: Number = Number::new(0.5);
    /// The ratio of a circle's circumference to its diameter.
    pub(crate) const PI: Number = Number::pair(core::f64::consts::PI, 1.224_646_799_147_353_2e-16);
    /// The base of the natural logarithm.
    pub(crate) const E: Number = Number::pair(core::f64::consts::E, 1.445_646_891_729_250_2e-16);
    /// The natural logarithm of 2.
    pub(crate) const LN_2: Number =
        Number::pair(core::f64::consts::LN_2, 2.319_046_813_846_299_6e-17);

    const fn pair(hi: f64, lo: f64) -> Self {
        Number { hi: hi.to_bits(), lo: lo.to_bits() }
    }

    /// Exactly `v`; a zero has no sign.
    pub(crate) const fn new(v: f64) -> Self {
        Number::pair(if v == 0.0 { 0.0 } else { v }, 0.0)
    }

    /// `v` to 92 binary digits, so that two ways to one constant end at one number.
    pub(crate) fn of(v: Dd) -> Self {
        if v.hi == 0.0 || !v.hi.is_finite() || v.hi.abs() < 1e-270 {
            return Number::new(v.hi);
        }
        // The last digits are left out by a sum that has no room for them.
        let binade = f64::from_bits(v.hi.to_bits() & (0x7FF << 52));
        let room = binade * 1.5 / (1u64 << 40) as f64;
        let lo = (v.lo + room) - room;
        if lo.abs() < v.hi.abs() * 1e-26 { Number::new(v.hi) } else { Number::pair(v.hi, lo) }
    }

    /// The number that the decimal `text` denotes, or `None` if f64 has no number so large.
    pub(crate) fn decimal(text: &str) -> Option<Self> {
        let hi: f64 = text.parse().ok()?;
        if !hi.is_finite() {
            return None;
        }
        let (mantissa, exponent) = match text.find(['e', 'E']) {
            Some(at) => (&text[..at], text[at + 1..].parse::<i32>().unwrap_or(0)),
            None => (text, 0),
        };
        // 34 digits are more than two f64 hold; those behind them count as zeros.
        let (mut digits, mut scale, mut count, mut point) = (Dd::new(0.0), exponent, 0, false);
        for c in mantissa.bytes() {
            if c == b'.' {
                point = true;
                continue;
            }
            if count == 34 {
                scale = scale.saturating_add(i32::from(!point));
                continue;
            }
            digits = digits * Dd::new(10.0) + Dd::new(f64::from(c - b'0'));
            count += i32::from(count > 0 || c != b'0');
            scale = scale.saturating_sub(i32::from(point));
        }
        // Far out there is no room for a rest.
        if hi == 0.0 || !(1e-250..1e250).contains(&hi) || scale.abs() > 290 {
            return Some(Number::new(hi));
        }
        let power = power(Dd::new(10.0), scale.unsigned_abs());
        let v = if scale < 0 { digits / power } else { digits * power };
        let rest = v - Dd::new(hi);
        Some(Number::of(Dd { hi, lo: rest.hi }))
    }

    /// The value of a parameter: a constant with its rest, or the decimal that an f64 stands for.
    pub(crate) fn parameter(v: f64, rest: Option<f64>) -> Self {
        match rest {
            Some(lo) => Number::of(Dd { hi: v, lo }),
            None => {
                let size = Number::decimal(&plain(v.abs())).unwrap_or(Number::new(v.abs()));
                if v < 0.0 { size.negated() } else { size }
            }
        }
    }

    /// The nearest f64, and the rest.
    pub(crate) fn parts(self) -> (f64, f64) {
        (f64::from_bits(self.hi), f64::from_bits(self.lo))
    }

    /// The nearest f64.
    pub(crate) fn nearest(self) -> f64 {
        f64::from_bits(self.hi)
    }

    fn dd(self) -> Dd {
        let (hi, lo) = self.parts();
        Dd { hi, lo }
    }

    /// Whether it differs from `o` in its last digits at most.
    pub(crate) fn close_to(self, o: Self) -> bool {
        let apart = self.dd() - o.dd();
        apart.hi.abs() <= self.nearest().abs() * 1e-25
    }

    /// Whether it is exactly `v`.
    pub(crate) fn is(self, v: f64) -> bool {
        self == Number::new(v)
    }

    pub(crate) fn is_negative(self) -> bool {
        self.nearest() < 0.0
    }

    pub(crate) fn is_positive(self) -> bool {
        self.nearest() > 0.0
    }

    pub(crate) fn is_finite(self) -> bool {
        self.nearest().is_finite()
    }

    /// The whole number that it is, if it is one of modest size.
    pub(crate) fn integer(self) -> Option<i32> {
        let (v, rest) = self.parts();
        let whole = rest == 0.0 && v % 1.0 == 0.0 && v.abs() < 1e9;
        whole.then_some(v as i32)
    }

    pub(crate) fn negated(self) -> Self {
        Number::of(-self.dd())
    }

    pub(crate) fn magnitude(self) -> Self {
        if self.is_negative() { self.negated() } else { self }
    }

    pub(crate) fn plus(self, o: Self) -> Self {
        // What is left of a difference of equal constants is their roundings.
        let sum = Number::of(self.dd() + o.dd());
        let size = self.nearest().abs().max(o.nearest().abs());
        if sum.nearest().abs() < size * 1e-27 { Number::ZERO } else { sum }
    }

    pub(crate) fn times(self, o: Self) -> Self {
        Number::of(self.dd() * o.dd())
    }

    pub(crate) fn over(self, o: Self) -> Self {
        Number::of(self.dd() / o.dd())
    }

    /// `self^n`.
    pub(crate) fn to_the(self, n: i32) -> Self {
        let v = power(self.dd(), n.unsigned_abs());
        Number::of(if n < 0 { Dd::new(1.0) / v } else { v })
    }

    pub(crate) fn less_than(self, o: Self) -> bool {
        self.parts() < o.parts()
    }

    /// The square root.
    pub(crate) fn root(self) -> Self {
        self.primitive(Prim::Sqrt)
    }

    /// The natural logarithm.
    pub(crate) fn logarithm(self) -> Self {
        self.primitive(Prim::Ln)
    }

    /// The primitive `p` there.
    pub(crate) fn primitive(self, p: Prim) -> Self {
        Number::of(self.dd().jet(p).value())
    }
}

fn power(mut base: Dd, mut n: u32) -> Dd {
    let mut v = Dd::new(1.0);
    while n > 0 {
        if n & 1 == 1 {
            v = v * base;
        }
        base = base * base;
        n >>= 1;
    }
    v
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// As text that parses to the number again: a short decimal, a quotient, a root, or all its digits.
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_negative() {
            f.write_str("-")?;
        }
        f.write_str(&self.magnitude().text())
    }
}

impl Number {
    /// Whether its text is a product or a quotient.
    pub(crate) fn is_product(self) -> bool {
        let text = self.magnitude().text();
        text.contains(" * ") || text.contains('/') && !text.ends_with(')')
    }

    /// The text of a number that is not negative.
    fn text(self) -> String {
        let short = plain(self.nearest());
        if Number::decimal(&short) == Some(self) {
            return short;
        }
        for (name, constant) in [("pi", Number::PI), ("e", Number::E), ("ln(2)", Number::LN_2)] {
            if self.close_to(constant) {
                return name.into();
            }
        }
        if let Some(text) = self.quotient() {
            return text;
        }
        let square = self.times(self);
        for (over, n) in [("", Number::ONE), ("/pi", Number::PI)] {
            let inner = square.times(n);
            let text = match inner.integer() {
                Some(k) => format!("{k}"),
                None => match inner.quotient() {
                    Some(text) => text,
                    None => continue,
                },
            };
            return format!("sqrt({text}{over})");
        }
        let fraction = |v: Number| v.integer().map(|k| format!("{k}")).or_else(|| v.quotient());
        if let Some(text) = fraction(self.over(Number::PI)) {
            return format!("{text} * pi");
        }
        if let Some(text) = fraction(self.times(Number::PI)) {
            return format!("{text}/pi");
        }
        if self.nearest() < 8.0
            && let Some(text) = fraction(self.primitive(Prim::Exp))
        {
            return format!("ln({text})");
        }
        self.digits()
    }

    /// `p/q` with small terms, if it is one.
    fn quotient(self) -> Option<String> {
        (2..=360).find_map(|q| {
            let q = Number::new(f64::from(q));
            let p = Number::new(f64::from(self.times(q).integer()?));
            p.over(q)
                .close_to(self)
                .then(|| format!("{}/{}", plain(p.nearest()), plain(q.nearest())))
        })
    }

    /// All digits.
    fn digits(self) -> String {
        let mut v = self.dd();
        let mut exponent = 0;
        let ten = Dd::new(10.0);
        while v.hi >= 10.0 {
            v = v / ten;
            exponent += 1;
        }
        while v.hi < 1.0 {
            v = v * ten;
            exponent -= 1;
        }
        let mut text = String::new();
        for i in 0..33 {
            let digit = (v.hi as u8).min(9);
            // The nearest f64 may be the next whole number, and the rest negative.
            let digit = if v.hi == f64::from(digit) && v.lo < 0.0 {
                digit.saturating_sub(1)
            } else {
                digit
            };
            text.push(char::from(b'0' + digit));
            if i == 0 {
                text.push('.');
            }
            v = (v - Dd::new(f64::from(digit))) * ten;
        }
        if exponent == 0 { text } else { format!("{text}e{exponent}") }
    }
}

/// An f64 as the shortest decimal, with an exponent where zeros would be many.
pub(crate) fn plain(v: f64) -> String {
    if v != 0.0 && (v.abs() >= 1e16 || v.abs() < 1e-5) { format!("{v:e}") } else { format!("{v}") }
}
