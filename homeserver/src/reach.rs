//! Which addresses this server connects to where somebody else says where: users choose push gateways, and pages to preview.
//!
//! A name is looked up here, and connected to are only those of its addresses that are allowed: a name that leads to another
//! address the next time leads nowhere.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// Private networks that may be connected to, beside all public addresses. Cheap to clone; a resolver for `reqwest`.
#[derive(Debug, Clone)]
pub struct Reach(Arc<[IpNet]>);

/// A name leads to no address that may be connected to.
#[derive(Debug, thiserror::Error)]
#[error("the name leads only to addresses that this server does not connect to")]
pub struct OutOfReach;

impl Reach {
    /// Public addresses, and what lies in these networks.
    #[must_use]
    pub fn new(allowed: Vec<IpNet>) -> Self {
        Self(allowed.into())
    }

    /// Whether an address lies in one of the networks that were named.
    #[must_use]
    pub fn lists(&self, ip: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&ip.to_canonical()))
    }

    /// Whether an address may be connected to.
    #[must_use]
    pub fn allows(&self, ip: IpAddr) -> bool {
        is_public(ip.to_canonical()) || self.lists(ip)
    }

    /// Whether a URL names an address that may not be connected to. Names are looked up later, by the resolver that this is.
    #[must_use]
    pub fn refuses(&self, url: &Url) -> bool {
        literal(url).is_some_and(|ip| !self.allows(ip))
    }
}

/// The address that a URL names without a resolver, however it is written: `http://0x7f.1/` has one, too.
#[must_use]
pub fn literal(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(ip) => Some(ip.into()),
        Host::Ipv6(ip) => Some(ip.into()),
        Host::Domain(_) => None,
    }
}

/// Whether an address is meant to be reached from everywhere.
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            let shared = a == 100 && (64..128).contains(&b);
            let reserved = a == 0
                || a >= 240
                || (a == 192 && b == 0 && c == 0)
                || (a == 192 && b == 88 && c == 99)
                || (a == 198 && (18..20).contains(&b));
            !(ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || ip.is_multicast()
                || ip.is_documentation()
                || shared
                || reserved)
        }
        // Global unicast, apart from what tunnels to IPv4 addresses and from examples.
        IpAddr::V6(ip) => {
            let [a, b, ..] = ip.segments();
            (a & 0xe000) == 0x2000 && a != 0x2002 && !(a == 0x2001 && (b == 0 || b == 0xdb8)) && a != 0x3fff
        }
    }
}

impl Resolve for Reach {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let found: Vec<SocketAddr> = found.filter(|address| reach.allows(address.ip())).collect();
            if found.is_empty() {
                return Err(OutOfReach.into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(networks: &[&str]) -> Reach {
        Reach::new(networks.iter().map(|network| network.parse().unwrap()).collect())
    }

    #[test]
    fn private_addresses_are_reached_only_where_they_are_allowed() {
        let reach = reach(&["127.0.0.0/8", "fd00::/8"]);
        for (ip, allowed) in [
            ("127.0.0.1", true),
            ("::ffff:127.0.0.1", true),
            ("10.0.0.1", false),
            ("::ffff:10.0.0.1", false),
            ("172.16.0.1", false),
            ("172.32.0.1", true),
            ("169.254.169.254", false),
            ("100.64.0.1", false),
            ("100.128.0.1", true),
            ("192.168.1.1", false),
            ("192.0.0.8", false),
            ("198.18.0.1", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("0.0.0.0", false),
            ("::", false),
            ("::1", false),
            ("::7f00:1", false),
            ("64:ff9b::a00:1", false),
            ("fe80::1", false),
            ("ff02::1", false),
            ("fd00::1", true),
            ("fc00::1", false),
            ("2002:a00:1::", false),
            ("2001:0:a00:1::", false),
            ("8.8.8.8", true),
            ("2606:4700::1111", true),
        ] {
            assert_eq!(reach.allows(ip.parse().unwrap()), allowed, "{ip}");
        }
    }

    #[test]
    fn an_address_is_known_in_every_notation() {
        let reach = reach(&[]);
        for url in [
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://017700000001/",
            "http://127.1/",
            "http://[::1]/",
            "http://[::ffff:7f00:1]/",
            "https://user@169.254.169.254/latest",
            "http://\u{ff11}\u{ff12}\u{ff17}.0.0.1/",
        ] {
            assert!(reach.refuses(&Url::parse(url).unwrap()), "{url}");
        }
        for url in ["http://example.org/", "http://8.8.8.8/", "http://127.0.0.1.example.org/"] {
            assert!(!reach.refuses(&Url::parse(url).unwrap()), "{url}");
        }
    }

    #[tokio::test]
    async fn a_name_leads_only_to_what_is_allowed() {
        let resolve = async |reach: Reach| reach.resolve("localhost".parse().unwrap()).await.map(Iterator::count);
        let refused = resolve(reach(&[])).await.unwrap_err();
        assert!(refused.is::<OutOfReach>(), "{refused}");
        assert!(resolve(reach(&["127.0.0.0/8"])).await.unwrap() > 0);
    }
}
