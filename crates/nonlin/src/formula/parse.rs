//! From text to a graph.

use super::error::FormulaError;
use super::graph::{Excess, Graph, Id, MOST_NODES, MOST_POWER, Test};
use super::named::{Named, function_names, is_function, nearest};
use super::number::Number;
use super::tokens::{Token, What, tokens};
use super::{Declared, MOST_PARAMS};
use crate::activation::{Description, Param, Parameter};
use crate::error::Kind;
use crate::{catalog, names};
use alloc::{borrow::ToOwned, format, string::String, vec, vec::Vec};
use core::ops::Range;

/// Bytes of a formula, at most.
pub(crate) const MOST_TEXT: usize = 10_000;
/// Parentheses, powers and calls within one another, at most.
pub(crate) const MOST_DEPTH: usize = 64;

/// What a text says.
pub(crate) struct Parsed {
    pub(crate) graph: Graph,
    pub(crate) root: Id,
    pub(crate) params: Vec<Declared>,
    /// Whether the operands are `a` and `b`, not `x`.
    pub(crate) gated: bool,
}

/// Reads a formula.
pub(crate) fn parse(text: &str) -> Result<Parsed, FormulaError> {
    if text.len() > MOST_TEXT {
        let message =
            format!("a formula has at most {MOST_TEXT} characters; this one has {}", text.len());
        return Err(FormulaError::new("", 0..0, message));
    }
    let tokens = tokens(text)?;
    let (body, rest) = divided(&tokens);
    let mut graph = Graph::default();
    let params = declarations(text, rest, &mut graph)?;
    let mut bound: Vec<(String, Id)> = Vec::new();
    for (i, p) in params.iter().enumerate() {
        bound.push((p.name.clone(), graph.param(i)));
    }
    let declared = |name: &str| params.iter().any(|p| p.name == name);
    // `a` and `b` are operands unless they are declared as parameters.
    let gated = ["a", "b"].iter().any(|n| !declared(n) && mentions(body, n));
    if gated && let Some(x) = body.iter().find(|t| t.what == What::Name("x")) {
        let message = "`x` is the operand of an elementwise formula, `a` and `b` are those of a gated one; \
                       use one kind, or declare the other name as a parameter: `; a = 1`";
        return Err(FormulaError::new(text, x.span.clone(), message.into()));
    }
    for (i, name) in if gated { &["a", "b"][..] } else { &["x"] }.iter().enumerate() {
        if !declared(name) {
            bound.push(((*name).to_owned(), graph.input(i)));
        }
    }
    let mut parser =
        Parser { text, tokens: body, at: 0, depth: 0, bound: &bound, graph: &mut graph };
    let root = parser.whole()?;
    graph.read = true;
    Ok(Parsed { graph, root, params, gated })
}

/// Whether `name` stands there as a name, not as a function or as the name of an argument.
fn mentions(tokens: &[Token<'_>], name: &str) -> bool {
    tokens.iter().enumerate().any(|(i, t)| {
        t.what == What::Name(name)
            && !matches!(tokens.get(i + 1).map(|t| &t.what), Some(What::Symbol("(" | "=")))
    })
}

/// A formula of the catalogue on numbers of this graph: `bound` names them.
fn inlined(
    formula: &str,
    depth: usize,
    bound: &[(String, Id)],
    graph: &mut Graph,
) -> Result<Id, FormulaError> {
    let tokens = tokens(formula)?;
    Parser { text: formula, tokens: &tokens, at: 0, depth, bound, graph }.whole()
}

/// A definition's formula with its parameters as the first ones of `graph`.
pub(crate) fn definition(
    formula: &str,
    inputs: &[&str],
    params: &[(&str, Id)],
    graph: &mut Graph,
) -> Result<Id, FormulaError> {
    let mut bound: Vec<(String, Id)> =
        params.iter().map(|(name, id)| ((*name).to_owned(), *id)).collect();
    for (i, name) in inputs.iter().enumerate() {
        bound.push(((*name).to_owned(), graph.input(i)));
    }
    inlined(formula, 0, &bound, graph)
}

/// The formula and its declarations: what follows the first semicolon, or the first comma outside
/// parentheses.
fn divided<'a, 't>(tokens: &'a [Token<'t>]) -> (&'a [Token<'t>], &'a [Token<'t>]) {
    let mut depth = 0usize;
    for (i, t) in tokens.iter().enumerate() {
        match t.what {
            What::Symbol("(" | "[") => depth += 1,
            What::Symbol(")" | "]") => depth = depth.saturating_sub(1),
            What::Symbol(";") => return (&tokens[..i], &tokens[i..]),
            What::Symbol(",") if depth == 0 => return (&tokens[..i], &tokens[i..]),
            _ => {}
        }
    }
    (tokens, &[])
}

