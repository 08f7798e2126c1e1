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
        ("{{html nil}} {{js 255 nil}} {{print 1 nil}}", "&lt;no value&gt; 255\\u003Cno value\\u003E 1 <nil>"),
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
        ("\"%+v|%+d|%+v\" 5 5 1.5", "5|+5|1.5"),
        ("\"%-#c|%#x|%z\" \"\" 10 .StartTime.Month", "%!c(string=)|0xa|%!z(time.Month=11)"),
        ("\"%*d|%.*d|%.*d\" 1000001 5 1000001 5 -1 5", "%!(BADWIDTH)5|%!(BADPREC)5|%!(BADPREC)5"),
        ("\"%[x]*d\" \"a\"", "%!(BADWIDTH)%!d(BADINDEX)"),
        ("\"%[+1]d|%[]\" 1", "%!d(BADINDEX)|%!](BADINDEX)"),
        ("\"a%123456789d|b\" 5", "a%!(NOVERB)%!(EXTRA int=5)"),
        ("\"%.\" 5", "%!.(int=5)"),
        ("\"%#U|%#U|%w\" 1114112 0xD800 .Cgroups", "U+110000|U+D800|%!w([]string=[/ /user.slice /])"),
    ] {
        assert_eq!(name(&format!("{{{{printf {format}}}}}")), expected, "{format}");
    }
}

/// What Go 1.19 writes.
#[test]
fn templates_stand_in_each_other() {
    for (text, expected) in [
        ("{{define \"x\"}}[{{.}}]{{end}}{{template \"x\" .Comm}}{{template \"x\"}}", "[python3][<no value>]"),
        ("{{template `x` .}}{{define `x`}}{{.Comm}} {{$.PID}} {{.StartTime.Year}}{{end}}", "python3 12 2023"),
        ("{{$v := 1}}{{define \"x\"}}{{$v := .}}{{$v}}{{$}}{{end}}{{template \"x\" 2}}{{$v}}", "221"),
        ("{{block \"x\" .Matches}}{{.port}}{{end}}{{template \"x\"}}", "80<no value>"),
        ("{{with .}}{{.Comm}}{{end}}{{if .}}!{{end}}", "python3!"),
        ("a{{define \"x\"}}{{.Nope}}{{end}}{{template \"x\" .}}b", "a"),
        ("a{{define \"x\"}}{{print .}}{{end}}{{template \"x\" .}}b", "a"),
        ("{{define \"x\"}}{{end}}{{define \"x\"}}b{{end}}{{define \"x\"}} {{end}}{{template \"x\"}}", "b"),
        ("{{define \"cmdname\"}}c{{end}} ", "c"),
        ("{{range $i, $x := .Cgroups}}{{if $i}}{{break}}{{end}}{{$x}}{{end}}", "/"),
        ("{{range $i, $x := .Cgroups}}{{if eq $i 1}}{{continue}}{{end}}{{$i}}{{end}}", "02"),
        ("{{range .Cgroups}}{{range $.Matches}}{{.}}{{break}}{{end}}-{{end}}", "a-a-a-"),
        ("{{range .Cgroups}}{{range $.Matches.none}}{{else}}{{break}}{{end}}{{end}}|", "|"),
    ] {
        assert_eq!(name(text), expected, "{text}");
    }
    let endless = name("{{define \"x\"}}a{{template \"x\"}}{{end}}{{template \"x\"}}");
    assert!(!endless.is_empty() && endless.len() <= 100, "it ends");
    let (begin, end) = ("{{if true}}".repeat(30), "{{end}}".repeat(30));
    let deep =
        format!("{{{{define \"x\"}}}}{begin}a{{{{template \"x\" .}}}}{end}{{{{end}}}}{{{{template \"x\"}}}}");
    let small = std::thread::Builder::new().stack_size(512 << 10);
    let deep = small.spawn(move || name(&deep)).unwrap().join().unwrap();
    assert_eq!(deep, "aaa", "it ends before the stack does");
}

/// What Go 1.19 writes.
#[test]
fn times_are_told_in_the_machines_zone() {
    let local = |text: &str, zone: TimeZone| {
        let template = Template { local: zone, ..Template::parse(text).unwrap() };
        template.fill(&process(), &Matches::new())
    };
    let zone = || TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
    for (text, expected) in [
        ("{{.StartTime.Local}}", "2023-11-14 23:13:20.5 +0100 CET"),
        (
            "{{.StartTime.Local.Format \"02 15:04 -07 -0700 -07:00:00 Z07:00 MST\"}}",
            "14 23:13 +01 +0100 +01:00:00 +01:00 CET",
        ),
        (
            "{{.StartTime.Local.Hour}} {{.StartTime.Local.UTC.Hour}} {{.StartTime.Local.Unix}}",
            "23 22 1700000000",
        ),
        (
            "{{.StartTime.Local.GoString}}",
            "time.Date(2023, time.November, 14, 23, 13, 20, 500000000, time.Local)",
        ),
        ("{{eq .StartTime .StartTime.Local}} {{eq .StartTime .StartTime.Local.UTC}}", "false true"),
    ] {
        assert_eq!(local(text, zone()), expected, "{text}");
    }
    let west = TimeZone::posix("NST3:30").unwrap();
    assert_eq!(local("{{.StartTime.Local.Format \"15:04 -0700 Z0700\"}}", west), "18:43 -0330 -0330");
    assert_eq!(local("{{.StartTime.Local}}", TimeZone::unknown()), "2023-11-14 22:13:20.5 +0000 UTC");
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
        ("{{define \"x\"}}", "the template \"x\" has no {{end}}"),
        ("{{define \"x\"}}a{{else}}{{end}}", "an {{else}} stands in the template \"x\""),
        ("{{define .Comm}}{{end}}", "write {{define \"name\"}}"),
        ("{{if true}}{{define \"x\"}}{{end}}{{end}}", "stands inside of another block"),
        ("{{define \"x\"}}a{{end}}{{define \"x\"}}b{{end}}", "template \"x\" is defined twice"),
        ("{{define \"cmdname\"}}a{{end}}b", "template \"cmdname\" is defined twice"),
        ("{{template \"x\"}}", "template \"x\" is not defined"),
        ("{{block \"x\"}}a{{end}}", "a value is missing"),
        ("{{break}}", "{{break}} stands alone, inside of a range"),
        ("{{range .Cgroups}}{{continue 1}}{{end}}", "{{continue}} stands alone"),
        ("{{range .Cgroups}}{{block \"x\" .}}{{break}}{{end}}{{end}}", "{{break}} stands alone"),
        ("{{range .Cgroups}}{{else}}{{break}}{{end}}", "{{break}} stands alone"),
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
        text in concat!(
            "(\\{\\{|\\}\\}|- | -|\\.Comm|index|if |range |else|end|\\$x|:=|\"|print|\\.Cgroups|",
            "\"a\"|define |template |block |break|.){0,16}"
        )
    ) {
        if let Ok(template) = Template::parse(&text) {
            template.fill(&process(), &Matches::new());
        }
    }
}
