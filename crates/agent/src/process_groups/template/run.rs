//! A template's tree and a process to a name. What fails ends the name where it stands; time and length are
//! bounded whatever the template says.

use super::{
    Attributes, Matches, Template,
    functions::Function,
    parse::{Base, Block, Body, Call, Node, Operand, Pipeline},
    time::{self, Time},
    value::Value,
};
use jiff::tz::TimeZone;
use std::{borrow::Cow, mem};

/// A name takes no more steps: ranges in each other could take for ever.
const MAX_STEPS: usize = 10_000;
/// A name is no longer.
const MAX_BYTES: usize = 16 << 10;
/// Blocks and templates in each other are no more: a template can call itself for ever.
const MAX_DEPTH: usize = 100;

/// What ends nodes early.
enum Stop {
    /// It ends the name, too.
    Failed,
    /// It ends a range, or an item of it.
    Break,
    Continue,
}
use Stop::Failed;

struct Run<'a> {
    bodies: &'a [Body],
    local: &'a TimeZone,
    process: &'a Attributes,
    matches: &'a Matches,
    /// What the template at hand was given.
    given: Value<'a>,
    variables: Vec<Value<'a>>,
    steps: usize,
    depth: usize,
    name: String,
}

pub(super) fn run(template: &Template, process: &Attributes, matches: &Matches) -> String {
    let mut run = Run {
        bodies: &template.bodies,
        local: &template.local,
        process,
        matches,
        given: Value::Nothing,
        variables: Vec::new(),
        steps: 0,
        depth: 0,
        name: String::new(),
    };
    // As in the reference, what was written before a failure is the name.
    let _written = run.body(0, &Value::Process);
    run.name
}

impl<'a> Run<'a> {
    /// A template, with the point that it is given.
    fn body(&mut self, body: usize, given: &Value<'a>) -> Result<(), Stop> {
        let body = &self.bodies[body];
        let variables = mem::replace(&mut self.variables, vec![Value::Nothing; body.variables]);
        let outer = mem::replace(&mut self.given, given.clone());
        self.nodes(&body.nodes, given)?;
        (self.variables, self.given) = (variables, outer);
        Ok(())
    }

    fn nodes(&mut self, nodes: &[Node], point: &Value<'a>) -> Result<(), Stop> {
        if self.depth == MAX_DEPTH {
            return Err(Failed);
        }
        self.depth += 1;
        let done = nodes.iter().try_for_each(|node| self.node(node, point));
        self.depth -= 1;
        done
    }

    fn node(&mut self, node: &Node, point: &Value<'a>) -> Result<(), Stop> {
        self.steps += 1;
        if self.steps > MAX_STEPS || self.name.len() > MAX_BYTES {
            return Err(Failed);
        }
        match node {
            Node::Text(text) => self.name.push_str(text),
            Node::Put(pipeline) => {
                let value = self.pipeline(pipeline, point)?;
                match value {
                    _ if pipeline.to.is_some() => {}
                    Value::Nothing => self.name.push_str("<no value>"),
                    Value::Process => return Err(Failed),
                    value => self.name.push_str(&value.to_string()),
                }
            }
            Node::If(pipeline, Block { then, otherwise }) => {
                let is_true = self.pipeline(pipeline, point)?.is_true();
                self.nodes(if is_true { then } else { otherwise }, point)?;
            }
            Node::With(pipeline, Block { then, otherwise }) => {
                let value = self.pipeline(pipeline, point)?;
                if value.is_true() { self.nodes(then, &value)? } else { self.nodes(otherwise, point)? }
            }
            Node::Range { key, value, over, block } => self.range([*key, *value], over, block, point)?,
            Node::Template(body, argument) => {
                let given = match argument {
                    Some(argument) => self.pipeline(argument, point)?,
                    None => Value::Nothing,
                };
                self.body(*body, &given)?;
            }
            Node::Break => return Err(Stop::Break),
            Node::Continue => return Err(Stop::Continue),
        }
        Ok(())
    }

    fn range(
        &mut self,
        [key, value]: [Option<usize>; 2],
        over: &Pipeline,
        block: &Block,
        point: &Value<'a>,
    ) -> Result<(), Stop> {
        let text = |text: &'a String| Value::Text(Cow::Borrowed(text.as_str()));
        let items: Vec<(Value<'a>, Value<'a>)> = match self.pipeline(over, point)? {
            Value::List(list) => {
                list.iter().enumerate().map(|(at, path)| (Value::Int(at as i64), text(path))).collect()
            }
            Value::Map(map) => map.iter().map(|(key, value)| (text(key), text(value))).collect(),
            Value::Nothing => Vec::new(),
            _ => return Err(Failed),
        };
        if items.is_empty() {
            return self.nodes(&block.otherwise, point);
        }
        for (of_key, of_value) in items {
            for (variable, item) in [(key, of_key), (value, of_value.clone())] {
                if let Some(variable) = variable {
                    self.variables[variable] = item;
                }
            }
            match self.nodes(&block.then, &of_value) {
                Err(Stop::Break) => break,
                Ok(()) | Err(Stop::Continue) => {}
                Err(Failed) => return Err(Failed),
            }
        }
        Ok(())
    }

