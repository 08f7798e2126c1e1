//! Templates and the names that they make. `tests/agent/process_exporter.rs` asks the real one the same.

use super::*;
use proptest::prelude::*;

fn process() -> Attributes {
    Attributes {
        comm: "python3".into(),
        arguments: vec!["/usr/bin/python3".into(), "app.py".into()],
        username: "web".into(),
        cgroups: vec!["/".into(), "/user.slice".into(), "/".into()],
        cwd: "/srv".into(),
        pid: 12,
        start_s: 1_700_000_000.5,
    }
}

fn name(text: &str) -> String {
    let matches = Matches::from([("port".to_owned(), "80".to_owned()), ("host".to_owned(), "a".to_owned())]);
    Template::parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).fill(&process(), &matches)
}

#[test]
fn fields_are_filled_in() {
    for (text, expected) in [
        ("plain", "plain"),
        ("{{.Comm}}", "python3"),
        ("{{ .ExeBase }}-{{$.ExeFull}}", "python3-/usr/bin/python3"),
        ("{{.Username}}:{{.PID}}:{{.Cwd}}", "web:12:/srv"),
        ("{{.Matches.port}}/{{index .Matches \"port\"}}/{{.Matches.none}}", "80/80/<no value>"),
        ("{{index .Matches \"none\"}}.", "."),
        (
            "{{.Matches}} {{.Cgroups}} {{index .Cgroups 1}}",
            "map[host:a port:80] [/ /user.slice /] /user.slice",
        ),
        ("{{.StartTime}}", "2023-11-14 22:13:20.5 +0000 UTC"),
        ("a {{- .Comm -}} b", "apython3b"),
        ("a {{/* nothing */ -}} b", "a b"),
    ] {
        assert_eq!(name(text), expected, "{text}");
    }
}

#[test]
fn blocks_variables_and_functions_work_as_in_go() {
    for (text, expected) in [
        ("{{if .Matches.none}}a{{else if eq .Comm \"x\" \"python3\"}}b{{else}}c{{end}}", "b"),
        ("{{if and .Matches.port (ne .Username \"root\")}}{{.Matches.port}}{{end}}", "80"),
        ("{{with .Matches.host}}{{.}}@{{$.Comm}}{{else}}none{{end}}", "a@python3"),
        ("{{with .Matches.none}}x{{else}}{{.Comm}}{{end}}", "python3"),
        ("{{range $i, $path := .Cgroups}}{{if $i}},{{end}}{{$i}}={{$path}}{{end}}", "0=/,1=/user.slice,2=/"),
        (
            "{{range $k, $v := .Matches}}{{$k}}{{$v}}{{end}}{{range .Cgroups}}{{.}}{{end}}",
            "hostaport80//user.slice/",
        ),
        ("{{$a := \"x\"}}{{if true}}{{$a = \"y\"}}{{$b := 1}}{{end}}{{$a}}", "y"),
        ("{{.Comm | printf \"%s-%d\" \"a\" | len}}", "21"),
        (
            "{{printf \"%-5s|%5s|%05d|%q|%.2s\" .Comm \"ab\" .PID .Username .Comm}}",
            "python3|   ab|00012|\"web\"|py",
        ),
        ("{{printf \"%d %s\" .Comm}}", "%!d(string=python3) %!s(MISSING)"),
        ("{{print .PID .PID .Comm 1}}", "12 12python31"),
        ("{{slice .Comm 0 2}}{{len .Cgroups}}{{not true}}", "py3false"),
        ("{{or .Matches.none `d`}}", "d"),
        ("{{if lt .PID 13}}small{{end}}{{if ge \"b\" \"a\"}}!{{end}}", "small!"),
    ] {
        assert_eq!(name(text), expected, "{text}");
    }
}

/// What Go 1.19 writes.
#[test]
fn times_are_told_by_layouts_and_methods() {
    for (text, expected) in [
        ("{{.StartTime.Format \"2006-01-02T15:04:05.000Z07:00\"}}", "2023-11-14T22:13:20.500Z"),
        ("{{.StartTime.Format \"Mon Jan _2 3:04:05PM 06 -0700 MST\"}}", "Tue Nov 14 10:13:20PM 23 +0000 UTC"),
        ("{{.StartTime.Format \"Janet 002 .99 .9,000 x\"}}", "Janet 318 .5 .5,500 x"),
        ("{{.StartTime.Unix}} {{.StartTime.UnixMilli}}", "1700000000 1700000000500"),
        ("{{.StartTime.Month}} {{printf \"%02d %d\" .StartTime.Month .StartTime.Weekday}}", "November 11 2"),
        ("{{$t := .StartTime}}{{$t.Year}} {{\"15\" | $t.Format}} {{$t.UTC.YearDay}}", "2023 22 318"),
        (
            "{{printf \"%#v\" .StartTime}}",
            "time.Date(2023, time.November, 14, 22, 13, 20, 500000000, time.UTC)",
        ),
    ] {
        assert_eq!(name(text), expected, "{text}");
    }
}

