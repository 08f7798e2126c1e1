//! Connections to programs on this machine, over their sockets. One that does not take the connection, is
//! silent, answers a byte now and then, or never comes to an end costs its limits and no more. It knows
//! nothing of what is said.

use rustix::net::{self, AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};
use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

/// How long is waited for the other side.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// For each step: taking the connection, room for what is written, and, from what was written last on,
    /// the whole of what is read.
    pub(crate) silence: Duration,
    /// For all of them, however lively it is.
    pub(crate) lifetime: Duration,
}

/// To the system, no time at all is for ever.
const SHORTEST: Duration = Duration::from_millis(1);

/// A connection.
#[derive(Debug)]
pub(crate) struct LocalStream {
    stream: UnixStream,
    silence: Duration,
    /// When the answer to what was written last has to be there.
    answered_by: Instant,
    ends_at: Instant,
}

/// A connection to the program that listens on the socket at `path`.
pub(crate) fn connect(path: &str, limits: Limits) -> io::Result<LocalStream> {
    let ends_at = Instant::now() + limits.lifetime;
    let silence = limits.silence.min(limits.lifetime).max(SHORTEST);
    let socket = net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // It holds for connecting, too: a program whose queue is full would keep us for ever.
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(silence))?;
    net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(LocalStream { stream: socket.into(), silence, answered_by: Instant::now() + silence, ends_at })
}

impl LocalStream {
    /// How long a step may take that has to be done by then.
    fn patience(&self, by: Instant) -> io::Result<Duration> {
        match self.ends_at.min(by).saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
            left => Ok(left),
        }
    }
}

impl Read for LocalStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.patience(self.answered_by)?))?;
        self.stream.read(buffer)
    }
}

impl Write for LocalStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.patience(Instant::now() + self.silence)?))?;
        let written = self.stream.write(bytes);
        self.answered_by = Instant::now() + self.silence;
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{os::unix::net::UnixListener, thread};

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(3600);

    fn socket() -> (tempfile::TempDir, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket").to_str().unwrap().to_owned();
        (folder, path)
    }

    #[test]
    fn who_does_not_take_the_connection_or_is_silent_is_not_waited_for() {
        let (_folder, path) = socket();
        let limits = Limits { silence: SHORT, lifetime: LONG };
        assert_eq!(connect(&path, limits).unwrap_err().kind(), io::ErrorKind::NotFound);
        let listener = net::socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
        net::bind(&listener, &SocketAddrUnix::new(path.as_str()).unwrap()).unwrap();
        net::listen(&listener, 0).unwrap();
        let mut connected: Vec<io::Result<LocalStream>> = (0..4).map(|_| connect(&path, limits)).collect();
        assert!(connected.last().unwrap().is_err(), "the queue has room for few");
        assert!(connected[0].as_mut().unwrap().read(&mut [0]).is_err());
    }

    #[test]
    fn who_answers_a_byte_now_and_then_is_left() {
        let (_folder, path) = socket();
        let listener = UnixListener::bind(&path).unwrap();
        let dripping = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            while stream.write_all(b"x").is_ok() {}
        });
        let mut stream = connect(&path, Limits { silence: SHORT, lifetime: LONG }).unwrap();
        stream.write_all(b"?").unwrap();
        let error = io::copy(&mut stream, &mut io::sink()).unwrap_err();
        assert!(matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock), "{error}");
        drop(stream);
        dripping.join().unwrap();
    }

    #[test]
    fn who_never_ends_is_left() {
        let (_folder, path) = socket();
        let listener = UnixListener::bind(&path).unwrap();
        let endless = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            while stream.write_all(&[b'x'; 4096]).is_ok() {}
        });
        let mut stream = connect(&path, Limits { silence: LONG, lifetime: SHORT }).unwrap();
        let error = io::copy(&mut stream, &mut io::sink()).unwrap_err();
        assert!(matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock), "{error}");
        assert!(stream.write(b"x").is_err());
        drop(stream);
        endless.join().unwrap();
    }
}
