//! Templates of Go as trees: `if`, `else if`, `with`, `range`, `define`, `template`, `block`, variables,
//! pipelines, parentheses and the calls of `functions`. A field that no process has is refused here, where it
//! is known what the point is.

use super::{
    functions::Function,
    lex::{self, Part, Word},
    time,
};
use std::mem;

/// Blocks and parentheses in each other are no more.
const MAX_DEPTH: usize = 32;
/// The fields that a process has.
const FIELDS: [&str; 9] =
    ["Comm", "ExeBase", "ExeFull", "Username", "PID", "StartTime", "Cgroups", "Matches", "Cwd"];

/// What the name itself is called among its templates.
const NAME: &str = "cmdname";

/// A template: the name itself, or one that it defines.
#[derive(Clone, Debug, Default)]
pub(super) struct Body {
    pub(super) nodes: Vec<Node>,
    /// How many variables live at a time.
    pub(super) variables: usize,
}

/// A part of the tree.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Text(String),
    /// Its value is written, unless it goes to a variable.
    Put(Pipeline),
    If(Pipeline, Block),
    With(Pipeline, Block),
    Range {
        key: Option<usize>,
        value: Option<usize>,
        over: Pipeline,
        block: Block,
    },
    /// Another template, by its place, and its point.
    Template(usize, Option<Pipeline>),
    Break,
    Continue,
}

/// What is done if there is a value, and what else.
#[derive(Clone, Debug, Default)]
pub(super) struct Block {
    pub(super) then: Vec<Node>,
    pub(super) otherwise: Vec<Node>,
}

/// Calls, each of which gets what the one before gave as its last argument.
#[derive(Clone, Debug)]
pub(super) struct Pipeline {
    /// The variable that it goes to.
    pub(super) to: Option<usize>,
    pub(super) calls: Vec<Call>,
}

#[derive(Clone, Debug)]
pub(super) enum Call {
    Function(Function, Vec<Operand>),
    /// The method of a time that takes a layout.
    Format(Operand, Vec<Operand>),
    Value(Operand),
}

#[derive(Clone, Debug)]
pub(super) enum Operand {
    Text(String),
    Int(i64),
    Float(f64),
    Bool(bool),
    Nothing,
    Path(Base, Vec<String>),
    Inner(Box<Pipeline>),
}

/// What fields are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Base {
    Point,
    /// What the template was given: `$`.
    Given,
    Variable(usize),
}

/// The template in `text`, and behind it those that it defines.
pub(super) fn parse(text: &str) -> Result<Vec<Body>, String> {
    let scope = Scope { gets_process: true, ..Scope::default() };
    let parts = lex::parts(text)?.into_iter();
    let mut parser = Parser { parts, scope, templates: Vec::new(), depth: 0 };
    parser.place(NAME);
    let (nodes, end) = parser.nodes(true)?;
    if let Some(end) = end {
        return Err(format!("{{{{{}}}}} has no if, with, range, define or block before it", end.name()));
    }
    let variables = parser.scope.variables;
    parser.define(0, Body { nodes, variables })?;
    let bodies = parser.templates.into_iter().map(|(name, body)| {
        body.ok_or_else(|| {
            format!("template {name:?} is not defined; write {{{{define {name:?}}}}} … {{{{end}}}}")
        })
    });
    bodies.collect()
}

struct Parser {
    parts: std::vec::IntoIter<Part>,
    scope: Scope,
    /// All templates that were named, the name itself first, and those that are known by now.
    templates: Vec<(String, Option<Body>)>,
    depth: usize,
}

/// What is known of the template at hand.
#[derive(Default)]
struct Scope {
    /// The variables that can be named here, from the outermost block on.
    names: Vec<String>,
    variables: usize,
    /// Ranges around this place.
    ranges: usize,
    /// Whether `$` is the process for sure.
    gets_process: bool,
}

/// What ends the nodes of a block.
enum End {
    End,
    /// What stands behind it, as in `else if`.
    Else(Vec<Word>),
}

impl End {
    const fn name(&self) -> &'static str {
        match self {
            Self::End => "end",
            Self::Else(_) => "else",
        }
    }
}