    fn pipeline(&mut self, pipeline: &Pipeline, point: &Value<'a>) -> Result<Value<'a>, Stop> {
        let mut last = None;
        for call in &pipeline.calls {
            let value = match call {
                Call::Value(operand) => self.operand(operand, point)?,
                Call::Function(function, operands) => self.call(*function, operands, last.take(), point)?,
                Call::Format(time, operands) => self.format(time, operands, last.take(), point)?,
            };
            last = Some(value);
        }
        let value = last.ok_or(Failed)?;
        if let Some(to) = pipeline.to {
            self.variables[to] = value.clone();
        }
        Ok(value)
    }

    fn call(
        &mut self,
        function: Function,
        operands: &[Operand],
        last: Option<Value<'a>>,
        point: &Value<'a>,
    ) -> Result<Value<'a>, Stop> {
        let mut arguments = Vec::with_capacity(operands.len() + 1);
        for operand in operands {
            let value = self.operand(operand, point)?;
            // These stop at the first argument that decides.
            let decides = match function {
                Function::And => !value.is_true(),
                Function::Or => value.is_true(),
                _ => false,
            };
            arguments.push(value);
            if decides {
                return function.call(&arguments).ok_or(Failed);
            }
        }
        arguments.extend(last);
        let is_logic = matches!(function, Function::And | Function::Or | Function::Not);
        if !is_logic && arguments.iter().any(|value| matches!(value, Value::Process)) {
            return Err(Failed);
        }
        function.call(&arguments).ok_or(Failed)
    }

    /// The method of times that takes a layout.
    fn format(
        &mut self,
        of: &Operand,
        operands: &[Operand],
        last: Option<Value<'a>>,
        point: &Value<'a>,
    ) -> Result<Value<'a>, Stop> {
        let at = match self.operand(of, point)? {
            Value::Time(at) => at,
            Value::Nothing => return Ok(Value::Nothing),
            _ => return Err(Failed),
        };
        let mut layouts = Vec::new();
        for operand in operands {
            layouts.push(self.operand(operand, point)?);
        }
        layouts.extend(last);
        let [Value::Text(layout)] = &layouts[..] else { return Err(Failed) };
        Ok(Value::Text(Cow::Owned(time::format(&at, layout))))
    }

    fn operand(&mut self, operand: &Operand, point: &Value<'a>) -> Result<Value<'a>, Stop> {
        Ok(match operand {
            Operand::Text(text) => Value::Text(Cow::Owned(text.clone())),
            Operand::Int(number) => Value::Int(*number),
            Operand::Float(number) => Value::Float(*number),
            Operand::Bool(is_true) => Value::Bool(*is_true),
            Operand::Nothing => Value::Nothing,
            Operand::Inner(pipeline) => self.pipeline(pipeline, point)?,
            Operand::Path(base, fields) => {
                let of = match base {
                    Base::Point => point.clone(),
                    Base::Given => self.given.clone(),
                    Base::Variable(at) => self.variables[*at].clone(),
                };
                fields.iter().try_fold(of, |of, field| self.field(&of, field))?
            }
        })
    }

    fn field(&self, of: &Value<'a>, field: &str) -> Result<Value<'a>, Stop> {
        let process = self.process;
        let text = |text: &'a str| Value::Text(Cow::Borrowed(text));
        Ok(match (of, field) {
            (Value::Process, "Comm") => text(&process.comm),
            (Value::Process, "ExeBase") => text(process.exe_base()),
            (Value::Process, "ExeFull") => text(process.exe_full()),
            (Value::Process, "Username") => text(&process.username),
            (Value::Process, "Cwd") => text(&process.cwd),
            (Value::Process, "PID") => Value::Int(i64::from(process.pid)),
            (Value::Process, "StartTime") => Value::Time(Time { seconds: process.start_s, zone: None }),
            (Value::Process, "Cgroups") => Value::List(&process.cgroups),
            (Value::Process, "Matches") => Value::Map(self.matches),
            (Value::Time(at), method) => time::method(at, method, self.local).ok_or(Failed)?,
            (Value::Named { name, .. }, "String") if !name.is_empty() => text(name),
            (Value::Nothing, _) => Value::Nothing,
            (Value::Map(map), key) => map.get(key).map_or(Value::Nothing, |value| text(value)),
            _ => return Err(Failed),
        })
    }
}
