//! `roost routes`

use super::{
    arguments::Place,
    output::{Failure, print},
};
use crate::http;

pub(super) fn run(place: &Place) -> Result<(), Failure> {
    let list = http::routes().list();
    let text: Vec<_> = list.iter().map(|route| format!("{:7} {}", route.method, route.path)).collect();
    print(place.json, &list, text.join("\n"))
}
