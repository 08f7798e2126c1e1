//! Passwords: bcrypt is slow on purpose, so it runs beside the reactor, a few at a time, and its verdicts are
//! kept under a keyed hash. Keeps no password.

use foldhash::{HashMap, HashMapExt as _};
use parking_lot::Mutex;
use ring::{hmac, rand::SystemRandom};
use skopos_base::secret::Secret;
use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::Semaphore;

/// Verdicts that are kept of either kind.
const VERDICTS_MAX: usize = 256;
/// Passwords that wait for their turn; beyond that there is a flood.
const WAITING_MAX: usize = 64;
/// Against whom names that do not exist are measured when there is no other hash.
const DECOY: &str = "$2b$10$CwTycUXWue0Thq9StjUM0uJ4W5yTzWcUyM4R1F4fFqkH3nZC0q0yO";
/// What is computed over where only the time matters: the time does not depend on it, and passwords have
/// lengths that the computation itself does not take.
const ONLY_TAKES_TIME: &[u8] = b"only takes time\0";

/// What came of a name and a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Good,
    Wrong,
    /// Too many are being checked: nothing was decided.
    Busy,
    /// It could not be computed: nothing was decided.
    Failed,
}

/// Decides on passwords. Lives as long as the server, whatever becomes of the users.
pub(crate) struct Passwords {
    key: hmac::Key,
    verdicts: Mutex<Verdicts>,
    /// How many are computed at a time: the rest of the processors is for those who are known.
    computing: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    /// How many verdicts were computed.
    computed: AtomicU64,
}

/// Good ones apart, so that guesses cannot push them out.
struct Verdicts {
    good: HashMap<[u8; 32], ()>,
    wrong: HashMap<[u8; 32], ()>,
}

/// The users of the file.
pub(crate) type Users = BTreeMap<String, Secret<String>>;

impl Passwords {
    pub(crate) fn new() -> Self {
        let random = SystemRandom::new();
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &random)
            .expect("invariant: the operating system has random numbers");
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            key,
            verdicts: Mutex::new(Verdicts { good: HashMap::new(), wrong: HashMap::new() }),
            computing: Arc::new(Semaphore::new((processors / 2).max(1))),
            waiting: Arc::new(Semaphore::new(WAITING_MAX)),
            computed: AtomicU64::new(0),
        }
    }

    /// Whether `password` is that of `user`.
    pub(crate) async fn check(&self, users: &Users, user: &str, password: &str) -> Verdict {
        let known = users.get(user);
        let Effort { hash, more } = Effort::of(users, user);
        let key = self.verdict_key(user, &hash, password);
        if let Some(verdict) = self.kept(&key) {
            return verdict;
        }
        let Ok(_waiting) = Arc::clone(&self.waiting).try_acquire_owned() else { return Verdict::Busy };
        let Ok(turn) = Arc::clone(&self.computing).acquire_owned().await else { return Verdict::Busy };
        // Many may have waited for the same verdict.
        if let Some(verdict) = self.kept(&key) {
            return verdict;
        }
        self.computed.fetch_add(1, Ordering::Relaxed);
        let password = Secret::new(password.to_owned());
        let computed = tokio::task::spawn_blocking(move || {
            let matches = bcrypt::verify(password.expose(), &hash).unwrap_or(false);
            for cost in more {
                let _only_takes_time = bcrypt::bcrypt(cost, [0; 16], ONLY_TAKES_TIME);
            }
            drop(turn);
            matches
        });
        let matches = match computed.await {
            Ok(matches) => matches,
            Err(error) => {
                tracing::error!(%error, user, "a password could not be checked");
                return Verdict::Failed;
            }
        };
        let verdict = if matches && known.is_some() { Verdict::Good } else { Verdict::Wrong };
        self.keep(key, verdict);
        verdict
    }

    fn verdict_key(&self, user: &str, hash: &str, password: &str) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        for part in [user, hash, password] {
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part.as_bytes());
        }
        context.sign().as_ref().try_into().expect("invariant: the tag has 32 bytes")
    }

    fn kept(&self, key: &[u8; 32]) -> Option<Verdict> {
        let verdicts = self.verdicts.lock();
        if verdicts.good.contains_key(key) {
            return Some(Verdict::Good);
        }
        verdicts.wrong.contains_key(key).then_some(Verdict::Wrong)
    }

    fn keep(&self, key: [u8; 32], verdict: Verdict) {
        let mut verdicts = self.verdicts.lock();
        let kept = if verdict == Verdict::Good { &mut verdicts.good } else { &mut verdicts.wrong };
        if kept.len() >= VERDICTS_MAX {
            kept.clear();
        }
        kept.insert(key, ());
    }
}