impl Parser {
    fn deeper(&mut self) -> Result<(), String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            Err(format!("more than {MAX_DEPTH} levels in each other"))
        } else {
            Ok(())
        }
    }

    /// Nodes up to what ends them. `is_process` says that the point stands for the process.
    fn nodes(&mut self, is_process: bool) -> Result<(Vec<Node>, Option<End>), String> {
        let mut nodes = Vec::new();
        while let Some(part) = self.parts.next() {
            let words = match part {
                Part::Text(text) => {
                    nodes.push(Node::Text(text));
                    continue;
                }
                Part::Action(words) => words,
            };
            let keyword = match words.first() {
                Some(Word::Name(name)) => name.as_str(),
                _ => "",
            };
            match keyword {
                "end" if words.len() == 1 => return Ok((nodes, Some(End::End))),
                "else" => return Ok((nodes, Some(End::Else(words[1..].to_vec())))),
                "define" => self.definition(&words)?,
                "template" => nodes.push(self.template(&words, is_process)?),
                "block" => nodes.push(self.defined_here(&words, is_process)?),
                "break" | "continue" if words.len() > 1 || self.scope.ranges == 0 => {
                    return Err(format!("{{{{{keyword}}}}} stands alone, inside of a range"));
                }
                "break" => nodes.push(Node::Break),
                "continue" => nodes.push(Node::Continue),
                "if" | "with" | "range" => nodes.push(self.block(&words, is_process)?),
                _ => nodes.push(Node::Put(self.whole_pipeline(&words, is_process)?)),
            }
        }
        Ok((nodes, None))
    }

    /// `if`, `with` or `range` up to its end.
    fn block(&mut self, words: &[Word], is_process: bool) -> Result<Node, String> {
        self.deeper()?;
        let known = self.scope.names.len();
        let Some(Word::Name(keyword)) = words.first() else { return Err("a keyword is missing".into()) };
        let keyword = keyword.clone();
        let (mut key, mut value) = (None, None);
        let head = if keyword == "range" {
            let (names, rest) = range_variables(&words[1..]);
            let declared: Vec<usize> = names.into_iter().map(|name| self.declare(name)).collect();
            (key, value) = match declared[..] {
                [value] => (None, Some(value)),
                [key, value] => (Some(key), Some(value)),
                _ => (None, None),
            };
            self.whole_pipeline(rest, is_process)?
        } else {
            self.point(&words[1..], is_process)?
        };
        let ranges = usize::from(keyword == "range");
        self.scope.ranges += ranges;
        let (then, end) = self.nodes(is_process && keyword == "if")?;
        self.scope.ranges -= ranges;
        let otherwise = match end {
            Some(End::End) => Vec::new(),
            Some(End::Else(words)) if words.is_empty() => match self.nodes(is_process)? {
                (nodes, Some(End::End)) => nodes,
                (_, Some(End::Else(_))) => return Err("an {{else}} stands behind an {{else}}".into()),
                (_, None) => return Err(format!("{{{{{keyword}}}}} has no {{{{end}}}}")),
            },
            Some(End::Else(words)) => match words.first() {
                // The inner one's end is the outer one's, too.
                Some(Word::Name(name)) if *name == keyword && keyword != "range" => {
                    vec![self.block(&words, is_process)?]
                }
                _ => return Err(format!("behind {{{{else}}}} of {keyword} can stand nothing, or {keyword}")),
            },
            None => return Err(format!("{{{{{keyword}}}}} has no {{{{end}}}}")),
        };
        self.scope.names.truncate(known);
        self.depth -= 1;
        let block = Block { then, otherwise };
        Ok(match keyword.as_str() {
            "if" => Node::If(head, block),
            "with" => Node::With(head, block),
            _ => Node::Range { key, value, over: head, block },
        })
    }

    /// Where the template of this name stands among all.
    fn place(&mut self, name: &str) -> usize {
        let known = self.templates.iter().position(|(known, _)| known == name);
        known.unwrap_or_else(|| {
            self.templates.push((name.to_owned(), None));
            self.templates.len() - 1
        })
    }

    /// Gives a template its body. Of two, one has to be empty.
    fn define(&mut self, at: usize, body: Body) -> Result<(), String> {
        let is_blank = |node: &Node| matches!(node, Node::Text(text) if text.trim().is_empty());
        let is_empty = |body: &Body| body.nodes.iter().all(is_blank);
        let (name, known) = &mut self.templates[at];
        match known {
            Some(known) if !is_empty(known) && !is_empty(&body) => {
                return Err(format!("template {name:?} is defined twice"));
            }
            Some(known) if !is_empty(known) => {}
            _ => *known = Some(body),
        }
        Ok(())
    }

    /// `{{define "name"}}` up to its end.
    fn definition(&mut self, words: &[Word]) -> Result<(), String> {
        let [_, Word::Text(name)] = words else {
            return Err("write {{define \"name\"}} … {{end}}".into());
        };
        if self.depth > 0 {
            return Err(format!("{{{{define {name:?}}}}} stands inside of another block; move it out"));
        }
        let at = self.place(name);
        self.body_of(at, name)
    }

    /// `{{block "name" value}}` up to its end, which defines a template and stands for it.
    fn defined_here(&mut self, words: &[Word], is_process: bool) -> Result<Node, String> {
        let [_, Word::Text(name), value @ ..] = words else {
            return Err("write {{block \"name\" value}} … {{end}}".into());
        };
        let point = self.point(value, is_process)?;
        let at = self.place(name);
        self.body_of(at, name)?;
        Ok(Node::Template(at, Some(point)))
    }

    /// `{{template "name"}}`, with or without a value.
    fn template(&mut self, words: &[Word], is_process: bool) -> Result<Node, String> {
        let [_, Word::Text(name), value @ ..] = words else {
            return Err("write {{template \"name\"}} or {{template \"name\" value}}".into());
        };
        let point = if value.is_empty() { None } else { Some(self.point(value, is_process)?) };
        Ok(Node::Template(self.place(name), point))
    }

    /// What becomes the point, or is looked at; it may be the whole process.
    fn point(&mut self, words: &[Word], is_process: bool) -> Result<Pipeline, String> {
        let base = match words {
            [Word::Path(None, fields)] if fields.is_empty() => Base::Point,
            [Word::Path(Some(name), fields)] if name.is_empty() && fields.is_empty() => Base::Given,
            _ => return self.whole_pipeline(words, is_process),
        };
        Ok(Pipeline { to: None, calls: vec![Call::Value(Operand::Path(base, Vec::new()))] })
    }

    /// The nodes up to an `{{end}}`, as the template at `at`.
    fn body_of(&mut self, at: usize, name: &str) -> Result<(), String> {
        self.deeper()?;
        let outer = mem::take(&mut self.scope);
        let (nodes, end) = self.nodes(false)?;
        let Scope { variables, .. } = mem::replace(&mut self.scope, outer);
        self.depth -= 1;
        match end {
            Some(End::End) => self.define(at, Body { nodes, variables }),
            Some(End::Else(_)) => Err(format!("an {{{{else}}}} stands in the template {name:?}")),
            None => Err(format!("the template {name:?} has no {{{{end}}}}")),
        }
    }

    fn declare(&mut self, name: String) -> usize {
        let Scope { names, variables, .. } = &mut self.scope;
        names.push(name);
        *variables = names.len().max(*variables);
        names.len() - 1
    }

    fn variable(&self, name: &str) -> Result<usize, String> {
        let at = self.scope.names.iter().rposition(|known| known == name);
        at.ok_or_else(|| format!("${name} is not known here; declare it as in {{{{$x := .Comm}}}}"))
    }

    /// All words as one pipeline.
    fn whole_pipeline(&mut self, words: &[Word], is_process: bool) -> Result<Pipeline, String> {
        let mut words = words;
        let pipeline = match words {
            [Word::Path(Some(name), fields), Word::Sign(sign @ (":=" | "=")), rest @ ..]
                if fields.is_empty() && !name.is_empty() =>
            {
                words = rest;
                let mut pipeline = self.pipeline(&mut words, is_process)?;
                // The value is computed before the name is known.
                pipeline.to =
                    Some(if *sign == "=" { self.variable(name)? } else { self.declare(name.clone()) });
                pipeline
            }
            _ => self.pipeline(&mut words, is_process)?,
        };
        match words.first() {
            None => Ok(pipeline),
            Some(word) => Err(format!("{} stands where nothing can", shown(word))),
        }
    }

    fn pipeline(&mut self, words: &mut &[Word], is_process: bool) -> Result<Pipeline, String> {
        self.deeper()?;
        let mut calls = Vec::new();
        loop {
            calls.push(self.call(words, is_process, !calls.is_empty())?);
            match words.first() {
                Some(Word::Sign("|")) => *words = &words[1..],
                _ => break,
            }
        }
        self.depth -= 1;
        Ok(Pipeline { to: None, calls })
    }

    fn call(&mut self, words: &mut &[Word], is_process: bool, is_behind: bool) -> Result<Call, String> {
        let function = match words.first() {
            Some(Word::Name(name)) if !matches!(name.as_str(), "true" | "false" | "nil") => {
                *words = &words[1..];
                Some(Function::named(name)?)
            }
            _ => None,
        };
        let mut operands = Vec::new();
        while let Some(operand) = self.operand(words, is_process)? {
            operands.push(operand);
        }
        if let Some(function) = function {
            function.takes(operands.len() + usize::from(is_behind))?;
            return Ok(Call::Function(function, operands));
        }
        let mut operands = operands.into_iter();
        let first = operands.next();
        if let Some(Operand::Path(base, fields)) = &first
            && let Some((time::FORMAT, of)) = fields.split_last().map(|(last, of)| (last.as_str(), of))
        {
            let of = Operand::Path(*base, of.to_vec());
            let layouts: Vec<Operand> = operands.collect();
            return match layouts.len() + usize::from(is_behind) {
                1 => Ok(Call::Format(of, layouts)),
                count => Err(format!("Format takes 1 argument, the layout, not {count}")),
            };
        }
        if is_behind {
            return Err("behind | stands a function".into());
        }
        match (first, operands.next()) {
            (Some(Operand::Nothing), None) => Err("nil alone is nothing; give it to a function".into()),
            (Some(only), None) => Ok(Call::Value(only)),
            (None, _) => Err("a value is missing".into()),
            (Some(_), Some(_)) => {
                Err("only functions take arguments; put two values into two pairs of braces".into())
            }
        }
    }

    fn operand(&mut self, words: &mut &[Word], is_process: bool) -> Result<Option<Operand>, String> {
        let Some(word) = words.first() else { return Ok(None) };
        let operand = match word {
            Word::Text(text) => Operand::Text(text.clone()),
            Word::Int(number) => Operand::Int(*number),
            Word::Float(number) => Operand::Float(*number),
            Word::Name(name) => match name.as_str() {
                "true" => Operand::Bool(true),
                "false" => Operand::Bool(false),
                "nil" => Operand::Nothing,
                // A function without arguments has none to give.
                _ => return Err(format!("{name} stands where a value has to; put a call into parentheses")),
            },
            Word::Path(variable, fields) => {
                let base = match variable.as_deref() {
                    None => Base::Point,
                    Some("") => Base::Given,
                    Some(name) => Base::Variable(self.variable(name)?),
                };
                if base == Base::Given && self.scope.gets_process || base == Base::Point && is_process {
                    check_fields(fields)?;
                }
                Operand::Path(base, fields.clone())
            }
            Word::Sign("(") => {
                *words = &words[1..];
                let inner = self.pipeline(words, is_process)?;
                if words.first() != Some(&Word::Sign(")")) {
                    return Err("a ( has no ) behind it".into());
                }
                Operand::Inner(Box::new(inner))
            }
            Word::Sign(_) => return Ok(None),
        };
        *words = &words[1..];
        Ok(Some(operand))
    }
}

