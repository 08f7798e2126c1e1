//! A template's tree and a process to a name. What fails ends the name where it stands; time and length are
//! bounded whatever the template says.

use super::{
    Attributes, Matches, Template,
    functions::Function,
    parse::{Base, Block, Call, Node, Operand, Pipeline},
    time,
    value::Value,
};
use std::borrow::Cow;

/// A name takes no more steps: ranges in each other could take for ever.
const MAX_STEPS: usize = 10_000;
/// A name is no longer.
const MAX_BYTES: usize = 16 << 10;

/// What ends a name early.
struct Failed;

struct Run<'a> {
    process: &'a Attributes,
    matches: &'a Matches,
    variables: Vec<Value<'a>>,
    steps: usize,
    name: String,
}

pub(super) fn run(template: &Template, process: &Attributes, matches: &Matches) -> String {
    let variables = vec![Value::Nothing; template.variables];
    let mut run = Run { process, matches, variables, steps: 0, name: String::new() };
    // As in the reference, what was written before a failure is the name.
    let _written = run.nodes(&template.nodes, &Value::Process);
    run.name
}

impl<'a> Run<'a> {
    fn nodes(&mut self, nodes: &[Node], point: &Value<'a>) -> Result<(), Failed> {
        for node in nodes {
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
            }
        }
        Ok(())
    }

    fn range(
        &mut self,
        [key, value]: [Option<usize>; 2],
        over: &Pipeline,
        block: &Block,
        point: &Value<'a>,
    ) -> Result<(), Failed> {
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
            self.nodes(&block.then, &of_value)?;
        }
        Ok(())
    }

    fn pipeline(&mut self, pipeline: &Pipeline, point: &Value<'a>) -> Result<Value<'a>, Failed> {
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
    ) -> Result<Value<'a>, Failed> {
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
        function.call(&arguments).ok_or(Failed)
    }

    /// The method of times that takes a layout.
    fn format(
        &mut self,
        of: &Operand,
        operands: &[Operand],
        last: Option<Value<'a>>,
        point: &Value<'a>,
    ) -> Result<Value<'a>, Failed> {
        let Value::Time(seconds) = self.operand(of, point)? else { return Err(Failed) };
        let mut layouts = Vec::new();
        for operand in operands {
            layouts.push(self.operand(operand, point)?);
        }
        layouts.extend(last);
        let [Value::Text(layout)] = &layouts[..] else { return Err(Failed) };
        Ok(Value::Text(Cow::Owned(time::format(seconds, layout))))
    }

    fn operand(&mut self, operand: &Operand, point: &Value<'a>) -> Result<Value<'a>, Failed> {
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
                    Base::Process => Value::Process,
                    Base::Variable(at) => self.variables[*at].clone(),
                };
                fields.iter().try_fold(of, |of, field| self.field(&of, field))?
            }
        })
    }

    fn field(&self, of: &Value<'a>, field: &str) -> Result<Value<'a>, Failed> {
        let process = self.process;
        let text = |text: &'a str| Value::Text(Cow::Borrowed(text));
        Ok(match (of, field) {
            (Value::Process, "Comm") => text(&process.comm),
            (Value::Process, "ExeBase") => text(process.exe_base()),
            (Value::Process, "ExeFull") => text(process.exe_full()),
            (Value::Process, "Username") => text(&process.username),
            (Value::Process, "Cwd") => text(&process.cwd),
            (Value::Process, "PID") => Value::Int(i64::from(process.pid)),
            (Value::Process, "StartTime") => Value::Time(process.start_s),
            (Value::Process, "Cgroups") => Value::List(&process.cgroups),
            (Value::Process, "Matches") => Value::Map(self.matches),
            (Value::Time(seconds), method) => time::method(*seconds, method).ok_or(Failed)?,
            (Value::Named { name, .. }, "String") if !name.is_empty() => text(name),
            (Value::Map(map), key) => map.get(key).map_or(Value::Nothing, |value| text(value)),
            _ => return Err(Failed),
        })
    }
}
