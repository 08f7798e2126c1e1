//! Rule: a Rust file has up to 800 lines, a line up to 110 characters, a function up to 70 lines.

use super::Tree;
use super::facts::Facts;
use crate::finding::Finding;

/// Most lines that a source file may have; the web sources share it.
pub(crate) const FILE_LINES: usize = 800;
const LINE_CHARS: usize = 110;
const FUNCTION_LINES: usize = 70;

/// Findings for files, lines and functions that are too long.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text, facts) in tree.rust_files() {
        findings.extend(long_file(path, text));
        findings.extend(long_lines(path, text));
        findings.extend(long_functions(path, facts));
    }
    findings
}

/// A finding if the file is too long.
pub(crate) fn long_file(path: &str, text: &str) -> Option<Finding> {
    let count = text.lines().count();
    let wrong = format!("the file has {count} lines, more than {FILE_LINES}");
    (count > FILE_LINES).then(|| Finding::new(path, FILE_LINES + 1, wrong, "split it by concept"))
}

fn long_lines(path: &str, text: &str) -> Vec<Finding> {
    let lengths = text.lines().map(|line| line.chars().count()).zip(1..);
    let long = lengths.filter(|&(chars, _)| chars > LINE_CHARS);
    long.map(|(chars, line)| {
        let wrong = format!("the line has {chars} characters, more than {LINE_CHARS}");
        Finding::new(path, line, wrong, "break it")
    })
    .collect()
}

fn long_functions(path: &str, facts: &Facts) -> Vec<Finding> {
    let sized =
        facts.functions.iter().map(|function| (function, function.last_line + 1 - function.first_line));
    let long = sized.filter(|&(_, lines)| lines > FUNCTION_LINES);
    long.map(|(function, lines)| {
        let wrong = format!("function `{}` has {lines} lines, more than {FUNCTION_LINES}", function.name);
        Finding::new(path, function.first_line, wrong, "take a part of it out")
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::fixture::check_files;

    const PATH: &str = "crates/tsdb/src/a.rs";

    fn function_of(lines: usize) -> String {
        format!("//! A.\nfn f() {{\n{}}}\n", "    g();\n".repeat(lines - 2))
    }

    #[test]
    fn a_file_may_have_800_lines_and_not_one_more() {
        check_files(
            check,
            &[(PATH, &"//! A.\n".repeat(800), &[]), (PATH, &"//! A.\n".repeat(801), &["801: 801 lines"])],
        );
    }

    #[test]
    fn a_line_may_have_110_characters_however_many_bytes_they_take() {
        let line = |chars: usize| format!("//! A.\n// {}\n", "ä".repeat(chars - 3));
        check_files(check, &[(PATH, &line(110), &[]), (PATH, &line(111), &["2: 111 characters"])]);
    }

    #[test]
    fn a_function_may_have_70_lines_wherever_it_stands() {
        let nested = format!("//! A.\nmod m {{\nimpl A {{\n{}}}\n}}\n", &function_of(71)[7..]);
        check_files(
            check,
            &[
                (PATH, &function_of(70), &[]),
                (PATH, &function_of(71), &["2: function `f` has 71 lines"]),
                (PATH, &nested, &["4: function `f` has 71 lines"]),
            ],
        );
    }

    #[test]
    fn braces_in_strings_do_not_end_a_function() {
        let text = function_of(71).replace("g();", "g(\"}\");");
        check_files(check, &[(PATH, &text, &["2: 71 lines"])]);
    }
}