/// What a name means before anything is declared.
fn constant(name: &str) -> Option<Number> {
    match name {
        "pi" | "math.pi" | "np.pi" | "numpy.pi" | "torch.pi" | "jnp.pi" => Some(Number::PI),
        "e" | "math.e" | "np.e" | "numpy.e" | "torch.e" | "jnp.e" => Some(Number::E),
        _ => None,
    }
}

/// The parameters that `tokens` declare, which begin with a separator if there are any.
fn declarations(
    text: &str,
    tokens: &[Token<'_>],
    graph: &mut Graph,
) -> Result<Vec<Declared>, FormulaError> {
    let mut params: Vec<Declared> = Vec::new();
    let mut p = Parser { text, tokens, at: 0, depth: 0, bound: &[], graph };
    while p.take(",") || p.take(";") {
        if p.at == p.tokens.len() {
            break;
        }
        let span = p.span();
        let What::Name(name) = p.tokens[p.at].what else {
            return Err(p.expected("the name of a parameter"));
        };
        p.at += 1;
        let wrong = |message: String| Err(FormulaError::new(text, span.clone(), message));
        if constant(name).is_some()
            || matches!(name, "inf" | "nan" | "in" | "and" | "or" | "not" | "if" | "else")
        {
            return wrong(format!("`{name}` has a meaning already; choose another name"));
        }
        if name == "x" {
            return wrong("`x` is the operand; choose another name for a parameter".into());
        }
        if name.contains('.') {
            return wrong(format!("`{name}` is no name of a parameter: it has a dot"));
        }
        if params.iter().any(|p| p.name == name) {
            return wrong(format!("`{name}` is declared twice"));
        }
        if params.len() == MOST_PARAMS {
            return wrong(format!("a formula has at most {MOST_PARAMS} parameters"));
        }
        p.need("=")?;
        let from = p.at;
        let (default, at) = p.constant()?;
        // A decimal is rounded as arrays are; 1/6 is that number.
        let exact = p.tokens[from..p.at]
            .iter()
            .filter(|t| !matches!(t.what, What::Symbol("-" | "+")))
            .count()
            > 1;
        let (value, rest) = default.parts();
        let mut declared = Declared {
            name: name.to_owned(),
            default: value,
            rest: if exact { rest } else { 0.0 },
            exact,
            low: -Param::LIMIT,
            high: Param::LIMIT,
        };
        if p.take_name("in") {
            let open = if p.take("(") {
                true
            } else if p.take("[") {
                false
            } else {
                return Err(p.expected("`(` or `[` and two bounds"));
            };
            declared.low = p.bound(open, true)?;
            p.need(",")?;
            let start = p.span().start;
            let (high, open) = p.upper_bound()?;
            declared.high = if open { below(high) } else { high };
            if declared.low > declared.high {
                let message = format!("no number is in these bounds of `{name}`");
                return Err(FormulaError::new(text, start..p.end(), message));
            }
        }
        if !(declared.low..=declared.high).contains(&value) {
            let limit =
                if value.abs() > Param::LIMIT { "the numbers of f32" } else { "its bounds" };
            let message = format!("the default of `{name}` is outside {limit}");
            return Err(FormulaError::new(text, at, message));
        }
        params.push(declared);
    }
    if p.at < p.tokens.len() {
        return Err(p.expected("`,` or the end"));
    }
    Ok(params)
}

/// The next number of f32 above `v`: what an open bound leaves to arithmetic in f32.
fn above(v: f64) -> f64 {
    let near = v as f32;
    f64::from(if f64::from(near) > v { near } else { near.next_up() })
}

fn below(v: f64) -> f64 {
    -above(-v)
}

/// A comparison as it is written.
#[derive(Clone, Copy, PartialEq)]
enum Relation {
    Less,
    AtMost,
    Greater,
    AtLeast,
    Equal,
    Unequal,
}

/// What decides between branches.
enum Condition {
    Compare(Relation, Id, Id),
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(alloc::boxed::Box<Condition>),
}

enum Value {
    Number(Id),
    Condition(Condition),
}

struct Parser<'p, 't> {
    text: &'t str,
    tokens: &'p [Token<'t>],
    at: usize,
    depth: usize,
    bound: &'p [(String, Id)],
    graph: &'p mut Graph,
}

