//! `roost routes`

use super::output::{Failure, print};
use crate::http;

pub(super) fn run(json: bool) -> Result<(), Failure> {
    let list = http::routes().list();
    let text: Vec<_> = list.iter().map(|route| format!("{:7} {}", route.method, route.path)).collect();
    print(json, &list, text.join("\n"))
}
