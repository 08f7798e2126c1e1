//! `skopos tool tsdb` beside Debian's promtool on the same directories, and on damaged ones.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[track_caller]
fn ok(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    said(output)
}

fn ours(arguments: &[&str]) -> Output {
    run(env!("CARGO_BIN_EXE_skopos"), &[&["tool", "tsdb"], arguments].concat())
}

fn promtool(arguments: &[&str]) -> String {
    ok(&run("promtool", &[&["tsdb"], arguments].concat()))
}

/// Three metrics over seven hours, with odd values and texts; lines in no order of time.
fn open_metrics() -> String {
    let values = ["NaN", "+Inf", "-Inf", "1e+06", "123456789", "0.00001", "-0.5", "3"];
    let mut out = "# HELP req Requests\n# TYPE req counter\n".to_owned();
    for (host, code) in (0..7).flat_map(|h| ["200", "500"].map(|c| (h, c))) {
        for i in 0..400 {
            let (value, at) = (f64::from(i * (host + 1)) * 1.5, 1_700_000_000 + i * 60);
            writeln!(out, "req_total{{instance=\"h{host}\",code=\"{code}\"}} {value} {at}").unwrap();
        }
    }
    out += "# TYPE temp gauge\n";
    for host in 0..3usize {
        for i in 0..57usize {
            let (value, at) = (values[(i * 3 + host) % values.len()], 1_700_000_000 + i * 420);
            let room = "x \\\"y\\\" \\\\ \\n ü";
            writeln!(out, "temp{{instance=\"h{host}\",room=\"{room}\"}} {value} {at}.5").unwrap();
        }
    }
    out + "# EOF\n"
}

struct Dirs {
    _temp: tempfile::TempDir,
    theirs: String,
    ours: String,
}

/// The same text made into blocks by both programs. promtool's dump wants a WAL to be there.
fn both() -> Dirs {
    let temp = tempfile::tempdir().unwrap();
    let path = |name: &str| temp.path().join(name).to_str().unwrap().to_owned();
    let (input, theirs, our) = (path("in"), path("theirs"), path("ours"));
    fs::write(&input, open_metrics()).unwrap();
    promtool(&["create-blocks-from", "openmetrics", &input, &theirs]);
    let table = ok(&ours(&["create-blocks-from", "openmetrics", &input, &our]));
    assert_eq!(table, promtool(&["list", &our]), "what was made is printed");
    for dir in [&theirs, &our] {
        fs::create_dir_all(Path::new(dir).join("wal")).unwrap();
    }
    Dirs { _temp: temp, theirs, ours: our }
}

/// Sections with their lines; within one, promtool's order of equal figures is by chance.
fn sections(text: &str) -> Vec<BTreeSet<String>> {
    let text = text.replace("Total Series", "Series");
    text.split("\n\n").map(|s| s.lines().map(str::to_owned).collect()).collect()
}

#[test]
fn lists_analyses_and_dumps_are_those_of_promtool() {
    let dirs = both();
    for dir in [&dirs.theirs, &dirs.ours] {
        assert_eq!(ok(&ours(&["list", dir])), promtool(&["list", dir]));
        assert_eq!(ok(&ours(&["list", "-r", dir])), promtool(&["list", "-r", dir]));
        assert_eq!(sections(&ok(&ours(&["analyze", dir]))), sections(&promtool(&["analyze", dir])));
        for more in [
            &[][..],
            &["--match", "temp"],
            &["--match", "{no_such_label=\"\"}"],
            &["--min-time=1700003000000", "--max-time=1700009000000"],
        ] {
            let arguments = [&["dump"], more, &[dir.as_str()]].concat();
            let dump = promtool(&arguments);
            assert!(dump.lines().count() > 50, "{arguments:?} prints something");
            assert_eq!(ok(&ours(&arguments)), dump, "{arguments:?}");
        }
    }
    assert_eq!(promtool(&["dump", &dirs.theirs]), promtool(&["dump", &dirs.ours]));
}

#[test]
fn open_metrics_goes_out_and_in_again_without_loss() {
    let dirs = both();
    let text = ok(&ours(&["dump-openmetrics", &dirs.ours]));
    let (file, again) = (format!("{}.om", dirs.ours), format!("{}.again", dirs.ours));
    fs::write(&file, text).unwrap();
    let quiet = ok(&ours(&[
        "create-blocks-from",
        "openmetrics",
        "-q",
        "--max-block-duration=17h",
        "--label=a=b",
        &file,
        &again,
    ]));
    assert_eq!(quiet, "");
    assert_eq!(ok(&ours(&["list", &again])).lines().count(), 3, "blocks of six hours");
    let with_label = |dump: String| dump.replace("\", instance", "\", a=\"b\", instance");
    let mut expected: Vec<String> =
        with_label(promtool(&["dump", &dirs.theirs])).lines().map(str::to_owned).collect();
    let mut got: Vec<String> = ok(&ours(&["dump", &again])).lines().map(str::to_owned).collect();
    for lines in [&mut expected, &mut got] {
        lines.iter_mut().for_each(|l| *l = l.replace(", a=\"b\"", ""));
        lines.sort();
    }
    assert_eq!(got, expected);
}

