//! DNS as the system is set up for it, and HTTPS for well-known files.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts},
    net::{NetError, runtime::TokioRuntimeProvider},
    proto::rr::RData,
};
use reqwest::{
    Client, Response,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{AGE, CACHE_CONTROL, EXPIRES, HeaderName},
    redirect::Policy,
};

use super::{Answer, Network, NetworkError, Srv};

/// For a well-known file, redirects included.
const PATIENCE: Duration = Duration::from_secs(10);
const MOST_REDIRECTS: usize = 5;
/// More is no well-known file.
const MOST_BYTES: usize = 64 << 10;
/// For one question to one name server, which is asked twice.
const DNS_PATIENCE: Duration = Duration::from_secs(4);
/// So many answers of name servers are remembered, as long as they say so.
const DNS_CACHE: u64 = 8192;

/// Why nothing can be looked up at all.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// `/etc/resolv.conf`, as a rule.
    #[error("the system's name servers can't be read: {0}")]
    Resolver(#[source] NetError),
    /// No root certificates.
    #[error("HTTPS can't be set up: {0}")]
    Https(#[source] reqwest::Error),
}

/// The network as it is. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Internet {
    resolver: TokioResolver,
    https: Client,
}

impl Internet {
    /// Asks `name_servers`; without any, those that the system is set up for, and its `hosts` file.
    ///
    /// # Errors
    /// See [`SetupError`].
    pub fn new(name_servers: &[SocketAddr], user_agent: &str) -> Result<Self, SetupError> {
        let resolver = resolver(name_servers).map_err(SetupError::Resolver)?;
        // An error means that one is installed already.
        drop(rustls::crypto::ring::default_provider().install_default());
        let https = Client::builder()
            .https_only(true)
            .redirect(Policy::limited(MOST_REDIRECTS))
            .timeout(PATIENCE)
            .connect_timeout(PATIENCE / 2)
            // Each host is asked once a day.
            .pool_max_idle_per_host(0)
            .dns_resolver(Hosts(resolver.clone()))
            .user_agent(user_agent)
            .build()
            .map_err(SetupError::Https)?;
        Ok(Self { resolver, https })
    }
}

impl Network for Internet {
    async fn well_known(&self, host: &str) -> Result<Answer, NetworkError> {
        let url = format!("https://{host}/.well-known/matrix/server");
        let answer = self.https.get(url).send().await.map_err(|error| words(&error))?;
        let header = |name: HeaderName| Some(answer.headers().get(name)?.to_str().ok()?.to_owned());
        let (status, cache_control) = (answer.status().as_u16(), header(CACHE_CONTROL));
        let (expires, age) = (header(EXPIRES), header(AGE));
        Ok(Answer { status, cache_control, expires, age, body: bounded(answer).await? })
    }

    async fn srv(&self, name: &str) -> Result<Vec<Srv>, NetworkError> {
        let found = match self.resolver.srv_lookup(absolute(name)).await {
            Ok(found) => found,
            Err(error) if error.is_no_records_found() => return Ok(Vec::new()),
            Err(error) => return Err(NetworkError(error.to_string())),
        };
        let records = found.answers().iter().filter_map(|record| match &record.data {
            RData::SRV(srv) => Some(Srv {
                priority: srv.priority,
                weight: srv.weight,
                port: srv.port,
                target: srv.target.to_ascii().trim_end_matches('.').to_owned(),
            }),
            _ => None,
        });
        Ok(records.collect())
    }

    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, NetworkError> {
        addresses(&self.resolver, host).await.map_err(|error| NetworkError(error.to_string()))
    }
}

async fn addresses(resolver: &TokioResolver, host: &str) -> Result<Vec<IpAddr>, NetError> {
    match resolver.lookup_ip(absolute(host)).await {
        Ok(found) => Ok(found.iter().collect()),
        Err(error) if error.is_no_records_found() => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Other servers' names are never meant relative to our own domain.
fn absolute(name: &str) -> String {
    format!("{}.", name.trim_end_matches('.'))
}

fn resolver(name_servers: &[SocketAddr]) -> Result<TokioResolver, NetError> {
    let mut builder = if name_servers.is_empty() {
        TokioResolver::builder_tokio()?
    } else {
        let servers = name_servers.iter().map(|address| {
            let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                connection.port = address.port();
                connection
            });
            NameServerConfig::new(address.ip(), true, connections.into())
        });
        let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        *builder.options_mut() = ResolverOpts::default();
        builder.options_mut().use_hosts_file = ResolveHosts::Never;
        builder
    };
    let options = builder.options_mut();
    (options.timeout, options.attempts, options.cache_size) = (DNS_PATIENCE, 2, DNS_CACHE);
    // A name that was just made is found soon.
    options.negative_max_ttl = Some(Duration::from_secs(5 * 60));
    builder.build()
}

/// So that well-known files are found by the same name servers.
struct Hosts(TokioResolver);

impl Resolve for Hosts {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.0.clone();
        Box::pin(async move {
            let found = addresses(&resolver, name.as_str()).await?;
            if found.is_empty() {
                return Err(io::Error::new(io::ErrorKind::NotFound, "the host has no address").into());
            }
            // Port 0: the one of the URL.
            Ok(Box::new(found.into_iter().map(|ip| SocketAddr::new(ip, 0))) as Addrs)
        })
    }
}

async fn bounded(mut answer: Response) -> Result<Vec<u8>, NetworkError> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| words(&error))? {
        if body.len() + chunk.len() > MOST_BYTES {
            return Err(NetworkError("the file is far too long".to_owned()));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The innermost cause: the outer ones repeat the address.
fn words(error: &reqwest::Error) -> NetworkError {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    NetworkError(cause.to_string())
}
