//! The work itself. Every scenario checks what it got back: a server that answers fast and wrong fails.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures::{StreamExt, TryStreamExt, future::try_join_all, stream};
use hdrhistogram::Histogram;
use serde_json::json;

use crate::client::{Server, User};

/// How much work each scenario does.
#[derive(Clone, Copy)]
pub struct Size {
    pub users: usize,
    pub senders: usize,
    pub messages_each: usize,
    pub receivers: usize,
    pub deliveries: usize,
    pub rooms: usize,
    pub idle: usize,
}

/// One figure: `better` says which way is good.
pub struct Figure {
    pub name: &'static str,
    pub value: f64,
    pub unit: &'static str,
    pub better: Better,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Better {
    Higher,
    Lower,
}

pub type Figures = Vec<Figure>;

pub fn higher(name: &'static str, value: f64, unit: &'static str) -> Figure {
    Figure { name, value, unit, better: Better::Higher }
}

pub fn lower(name: &'static str, value: f64, unit: &'static str) -> Figure {
    Figure { name, value, unit, better: Better::Lower }
}

pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 600_000_000, 3).expect("fixed bounds are valid")
}

pub fn ms(h: &Histogram<u64>, quantile: f64) -> f64 {
    h.value_at_quantile(quantile) as f64 / 1000.0
}

pub fn micros(d: Duration) -> u64 {
    (d.as_micros() as u64).max(1)
}

pub async fn register(server: &Server, count: usize, tag: &str) -> Result<Vec<User>> {
    stream::iter((0..count).map(|n| server.register_owned(format!("b{tag}u{n}")))).buffered(4).try_collect().await
}

impl Server {
    async fn register_owned(&self, name: String) -> Result<User> {
        self.register(&name).await
    }
}

/// Many users each send, one message after the other, into a room of their own.
pub async fn send(users: &[User], size: Size) -> Result<Figures> {
    let rooms: Vec<String> = stream::iter(&users[..size.senders])
        .then(|u| u.create_room(json!({"preset": "private_chat"})))
        .try_collect()
        .await?;
    let start = Instant::now();
    let histograms = try_join_all(users.iter().zip(&rooms).map(|(user, room)| async move {
        let mut h = histogram();
        for n in 0..size.messages_each {
            let at = Instant::now();
            user.send(room, &format!("message {n} of a usual length, not a long one")).await?;
            h.record(micros(at.elapsed()))?;
        }
        anyhow::Ok(h)
    }))
    .await?;
    let took = start.elapsed().as_secs_f64();
    let mut all = histogram();
    for h in histograms {
        all.add(h)?;
    }
    Ok(vec![
        higher("send.many_rooms", all.len() as f64 / took, "msg/s"),
        lower("send.many_rooms.p50", ms(&all, 0.5), "ms"),
        lower("send.many_rooms.p99", ms(&all, 0.99), "ms"),
    ])
}

/// Many users send into one room at once.
pub async fn send_one_room(users: &[User], room: &str, size: Size) -> Result<Figures> {
    let start = Instant::now();
    let each = size.messages_each / 2;
    try_join_all(users[..size.senders].iter().map(|user| async move {
        for n in 0..each {
            user.send(room, &format!("busy {n}")).await?;
        }
        anyhow::Ok(())
    }))
    .await?;
    Ok(vec![higher("send.one_room", (each * size.senders) as f64 / start.elapsed().as_secs_f64(), "msg/s")])
}

/// Local users join one public room.
pub async fn join(users: &[User]) -> Result<(String, Figures)> {
    let room = users[0].create_room(json!({"name": "bench"})).await?;
    let start = Instant::now();
    stream::iter(&users[1..]).map(|u| u.join(&room)).buffer_unordered(8).try_collect::<Vec<()>>().await?;
    let took = start.elapsed().as_secs_f64();
    let members = users[0].members(&room).await?;
    ensure!(members == users.len(), "{members} members of {}", users.len());
    Ok((room, vec![higher("join.local", (users.len() - 1) as f64 / took, "join/s")]))
}

