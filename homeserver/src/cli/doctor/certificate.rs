//! Certificates: how long they are good yet, for whom, and what to do about it.

use std::{
    error::Error,
    io,
    time::{Duration, SystemTime},
};

use rustls::{
    CertificateError,
    client::verify_server_name,
    pki_types::{CertificateDer, ServerName},
    server::ParsedCertificate,
};
use x509_cert::{Certificate, der::Decode as _};

use super::finding::Finding;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Who is asked for a new certificate gives one long before, as a rule a third of its time.
const SOON: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// How a certificate stands in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Age {
    /// So long yet.
    Good(Duration),
    /// So long yet, and by now it should have been renewed.
    Ending(Duration),
    /// Since so long.
    Expired(Duration),
    /// From a day on that is to come.
    NotYet,
}

impl Age {
    /// `None`: it can't be read.
    pub fn of(der: &[u8], now: SystemTime) -> Option<Self> {
        let certificate = Certificate::from_der(der).ok()?;
        let validity = certificate.tbs_certificate().validity();
        let time = |unix: Duration| SystemTime::UNIX_EPOCH + unix;
        let (from, until) = (time(validity.not_before.to_unix_duration()), time(validity.not_after.to_unix_duration()));
        if now < from {
            return Some(Self::NotYet);
        }
        let Ok(left) = until.duration_since(now) else {
            return Some(Self::Expired(now.duration_since(until).unwrap_or_default()));
        };
        // Some are made for days only.
        let whole = until.duration_since(from).unwrap_or_default();
        Some(if left < SOON.min(whole / 6) { Self::Ending(left) } else { Self::Good(left) })
    }

    /// Adds what there is to say about a certificate to a finding that is good otherwise.
    pub fn tell(self, about: &'static str, found: String) -> Finding {
        let renew = "renew the certificate, and see why that did not happen by itself (certbot, acme.sh, Caddy)";
        match self {
            Self::Good(left) => {
                Finding::good(about, format!("{found}; its certificate is good for {} more", days(left)))
            }
            Self::Ending(left) => {
                Finding::advice(about, format!("{found}; its certificate expires in {}", days(left)), renew)
            }
            Self::Expired(since) => {
                Finding::wrong(about, format!("{found}; its certificate expired {} ago", days(since)), renew)
            }
            Self::NotYet => {
                let advice = "set the clock right, or take a certificate that is valid already";
                Finding::wrong(about, format!("{found}; its certificate is not valid yet"), advice)
            }
        }
    }
}

fn days(time: Duration) -> String {
    match time.as_secs() / DAY.as_secs() {
        0 => "less than a day".to_owned(),
        1 => "one day".to_owned(),
        count => format!("{count} days"),
    }
}

/// Those of `hosts` that a certificate is not valid for.
pub(super) fn strangers<'a>(certificate: &CertificateDer<'_>, hosts: &[&'a str]) -> Vec<&'a str> {
    let parsed = ParsedCertificate::try_from(certificate);
    let fits = |host: &str| {
        let name = ServerName::try_from(host.trim_start_matches('[').trim_end_matches(']'));
        matches!((&parsed, name), (Ok(parsed), Ok(name)) if verify_server_name(parsed, &name).is_ok())
    };
    hosts.iter().copied().filter(|host| !fits(host)).collect()
}

/// What to do about a connection that failed because of a certificate that should hold `name`; `None`: it failed otherwise.
pub(super) fn remedy(error: &(dyn Error + 'static), name: &str) -> Option<String> {
    let rustls::Error::InvalidCertificate(problem) = tls_error(error)? else { return None };
    Some(match problem {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "renew the certificate: it has expired".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("let a certificate that holds {name} be served there")
        }
        CertificateError::UnknownIssuer => {
            "others don't know who signed it: take one of a public authority (Let's Encrypt), and serve the certificates \
             between it and the root too (fullchain.pem)"
                .to_owned()
        }
        _ => format!("let another certificate that holds {name} be served there"),
    })
}

/// The error of TLS at the bottom of another one.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(found) = error.downcast_ref() {
        return Some(found);
    }
    // What an I/O error is made of is none of its sources.
    let inside = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    inside.and_then(|inside| tls_error(inside)).or_else(|| tls_error(error.source()?))
}

#[cfg(test)]
mod tests {
    use roost_tests::authority::Authority;
    use rustls::pki_types::pem::PemObject as _;

    use super::*;

    fn made(names: &[&str], until: (i32, u8, u8)) -> CertificateDer<'static> {
        let made = Authority::new().sign_between(names, (2026, 1, 1), until);
        CertificateDer::from_pem_slice(made.chain.as_bytes()).unwrap()
    }

    #[test]
    fn days_are_counted() {
        // 2026-01-01
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600);
        let quarter = made(&["a.example"], (2026, 4, 1));
        for (day, wanted) in [
            (0, Age::Good(90 * DAY)),
            (76, Age::Good(14 * DAY)),
            (77, Age::Ending(13 * DAY)),
            (89, Age::Ending(DAY)),
            (92, Age::Expired(2 * DAY)),
        ] {
            assert_eq!(Age::of(&quarter, start + day * DAY), Some(wanted), "after {day} days");
        }
        assert_eq!(Age::of(&quarter, start - DAY), Some(Age::NotYet));
        let week = made(&["a.example"], (2026, 1, 7));
        assert_eq!(Age::of(&week, start + 4 * DAY), Some(Age::Good(2 * DAY)), "short-lived ones are renewed late");
        assert_eq!(Age::of(b"no certificate", start), None);
        assert_eq!(
            (days(DAY / 2), days(DAY), days(DAY * 5 / 2)),
            ("less than a day".into(), "one day".into(), "2 days".into())
        );
    }

    #[test]
    fn names_that_are_missing_are_named() {
        let certificate = made(&["a.example", "*.b.example", "127.0.0.1"], (2027, 1, 1));
        let hosts = ["a.example", "x.b.example", "b.example", "127.0.0.1", "[::1]"];
        assert_eq!(strangers(&certificate, &hosts), ["b.example", "[::1]"]);
    }
}