/// What Go 1.19 writes.
#[test]
fn formats_have_all_that_gos_have() {
    for (format, expected) in [
        ("\"%[2]s %[1]d|%[3]*.[2]*[1]f|%[9]d\" 1 2", "%!s(int=2) 1|%!f(BADINDEX)|%!d(BADINDEX)"),
        ("\"%*d|%-*d|%.*f|%*s\" 5 7 5 7 2 3.14159 \"x\" \"y\"", "    7|7    |3.14|%!(BADWIDTH)y"),
        ("\"%X %o %O %b %c %U %#U %q\" 255 8 8 5 65 233 233 120", "FF 10 0o10 101 A U+00E9 U+00E9 'é' 'x'"),
        (
            "\"%e %G %g %b %x %.3g\" 1.5 1e-7 1e21 1.5 1.5 1234.5",
            "1.500000e+00 1E-07 1e+21 6755399441055744p-52 0x1.8p+00 1.23e+03",
        ),
        ("\"%#g %#.3g %#.0f %+.1f % d %+05d\" 1.5 1.0 2.0 2.0 5 5", "1.50000 1.00 2. +2.0  5 +0005"),
        ("\"% x %#x %#v %5.1q|\" \"ab\" \"ab\" \"a\\x01\" \"é€\"", "61 62 0x6162 \"a\\x01\"   \"é\"|"),
        (
            "\"%T %T %d %5d\" .StartTime nil .Cgroups .Comm",
            "time.Time <nil> [%!d(string=/) %!d(string=/user.slice) %!d(string=/)] %!d(string=python3)",
        ),
        ("\"%!\"", "%!!(MISSING)"),
    ] {
        assert_eq!(name(&format!("{{{{printf {format}}}}}")), expected, "{format}");
    }
}

#[test]
fn what_fails_ends_the_name() {
    for (text, expected) in [
        ("a{{index .Cgroups 9}}b", "a"),
        ("a{{len .PID}}b", "a"),
        ("a{{lt .Comm 1}}b", "a"),
        ("a{{with .Comm}}{{.Comm}}{{end}}b", "a"),
    ] {
        assert_eq!(name(text), expected, "{text}");
    }
    let nested = "{{range .Cgroups}}".repeat(20) + "x" + &"{{end}}".repeat(20);
    assert!(name(&nested.replace(".Cgroups", "$.Cgroups")).len() < 10_000, "it ends");
}

#[test]
fn what_makes_no_sense_is_refused() {
    for (text, what) in [
        ("{{.Comm", "a {{ has no }} behind it"),
        ("{{}}", "nothing between"),
        ("{{.Nope}}", ".Nope is not a field; there are .Comm, "),
        ("{{.}}", "the whole process"),
        ("{{.Comm.x}}", ".Comm has no field x"),
        ("{{.Matches.}}", "behind each point"),
        ("{{upper .Comm}}", "upper is not a function here; there are and, or"),
        ("{{if .Comm}}", "{{if}} has no {{end}}"),
        ("{{end}}", "{{end}} has no if"),
        ("{{else}}", "{{else}} has no if"),
        ("{{if .Comm}}{{else}}{{else}}{{end}}", "behind an {{else}}"),
        ("{{.Comm .PID}}", "only functions take arguments"),
        ("{{eq .Comm}}", "eq takes 2 or more arguments, not 1"),
        ("{{$x}}", "$x is not known here"),
        ("{{if true}}{{$x := 1}}{{end}}{{$x}}", "$x is not known here"),
        ("{{(.Comm}}", "a ( has no )"),
        ("{{.Comm)}}", ") stands where nothing can"),
        ("{{\"a}}", "has no end"),
        ("{{define \"x\"}}", "{{define}} is not taken"),
        ("{{range .Cgroups}}{{break}}{{end}}", "{{break}} is not taken"),
        ("{{nil}}", "nil alone is nothing"),
        ("{{.StartTime.Foo}}", "a time has no method Foo; there are Format, Day, "),
        ("{{.StartTime.Format}}", "Format takes 1 argument"),
        ("{{.StartTime.Unix.Year}}", "what Unix gives has no method Year"),
        ("{{'ab'}}", "between ' and ' stands one character"),
        ("{{\"\\xff\"}}", "are no character"),
        ("{{1i}}", "1i is not a number"),
        ("{{99999999999999999999}}", "is not a number"),
        ("{{08}}", "08 is not a number"),
        ("{{.Comm | .PID}}", "behind | stands a function"),
        (&"{{if true}}".repeat(99), "more than 32 levels"),
    ] {
        let error = Template::parse(text).unwrap_err();
        assert!(error.contains(what), "{text}: {error}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_without_panic(
        text in "(\\{\\{|\\}\\}|- | -|\\.Comm|index|if |range |else|end|\\$x|:=|\"|print|\\.Cgroups|.){0,16}"
    ) {
        if let Ok(template) = Template::parse(&text) {
            template.fill(&process(), &Matches::new());
        }
    }
}
