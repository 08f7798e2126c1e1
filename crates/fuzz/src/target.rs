//! `Target`: one decoder, or a few that read the same bytes, and what must hold of them. Knows no decoder.

/// How much memory a check may hold at once, what it builds to compare with included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Whatever the input: buffers of a fixed size.
    pub fixed_bytes: u64,
    /// For each byte of the input.
    pub per_input_byte: u64,
    /// However long the input is.
    pub most_bytes: u64,
}

impl Memory {
    /// The bound for an input of that length.
    const fn for_input(self, len: u64) -> u64 {
        let bound = self.fixed_bytes + self.per_input_byte * len;
        if bound < self.most_bytes { bound } else { self.most_bytes }
    }
}

/// A file, and functions of it.
pub type Decoders = (&'static str, &'static [&'static str]);

/// A row of the table of targets.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, which is its corpus' folder too.
    pub name: &'static str,
    /// The decoders that run under it: a file, from the repository's root, and the names of its functions
    /// that take bytes and may refuse them, as often as there are some of one name. A file's functions that
    /// read from another thing than bytes are not named.
    pub covers: &'static [Decoders],
    /// What a real encoder writes: where mutations begin.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Decodes the bytes and panics when something does not hold. Gives whether they were taken as sound.
    pub check: fn(&[u8]) -> bool,
    /// The bound on its memory.
    pub memory: Memory,
}

impl Target {
    /// Checks one input; gives whether its decoders took it as sound.
    ///
    /// # Panics
    /// When a property of the target does not hold, or its decoders held more memory than they may.
    pub fn run(&self, input: &[u8]) -> bool {
        let mut is_sound = false;
        let held = allocation_counter::measure(|| is_sound = (self.check)(input)).bytes_max;
        let bound = self.memory.for_input(input.len() as u64);
        assert!(
            held <= bound,
            "{} held {held} bytes of memory for an input of {} bytes; {bound} are allowed",
            self.name,
            input.len()
        );
        is_sound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greedy(input: &[u8]) -> bool {
        let bytes = vec![1u8; 1000 * input.len()];
        std::hint::black_box(&bytes).len() == 1000 * input.len()
    }

    const GREEDY: Target = Target {
        name: "greedy",
        covers: &[],
        seeds: Vec::new,
        check: greedy,
        memory: Memory { fixed_bytes: 1000, per_input_byte: 999, most_bytes: 1_000_000_000 },
    };

    #[test]
    fn a_bound_grows_with_the_input_up_to_the_most() {
        let memory = Memory { fixed_bytes: 10, per_input_byte: 3, most_bytes: 100 };
        assert_eq!([0, 1, 30, 31, 1000].map(|len| memory.for_input(len)), [10, 13, 100, 100, 100]);
    }

    #[test]
    fn memory_within_the_bound_is_allowed() {
        assert!(GREEDY.run(&[0; 1000]));
    }

    #[test]
    #[should_panic(expected = "greedy held 1001000 bytes of memory for an input of 1001 bytes; 1000999 are")]
    fn memory_beyond_the_bound_is_a_failure() {
        GREEDY.run(&[0; 1001]);
    }
}
