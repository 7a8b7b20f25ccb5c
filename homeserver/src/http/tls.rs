//! TLS of our own: one certificate for all addresses, read again when its files change.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;

use crate::config;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// Why there is no certificate to serve with.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read.
    #[error("can't read {}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{} holds no {wanted} in PEM", .path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// A certificate or a key.
        wanted: &'static str,
    },
    /// The two don't fit, or are of a kind that can't be used.
    #[error("the certificate {} and the key {} can't be used together: {source}", .certificate.display(), .key.display())]
    Unfit {
        /// `http.tls.certificate`
        certificate: PathBuf,
        /// `http.tls.key`
        key: PathBuf,
        /// Why not.
        source: rustls::Error,
    },
    /// No version of TLS is left.
    #[error("TLS can't be set up: {0}")]
    Setup(rustls::Error),
}

/// Accepts connections with the newest certificate. Cheap to clone.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    current: Arc<Current>,
}

/// The files, and what was last read out of them.
#[derive(Debug)]
struct Current {
    certificate: PathBuf,
    key: PathBuf,
    serving: RwLock<Arc<CertifiedKey>>,
}

impl Tls {
    /// Reads the certificate; `None` where no address is to be served so.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn load(config: &config::Tls) -> Result<Option<Self>, TlsError> {
        let (Some(certificate), Some(key), false) = (&config.certificate, &config.key, config.listen.is_empty()) else {
            return Ok(None);
        };
        let serving = RwLock::new(Arc::new(read(certificate, key)?));
        let current = Arc::new(Current { certificate: certificate.clone(), key: key.clone(), serving });
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Setup)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as _);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Some(Self { acceptor: TlsAcceptor::from(Arc::new(config)), current }))
    }

    /// The certificate that is served, without those between it and its root.
    #[must_use]
    pub fn certificate(&self) -> Option<CertificateDer<'static>> {
        self.current.serving.read().unwrap_or_else(PoisonError::into_inner).cert.first().cloned()
    }

    /// The handshake.
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.acceptor.accept(stream).await
    }

    /// Reads the files again whenever one has changed; what can't be used is told once and leaves the old one in place.
    pub async fn reload_when_changed(self, closing: CancellationToken) {
        let current = &self.current;
        let mut seen = current.stamps();
        loop {
            tokio::select! {
                () = closing.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            let stamps = current.stamps();
            if stamps == seen {
                continue;
            }
            seen = stamps;
            match read(&current.certificate, &current.key) {
                Ok(new) => {
                    *current.serving.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
                    tracing::info!(certificate = %current.certificate.display(), "serving with a new certificate");
                }
                // Often the two files change one after the other.
                Err(error) => {
                    tracing::warn!(%error, "the certificate has changed and can't be used; the old one serves on")
                }
            }
        }
    }
}

impl Current {
    fn stamps(&self) -> [Option<(SystemTime, u64)>; 2] {
        [&self.certificate, &self.key].map(|path| {
            let metadata = fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        })
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.serving.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn read(certificate: &Path, key: &Path) -> Result<CertifiedKey, TlsError> {
    let open = |path: &Path| fs::read(path).map_err(|source| TlsError::Read { path: path.into(), source });
    let wrong = |path: &Path, wanted| TlsError::Pem { path: path.into(), wanted };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&open(certificate)?).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty()).ok_or_else(|| wrong(certificate, "certificate"))?;
    let private = PrivateKeyDer::from_pem_slice(&open(key)?).map_err(|_| wrong(key, "private key"))?;
    // Checks that the two belong together.
    CertifiedKey::from_der(chain, private, &ring::default_provider()).map_err(|source| TlsError::Unfit {
        certificate: certificate.into(),
        key: key.into(),
        source,
    })
}