/// Every member of a room long-polls; one sends. Time from the send's start to each member's copy.
pub async fn delivery(users: &[User], room: &str, size: Size) -> Result<Figures> {
    let receivers = &users[..size.receivers];
    let epoch = Instant::now();
    let filter = r#"{"presence":{"not_types":["*"]},"room":{"timeline":{"limit":50}}}"#;
    let last = format!("d{}", size.deliveries - 1);
    let ready = std::sync::Arc::new(tokio::sync::Barrier::new(receivers.len() + 1));
    let tasks: Vec<_> = receivers
        .iter()
        .cloned()
        .map(|user| {
            let (room, last, ready) = (room.to_owned(), last.clone(), ready.clone());
            tokio::spawn(async move {
                let (mut body, _) = user.sync(None, 0, Some(filter)).await?;
                ready.wait().await;
                let mut h = histogram();
                let mut seen = 0;
                loop {
                    let since = body["next_batch"].as_str().unwrap_or_default().to_owned();
                    (body, _) = user.sync(Some(&since), 30_000, Some(filter)).await?;
                    let now = epoch.elapsed();
                    let timeline =
                        body["rooms"]["join"][&room]["timeline"]["events"].as_array().cloned().unwrap_or_default();
                    let mut done = false;
                    for event in timeline.iter().filter(|e| e["type"] == "m.room.message") {
                        let text = event["content"]["body"].as_str().unwrap_or_default();
                        if let Some((label, sent)) = text.split_once('@') {
                            h.record(micros(now.saturating_sub(Duration::from_micros(sent.parse()?))))?;
                            seen += 1;
                            done |= label == last;
                        }
                    }
                    if done {
                        return anyhow::Ok((h, seen));
                    }
                }
            })
        })
        .collect();
    ready.wait().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    for n in 0..size.deliveries {
        users[0].send(room, &format!("d{n}@{}", epoch.elapsed().as_micros())).await?;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut all = histogram();
    for task in tasks {
        let (h, seen) = tokio::time::timeout(Duration::from_secs(120), task).await???;
        ensure!(seen == size.deliveries, "a member saw {seen} of {} messages", size.deliveries);
        all.add(h)?;
    }
    Ok(vec![lower("delivery.p50", ms(&all, 0.5), "ms"), lower("delivery.p99", ms(&all, 0.99), "ms")])
}

/// A user of many rooms opens the app: full sync, then syncs with nothing new.
pub async fn sync(users: &[User], size: Size) -> Result<Figures> {
    let (user, others) = (&users[0], &users[1..5]);
    stream::iter(0..size.rooms)
        .map(|n| async move {
            let room = user.create_room(json!({"name": format!("room {n}")})).await?;
            for other in others {
                other.join(&room).await?;
            }
            for m in 0..10 {
                user.send(&room, &format!("history {m}")).await?;
            }
            anyhow::Ok(())
        })
        .buffer_unordered(4)
        .try_collect::<Vec<()>>()
        .await?;
    let mut figures = Vec::new();
    let mut since = String::new();
    for (name, lazy) in [("sync.initial", true), ("sync.initial_full", false)] {
        let mut times = Vec::new();
        for n in 0..5 {
            // A different timeline limit each time: a cached whole answer would measure nothing.
            let filter =
                format!(r#"{{"room":{{"state":{{"lazy_load_members":{lazy}}},"timeline":{{"limit":{}}}}}}}"#, 8 + n);
            let (answer, took) = user.sync(None, 0, Some(&filter)).await?;
            let rooms = answer["rooms"]["join"].as_object().map_or(0, |r| r.len());
            ensure!(rooms >= size.rooms, "initial sync gave {rooms} rooms of {}", size.rooms);
            times.push(took);
            since = answer["next_batch"].as_str().unwrap_or_default().to_owned();
        }
        figures.push(lower(name, median_ms(times), "ms"));
    }
    let since = &since;
    let start = Instant::now();
    let calls = 400;
    stream::iter(0..calls)
        .map(|n| async move {
            user.sync(Some(since), 0, Some(&format!(r#"{{"room":{{"timeline":{{"limit":{}}}}}}}"#, 20 + n))).await
        })
        .buffer_unordered(8)
        .try_collect::<Vec<_>>()
        .await?;
    figures.push(higher("sync.incremental", f64::from(calls) / start.elapsed().as_secs_f64(), "req/s"));
    Ok(figures)
}

/// The same user with a phone's sliding sync: first answer on a new connection, then with nothing new.
pub async fn sliding(user: &User) -> Result<Figures> {
    let mut times = Vec::new();
    let mut pos = String::new();
    for n in 0..5 {
        let (answer, took) = user.sliding_sync(&format!("c{n}"), None, 0).await?;
        let rooms = answer["rooms"].as_object().map_or(0, |r| r.len());
        ensure!(rooms == 20, "sliding sync gave {rooms} rooms of 20");
        times.push(took);
        pos = answer["pos"].as_str().unwrap_or_default().to_owned();
    }
    let start = Instant::now();
    let calls = 1000;
    for _ in 0..calls {
        let (answer, _) = user.sliding_sync("c4", Some(&pos), 0).await?;
        pos = answer["pos"].as_str().unwrap_or_default().to_owned();
    }
    let incremental = f64::from(calls) / start.elapsed().as_secs_f64();
    Ok(vec![lower("sliding.initial", median_ms(times), "ms"), higher("sliding.incremental", incremental, "req/s")])
}

fn median_ms(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1000.0
}

/// Reads a busy room's history backwards.
pub async fn history(user: &User, room: &str, size: Size) -> Result<Figures> {
    let start = Instant::now();
    let mut from = None;
    let mut events = 0;
    for _ in 0..10 {
        let page = user.messages(room, from.as_deref(), 100).await?;
        events += page["chunk"].as_array().map_or(0, Vec::len);
        from = page["end"].as_str().map(str::to_owned);
        if from.is_none() {
            break;
        }
    }
    let sent = (size.messages_each / 2 * size.senders).min(1000);
    ensure!(events >= sent, "history gave {events} events of {sent}");
    Ok(vec![higher("history.paginate", events as f64 / start.elapsed().as_secs_f64(), "event/s")])
}

/// What starting an encrypted conversation with everyone costs the server.
pub async fn e2ee(users: &[User]) -> Result<Figures> {
    let start = Instant::now();
    stream::iter(users).map(|u| u.upload_keys(50)).buffer_unordered(8).try_collect::<Vec<()>>().await?;
    let uploads = users.len() as f64 * 50.0 / start.elapsed().as_secs_f64();
    let (mut claim, mut query, mut share) = (histogram(), histogram(), histogram());
    for user in &users[..20] {
        let at = Instant::now();
        ensure!(user.query_keys(users).await? == users.len(), "keys/query lost devices");
        query.record(micros(at.elapsed()))?;
        let at = Instant::now();
        ensure!(user.claim_keys(users).await? == users.len(), "keys/claim lost devices");
        claim.record(micros(at.elapsed()))?;
        let at = Instant::now();
        user.to_device(users).await?;
        share.record(micros(at.elapsed()))?;
    }
    Ok(vec![
        higher("e2ee.upload", uploads, "key/s"),
        lower("e2ee.query", ms(&query, 0.5), "ms"),
        lower("e2ee.claim", ms(&claim, 0.5), "ms"),
        lower("e2ee.to_device", ms(&share, 0.5), "ms"),
    ])
}

/// Opens many idle long-polls and returns them still open, so that the caller can read memory.
pub async fn idle(users: &[User], size: Size) -> Result<Vec<tokio::task::JoinHandle<()>>> {
    let filter = r#"{"presence":{"not_types":["*"]}}"#;
    let mut since = Vec::new();
    for user in users {
        // Drain what is pending, or the long-poll would return at once.
        let (first, _) = user.sync(None, 0, Some(filter)).await?;
        let (second, _) = user.sync(first["next_batch"].as_str(), 0, Some(filter)).await?;
        since.push(second["next_batch"].as_str().unwrap_or_default().to_owned());
    }
    let handles = (0..size.idle)
        .map(|n| {
            let (user, since) = (users[n % users.len()].clone(), since[n % users.len()].clone());
            // A timeout of its own each: equal requests could be answered as one.
            tokio::spawn(async move { drop(user.sync(Some(&since), 60_000 + n as u64, Some(filter)).await) })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(6)).await;
    Ok(handles)
}

/// The same with a phone's sliding sync, each on a connection of its own.
pub async fn idle_sliding(users: &[User], size: Size) -> Result<Vec<tokio::task::JoinHandle<()>>> {
    let mut handles = Vec::with_capacity(size.idle);
    for n in 0..size.idle {
        let (user, name) = (users[n % users.len()].clone(), format!("idle{n}"));
        let (first, _) = user.sliding_sync(&name, None, 0).await?;
        let (second, _) = user.sliding_sync(&name, first["pos"].as_str(), 0).await?;
        let pos = second["pos"].as_str().unwrap_or_default().to_owned();
        handles.push(tokio::spawn(async move { drop(user.sliding_sync(&name, Some(&pos), 120_000 + n as u64).await) }));
    }
    tokio::time::sleep(Duration::from_secs(6)).await;
    Ok(handles)
}
