//! A plan as text: one template for each operation of a language, and the helpers that they need.

use super::plan::{Operation, Place, Plan, Value};
use alloc::{
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};

/// A function that the text has besides, where it is used.
pub(crate) struct Helper {
    /// Its text, without an empty line behind it.
    pub(crate) text: &'static str,
    /// What it calls.
    pub(crate) needs: &'static [&'static Helper],
}

/// An operation in a language: `$0` stands for an argument, `%0` for one that is compared.
pub(crate) struct Template {
    text: &'static str,
    helper: Option<&'static Helper>,
    /// Whether it stands anywhere without parentheses.
    atom: bool,
}

impl Template {
    /// A call.
    pub(crate) const fn call(text: &'static str) -> Self {
        Template { text, helper: None, atom: true }
    }

    /// A call of a helper.
    pub(crate) const fn with(text: &'static str, helper: &'static Helper) -> Self {
        Template { text, helper: Some(helper), atom: true }
    }

    /// An expression that needs parentheses within others.
    pub(crate) const fn open(text: &'static str) -> Self {
        Template { text, helper: None, atom: false }
    }
}

/// How a language writes what it does not have in common with the others.
pub(crate) struct Language {
    /// All operations but sums, differences, products and quotients.
    pub(crate) template: fn(Operation) -> Template,
    /// A statement: `$0` is the name, `$1` the value.
    pub(crate) statement: &'static str,
    /// The limit of a degree: `$0` is an input.
    pub(crate) limit: fn(u32) -> String,
    /// A number where a function wants what an input is, or alone: `$0` is the number, `$1` an input.
    pub(crate) lifted: &'static str,
    /// Names that mean something else.
    pub(crate) reserved: &'static [&'static str],
    /// Whether both branches of a choice are computed, and derived.
    pub(crate) cuts: bool,
}

impl Language {
    /// `name`, or one like it that is free in this language and not among `taken`.
    pub(crate) fn free(&self, name: &str, taken: &[String]) -> String {
        let mut name: String =
            name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            name.insert(0, 'f');
        }
        while self.reserved.contains(&name.as_str()) || taken.contains(&name) {
            name.push('_');
        }
        name
    }
}

/// The largest 2^k whose power of that degree, times 2^24, is an f64.
pub(crate) fn limit_of_f64(degree: u32) -> String {
    let exponent = 1000 / degree.max(1);
    format!("{:?}", f64::from_bits(u64::from(1023 + exponent) << 52))
}

/// An f64 as all these languages write it.
pub(crate) fn number(v: f64) -> String {
    format!("{v:?}")
}

/// How strongly text binds.
const OPEN: u8 = 0;
const SUM: u8 = 1;
const PRODUCT: u8 = 2;
const SIGN: u8 = 3;
const ATOM: u8 = 4;

/// The statements that compute one value of a plan, and the value.
pub(crate) struct Body {
    pub(crate) statements: Vec<String>,
    pub(crate) value: String,
    /// The names of inputs and parameters that are no part of it.
    pub(crate) unused: Vec<String>,
}

/// Longer expressions are given a name.
const LONG: usize = 64;

/// Writes bodies, and collects the helpers that they need.
pub(crate) struct Writer<'l> {
    language: &'l Language,
    helpers: Vec<&'static Helper>,
}

impl<'l> Writer<'l> {
    pub(crate) fn new(language: &'l Language) -> Self {
        Writer { language, helpers: Vec::new() }
    }

    /// The texts of all helpers, each behind those that it calls, with an empty line behind each.
    pub(crate) fn helpers(&self, between: &str) -> String {
        self.helpers.iter().fold(String::new(), |all, h| all + h.text + between)
    }

    fn need(&mut self, helper: &'static Helper) {
        helper.needs.iter().for_each(|h| self.need(h));
        if !self.helpers.iter().any(|h| h.text == helper.text) {
            self.helpers.push(helper);
        }
    }