#[test]
fn a_text_that_is_wrong_is_named_by_its_line_and_leaves_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let (input, dir) = (temp.path().join("in"), temp.path().join("out"));
    for (text, words) in [
        ("a 1 1\nb 2\n# EOF\n", "line 2: sample of b has no timestamp"),
        ("a 1 1\na 1 x\n# EOF\n", "line 2"),
        ("a 1 1\n", "line 2"),
        ("a 1 1\n# EOF\na 1 2\n", "expected nothing behind `# EOF`"),
    ] {
        fs::write(&input, text).unwrap();
        let output =
            ours(&["create-blocks-from", "openmetrics", input.to_str().unwrap(), dir.to_str().unwrap()]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && error.contains(words), "{text:?}: {error}");
        assert!(!dir.exists(), "{text:?}: no directory is made for nothing");
    }
}

/// The files of the first block, and one byte of each changed.
fn damage(block: &Path, file: &str, at: impl Fn(usize) -> usize) {
    let path = block.join(file);
    let mut bytes = fs::read(&path).unwrap();
    let at = at(bytes.len());
    bytes[at] ^= 0x10;
    fs::write(&path, bytes).unwrap();
}

fn first_block(dir: &str) -> PathBuf {
    let mut blocks: Vec<PathBuf> = fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.join("meta.json").exists() && p.extension().is_none())
        .collect();
    blocks.sort();
    blocks.remove(0)
}

#[test]
fn a_series_whose_only_chunk_is_damaged_is_said_to_be_lost() {
    let temp = tempfile::tempdir().unwrap();
    let (input, dir) = (temp.path().join("in"), temp.path().join("out"));
    fs::write(&input, "a 1 1\na 2 2\nb 1 1\nb 2 2\n# EOF\n").unwrap();
    let dir = dir.to_str().unwrap();
    ok(&ours(&["create-blocks-from", "openmetrics", input.to_str().unwrap(), dir]));
    damage(&first_block(dir), "chunks/000001", |_| 12);
    let done = ok(&ours(&["repair", dir]));
    assert!(done.contains("; lost: 1 series, 0 chunks of other series"), "{done}");
    assert_eq!(ok(&ours(&["dump", dir])).lines().count(), 2);
}

#[test]
fn damage_is_found_and_what_is_sound_stays() {
    for (file, at, lost_at_most) in [
        ("chunks/000001", 200usize, 120usize),
        ("chunks/000001", 1, 0),
        ("index", 600, 240),
        ("tombstones", 1, 0),
        ("meta.json", 60, 0),
    ] {
        let dirs = both();
        let dir = dirs.ours.as_str();
        let before = ok(&ours(&["dump", dir]));
        assert!(ok(&ours(&["verify", dir])).ends_with("of the head were read\n"));
        assert_eq!(ok(&ours(&["repair", dir])), format!("{dir} needs no repair\n"));
        damage(&first_block(dir), file, |len| at.min(len - 1));
        let found = ours(&["verify", dir]);
        assert_eq!(found.status.code(), Some(1), "{file}: {}", said(&found));
        assert!(said(&found).contains(file), "{file}: {}", said(&found));
        let block = first_block(dir);
        assert!(ok(&ours(&["repair", "--dry-run", dir])).starts_with("would be set aside "));
        assert!(block.exists(), "a dry run changes nothing");
        let done = ok(&ours(&["repair", dir]));
        assert!(done.contains(".damaged, what can be read of it is now block "), "{file}: {done}");
        ok(&ours(&["verify", dir]));
        let after = ok(&ours(&["dump", dir]));
        let (before, after): (BTreeSet<_>, BTreeSet<_>) = (before.lines().collect(), after.lines().collect());
        assert!(after.is_subset(&before), "{file}: nothing is invented");
        assert!(before.len() - after.len() <= lost_at_most, "{file}: {}", before.len() - after.len());
        assert_eq!(after.lines_of(&promtool(&["dump", dir])), after.len(), "promtool reads the same");
    }
}

trait LinesOf {
    fn lines_of(&self, text: &str) -> usize;
}

impl LinesOf for BTreeSet<&str> {
    fn lines_of(&self, text: &str) -> usize {
        text.lines().filter(|l| self.contains(l)).count()
    }
}

