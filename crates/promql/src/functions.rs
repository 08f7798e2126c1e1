//! The functions of PromQL: names and signatures. How each is computed stands in `exec`.

use crate::ast::ValueType;

/// A function's name and signature.
#[derive(Debug, PartialEq)]
pub struct Function {
    /// As written in a query.
    pub name: &'static str,
    /// The types of its arguments.
    pub args: &'static [ValueType],
    /// How many of the last arguments may be left out; `Repeat` when the last may stand any number of times.
    pub optional: Optional,
    /// What it yields.
    pub returns: ValueType,
}

/// Which arguments may be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Optional {
    /// So many of the last ones.
    Last(usize),
    /// The last may be left out or stand any number of times.
    Repeat,
}

const RANGE: &[ValueType] = &[ValueType::RangeVector];

const fn over_range(name: &'static str) -> Function {
    Function { name, args: RANGE, optional: Optional::Last(0), returns: ValueType::InstantVector }
}

/// All functions, sorted by name.
pub static FUNCTIONS: &[Function] = &[over_range("rate")];

/// The function called `name`.
pub fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.binary_search_by(|f| f.name.cmp(name)).ok().map(|i| &FUNCTIONS[i])
}
