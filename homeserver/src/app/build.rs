//! The one pass in which a node is built.

use std::sync::Arc;

use sqlx::PgPool;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    StartError,
    logging::{Level, SettingsChanged},
};
use crate::{
    account::Account,
    bell::Bell,
    config::Config,
    http::{Api, Health, Limits, Sampled, Site},
    keys::{self, Identity, Keys, KnownKeys},
    log::{self, Log, Writer},
    media::{self, Media},
    presence::Presence,
    push::{self, Push},
    rooms::{self, Rooms},
    storage::{Database, Interner},
    sync::{self, Sync},
    users::{self, AccountData, PushRules, TokenCache, Users},
};

/// What a node is made of, as far as its end needs to know.
pub(super) struct Node {
    pub api: Api,
    pub sampled: Sampled,
    /// Background tasks; they end at [`Node::shutdown`].
    pub tasks: TaskTracker,
    /// Cancelled first: readiness goes and long-polls return.
    pub draining: CancellationToken,
    /// Cancelled when no request is left: the last group commit is flushed.
    pub shutdown: CancellationToken,
}

/// Builds all rooms, from the lowest rank up.
pub(super) async fn build(config: &Config, database: &Database, level: Level) -> Result<Node, StartError> {
    let (tasks, draining, shutdown) = (TaskTracker::new(), CancellationToken::new(), CancellationToken::new());
    let pool: PgPool = database.pool.clone();

    let identity = Identity::load(&pool, &config.server_name, config.secrets.key_file.as_deref()).await?;
    let server_name = config.server_name.clone();
    let bell = match &config.nats.url {
        Some(url) => {
            let bell = Bell::nats(url.expose(), server_name.as_str()).await;
            bell.map_err(|error| StartError::Bell(Box::new(error)))?
        }
        None => Bell::alone(),
    };

    // Caches stand before the log, which tells them what changes.
    let interner = Interner::new(pool.clone());
    let tokens = Arc::new(TokenCache::default());
    let room_caches = rooms::Caches::new();
    let sync_caches = sync::Caches::new(&interner).await?;
    let settings = Arc::new(SettingsChanged::default());
    let mut caches = room_caches.followers();
    caches.push(Arc::clone(&tokens) as _);
    caches.extend(sync_caches.followers());
    caches.push(Arc::clone(&settings) as _);
    let known_keys = Arc::new(KnownKeys::default());
    caches.push(Arc::clone(&known_keys) as _);
    let follow = Arc::new(push::Follow::new());
    caches.push(Arc::clone(&follow) as _);
    let log = Log::start(log::Options {
        pool: pool.clone(),
        connect: database.connect.clone(),
        bell: bell.clone(),
        caches,
        shutdown: shutdown.clone(),
        tasks: tasks.clone(),
    })
    .await?;

    tasks.spawn(level.follow(pool.clone(), settings, shutdown.clone()));

    let users = Users::new(users::Parts {
        pool: pool.clone(),
        writer: Writer::Node(log.clone()),
        interner: interner.clone(),
        tokens: Arc::clone(&tokens),
        server_name: server_name.clone(),
        registration: config.registration.clone(),
    });
    tasks.spawn(users.clone().housekeeping(shutdown.clone()));
    let keys = Keys::new(keys::Parts {
        pool: pool.clone(),
        log: log.clone(),
        bell: bell.clone(),
        interner: interner.clone(),
        server_name: server_name.clone(),
        known: known_keys,
        moments: users.moments(),
    });
    tasks.spawn(keys.clone().hear(shutdown.clone()));
    let rooms = Rooms::new(rooms::Options {
        pool: pool.clone(),
        interner,
        log: log.clone(),
        signer: identity.signer().clone(),
        server_name: server_name.clone(),
        default_version: config.rooms.default_version,
        caches: room_caches,
    });
    tasks.spawn(rooms.clone().take_in_words(shutdown.clone()));
    tasks.spawn(rooms.clone().go_on_upgrading(shutdown.clone()));
    let push_rules = PushRules::new(pool.clone(), log.clone());
    let account_data = AccountData::new(pool.clone(), log.clone());
    let account = Account::new(users.clone(), rooms.clone(), tokens, push_rules.clone(), account_data.clone());
    tasks.spawn(account.clone().departures(shutdown.clone()));
    let folder = config.media_path();
    let media = Media::open(media::Options {
        pool: pool.clone(),
        folder: folder.clone(),
        server_name,
        limits: media::Limits { upload: config.media.max_upload_size, user: config.media.user_quota },
        serve_unauthenticated: config.media.serve_unauthenticated,
        previews: config.media.url_previews.then(|| config.media.url_preview_allow.clone()),
    })
    .await;
    let media = media.map_err(|source| StartError::Media { folder, source })?;
    tasks.spawn(media.clone().housekeeping(shutdown.clone()));

    let presence = Presence::start(log.clone(), bell.clone(), config.presence.enabled, shutdown.clone(), &tasks);
    let push = Push::start(
        push::Options {
            pool: pool.clone(),
            connect: database.connect.clone(),
            log: log.clone(),
            bell: bell.clone(),
            rooms: rooms.clone(),
            follow,
            allowed_private_networks: config.push.allowed_private_networks.clone(),
        },
        shutdown.clone(),
        &tasks,
    )
    .await?;
    let sync = Sync::new(sync::Options {
        pool: pool.clone(),
        log: log.clone(),
        rooms: rooms.clone(),
        keys: keys.clone(),
        presence: presence.clone(),
        push_rules: push_rules.clone(),
        caches: sync_caches,
        draining: draining.clone(),
    });
    tasks.spawn(sync.clone().keep_connections(shutdown.clone()));

    if config.presence.enabled {
        tasks.spawn(sync.clone().carry_presence(shutdown.clone()));
    }

    let limits = Limits::new(&config.rate_limits);
    let site = Site::new(config);
    let health = Health { log: log.clone(), bell: bell.clone(), draining: draining.clone() };
    let sampled = Sampled { pool, log: log.clone(), bell };
    let api = Api {
        log,
        health,
        limits,
        site,
        identity,
        users,
        account,
        account_data,
        keys,
        presence,
        rooms,
        media,
        push,
        push_rules,
        sync,
    };
    Ok(Node { api, sampled, tasks, draining, shutdown })
}
