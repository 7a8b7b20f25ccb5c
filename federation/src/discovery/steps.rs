//! The steps of the specification, one after the other.

use std::{
    future::Future,
    net::{IpAddr, SocketAddr},
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use ruma_common::{OwnedServerName, ServerName};

use super::{Answer, Endpoint, Service, Srv, Step, order::order, remembered::Remembered, well_known};

/// Where a server listens, if nothing says otherwise.
const PORT: u16 = 8448;
/// So many targets of SRV records are looked up.
const MOST_TARGETS: usize = 8;
/// So many addresses are tried.
const MOST_ADDRESSES: usize = 16;

/// What discovery asks. Implementations bound how long an answer may take, and how large it may be.
pub trait Network: Send + Sync {
    /// `GET https://{host}/.well-known/matrix/server`, with redirects followed.
    fn well_known(&self, host: &str) -> impl Future<Output = Result<Answer, NetworkError>> + Send;

    /// The SRV records of a name; empty where a name server says that there are none.
    fn srv(&self, name: &str) -> impl Future<Output = Result<Vec<Srv>, NetworkError>> + Send;

    /// The addresses of a host, by AAAA and A records; empty where a name server says that there are none.
    fn addresses(&self, host: &str) -> impl Future<Output = Result<Vec<IpAddr>, NetworkError>> + Send;
}

/// No answer, in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NetworkError(pub String);

/// Why a server is not found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiscoveryError {
    /// No name server says whether there is such a record: to be tried again.
    #[error("{name} can't be looked up: {source}")]
    Lookup {
        /// What was asked for.
        name: String,
        /// Why there is no answer.
        source: NetworkError,
    },
    /// A host has neither AAAA nor A records.
    #[error("{0} has no address")]
    NoAddress(String),
    /// An SRV record names no host, which means that there is no such server.
    #[error("the SRV record {0} says that there is no server")]
    NotOffered(String),
}

/// Finds servers, and remembers what their well-known files say.
#[derive(Debug)]
pub struct Discovery<N> {
    network: N,
    remembered: Mutex<Remembered>,
}

impl<N: Network> Discovery<N> {
    /// Knows nothing yet.
    pub fn new(network: N) -> Self {
        Self { network, remembered: Mutex::default() }
    }

    /// Where the server of that name is reached. `chance` is any random number: it chooses among equal SRV records.
    ///
    /// # Errors
    /// See [`DiscoveryError`].
    pub async fn find(&self, name: &ServerName, now: SystemTime, chance: u64) -> Result<Endpoint, DiscoveryError> {
        // Steps 1 and 2: the name says all. Step 3: its host may lead to another name.
        let delegated = match name.is_ip_literal() || name.port().is_some() {
            true => None,
            false => self.delegate(name.host(), now).await,
        };
        let mut found = self.locate(delegated.as_deref().unwrap_or(name), chance).await?;
        found.delegated = delegated;
        Ok(found)
    }

    /// Where a host's well-known file leads, if anywhere.
    async fn delegate(&self, host: &str, now: SystemTime) -> Option<OwnedServerName> {
        // DNS knows no case.
        let host = host.to_ascii_lowercase();
        if let Some(known) = self.remembered().of(&host, now) {
            return known;
        }
        let answer = self.network.well_known(&host).await;
        let mut remembered = self.remembered();
        match answer.ok().and_then(|answer| well_known::read(&answer, now)) {
            Some((server, keep)) => {
                remembered.answered(&host, server.clone(), keep, now);
                Some(server)
            }
            None => remembered.failed(&host, now),
        }
    }

    /// The addresses of a name that leads nowhere else: steps 3.1 to 3.5 of a delegated one, and 1, 2, 4, 5 and 6 of the
    /// server's own are the same.
    async fn locate(&self, name: &ServerName, chance: u64) -> Result<Endpoint, DiscoveryError> {
        let host = name.host();
        let literal: Option<IpAddr> = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
        let endpoint = |step, addresses| Endpoint {
            addresses,
            host: name.as_str().to_owned(),
            certificate_name: literal.map_or_else(|| host.to_owned(), |ip| ip.to_string()),
            delegated: None,
            step,
        };
        if let Some(ip) = literal {
            return Ok(endpoint(Step::Literal, vec![SocketAddr::new(ip, name.port().unwrap_or(PORT))]));
        }
        if let Some(port) = name.port() {
            return Ok(endpoint(Step::Port, self.addresses(host, port).await?));
        }
        for service in Service::ALL {
            let record = service.record(host);
            let records = self.network.srv(&record).await;
            let records = records.map_err(|source| DiscoveryError::Lookup { name: record.clone(), source })?;
            if !records.is_empty() {
                return Ok(endpoint(Step::Srv(service), self.targets(&record, records, chance).await?));
            }
        }
        Ok(endpoint(Step::Default, self.addresses(host, PORT).await?))
    }

    /// The addresses of the hosts that SRV records name, in the order in which they are to be tried.
    async fn targets(&self, record: &str, records: Vec<Srv>, chance: u64) -> Result<Vec<SocketAddr>, DiscoveryError> {
        let mut offered: Vec<_> = records.into_iter().filter(|record| !record.target.is_empty()).collect();
        if offered.is_empty() {
            return Err(DiscoveryError::NotOffered(record.to_owned()));
        }
        offered = order(offered, chance);
        offered.truncate(MOST_TARGETS);
        let (mut found, mut failure) = (Vec::new(), None);
        for target in offered {
            match self.addresses(&target.target, target.port).await {
                Ok(addresses) => found.extend(addresses),
                // Another one may do.
                Err(error) => failure = Some(error),
            }
        }
        found.truncate(MOST_ADDRESSES);
        match failure {
            Some(failure) if found.is_empty() => Err(failure),
            _ => Ok(found),
        }
    }

    async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, DiscoveryError> {
        let found = self.network.addresses(host).await;
        let found = found.map_err(|source| DiscoveryError::Lookup { name: host.to_owned(), source })?;
        if found.is_empty() {
            return Err(DiscoveryError::NoAddress(host.to_owned()));
        }
        Ok(found.into_iter().take(MOST_ADDRESSES).map(|ip| SocketAddr::new(ip, port)).collect())
    }

    fn remembered(&self) -> std::sync::MutexGuard<'_, Remembered> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
