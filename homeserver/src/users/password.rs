//! Password hashing: argon2id with 19 MiB, two passes, one lane.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use argon2::{
    Algorithm, Argon2, Block, Params, Version,
    password_hash::phc::{Output, ParamsString, PasswordHash, Salt},
};
use tokio::sync::Semaphore;

use super::Password;

/// Hashes and checks passwords, as many at once as there are cores: each takes 19 MiB and tens of milliseconds.
#[derive(Clone)]
pub(super) struct Hasher {
    permits: Arc<Semaphore>,
    spare: Arc<Spare>,
}

/// Longer passwords are refused: hashing them is work for nothing.
pub(super) const LONGEST: usize = 512;

/// The memory of hashes before, for the next ones: fresh memory costs a page fault each 4 KiB, a third of all that a hash costs.
/// There is no more of it than hashes at once. It tells no more of a password than its hash does: the second pass has
/// written over every block that could be checked for less than a hash costs.
#[derive(Default)]
struct Spare(Mutex<Unused>);

#[derive(Default)]
struct Unused {
    memory: Vec<(Vec<Block>, Instant)>,
    /// A task sees to it that memory is given back.
    watched: bool,
}

/// Memory that nothing was hashed in for so long is given back.
const KEPT: Duration = Duration::from_secs(2);

impl Spare {
    fn lock(&self) -> MutexGuard<'_, Unused> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Vec<Block> {
        self.lock().memory.pop().map(|(memory, _)| memory).unwrap_or_default()
    }

    fn keep(&self, memory: Vec<Block>) {
        self.lock().memory.push((memory, Instant::now()));
    }

    /// Gives back what was not used for a while, until nothing is left; one task does.
    fn watch(self: Arc<Self>) {
        if std::mem::replace(&mut self.lock().watched, true) {
            return;
        }
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(KEPT).await;
                let mut unused = self.lock();
                unused.memory.retain(|(_, since)| since.elapsed() < KEPT);
                if unused.memory.is_empty() {
                    unused.watched = false;
                    return;
                }
            }
        });
    }
}

impl Hasher {
    pub fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self { permits: Arc::new(Semaphore::new(cores)), spare: Arc::default() }
    }

    /// The password's hash as a PHC string. `None` only where the hasher itself fails.
    pub async fn hash(&self, password: Password) -> Option<String> {
        self.run(move |memory| hash(&password, memory)).await.flatten()
    }

    /// Whether `password` is the one that was hashed. Without a hash it takes as long and says no, so that nobody learns
    /// from the time which accounts there are.
    pub async fn verify(&self, password: Password, stored: Option<String>) -> bool {
        self.run(move |memory| verify(&password, stored.as_deref(), memory)).await.unwrap_or(false)
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce(&mut Vec<Block>) -> T + Send + 'static) -> Option<T> {
        // Held by the work itself: a request that is given up does not make room for another.
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok()?;
        let spare = Arc::clone(&self.spare);
        let work = move || {
            let mut memory = spare.take();
            let done = work(&mut memory);
            spare.keep(memory);
            spare.watch();
            drop(permit);
            done
        };
        tokio::task::spawn_blocking(work).await.inspect_err(|error| tracing::error!(%error, "hashing failed")).ok()
    }
}

fn hash(password: &Password, memory: &mut Vec<Block>) -> Option<String> {
    let params = Params::new(19 * 1024, 2, 1, None).ok()?;
    let salt = Salt::generate();
    let output = output(password, &salt, &params, Version::V0x13, Params::DEFAULT_OUTPUT_LEN, memory)?;
    let hash = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(&params).ok()?,
        salt: Some(salt),
        hash: Some(output),
    };
    Some(hash.to_string())
}

fn verify(password: &Password, stored: Option<&str>, memory: &mut Vec<Block>) -> bool {
    let Some(parsed) = stored.and_then(|stored| PasswordHash::new(stored).ok()) else {
        // The time is spent; the outcome does not matter.
        let _ = hash(password, memory);
        return false;
    };
    let mut computed = || {
        let params = Params::try_from(&parsed).ok()?;
        let version =
            Version::try_from(parsed.version?).ok().filter(|_| parsed.algorithm == Algorithm::Argon2id.ident())?;
        output(password, parsed.salt.as_ref()?, &params, version, parsed.hash.as_ref()?.len(), memory)
    };
    // The comparison takes the same time whatever differs.
    password.as_bytes().len() <= LONGEST && parsed.hash.is_some() && computed() == parsed.hash
}

fn output(
    password: &Password,
    salt: &Salt,
    params: &Params,
    version: Version,
    length: usize,
    memory: &mut Vec<Block>,
) -> Option<Output> {
    let blocks = params.block_count();
    if memory.len() < blocks {
        memory.resize(blocks, Block::new());
    }
    let argon2 = Argon2::new(Algorithm::Argon2id, version, params.clone());
    let mut bytes = [0; Output::MAX_LENGTH];
    let bytes = bytes.get_mut(..length)?;
    argon2.hash_password_into_with_memory(password.as_bytes(), salt, bytes, memory.get_mut(..blocks)?).ok()?;
    Output::new(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Password {
        Password::new(text.to_owned())
    }

    #[test]
    fn only_the_same_password_passes() {
        let mut memory = Vec::new();
        let stored = hash(&password("correct horse"), &mut memory).unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert!(verify(&password("correct horse"), Some(&stored), &mut memory));
        assert!(!verify(&password("correct horsf"), Some(&stored), &mut memory));
        assert!(!verify(&password(""), None, &mut memory));
        assert!(!verify(&password("x"), Some("no hash"), &mut memory));
        let unhashed = stored.rsplit_once('$').unwrap().0;
        assert!(!verify(&password("correct horse"), Some(unhashed), &mut memory));
    }

    #[test]
    fn what_memory_held_before_changes_no_hash() {
        use argon2::password_hash::{PasswordHasher, PasswordVerifier};
        let theirs = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(19 * 1024, 2, 1, None).unwrap());
        let mut memory = Vec::new();
        hash(&password("another's"), &mut memory).unwrap();
        let ours = hash(&password("correct horse"), &mut memory).unwrap();
        let parsed = PasswordHash::new(&ours).unwrap();
        assert!(theirs.verify_password(b"correct horse", &parsed).is_ok());
        let stored = theirs.hash_password(b"correct horse").unwrap().to_string();
        assert!(verify(&password("correct horse"), Some(&stored), &mut memory));
    }

    #[tokio::test]
    async fn unused_memory_is_given_back() {
        let hasher = Hasher::new();
        hasher.hash(password("x")).await.unwrap();
        hasher.hash(password("y")).await.unwrap();
        let spare = || hasher.spare.lock().memory.len();
        assert_eq!(spare(), 1, "the second hash had the first one's memory");
        tokio::time::sleep(KEPT * 3).await;
        assert_eq!((spare(), hasher.spare.lock().watched), (0, false));
        hasher.hash(password("z")).await.unwrap();
        assert!(hasher.spare.lock().watched, "and again");
    }
}