#[test]
fn what_is_no_data_directory_is_named_and_not_changed() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("file");
    fs::write(&file, "").unwrap();
    let gone = temp.path().join("gone");
    for command in ["list", "analyze", "dump", "dump-openmetrics", "verify", "repair"] {
        for (dir, words) in [
            (&*gone, "there is no directory"),
            (&*file, "is not a directory"),
            (temp.path(), "neither blocks"),
        ] {
            let output = ours(&[command, dir.to_str().unwrap()]);
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            if command == "list" && dir == temp.path() {
                assert!(output.status.success(), "an empty directory has an empty table");
            } else {
                assert!(output.status.code() == Some(1) && error.contains(words), "{command}: {error}");
            }
        }
    }
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1, "no lock was made");
}

#[test]
fn a_load_is_written_into_a_new_database_only() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().to_str().unwrap();
    let bench = ["bench", "write", "--metrics=10", "--scrapes=2", "--out", dir];
    ok(&ours(&bench));
    let dump = ok(&ours(&["dump", dir]));
    assert_eq!(dump.lines().count(), 20);
    let refused = ours(&bench);
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && error.contains("is not empty"), "{error}");
    assert_eq!(ok(&ours(&["dump", dir])), dump);
}

#[test]
fn a_directory_in_use_is_dumped_and_not_repaired() {
    let server = crate::support::server().start();
    let dir = server.folder().join("data");
    let dir = dir.to_str().unwrap();
    let repaired = ours(&["repair", dir]);
    let error = String::from_utf8_lossy(&repaired.stderr).into_owned();
    assert!(!repaired.status.success() && error.contains("is in use"), "{error}");
    ok(&ours(&["dump", dir]));
}

#[test]
fn a_dump_of_a_damaged_log_names_the_places_and_fails() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().to_str().unwrap();
    ok(&ours(&["bench", "write", "--metrics=2000", "--scrapes=20", "--out", dir]));
    let commands = ["dump", "dump-openmetrics"].map(|command| (command, ok(&ours(&[command, dir]))));
    let segment = temp.path().join("wal/00000000");
    let sound = fs::read(&segment).unwrap();
    assert!(sound.len() > 3 * 32_768, "{} bytes", sound.len());
    // How the log is divided into records, and where it is padded, depends on how fast it was written.
    let mut fewer = 0;
    for place in (1..8).map(|part| sound.len() * part / 8) {
        let mut damaged = sound.clone();
        damaged[place] ^= 0x55;
        fs::write(&segment, &damaged).unwrap();
        for (command, whole) in &commands {
            let output = ours(&[command, dir]);
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(1), "{command}, {place}: {error}");
            assert!(error.contains(&format!("damaged: {dir}/wal/00000000 at byte ")), "{command}: {error}");
            assert!(error.contains("only what is sound was read"), "{command}: {error}");
            let (lines, all) = (said(&output).lines().count(), whole.lines().count());
            assert!(lines <= all, "{command}, {place}: {lines} lines of {all}");
            fewer += usize::from(lines < all);
        }
    }
    assert!(fewer > 2 * 3, "{fewer} of 2 * 7 damaged logs lack samples");
    fs::write(&segment, &sound).unwrap();
    for (command, whole) in &commands {
        assert_eq!(ok(&ours(&[command, dir])), *whole);
    }
}

#[test]
fn a_damaged_note_of_the_cut_is_named_and_costs_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().to_str().unwrap();
    ok(&ours(&["bench", "write", "--metrics=10", "--scrapes=2", "--out", dir]));
    let whole = ok(&ours(&["dump", dir]));
    let note = temp.path().join("head_cut.json");
    fs::write(&note, "{\"version\":1,\"cut_until_ms\":7,\"crc32c\":7}").unwrap();
    let output = ours(&["dump", dir]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("warning: damaged: ") && error.contains("head_cut.json"), "{error}");
    assert_eq!(ok(&output), whole);
    let verified = ours(&["verify", dir]);
    assert_eq!(verified.status.code(), Some(1));
    assert!(said(&verified).contains("head_cut.json: the note of what blocks have"), "{}", said(&verified));
    ok(&ours(&["repair", dir]));
    assert!(!note.exists());
    ok(&ours(&["verify", dir]));
}

#[test]
fn a_text_that_is_not_there_makes_no_directory() {
    let temp = tempfile::tempdir().unwrap();
    let (text, out) = (temp.path().join("gone.om"), temp.path().join("blocks"));
    let made = ours(&["create-blocks-from", "openmetrics", text.to_str().unwrap(), out.to_str().unwrap()]);
    let error = String::from_utf8_lossy(&made.stderr).into_owned();
    assert!(made.status.code() == Some(1) && error.contains("gone.om"), "{error}");
    assert!(!out.exists());
}
