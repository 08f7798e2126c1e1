//! How long the processes of a control group ran and waited for a CPU: `/proc/PID/schedstat`, of which the
//! kernel keeps no sum. Counts what it has seen of processes, also of those that have gone.

use crate::{
    scan,
    source::{File, Paths, Root},
};
use std::collections::HashMap;

/// Nanoseconds running, nanoseconds waiting, and how often a process got a CPU.
pub(super) type Counts = [u64; 3];

/// What the processes of one group used.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    /// What is known of those that are there.
    seen: HashMap<u32, Counts>,
    /// What those used that have gone.
    gone: Counts,
}

impl Schedule {
    /// Reads these processes, which are all that the group has now; the sum of all that it had.
    pub(super) fn read(&mut self, paths: &Paths, file: &mut File, pids: &[u32]) -> Counts {
        let before = std::mem::take(&mut self.seen);
        let mut known = before;
        for pid in pids {
            let content = file.content(paths, Root::Proc, format_args!("{pid}/schedstat"));
            if let Some(now) = content.and_then(counts) {
                // A number that fell is another process's.
                let then = known.remove(pid).filter(|then| then[0] > now[0]);
                self.gone = sum(self.gone, then.unwrap_or_default());
                self.seen.insert(*pid, now);
            }
        }
        self.gone = known.into_values().fold(self.gone, sum);
        self.seen.values().copied().fold(self.gone, sum)
    }
}

fn sum(a: Counts, b: Counts) -> Counts {
    [a[0].saturating_add(b[0]), a[1].saturating_add(b[1]), a[2].saturating_add(b[2])]
}

/// The line `running waiting periods`.
fn counts(content: &[u8]) -> Option<Counts> {
    let mut fields = scan::fields(content.strip_suffix(b"\n")?);
    Some([fields.number()?, fields.number()?, fields.number()?])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_processes_used_stays_when_they_go() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::below(folder.path().to_str().unwrap());
        let write = |pid: u32, text: &str| {
            let folder = folder.path().join(format!("proc/{pid}"));
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("schedstat"), text).unwrap();
        };
        let (mut schedule, mut file) = (Schedule::default(), File::default());
        write(1, "100 10 1\n");
        write(2, "200 20 2\n");
        assert_eq!(schedule.read(&paths, &mut file, &[1, 2, 3]), [300, 30, 3]);
        write(1, "150 15 2\n");
        assert_eq!(schedule.read(&paths, &mut file, &[1]), [350, 35, 4]);
        // Another process of the same number.
        write(1, "5 1 1\n");
        assert_eq!(schedule.read(&paths, &mut file, &[1]), [355, 36, 5]);
        write(1, "7 1");
        assert_eq!(schedule.read(&paths, &mut file, &[1]), [355, 36, 5], "half a line is none");
        assert_eq!(schedule.read(&paths, &mut file, &[]), [355, 36, 5]);
    }
}
