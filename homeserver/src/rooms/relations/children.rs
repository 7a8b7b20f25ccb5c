//! Pages of an event's children.

use super::super::{
    PageToken, Rooms,
    access::{ReadError, Reading},
    messages::Direction,
    render::Shown,
};
use crate::storage::{self, relation::Wanted};

/// Which children are wanted.
#[derive(Debug, Clone)]
pub struct ChildrenAsk<'a> {
    pub target: &'a str,
    pub rel_type: Option<&'a str>,
    pub kind: Option<&'a str>,
    pub from: Option<PageToken>,
    pub to: Option<PageToken>,
    pub direction: Direction,
    pub limit: usize,
    /// Children's children too.
    pub recurse: bool,
}

/// A page, in the order of its direction.
#[derive(Debug, Clone)]
pub struct Children {
    pub chunk: Vec<Shown>,
    /// Where the next page begins; `None` where nothing is left.
    pub next: Option<PageToken>,
}

/// So many generations are looked at.
pub const GENERATIONS: i32 = 3;
/// After so many children that the reader may not see a page ends.
const MOST_PASSED: usize = 1000;

impl Rooms {
    /// A page of what relates to an event that the reader may see.
    ///
    /// # Errors
    /// [`ReadError::NotFound`] where the reader may not see the event.
    pub async fn children(&self, reading: &Reading, ask: ChildrenAsk<'_>) -> Result<Children, ReadError> {
        self.visible(reading, ask.target).await?;
        let until = self.0.log.watermark();
        let mut bounds = (i64::MIN, i64::MAX);
        let backwards = ask.direction == Direction::Backwards;
        for (token, is_end) in [(ask.from, false), (ask.to, true)] {
            let Some(token) = token else { continue };
            let at = self.boundary(reading.room.nr, token).await?;
            if backwards == is_end { bounds.0 = at } else { bounds.1 = at }
        }
        let interner = &self.0.interner;
        let mut wanted = Wanted {
            room: reading.room.nr,
            target: ask.target,
            rel_type: None,
            kind: None,
            depth: if ask.recurse { GENERATIONS } else { 1 },
        };
        // A word without a number occurs in no event.
        for (word, place) in [(ask.rel_type, &mut wanted.rel_type), (ask.kind, &mut wanted.kind)] {
            if let Some(word) = word {
                match interner.find(word).await? {
                    Some(nr) => *place = Some(nr),
                    None => return Ok(Children { chunk: Vec::new(), next: None }),
                }
            }
        }
        let (mut chunk, mut passed) = (Vec::new(), 0);
        loop {
            // One more than wanted says whether there are more.
            let step = ask.limit - chunk.len() + 1;
            let most = i64::try_from(step).unwrap_or(i64::MAX);
            let found = storage::relation::children(&self.0.pool, &wanted, bounds, backwards, most).await?;
            let exhausted = found.len() < step;
            let Some(oldest) = found.iter().map(|(_, ord)| *ord).min() else { break };
            let sight = self.sight(reading, oldest).await?;
            let events = self.events(&found.iter().map(|(nr, _)| *nr).collect::<Vec<_>>()).await?;
            for ((_, ord), event) in found.into_iter().zip(events) {
                if chunk.len() == ask.limit {
                    return Ok(Children { chunk, next: Some(edge(bounds, backwards)) });
                }
                if backwards {
                    bounds.1 = ord
                } else {
                    bounds.0 = ord + 1
                }
                if event.pos.is_some_and(|pos| pos <= until) && sight.sees(&event) {
                    chunk.push(sight.shown(event));
                } else {
                    passed += 1;
                }
            }
            if exhausted {
                break;
            }
            if passed >= MOST_PASSED {
                return Ok(Children { chunk, next: Some(edge(bounds, backwards)) });
            }
        }
        Ok(Children { chunk, next: None })
    }
}

/// Where a walk has come to.
fn edge((low, high): (i64, i64), backwards: bool) -> PageToken {
    PageToken::Before(if backwards { high } else { low })
}
