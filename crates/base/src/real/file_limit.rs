//! How many files and connections this program may have open. Decides nothing: who needs many asks for all.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;

/// Lets this program have as many open files as it may have at most. Systems give less at first for the sake
/// of old programs.
pub fn raise_file_limit() -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_can_take_the_files_it_may_have() {
        raise_file_limit().unwrap();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }
}
