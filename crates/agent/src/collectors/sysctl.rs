//! `sysctl`: the kernel's settings that were asked for, from `/proc/sys`.

use crate::{
    collector::{Collector, Context},
    error::{CollectError, OptionsError},
    output::Output,
    scan,
    source::{File, Root},
};
use skopos_model::MetricType;

const INFO: &str = "node_sysctl_info";

/// A setting that was asked for: `NAME` or `NAME:KEY,KEY…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sysctl {
    name: String,
    /// Its file below `/proc/sys`.
    file: String,
    /// What its metrics' names begin with.
    metric: String,
    /// The names of its numbers, if they have some.
    keys: Vec<String>,
    kind: Kind,
}

/// How a setting is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Its numbers are values.
    Numbers,
    /// Its words are labels.
    Words,
}

impl Sysctl {
    /// The setting of a flag's value.
    pub(crate) fn parse(flag: &'static str, value: &str, kind: Kind) -> Result<Self, OptionsError> {
        let wrong = |what| OptionsError::Value { flag, value: value.to_owned(), what };
        let (name, keys) = value.split_once(':').unwrap_or((value, ""));
        if name.is_empty() || name.split(['.', '/']).any(str::is_empty) {
            return Err(wrong("write the name of a setting, such as kernel.pid_max"));
        }
        let keys: Vec<String> = keys.split(',').filter(|key| !key.is_empty()).map(str::to_owned).collect();
        if !keys.iter().all(|key| scan::is_name(key.as_bytes())) {
            return Err(wrong("keys are letters, digits and underscores, with a comma between two"));
        }
        if kind == Kind::Words && !keys.is_empty() {
            return Err(wrong("settings that are shown as text have no keys"));
        }
        // With slashes, as in `net/ipv4/conf/eth0.7/forwarding`, points are points.
        let file = if name.contains('/') { name.to_owned() } else { name.replace('.', "/") };
        let tame = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == ':' { c } else { '_' };
        let metric = format!("node_sysctl_{}", name.chars().map(tame).collect::<String>());
        Ok(Self { name: name.to_owned(), file, metric, keys, kind })
    }
}

/// The collector.
#[derive(Debug)]
pub(crate) struct SysctlValues {
    file: File,
    settings: Vec<Sysctl>,
}

impl SysctlValues {
    /// A setting that was asked for twice is shown once.
    pub(crate) fn new(asked: &[Sysctl]) -> Self {
        let mut settings: Vec<Sysctl> = Vec::new();
        for one in asked {
            if !settings.iter().any(|known| known.metric == one.metric && known.kind == one.kind) {
                settings.push(one.clone());
            }
        }
        Self { file: File::default(), settings }
    }
}

impl Collector for SysctlValues {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        for setting in self.settings.iter().filter(|setting| setting.kind == Kind::Numbers) {
            self.file.read(context.paths, Root::Proc, format_args!("sys/{}", setting.file))?;
            let numbers = numbers(&self.file)?;
            write_numbers(setting, &numbers, &self.file, &mut context.out)?;
        }
        let help = "Settings of the kernel that are no numbers; always 1.";
        let mut family = context.out.family(INFO, MetricType::Gauge, help);
        for setting in self.settings.iter().filter(|setting| setting.kind == Kind::Words) {
            self.file.read(context.paths, Root::Proc, format_args!("sys/{}", setting.file))?;
            let mut words = self.file.lines()?.flat_map(scan::fields).peekable();
            if words.peek().is_none() {
                return Err(self.file.malformed("the setting has no values"));
            }
            for (index, word) in words.enumerate() {
                let labels =
                    [("index", &*index.to_string()), ("name", &setting.name), ("value", &scan::text(word))];
                family.sample(&labels, 1.0);
            }
        }
        Ok(())
    }
}

fn numbers(file: &File) -> Result<Vec<f64>, CollectError> {
    let number = |field: &[u8]| std::str::from_utf8(field).ok()?.parse::<i64>().ok();
    let numbers = file.lines()?.flat_map(scan::fields).map(|field| number(field).map(|number| number as f64));
    numbers.collect::<Option<Vec<f64>>>().ok_or_else(|| file.malformed("only whole numbers are expected"))
}

fn write_numbers(
    setting: &Sysctl,
    numbers: &[f64],
    file: &File,
    out: &mut Output<'_>,
) -> Result<(), CollectError> {
    let Sysctl { metric, keys, .. } = setting;
    let help = "A setting of the kernel.";
    match (numbers, keys.as_slice()) {
        ([], _) => return Err(file.malformed("the setting has no values")),
        ([one], []) => out.family(metric, MetricType::Unknown, help).sample(&[], *one),
        (many, []) => {
            let mut family = out.family(metric, MetricType::Unknown, help);
            for (index, number) in many.iter().enumerate() {
                family.sample(&[("index", &index.to_string())], *number);
            }
        }
        (many, keys) if many.len() == keys.len() && many.len() > 1 => {
            for (key, number) in keys.iter().zip(many) {
                let name = format!("{metric}_{key}");
                out.family(&name, MetricType::Unknown, help).sample(&[], *number);
            }
        }
        (many, keys) => {
            let (values, names) = (many.len(), keys.len());
            return Err(
                file.malformed(format_args!("{values} values stand in it, and {names} keys were given"))
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for() {
        let parse = |value, kind| Sysctl::parse("flag", value, kind);
        for (value, file, metric, keys) in [
            ("kernel.pid_max", "kernel/pid_max", "node_sysctl_kernel_pid_max", &[][..]),
            ("fs.dentry-state:a,b", "fs/dentry-state", "node_sysctl_fs_dentry_state", &["a", "b"]),
            ("net/ipv4/conf/e0.7/tag", "net/ipv4/conf/e0.7/tag", "node_sysctl_net_ipv4_conf_e0_7_tag", &[]),
        ] {
            let setting = parse(value, Kind::Numbers).unwrap();
            assert_eq!((&*setting.file, &*setting.metric), (file, metric));
            assert_eq!(setting.keys, keys);
        }
        for (value, kind) in [
            ("", Kind::Numbers),
            ("kernel..pid_max", Kind::Numbers),
            ("../../etc/passwd", Kind::Words),
            ("/etc/passwd", Kind::Words),
            ("a.b:c d", Kind::Numbers),
            ("a.b:c", Kind::Words),
        ] {
            assert!(parse(value, kind).is_err(), "{value:?}");
        }
    }
}
