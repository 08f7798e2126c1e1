//! `Drip`: a server that gives each client a byte a second of an answer that has no end, on one port of every
//! loopback address. Reads no request.

use std::{
    io::Write as _,
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1000\r\n\r\n";

/// See above. It goes on until its process ends.
pub struct Drip {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    open: Mutex<Vec<TcpStream>>,
    most: AtomicUsize,
}

impl Drip {
    /// Starts it on a free port.
    ///
    /// # Panics
    /// Without a free port.
    pub fn start() -> Self {
        let listener = TcpListener::bind("0.0.0.0:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let shared = Arc::new(Shared::default());
        let (accepting, dripping) = (Arc::clone(&shared), Arc::clone(&shared));
        thread::spawn(move || listener.incoming().flatten().for_each(|stream| accepting.begin(stream)));
        thread::spawn(move || {
            loop {
                thread::sleep(Duration::from_secs(1));
                dripping.drip();
            }
        });
        Self { port, shared }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many clients it had at a time, at most.
    pub fn most(&self) -> usize {
        self.shared.most.load(Ordering::Relaxed)
    }
}

impl Shared {
    fn begin(&self, mut stream: TcpStream) {
        if stream.set_nonblocking(true).is_ok() && stream.write_all(HEAD).is_ok() {
            self.open.lock().unwrap_or_else(PoisonError::into_inner).push(stream);
        }
    }

    /// A byte for each; those who have gone are let go.
    fn drip(&self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|mut stream| stream.write_all(b"m").is_ok());
        self.most.fetch_max(open.len(), Ordering::Relaxed);
    }
}
