//! Clock, file system, random numbers and threads, each real and simulated.