/// The variables of `range $k, $v := …`, and what stands behind them.
fn range_variables(words: &[Word]) -> (Vec<String>, &[Word]) {
    let is_name = |word: &Word| match word {
        Word::Path(Some(name), fields) if fields.is_empty() && !name.is_empty() => Some(name.clone()),
        _ => None,
    };
    match words {
        [value, Word::Sign(":="), rest @ ..] => match is_name(value) {
            Some(value) => (vec![value], rest),
            None => (Vec::new(), words),
        },
        [key, Word::Sign(","), value, Word::Sign(":="), rest @ ..] => match (is_name(key), is_name(value)) {
            (Some(key), Some(value)) => (vec![key, value], rest),
            _ => (Vec::new(), words),
        },
        _ => (Vec::new(), words),
    }
}

fn check_fields(fields: &[String]) -> Result<(), String> {
    match fields {
        [] => Err("{{.}} is the whole process, which is no name; name a field, such as .Comm".into()),
        [first, ..] if !FIELDS.contains(&first.as_str()) => {
            Err(format!(".{first} is not a field; there are .{}", FIELDS.join(", .")))
        }
        [first, methods @ ..] if first == "StartTime" => check_methods(methods),
        [first, second, ..] if first != "Matches" => Err(format!(".{first} has no field {second}")),
        [_, _, third, ..] => Err(format!("a match has no field {third}")),
        _ => Ok(()),
    }
}

/// What stands behind `.StartTime`.
fn check_methods(methods: &[String]) -> Result<(), String> {
    let Some((method, behind)) = methods.split_first() else { return Ok(()) };
    let is_method = time::METHODS.contains(&method.as_str()) || method == time::FORMAT;
    match (method.as_str(), behind) {
        ("Local" | "UTC", behind) => check_methods(behind),
        ("Month" | "Weekday", [text]) if text == "String" => Ok(()),
        (_, []) if is_method => Ok(()),
        (_, [next, ..]) if is_method => Err(format!("what {method} gives has no method {next}")),
        _ => {
            let known = time::METHODS.join(", ");
            Err(format!("a time has no method {method}; there are {}, {known}", time::FORMAT))
        }
    }
}

fn shown(word: &Word) -> String {
    match word {
        Word::Name(name) => name.clone(),
        Word::Path(variable, fields) => {
            let variable = variable.as_ref().map(|name| format!("${name}")).unwrap_or_default();
            format!("{variable}.{}", fields.join("."))
        }
        Word::Text(text) => format!("{text:?}"),
        Word::Int(number) => number.to_string(),
        Word::Float(number) => number.to_string(),
        Word::Sign(sign) => (*sign).to_owned(),
    }
}
