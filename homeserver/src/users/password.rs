//! Password hashing: argon2id with 19 MiB, two passes, one lane.

use std::sync::Arc;

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use tokio::sync::Semaphore;

use super::Password;

/// Hashes and checks passwords, as many at once as there are cores: each takes 19 MiB and tens of milliseconds.
#[derive(Clone)]
pub(super) struct Hasher {
    permits: Arc<Semaphore>,
}

/// Longer passwords are refused: hashing them is work for nothing.
pub(super) const LONGEST: usize = 512;

impl Hasher {
    pub fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self { permits: Arc::new(Semaphore::new(cores)) }
    }

    /// The password's hash as a PHC string. `None` only where the hasher itself fails.
    pub async fn hash(&self, password: Password) -> Option<String> {
        self.run(move || hash(&password)).await.flatten()
    }

    /// Whether `password` is the one that was hashed. Without a hash it takes as long and says no, so that nobody learns
    /// from the time which accounts there are.
    pub async fn verify(&self, password: Password, stored: Option<String>) -> bool {
        self.run(move || verify(&password, stored.as_deref())).await.unwrap_or(false)
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        // Held by the work itself: a request that is given up does not make room for another.
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok()?;
        let work = move || {
            let done = work();
            drop(permit);
            done
        };
        tokio::task::spawn_blocking(work).await.inspect_err(|error| tracing::error!(%error, "hashing failed")).ok()
    }
}

fn argon2() -> Option<Argon2<'static>> {
    Params::new(19 * 1024, 2, 1, None).ok().map(|params| Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn hash(password: &Password) -> Option<String> {
    argon2()?.hash_password(password.as_bytes()).map(|hash| hash.to_string()).ok()
}

fn verify(password: &Password, stored: Option<&str>) -> bool {
    let Some(parsed) = stored.and_then(|stored| PasswordHash::new(stored).ok()) else {
        // The time is spent; the outcome does not matter.
        let _ = hash(password);
        return false;
    };
    password.as_bytes().len() <= LONGEST
        && argon2().is_some_and(|argon2| argon2.verify_password(password.as_bytes(), &parsed).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Password {
        Password::new(text.to_owned())
    }

    #[test]
    fn only_the_same_password_passes() {
        let stored = hash(&password("correct horse")).unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert!(verify(&password("correct horse"), Some(&stored)));
        assert!(!verify(&password("correct horsf"), Some(&stored)));
        assert!(!verify(&password(""), None));
        assert!(!verify(&password("x"), Some("no hash")));
    }
}
