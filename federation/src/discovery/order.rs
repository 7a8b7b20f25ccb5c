//! The order in which the targets of SRV records are tried (RFC 2782).

/// One SRV record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Srv {
    /// The lowest is tried first.
    pub priority: u16,
    /// Its share among those of one priority.
    pub weight: u16,
    /// The port that the server listens on.
    pub port: u16,
    /// The host, without the last dot; empty: the service is not offered.
    pub target: String,
}

/// By priority; among equals the heavier is more likely to come first. `chance` is any random number.
pub(super) fn order(mut records: Vec<Srv>, mut chance: u64) -> Vec<Srv> {
    // Among equals the weightless come first: the draw below then gives them their very small chance.
    records.sort_by_key(|record| (record.priority, record.weight));
    let mut ordered = Vec::with_capacity(records.len());
    while let Some(first) = records.first() {
        let equals = records.iter().take_while(|record| record.priority == first.priority).count();
        let sum: u64 = records[..equals].iter().map(|record| u64::from(record.weight)).sum();
        let drawn = draw(&mut chance) % (sum + 1);
        let mut running = 0;
        let chosen = records[..equals].iter().position(|record| {
            running += u64::from(record.weight);
            running >= drawn
        });
        ordered.push(records.remove(chosen.unwrap_or_default()));
    }
    ordered
}

/// SplitMix64.
fn draw(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn srv(priority: u16, weight: u16, target: &str) -> Srv {
        Srv { priority, weight, port: 8448, target: target.to_owned() }
    }

    #[test]
    fn lower_priorities_come_first_whatever_chance_says() {
        let records = vec![srv(20, 900, "c"), srv(10, 0, "a"), srv(10, 5, "b"), srv(30, 0, "d")];
        for chance in 0..200 {
            let found: Vec<_> = order(records.clone(), chance).into_iter().map(|record| record.target).collect();
            assert_eq!(found.len(), 4);
            assert!(found[..2].contains(&"a".to_owned()) && found[..2].contains(&"b".to_owned()));
            assert_eq!(found[2..], ["c", "d"]);
        }
    }

    #[test]
    fn the_heavier_come_first_more_often() {
        let records = vec![srv(10, 30, "light"), srv(10, 60, "heavy"), srv(10, 0, "none")];
        let count =
            |target: &str| (0..10_000).filter(|chance| order(records.clone(), *chance)[0].target == target).count();
        let (light, heavy, none) = (count("light"), count("heavy"), count("none"));
        assert!((3000..3600).contains(&light) && (6200..7000).contains(&heavy), "{light} and {heavy}");
        assert!((1..300).contains(&none), "{none}");
    }
}
