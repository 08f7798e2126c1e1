//! The short run of every fuzz target: its corpus, its seeds, their truncations, and mutations from a seed
//! that is printed, each for a share of a second. What fails is shrunk and kept below the target folder.

use skopos_fuzz::mutate::Mutator;
use skopos_fuzz::{TARGETS, Target, inputs};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// For how long the inputs of each target are cut, and then for how long they are mutated.
const SHARE: Duration = Duration::from_millis(700);
/// However fast the machine is.
const MAX_MUTATIONS: u64 = 200_000;
/// Longer inputs are not cut at every length.
const MAX_TRUNCATED: usize = 2048;

/// The seed: `SKOPOS_FUZZ_SEED`, or one that is always the same, so that a change fails by its own fault.
fn seed() -> u64 {
    std::env::var("SKOPOS_FUZZ_SEED").map_or(1, |seed| seed.parse().expect("SKOPOS_FUZZ_SEED is a number"))
}

fn failures() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("../fuzz/failed")
}

/// Runs an input; when it fails, keeps it and a smaller one and says how to see it again.
fn check(target: &Target, what: &str, input: &[u8]) -> Result<(), String> {
    if inputs::passes(target, input) {
        return Ok(());
    }
    let small = inputs::shrink(input, |bytes| !inputs::passes(target, bytes));
    let path = inputs::keep(&failures(), target, &small).expect("the target folder can be written");
    let path = path.canonicalize().unwrap_or(path);
    Err(format!(
        "{}: {what} fails (seed {}); replay the shrunk input with\n  cargo xtask fuzz {} --replay {}",
        target.name,
        seed(),
        target.name,
        path.display()
    ))
}

fn run(target: &Target) -> Result<String, String> {
    let begun = Instant::now();
    let mut all = (target.seeds)();
    let kept = inputs::read_folder(&inputs::corpus_folder(target)).expect("the corpus can be read");
    for (path, bytes) in kept {
        check(target, &path.display().to_string(), &bytes)?;
        if !all.contains(&bytes) {
            all.push(bytes);
        }
    }
    check(target, "no bytes at all", &[])?;
    for (i, bytes) in all.iter().enumerate() {
        check(target, &format!("input {i}"), bytes)?;
    }
    // Where there is no time for every length, those at the ends of a halving come first.
    let mut cuts = Vec::new();
    for (i, bytes) in all.iter().enumerate().filter(|(_, bytes)| bytes.len() <= MAX_TRUNCATED) {
        cuts.extend((0..bytes.len()).map(|len| (len.trailing_zeros(), i, len)));
    }
    cuts.sort_unstable_by_key(|(zeros, i, len)| (std::cmp::Reverse(*zeros), *len, *i));
    let (started, mut cut) = (Instant::now(), 0);
    for (_, i, len) in &cuts {
        if started.elapsed() >= SHARE {
            break;
        }
        check(target, &format!("input {i} cut to {len} bytes"), &all[*i][..*len])?;
        cut += 1;
    }
    let mutator = Mutator::new(seed());
    let started = Instant::now();
    let mut done = 0;
    while done < MAX_MUTATIONS && started.elapsed() < SHARE {
        check(target, &format!("mutation {done}"), &mutator.next(&all))?;
        done += 1;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let (name, inputs, lengths) = (target.name, all.len(), cuts.len());
    Ok(format!("{name}: {inputs} inputs, {cut} of {lengths} lengths, {done} mutations, {seconds:.1} s"))
}

#[test]
fn no_input_breaks_a_decoder() {
    println!("SKOPOS_FUZZ_SEED={}", seed());
    let next = AtomicUsize::new(0);
    let results: Vec<Result<String, String>> = std::thread::scope(|scope| {
        let worker = || {
            let mut results = Vec::new();
            while let Some(target) = TARGETS.get(next.fetch_add(1, Ordering::Relaxed)) {
                results.push(run(target));
            }
            results
        };
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(worker)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("a worker catches panics")).collect()
    });
    assert_eq!(results.len(), TARGETS.len());
    let failed: Vec<String> = results.iter().filter_map(|result| result.clone().err()).collect();
    results.iter().flatten().for_each(|line| println!("{line}"));
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn targets_have_names_of_their_own_and_seeds() {
    let names: HashSet<&str> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(names.len(), TARGETS.len(), "two targets have one name");
    for target in TARGETS {
        let seeds = (target.seeds)();
        assert!(seeds.len() > 1, "{} has no seeds", target.name);
        for seed in &seeds {
            target.run(seed);
        }
    }
}

#[test]
fn every_corpus_belongs_to_a_target_and_all_are_small() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut sum = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let name = path.file_name().unwrap().to_str().unwrap();
            assert!(skopos_fuzz::target(name).is_some(), "corpus/{name} belongs to no target");
            sum += inputs::read_folder(&path).unwrap().iter().map(|(_, bytes)| bytes.len()).sum::<usize>();
        }
    }
    assert!(sum < 200 << 10, "the corpora have {sum} bytes; take away what adds no coverage");
}