    /// The value at `root`, with the names of inputs and parameters.
    pub(crate) fn body(
        &mut self,
        plan: &Plan,
        root: Place,
        inputs: &[String],
        params: &[String],
    ) -> Body {
        let needed = plan.needed(&[root]);
        let mut uses = vec![0u32; plan.values.len()];
        for (at, value) in plan.values.iter().enumerate() {
            if let (true, Value::Made(_, of)) = (needed[at], value) {
                of.iter().for_each(|&v| uses[v] += 1);
            }
        }
        let mut statements = Vec::new();
        let mut texts: Vec<(String, u8)> = Vec::new();
        let taken: Vec<String> = inputs.iter().chain(params).cloned().collect();
        for (at, value) in plan.values.iter().enumerate() {
            if !needed[at] {
                texts.push((String::new(), ATOM));
                continue;
            }
            let (text, strength) = match value {
                Value::Number(bits) => {
                    let v = f64::from_bits(*bits);
                    (number(v), if v < 0.0 { SIGN } else { ATOM })
                }
                Value::Input(i) => (inputs[*i].clone(), ATOM),
                Value::Param(i) => (params[*i].clone(), ATOM),
                Value::Limit(degree) => {
                    (filled(&(self.language.limit)(*degree), &[&inputs[0]]), ATOM)
                }
                Value::Made(operation, of) => {
                    let numbers: Vec<bool> =
                        of.iter().map(|&v| matches!(plan.values[v], Value::Number(_))).collect();
                    let of: Vec<(&str, u8)> =
                        of.iter().map(|&v| (texts[v].0.as_str(), texts[v].1)).collect();
                    self.operation(*operation, &of, &numbers, &inputs[0])
                }
            };
            let made = matches!(value, Value::Made(..));
            let named = at != root && made && (uses[at] > 1 || text.len() > LONG)
                || matches!(value, Value::Limit(_)) && text.len() > 24;
            texts.push(if named {
                let name = self.language.free(&format!("t{}", statements.len() + 1), &taken);
                statements.push(filled(self.language.statement, &[&name, &text]));
                (name, ATOM)
            } else {
                (text, strength)
            });
        }
        let mut value = texts[root].0.clone();
        if matches!(plan.values[root], Value::Number(_)) {
            value = filled(self.language.lifted, &[&value, &inputs[0]]);
        }
        let used = |value: Value| plan.values.iter().zip(&needed).any(|(v, n)| *n && *v == value);
        let inputs = inputs.iter().enumerate().filter(|(i, _)| !used(Value::Input(*i)));
        let params = params.iter().enumerate().filter(|(i, _)| !used(Value::Param(*i)));
        let unused = inputs.chain(params).map(|(_, name)| name.clone()).collect();
        Body { statements, value, unused }
    }

    fn operation(
        &mut self,
        operation: Operation,
        of: &[(&str, u8)],
        numbers: &[bool],
        input: &str,
    ) -> (String, u8) {
        let least = |i: usize, least: u8| parenthesised(of[i], least);
        match operation {
            Operation::Neg => (format!("-{}", least(0, PRODUCT)), SIGN.min(of[0].1.max(PRODUCT))),
            Operation::Add => (format!("{} + {}", least(0, SUM), least(1, PRODUCT)), SUM),
            Operation::Sub => (format!("{} - {}", least(0, SUM), least(1, PRODUCT)), SUM),
            Operation::Mul => (format!("{} * {}", least(0, PRODUCT), least(1, SIGN)), PRODUCT),
            Operation::Div => (format!("{} / {}", least(0, PRODUCT), least(1, SIGN)), PRODUCT),
            _ => {
                let template = (self.language.template)(operation);
                if let Some(helper) = template.helper {
                    self.need(helper);
                }
                let mut text = template.text.to_string();
                for i in 0..of.len() {
                    let (open, compared) = (format!("${i}"), format!("%{i}"));
                    text = text.replace(&compared, &least(i, SUM));
                    // A choice between numbers has one of them lifted to what an input is.
                    let alone =
                        matches!(operation, Operation::Select(_)) && (i != 2 || !numbers[3]);
                    let argument = if numbers[i] && !alone {
                        filled(self.language.lifted, &[of[i].0, input])
                    } else {
                        parenthesised(of[i], OPEN)
                    };
                    text = text.replace(&open, &argument);
                }
                (text, if template.atom { ATOM } else { OPEN })
            }
        }
    }
}

fn parenthesised((text, strength): (&str, u8), least: u8) -> String {
    if strength < least { format!("({text})") } else { text.into() }
}

/// `template` with texts for `$0` and so on.
pub(crate) fn filled(template: &str, with: &[&str]) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('$') {
        out += before;
        let digit = after.chars().next().and_then(|c| c.to_digit(10));
        match digit.and_then(|d| with.get(d as usize)) {
            Some(text) => {
                out += text;
                rest = &after[1..];
            }
            None => {
                out.push('$');
                rest = after;
            }
        }
    }
    out + rest
}
