//! Who may come in.
//!
//! Owns: the `Authorization` header, passwords, and how much computing strangers can ask for.
//! Does not own: the list of users (`config`).

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::HeaderValue;
use sha2::Digest;
use sha2::Sha256;
use tokio::sync::Semaphore;
use tokio::task;
use tokio::time;

/// Most outcomes that are remembered, each of good and bad passwords.
const REMEMBERED: usize = 100;

/// Longest wait for the one thread that computes hashes, which take 50 ms and more each.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Compared with where the user is unknown, so that the time of an answer does not tell who exists.
const NOBODY: &str = "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi";

/// Whether a request may be answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// Yes; with the user, if people have to sign in.
    Granted(Option<String>),
    /// No.
    Denied,
    /// Too many passwords to check at once.
    Busy,
}

/// Checks passwords and remembers outcomes.
#[derive(Debug)]
pub(super) struct Door {
    remembered: Mutex<Remembered>,
    /// One hash at a time: strangers can cost one core, not all.
    computing: Semaphore,
}

/// Good and bad passwords apart, so that a guesser cannot push out who belongs here.
#[derive(Debug, Default)]
struct Remembered {
    good: VecDeque<[u8; 32]>,
    bad: VecDeque<[u8; 32]>,
}

impl Door {
    pub(super) fn new() -> Door {
        Door { remembered: Mutex::default(), computing: Semaphore::new(1) }
    }

    /// Whether a request with this `Authorization` header may be answered. No users: everybody's.
    pub(super) async fn entry(
        &self,
        users: &BTreeMap<String, String>,
        header: Option<&HeaderValue>,
    ) -> Entry {
        if users.is_empty() {
            return Entry::Granted(None);
        }
        let Some((user, password)) = header.and_then(credentials) else { return Entry::Denied };
        let hash = users.get(&user).map_or(NOBODY, String::as_str).to_string();
        let known = users.contains_key(&user);
        match self.fits(&user, password, hash).await {
            Some(fits) if fits && known => Entry::Granted(Some(user)),
            Some(_) => Entry::Denied,
            None => Entry::Busy,
        }
    }

    /// Whether the password belongs to the hash; `None` if there is no time to find out.
    async fn fits(&self, user: &str, password: String, hash: String) -> Option<bool> {
        let key = digest(user, &hash, &password);
        if let Some(fits) = self.recall(&key) {
            return Some(fits);
        }
        let _computing = time::timeout(LONGEST_WAIT, self.computing.acquire()).await.ok()?.ok()?;
        // Somebody with the same password may have been before us in the queue.
        if let Some(fits) = self.recall(&key) {
            return Some(fits);
        }
        let verified = task::spawn_blocking(move || bcrypt::verify(password, &hash)).await;
        let fits = matches!(verified, Ok(Ok(true)));
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let list = if fits { &mut remembered.good } else { &mut remembered.bad };
        list.push_back(key);
        if list.len() > REMEMBERED {
            list.pop_front();
        }
        Some(fits)
    }

    fn recall(&self, key: &[u8; 32]) -> Option<bool> {
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let good = remembered.good.contains(key).then_some(true);
        good.or_else(|| remembered.bad.contains(key).then_some(false))
    }
}

/// User and password of `Basic …`.
fn credentials(header: &HeaderValue) -> Option<(String, String)> {
    let (scheme, encoded) = header.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_string(), password.to_string()))
}

/// What is remembered in place of a password. With the hash in it, a changed password forgets.
fn digest(user: &str, hash: &str, password: &str) -> [u8; 32] {
    let mut digest = Sha256::new();
    for part in [user, hash, password] {
        digest.update(part.len().to_le_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(text: &str) -> HeaderValue {
        format!("Basic {}", STANDARD.encode(text)).parse().unwrap()
    }

    #[tokio::test]
    async fn only_the_right_password_opens() {
        let hash = bcrypt::hash("open: sesame", 4).unwrap();
        // Written by other programs, the same hash has other prefixes.
        for prefix in ["$2y$", "$2a$", "$2b$"] {
            let users = BTreeMap::from([("alice".to_string(), format!("{prefix}{}", &hash[4..]))]);
            let door = Door::new();
            for _ in 0..2 {
                let entry = door.entry(&users, Some(&header("alice:open: sesame"))).await;
                assert_eq!(entry, Entry::Granted(Some("alice".into())), "{prefix}");
                assert_eq!(door.entry(&users, Some(&header("alice:x"))).await, Entry::Denied);
            }
            assert_eq!(door.remembered.lock().unwrap().good.len(), 1);
            for bad in ["bob:open: sesame", "alice", ""] {
                assert_eq!(door.entry(&users, Some(&header(bad))).await, Entry::Denied, "{bad}");
            }
            let other = HeaderValue::from_static("Bearer abc");
            assert_eq!(door.entry(&users, Some(&other)).await, Entry::Denied);
            assert_eq!(door.entry(&users, None).await, Entry::Denied);
        }
    }

    #[tokio::test]
    async fn guesses_are_forgotten_before_those_who_belong_here() {
        let users = BTreeMap::from([("alice".to_string(), bcrypt::hash("a", 4).unwrap())]);
        let door = Door::new();
        door.entry(&users, Some(&header("alice:a"))).await;
        for guess in 0..=REMEMBERED {
            door.entry(&users, Some(&header(&format!("alice:{guess}")))).await;
        }
        let remembered = door.remembered.lock().unwrap();
        assert_eq!((remembered.good.len(), remembered.bad.len()), (1, REMEMBERED));
    }

    #[tokio::test]
    async fn without_users_everybody_may_come_in() {
        assert_eq!(Door::new().entry(&BTreeMap::new(), None).await, Entry::Granted(None));
    }

    #[test]
    fn the_hash_of_nobody_is_a_hash() {
        assert_eq!(bcrypt::verify("x", NOBODY).ok(), Some(false));
    }
}
