//! Schemas of operators, as PyTorch writes them: `aten::gelu(Tensor self, *, str approximate="none")
//! -> Tensor`. The table of operators says by them what arguments a kernel gets; before a kernel is
//! placed under an operator of PyTorch, PyTorch's own schema is compared.

use std::borrow::Cow;

use super::shim::{Owned, Res, fail};

/// The type of an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `Tensor`
    Tensor,
    /// `Scalar`, which only calls from Python can pass
    Scalar,
    /// `float`
    Float,
    /// `int`
    Int,
    /// `bool`
    Bool,
    /// `str`
    Str,
    /// `ScalarType`
    Dtype,
}

/// An argument of a schema.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// What stands for it where it is left out.
    pub default: Option<&'static str>,
    /// That as a number, if it is one.
    pub number: Option<f64>,
    /// Whether it is passed by name.
    pub keyword: bool,
}

/// A schema taken apart.
#[derive(Clone, Debug)]
pub struct Schema {
    /// The whole.
    pub text: &'static str,
    /// Namespace.
    pub namespace: &'static str,
    /// Name with overload, without namespace: `gelu.out`.
    pub name: &'static str,
    /// Arguments.
    pub parameters: Vec<Parameter>,
    /// The number of results.
    pub results: usize,
}

impl Schema {
    /// Takes a schema apart.
    ///
    /// # Panics
    /// If the text is none, or has a type that no operator here has.
    pub fn parse(text: &'static str) -> Self {
        let (head, rest) = text.split_once('(').unwrap_or_else(|| panic!("`{text}`: no `(`"));
        let (namespace, name) =
            head.split_once("::").unwrap_or_else(|| panic!("`{text}`: no namespace"));
        let (list, result) =
            rest.split_once(") -> ").unwrap_or_else(|| panic!("`{text}`: no result"));
        let mut keyword = false;
        let mut parameters = Vec::new();
        for part in list.split(", ") {
            if part == "*" {
                keyword = true;
                continue;
            }
            let (kind, rest) =
                part.split_once(' ').unwrap_or_else(|| panic!("`{text}`: argument `{part}`"));
            let (name, default) = match rest.split_once('=') {
                Some((name, default)) => (name, Some(default.trim_matches('"'))),
                None => (rest, None),
            };
            let kind = match kind {
                "Tensor" | "Tensor(a!)" | "Tensor(b!)" => Kind::Tensor,
                "Scalar" => Kind::Scalar,
                "float" => Kind::Float,
                "int" => Kind::Int,
                "bool" => Kind::Bool,
                "str" => Kind::Str,
                "ScalarType" => Kind::Dtype,
                _ => panic!("`{text}`: type `{kind}`"),
            };
            let number = default.and_then(|text| text.parse().ok());
            parameters.push(Parameter { name, kind, default, number, keyword });
        }
        let results = result.split(", ").count();
        Schema { text, namespace, name, parameters, results }
    }

    /// Whether an argument has a type that PyTorch's C interface cannot pass.
    pub fn has_scalar(&self) -> bool {
        self.parameters.iter().any(|p| p.kind == Kind::Scalar)
    }
}

/// An argument.
#[derive(Debug)]
pub enum Value {
    /// A tensor.
    Tensor(Owned),
    /// A number with a fraction.
    Float(f64),
    /// A whole number.
    Int(i64),
    /// A truth value.
    Bool(bool),
    /// A text.
    Text(Cow<'static, str>),
    /// The number of a type of elements.
    Dtype(i32),
}

/// The arguments of a call, in the order of the schema.
#[derive(Debug)]
pub struct Arguments(pub Vec<Value>);

impl Arguments {
    fn at(&self, i: usize) -> Res<&Value> {
        match self.0.get(i) {
            Some(value) => Ok(value),
            None => fail(format!("argument {i} is missing")),
        }
    }

    /// Argument `i`, a tensor.
    pub fn tensor(&self, i: usize) -> Res<&Owned> {
        match self.at(i)? {
            Value::Tensor(tensor) => Ok(tensor),
            other => fail(format!("argument {i} is {other:?}, not a tensor")),
        }
    }

    /// Argument `i`, a number.
    pub fn float(&self, i: usize) -> Res<f64> {
        match self.at(i)? {
            Value::Float(number) => Ok(*number),
            other => fail(format!("argument {i} is {other:?}, not a number")),
        }
    }

    /// Argument `i`, a whole number.
    pub fn int(&self, i: usize) -> Res<i64> {
        match self.at(i)? {
            Value::Int(number) => Ok(*number),
            other => fail(format!("argument {i} is {other:?}, not a whole number")),
        }
    }

    /// Argument `i`, a truth value.
    pub fn bool(&self, i: usize) -> Res<bool> {
        match self.at(i)? {
            Value::Bool(truth) => Ok(*truth),
            other => fail(format!("argument {i} is {other:?}, not a truth value")),
        }
    }

    /// Argument `i`, a text.
    pub fn text(&self, i: usize) -> Res<&str> {
        match self.at(i)? {
            Value::Text(text) => Ok(text),
            other => fail(format!("argument {i} is {other:?}, not a text")),
        }
    }

    /// Argument `i`, the number of a type of elements.
    pub fn dtype(&self, i: usize) -> Res<i32> {
        match self.at(i)? {
            Value::Dtype(number) => Ok(*number),
            other => fail(format!("argument {i} is {other:?}, not a type of elements")),
        }
    }
}