/// What is computed for a name: as much for every name, known or not, whatever its hash costs.
struct Effort {
    hash: String,
    /// Further computations of these costs. Each takes twice as long as the one before, so that all from one
    /// cost on, and the hash of that cost, take as long as one of the cost behind the last.
    more: Range<u32>,
}

impl Effort {
    fn of(users: &Users, user: &str) -> Self {
        let costliest = users.values().map(|hash| hash.expose().as_str()).max_by_key(|hash| cost(hash));
        let costliest = costliest.unwrap_or(DECOY);
        let hash = users.get(user).map_or(costliest, |hash| hash.expose()).to_owned();
        let more = cost(&hash)..cost(costliest);
        Self { hash, more }
    }
}

/// The cost that stands in a hash: `$2b$10$…`.
fn cost(hash: &str) -> u32 {
    hash.split('$').nth(2).and_then(|cost| cost.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_takes_as_long_whatever_its_hash_costs() {
        let user = |name: &str, cost: u32| {
            (name.to_owned(), Secret::new(format!("$2y${cost:02}$CwTycUXWue0Thq9StjUM0u")))
        };
        let users = Users::from([user("cheap", 5), user("dear", 11), user("middle", 8)]);
        for name in ["cheap", "dear", "middle", "nobody"] {
            let Effort { hash, more } = Effort::of(&users, name);
            let rounds: u64 = more.chain([cost(&hash)]).map(|cost| 1 << cost).sum();
            assert_eq!(rounds, 1 << 11, "{name}");
        }
        assert_eq!(Effort::of(&Users::new(), "nobody").hash, DECOY);
    }

    fn users(names: &[&str]) -> Users {
        let hash = bcrypt::hash("sesame", 4).unwrap();
        names.iter().map(|n| ((*n).to_owned(), Secret::new(hash.clone()))).collect()
    }

    #[tokio::test]
    async fn only_the_right_password_of_a_known_name_is_good() {
        let (passwords, users) = (Passwords::new(), users(&["alice"]));
        for _ in 0..2 {
            assert_eq!(passwords.check(&users, "alice", "sesame").await, Verdict::Good);
            assert_eq!(passwords.check(&users, "alice", "Sesame").await, Verdict::Wrong);
            assert_eq!(passwords.check(&users, "bob", "sesame").await, Verdict::Wrong);
        }
        // The verdict belongs to the hash: it ends with it.
        assert_eq!(passwords.check(&Users::new(), "alice", "sesame").await, Verdict::Wrong);
    }

    #[tokio::test]
    async fn passwords_of_any_length_are_decided_whatever_other_hashes_cost() {
        let long = "x".repeat(80);
        let user = |name: &str, password: &str, cost| {
            (name.to_owned(), Secret::new(bcrypt::hash(password, cost).unwrap()))
        };
        let (passwords, users) =
            (Passwords::new(), Users::from([user("cheap", &long, 4), user("dear", "y", 5)]));
        for (name, password, verdict) in [
            ("cheap", "", Verdict::Wrong),
            ("cheap", long.as_str(), Verdict::Good),
            ("cheap", &long[1..], Verdict::Good),
            ("cheap", &long[..20], Verdict::Wrong),
            ("dear", "", Verdict::Wrong),
            ("dear", &long, Verdict::Wrong),
            ("nobody", "", Verdict::Wrong),
            ("nobody", &long, Verdict::Wrong),
        ] {
            assert_eq!(passwords.check(&users, name, password).await, verdict, "{name} {password:?}");
        }
    }

    #[tokio::test]
    async fn a_verdict_is_computed_once() {
        let (passwords, users) = (Passwords::new(), users(&["alice"]));
        for (password, computed) in [("sesame", 1), ("sesame", 1), ("guess", 2), ("guess", 2), ("sesame", 2)]
        {
            passwords.check(&users, "alice", password).await;
            assert_eq!(passwords.computed.load(Ordering::Relaxed), computed, "{password}");
        }
    }

    #[tokio::test]
    async fn guesses_do_not_push_good_verdicts_out() {
        let (passwords, users) = (Passwords::new(), users(&["alice"]));
        assert_eq!(passwords.check(&users, "alice", "sesame").await, Verdict::Good);
        for i in 0..VERDICTS_MAX + 1 {
            assert_eq!(passwords.check(&users, "alice", &i.to_string()).await, Verdict::Wrong);
        }
        let verdicts = passwords.verdicts.lock();
        assert_eq!(verdicts.good.len(), 1);
        assert!(verdicts.wrong.len() <= VERDICTS_MAX);
    }
}