/// An argument of a call with its name, if it has one, and where it stands.
type Argument<'t> = (Option<&'t str>, Value, Range<usize>);

impl<'t> Parser<'_, 't> {
    /// Where the next token is, or the end.
    fn span(&self) -> Range<usize> {
        match self.tokens.get(self.at) {
            Some(t) => t.span.clone(),
            None => {
                let end = self.tokens.last().map_or(self.text.trim_end().len(), |t| t.span.end);
                end..end
            }
        }
    }

    /// Where the last token that was read ends.
    fn end(&self) -> usize {
        self.at.checked_sub(1).and_then(|i| self.tokens.get(i)).map_or(0, |t| t.span.end)
    }

    fn symbol(&self) -> Option<&'static str> {
        match self.tokens.get(self.at)?.what {
            What::Symbol(s) => Some(s),
            _ => None,
        }
    }

    fn take(&mut self, symbol: &str) -> bool {
        let found = self.symbol() == Some(symbol);
        self.at += usize::from(found);
        found
    }

    fn take_name(&mut self, name: &str) -> bool {
        let found = self.tokens.get(self.at).is_some_and(|t| t.what == What::Name(name));
        self.at += usize::from(found);
        found
    }

    fn need(&mut self, symbol: &str) -> Result<(), FormulaError> {
        if self.take(symbol) { Ok(()) } else { Err(self.expected(&format!("`{symbol}`"))) }
    }

    fn error(&self, span: Range<usize>, message: String) -> FormulaError {
        FormulaError::new(self.text, span, message)
    }

    fn expected(&self, what: &str) -> FormulaError {
        let found = match self.tokens.get(self.at) {
            Some(t) => format!("`{}`", &self.text[t.span.clone()]),
            None => "the end".to_owned(),
        };
        let message = format!("expected {what}, found {found}");
        self.error(self.span(), message)
    }

    /// The whole of the tokens, as a number.
    fn whole(&mut self) -> Result<Id, FormulaError> {
        let value = self.expression()?;
        if self.at < self.tokens.len() {
            return Err(self.expected("an operator or the end"));
        }
        self.as_number(value, 0)
    }

    /// A number without operands and parameters, and where it stands.
    fn constant(&mut self) -> Result<(Number, Range<usize>), FormulaError> {
        let start = self.span().start;
        let value = self.sum()?;
        let id = self.as_number(value, start)?;
        let span = start..self.end();
        match self.graph.known(id) {
            Some(v) => Ok((v, span)),
            None => Err(self.error(span, "this is no constant".to_owned())),
        }
    }

    /// A lower bound, or an upper one without its bracket.
    fn bound(&mut self, open: bool, low: bool) -> Result<f64, FormulaError> {
        let v = self.bound_value()?;
        Ok(match (open, low) {
            (true, true) => above(v),
            (true, false) => below(v),
            _ => v,
        }
        .clamp(-Param::LIMIT, Param::LIMIT))
    }

    fn bound_value(&mut self) -> Result<f64, FormulaError> {
        let from = self.at;
        let negative = self.take("-");
        if !negative {
            self.take("+");
        }
        if ["inf", "np.inf", "math.inf"].iter().any(|n| self.take_name(n)) {
            return Ok(if negative { f64::NEG_INFINITY } else { f64::INFINITY });
        }
        self.at = from;
        Ok(self.constant()?.0.nearest())
    }

    fn upper_bound(&mut self) -> Result<(f64, bool), FormulaError> {
        let v = self.bound_value()?.clamp(-Param::LIMIT, Param::LIMIT);
        if self.take(")") {
            Ok((v, v < Param::LIMIT))
        } else if self.take("]") {
            Ok((v, false))
        } else {
            Err(self.expected("`)` or `]`"))
        }
    }

    // Values: conditions are the numbers 1 and 0 where a number is wanted.

    fn number_of(&mut self, value: Value) -> Id {
        match value {
            Value::Number(id) => id,
            Value::Condition(c) => {
                let (one, zero) = (self.graph.number(Number::ONE), self.graph.number(Number::ZERO));
                self.choose(&c, one, zero)
            }
        }
    }

    fn as_number(&mut self, value: Value, start: usize) -> Result<Id, FormulaError> {
        let id = self.number_of(value);
        self.check(start)?;
        Ok(id)
    }

    fn as_condition(&mut self, value: Value, start: usize) -> Result<Condition, FormulaError> {
        match value {
            Value::Condition(c) => Ok(c),
            Value::Number(_) => Err(self.error(
                start..self.end(),
                "expected a condition such as `x > 0`, found a number".to_owned(),
            )),
        }
    }

    /// Whether the graph has had room for everything.
    fn check(&mut self, start: usize) -> Result<(), FormulaError> {
        let message = match self.graph.excess {
            None => return Ok(()),
            Some(Excess::Nodes) => format!("the formula takes more than {MOST_NODES} steps"),
            Some(Excess::Power) => {
                format!("an exponent is at most {MOST_POWER} in magnitude")
            }
            Some(Excess::Constant) => {
                "a constant is no finite number here: beyond 1.8e308, divided by 0, or of no real value".to_owned()
            }
        };
        Err(self.error(start..self.end(), message))
    }

    /// Whichever of two numbers the condition says.
    fn choose(&mut self, c: &Condition, then: Id, otherwise: Id) -> Id {
        match c {
            Condition::Not(c) => self.choose(c, otherwise, then),
            Condition::All(all) => {
                all.iter().rev().fold(then, |then, c| self.choose(c, then, otherwise))
            }
            Condition::Any(all) => {
                all.iter().rev().fold(otherwise, |otherwise, c| self.choose(c, then, otherwise))
            }
            Condition::Compare(relation, a, b) => {
                let (a, b, g) = (*a, *b, &mut *self.graph);
                match relation {
                    Relation::Greater => g.choose(Test::Greater, a, b, then, otherwise),
                    Relation::AtLeast => g.choose(Test::AtLeast, a, b, then, otherwise),
                    Relation::Less => g.choose(Test::AtLeast, a, b, otherwise, then),
                    Relation::AtMost => g.choose(Test::Greater, a, b, otherwise, then),
                    Relation::Equal => {
                        let below = g.choose(Test::AtLeast, a, b, then, otherwise);
                        g.choose(Test::Greater, a, b, otherwise, below)
                    }
                    Relation::Unequal => {
                        let below = g.choose(Test::AtLeast, a, b, otherwise, then);
                        g.choose(Test::Greater, a, b, then, below)
                    }
                }
            }
        }
    }

    // The grammar, loosest first.

    fn deeper(&mut self) -> Result<(), FormulaError> {
        if self.depth == MOST_DEPTH {
            let message =
                format!("more than {MOST_DEPTH} parentheses, calls or powers within one another");
            return Err(self.error(self.span(), message));
        }
        self.depth += 1;
        Ok(())
    }

    /// `A if C else B`, or what stands before `if`.
    fn expression(&mut self) -> Result<Value, FormulaError> {
        self.deeper()?;
        let start = self.span().start;
        let value = self.disjunction()?;
        let value = if self.take_name("if") {
            let then = self.as_number(value, start)?;
            let start = self.span().start;
            let condition = self.disjunction()?;
            let condition = self.as_condition(condition, start)?;
            if !self.take_name("else") {
                return Err(self.expected("`else`"));
            }
            let start = self.span().start;
            let otherwise = self.expression()?;
            let otherwise = self.as_number(otherwise, start)?;
            Value::Number(self.choose(&condition, then, otherwise))
        } else {
            value
        };
        self.depth -= 1;
        Ok(value)
    }

    fn disjunction(&mut self) -> Result<Value, FormulaError> {
        let start = self.span().start;
        let first = self.conjunction()?;
        if !["or", "|", "||"].iter().any(|s| self.sees(s)) {
            return Ok(first);
        }
        let mut all = vec![self.as_condition(first, start)?];
        while self.take_name("or") || self.take("|") || self.take("||") {
            let start = self.span().start;
            let next = self.conjunction()?;
            all.push(self.as_condition(next, start)?);
        }
        Ok(Value::Condition(Condition::Any(all)))
    }

    fn conjunction(&mut self) -> Result<Value, FormulaError> {
        let start = self.span().start;
        let first = self.negation()?;
        if !["and", "&", "&&"].iter().any(|s| self.sees(s)) {
            return Ok(first);
        }
        let mut all = vec![self.as_condition(first, start)?];
        while self.take_name("and") || self.take("&") || self.take("&&") {
            let start = self.span().start;
            let next = self.negation()?;
            all.push(self.as_condition(next, start)?);
        }
        Ok(Value::Condition(Condition::All(all)))
    }

    fn sees(&self, what: &str) -> bool {
        self.tokens.get(self.at).is_some_and(|t| match t.what {
            What::Name(n) => n == what,
            What::Symbol(s) => s == what,
            What::Number(_) => false,
        })
    }

    fn negation(&mut self) -> Result<Value, FormulaError> {
        let (mut negated, mut any) = (false, false);
        while self.take_name("not") || self.take("~") || self.take("!") {
            (negated, any) = (!negated, true);
        }
        let start = self.span().start;
        let value = self.comparison()?;
        if !any {
            return Ok(value);
        }
        let c = self.as_condition(value, start)?;
        Ok(Value::Condition(if negated { Condition::Not(c.into()) } else { c }))
    }

    fn comparison(&mut self) -> Result<Value, FormulaError> {
        let start = self.span().start;
        let first = self.sum()?;
        let mut left: Option<Id> = None;
        let mut all = Vec::new();
        let mut value = Some(first);
        while let Some(relation) = self.relation() {
            let a = match (left, value.take()) {
                (Some(id), _) => id,
                (None, Some(v)) => self.as_number(v, start)?,
                (None, None) => 0,
            };
            let start = self.span().start;
            let right = self.sum()?;
            let b = self.as_number(right, start)?;
            all.push(Condition::Compare(relation, a, b));
            left = Some(b);
        }
        Ok(match (all.len(), value) {
            (0, Some(v)) => v,
            (1, _) => Value::Condition(all.remove(0)),
            _ => Value::Condition(Condition::All(all)),
        })
    }

    fn relation(&mut self) -> Option<Relation> {
        let relation = match self.symbol()? {
            "<" => Relation::Less,
            "<=" => Relation::AtMost,
            ">" => Relation::Greater,
            ">=" => Relation::AtLeast,
            "==" => Relation::Equal,
            "!=" => Relation::Unequal,
            _ => return None,
        };
        self.at += 1;
        Some(relation)
    }

    fn sum(&mut self) -> Result<Value, FormulaError> {
        let start = self.span().start;
        let first = self.product()?;
        if !(self.sees("+") || self.sees("-")) {
            return Ok(first);
        }
        let mut terms = vec![(Number::ONE, self.as_number(first, start)?)];
        loop {
            let sign = match self.symbol() {
                Some("+") => Number::ONE,
                Some("-") => Number::MINUS_ONE,
                _ => break,
            };
            self.at += 1;
            let start = self.span().start;
            let next = self.product()?;
            terms.push((sign, self.as_number(next, start)?));
        }
        let id = self.graph.sum(Number::ZERO, &terms);
        self.check(start)?;
        Ok(Value::Number(id))
    }

    fn product(&mut self) -> Result<Value, FormulaError> {
        let start = self.span().start;
        let first = self.signed()?;
        if !(self.sees("*") || self.sees("/")) {
            return Ok(first);
        }
        let mut factors = vec![(self.as_number(first, start)?, 1)];
        loop {
            let exponent = match self.symbol() {
                Some("*") => 1,
                Some("/") => -1,
                _ => break,
            };
            self.at += 1;
            let start = self.span().start;
            let next = self.signed()?;
            factors.push((self.as_number(next, start)?, exponent));
        }
        let id = self.graph.product(Number::ONE, &factors);
        self.check(start)?;
        Ok(Value::Number(id))
    }

    fn signed(&mut self) -> Result<Value, FormulaError> {
        let (mut minus, mut any) = (false, false);
        let start = self.span().start;
        loop {
            if self.take("-") {
                (minus, any) = (!minus, true);
            } else if self.take("+") {
                any = true;
            } else {
                break;
            }
        }
        let value = self.power()?;
        if !any {
            return Ok(value);
        }
        let id = self.as_number(value, start)?;
        Ok(Value::Number(if minus { self.graph.neg(id) } else { id }))
    }

    fn power(&mut self) -> Result<Value, FormulaError> {
        let start = self.span().start;
        let base = self.atom()?;
        if !(self.take("**") || self.take("^")) {
            return Ok(base);
        }
        self.deeper()?;
        let base = self.as_number(base, start)?;
        let from = self.span().start;
        let exponent = self.signed()?;
        let exponent = self.as_number(exponent, from)?;
        self.depth -= 1;
        let id = self.graph.power(base, exponent);
        self.check(start)?;
        Ok(Value::Number(id))
    }

    fn atom(&mut self) -> Result<Value, FormulaError> {
        let Some(token) = self.tokens.get(self.at) else {
            return Err(self.expected("a number, a name or `(`"));
        };
        let (what, span) = (token.what, token.span.clone());
        match what {
            What::Number(text) => {
                self.at += 1;
                let Some(v) = Number::decimal(text) else {
                    return Err(self.error(span, "this number is beyond 1.8e308".to_owned()));
                };
                Ok(Value::Number(self.graph.number(v)))
            }
            What::Symbol("(") => {
                self.at += 1;
                let inner = self.expression()?;
                self.need(")")?;
                Ok(inner)
            }
            What::Name(name) if !matches!(name, "and" | "or" | "not" | "else" | "in") => {
                self.at += 1;
                if self.take("(") {
                    return self.called(name, span);
                }
                self.named(name, span).map(Value::Number)
            }
            _ => Err(self.expected("a number, a name or `(`")),
        }
    }

    fn named(&mut self, name: &'t str, span: Range<usize>) -> Result<Id, FormulaError> {
        if let Some((_, id)) = self.bound.iter().find(|(n, _)| n == name) {
            return Ok(*id);
        }
        if let Some(v) = constant(name) {
            return Ok(self.graph.number(v));
        }
        let known = || self.bound.iter().map(|(n, _)| n.as_str()).chain(["pi", "e"]);
        let near = nearest(name, known());
        let message = if is_function(name) {
            format!("`{name}` is a function; write `{name}(...)`, or declare it: `; {name} = 1`")
        } else if near.is_some() {
            format!("unknown name `{name}`")
        } else {
            format!("unknown name `{name}`; declare a parameter with its default: `; {name} = 1`")
        };
        Err(self.error(span, message).with_nearest(near.filter(|_| !is_function(name))))
    }

    /// What follows `name(`.
    fn called(&mut self, name: &'t str, span: Range<usize>) -> Result<Value, FormulaError> {
        let mut arguments: Vec<Argument<'t>> = Vec::new();
        while !self.take(")") {
            if !arguments.is_empty() && !self.take(",") {
                return Err(self.expected("`,` or `)`"));
            }
            let keyword = match (
                &self.tokens.get(self.at).map(|t| t.what),
                self.tokens.get(self.at + 1).map(|t| t.what),
            ) {
                (Some(What::Name(n)), Some(What::Symbol("="))) => {
                    self.at += 2;
                    Some(*n)
                }
                _ => None,
            };
            let start = self.span().start;
            let value = self.expression()?;
            arguments.push((keyword, value, start..self.end()));
        }
        let start = span.start;
        let value = self.apply(name, span, arguments)?;
        self.check(start)?;
        Ok(value)
    }

    fn apply(
        &mut self,
        name: &'t str,
        span: Range<usize>,
        arguments: Vec<Argument<'t>>,
    ) -> Result<Value, FormulaError> {
        let whole = span.start..self.end();
        // As in the modules that have these functions: `np.tanh`, `torch.nn.functional.gelu`.
        let name = name.rsplit('.').next().unwrap_or(name);
        if matches!(name, "where" | "if" | "select") {
            return self.branches(name, whole, arguments);
        }
        let Some(function) = Named::find(name) else {
            return self.catalogued(name, span, whole, arguments);
        };
        let (least, most) = function.arity();
        let names: &[&str] = match function {
            Named::Clip => &["", "min", "max"],
            _ => &[],
        };
        let mut places: Vec<Option<Id>> = vec![None; arguments.len().max(most.min(3))];
        for (i, (keyword, value, at)) in arguments.into_iter().enumerate() {
            let id = self.as_number(value, at.start)?;
            let place = match keyword {
                None => i,
                Some(k) => match names.iter().position(|n| *n == k || k == format!("a_{n}")) {
                    Some(place) => place,
                    None => {
                        let message = format!("`{name}` has no argument `{k}`");
                        return Err(self.error(at, message));
                    }
                },
            };
            if place >= places.len() || places[place].replace(id).is_some() {
                return Err(self.error(at, format!("an argument of `{name}` is given twice")));
            }
        }
        let given: Vec<Id> = places.iter().flatten().copied().collect();
        if function == Named::Clip && places[0].is_some() && given.len() > 1 && places.len() == 3 {
            let (x, low, high) = (given[0], places[1], places[2]);
            let g = &mut *self.graph;
            let x = low.map_or(x, |low| g.max(x, low));
            return Ok(Value::Number(high.map_or(x, |high| g.min(x, high))));
        }
        if !(least..=most).contains(&given.len())
            || places.iter().take(given.len()).any(Option::is_none)
        {
            let wanted = match (least, most) {
                (1, 1) => "one argument".to_owned(),
                (2, usize::MAX) => "two arguments or more".to_owned(),
                (a, b) if a == b => format!("{a} arguments"),
                (a, b) => format!("{a} to {b} arguments"),
            };
            let message = format!("`{name}` takes {wanted}, not {}", given.len());
            return Err(self.error(whole, message));
        }
        Ok(Value::Number(function.of(self.graph, &given)))
    }

    fn branches(
        &mut self,
        name: &str,
        whole: Range<usize>,
        arguments: Vec<Argument<'t>>,
    ) -> Result<Value, FormulaError> {
        let n = arguments.len();
        let Ok([(None, condition, at), (None, then, left), (None, otherwise, right)]) =
            <[Argument<'t>; 3]>::try_from(arguments)
        else {
            let message = format!(
                "`{name}` takes a condition and two numbers, as in `{name}(x > 0, x, 0)`, not {n} arguments"
            );
            return Err(self.error(whole, message));
        };
        let condition = match condition {
            Value::Condition(c) => c,
            Value::Number(_) => {
                let message = "expected a condition such as `x > 0`, found a number".to_owned();
                return Err(self.error(at, message));
            }
        };
        let then = self.as_number(then, left.start)?;
        let otherwise = self.as_number(otherwise, right.start)?;
        Ok(Value::Number(self.choose(&condition, then, otherwise)))
    }

    /// A function of the catalogue by its name: its own formula, with these numbers in it.
    fn catalogued(
        &mut self,
        name: &str,
        span: Range<usize>,
        whole: Range<usize>,
        arguments: Vec<Argument<'t>>,
    ) -> Result<Value, FormulaError> {
        let found = (catalog::get(name), catalog::gated(name));
        let (function, operands, params): (Description<'_>, &[&str], Vec<Parameter<'_>>) =
            match &found {
                (Ok(f), _) => (f.meta(), &["x"], f.params().map(|(p, _)| p).collect()),
                (_, Ok(f)) => (f.meta(), &["a", "b"], Vec::new()),
                (Err(crate::Error::OtherKind { kind: Kind::RowWise, .. }), _) => {
                    let message =
                        format!("`{name}` is of whole rows; a formula is of single numbers");
                    return Err(self.error(span, message));
                }
                _ => {
                    let message = format!("unknown function `{name}`");
                    let near = nearest(name, function_names());
                    return Err(self.error(span, message).with_nearest(near));
                }
            };
        let places: Vec<&str> =
            operands.iter().copied().chain(params.iter().map(|p| p.name)).collect();
        let mut bound: Vec<(String, Option<Id>)> =
            places.iter().map(|n| ((*n).to_owned(), None)).collect();
        for (i, (keyword, value, at)) in arguments.into_iter().enumerate() {
            let id = self.as_number(value, at.start)?;
            let place = match keyword {
                None if i < places.len() => i,
                None => {
                    let message = format!("`{name}` takes at most {} arguments", places.len());
                    return Err(self.error(whole, message));
                }
                Some(k) => match places.iter().position(|n| names::same(n, k)) {
                    Some(place) => place,
                    None => {
                        let message = format!("`{name}` has no argument `{k}`");
                        let near = nearest(k, places.iter().copied());
                        return Err(self.error(at, message).with_nearest(near));
                    }
                },
            };
            if bound[place].1.replace(id).is_some() {
                let message = format!("`{}` of `{name}` is given twice", places[place]);
                return Err(self.error(at, message));
            }
        }
        let mut all: Vec<(String, Id)> = Vec::new();
        for (i, (place, id)) in bound.into_iter().enumerate() {
            let id = match id {
                Some(id) => id,
                None if i < operands.len() => {
                    let message = format!("`{name}` misses its operand `{place}`");
                    return Err(self.error(whole, message));
                }
                None => {
                    let p = params[i - operands.len()];
                    self.graph.number(Number::parameter(p.default, p.exact.then_some(p.rest)))
                }
            };
            all.push((place, id));
        }
        match inlined(function.formula, self.depth, &all, self.graph) {
            Ok(id) => Ok(Value::Number(id)),
            // Too deep together: what is wrong is where the name stands.
            Err(e) => Err(self.error(whole, e.message())),
        }
    }
}
