//! `roost doctor`: looks at everything that a server needs, from the configuration to what other servers see of it.
//!
//! Exit code 0: nothing is wrong (there may be advice); 1: something is.

mod certificate;
mod database;
mod finding;
mod lag;
mod machine;
mod network;
mod servers;
mod web;

use self::finding::{Finding, Verdict};
use super::{
    arguments::Place,
    open::{block_on, load},
    output::{Failure, print},
};

pub(super) fn run(place: &Place) -> Result<(), Failure> {
    let config = match load(place) {
        Ok(config) => config,
        Err(Failure::Refused(problem) | Failure::Incomplete(problem) | Failure::Usage(problem)) => {
            return report(place, vec![Finding::wrong("configuration", problem, "mend it, then ask again")]);
        }
    };
    let findings = block_on(async {
        let mut findings = vec![Finding::good("configuration", format!("server_name is {}", config.server_name))];
        findings.extend(machine::look(&config));
        findings.extend(database::look(&config).await);
        findings.extend(network::look(&config).await);
        Ok(findings)
    })?;
    report(place, findings)
}

fn report(place: &Place, findings: Vec<Finding>) -> Result<(), Failure> {
    let text: Vec<_> = findings.iter().map(ToString::to_string).collect();
    print(place.json, &findings, text.join("\n"))?;
    match findings.iter().filter(|finding| finding.verdict == Verdict::Wrong).count() {
        0 => Ok(()),
        1 => Err(Failure::refused("one thing is wrong")),
        count => Err(Failure::refused(format_args!("{count} things are wrong"))),
    }
}
